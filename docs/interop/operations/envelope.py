"""envelope.json."""

from __future__ import annotations

from typing import Any, Optional

from kez import envelope
from kez import payload as payloads
from kez.keys import key_text, parse_key
from kez.primitives import sha256

from .inputs import MAX_WRITTEN_OUT, from_hex, is_development, read_bytes


def envelope_seal(sender: str, recipient: str, payload: Any, random: str) -> dict[str, Any]:
    plain = read_bytes(payload)
    wire = envelope.seal_envelope(from_hex(sender), parse_key(recipient), plain, from_hex(random))
    return {"wire": wire.hex()} if len(plain) <= MAX_WRITTEN_OUT else {"wire_sha256": sha256(wire).hex()}


def envelope_open(recipient: str, wire: Any) -> dict[str, Any]:
    sender, payload = envelope.open_envelope(from_hex(recipient), read_bytes(wire))
    return {"sender": key_text(sender), "payload": payload.hex()}


def payload_decode(bytes_: Any, channel: str, policy: str, own_handles: Optional[list[str]]) -> dict[str, Any]:
    if channel not in ("inbox", "presence"):
        raise ValueError(f"no channel is called {channel!r}")
    return payloads.decode_payload(read_bytes(bytes_), channel, is_development(policy), own_handles)


OPERATIONS = {
    "envelope.seal": envelope_seal,
    "envelope.open": envelope_open,
    "payload.decode": payload_decode,
}
