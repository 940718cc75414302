"""Events of a sigchain, each by itself: rows 1 to 11 of §4's order of checks."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Optional, Tuple

from . import strict_json
from .ed25519 import SIGNATURE_BYTES, public_key, sign, verify
from .encoding import base64url, from_base64url, is_hex
from .keys import key_text, parse_key
from .primitives import sha256
from .refusal import Refusal, require

HEADER = "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoia2V6LWV2ZW50K2p3cyJ9"
MAX_EVENT_BYTES = 16_384
MAX_SEQ = 100_000
VERSION = 1

_MEMBERS = {"op", "prev", "primary", "seq", "ts", "v"}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)


class Event(NamedTuple):
    """An event whose signature is right and whose form is an event's; its op is not judged yet."""

    jws: str
    signing_input: str
    op: dict[str, Any]
    prev: Optional[str]
    primary: bytes
    seq: int
    v: int

    @property
    def head(self) -> str:
        """SHA-256 of the signing input, as hex."""
        return sha256(self.signing_input.encode()).hex()


def is_integer(value: object) -> bool:
    """Tells whether a value of the JSON is a number; all of those are integers."""
    return isinstance(value, int) and not isinstance(value, bool)


def read_event(jws: str, key: bytes) -> Event:
    """Checks rows 1 to 11 under the chain's key (§4)."""
    signing_input, payload, signature = _split(jws)
    _verify(key, signing_input, signature)
    event = _parse(jws, signing_input, payload)
    require(event.primary == key, "WrongPrimary")
    return event


def read_event_of_anybody(jws: str) -> Event:
    """Checks the same where no chain says whose event it has to be: under the key that it names itself (§4, "Fork")."""
    signing_input, payload, signature = _split(jws)
    event = _parse(jws, signing_input, payload)
    _verify(event.primary, signing_input, signature)
    return event


def _split(jws: str) -> Tuple[str, bytes, bytes]:
    """Rows 1 to 4: returns signing input, payload and signature."""
    require(len(jws.encode()) <= MAX_EVENT_BYTES, "TooLong")
    parts = jws.split(".")
    require(len(parts) == 3, "BadJws")
    header, payload, signature = parts
    require(header == HEADER, "BadJwsHeader")
    return f"{header}.{payload}", from_base64url(payload), from_base64url(signature)


def _verify(key: bytes, signing_input: str, signature: bytes) -> None:
    """Row 5."""
    require(len(signature) == SIGNATURE_BYTES, "BadSignature")
    verify(key, signing_input.encode(), signature)


def _parse(jws: str, signing_input: str, payload: bytes) -> Event:
    """Rows 6 to 10."""
    value = strict_json.parse(payload)
    require(isinstance(value, dict), "BadEvent")
    require(value.keys() <= _MEMBERS, "UnknownMember")
    op, prev, seq = value.get("op"), value.get("prev"), value.get("seq")
    require(isinstance(op, dict) and isinstance(op.get("type"), str), "BadEvent")
    require("prev" in value and (prev is None or is_hex(prev, 64)), "BadEvent")
    try:
        primary = parse_key(value.get("primary"))
    except Refusal:
        raise Refusal("BadEvent") from None
    require(is_integer(seq) and seq >= 1, "BadEvent")
    require(seq <= MAX_SEQ, "TooLong")
    require((prev is None) == (seq == 1), "BadEvent")
    ts = value.get("ts")
    require(isinstance(ts, str) and _TIME.fullmatch(ts), "BadEvent")
    require(is_integer(value.get("v")), "BadEvent")
    return Event(jws, signing_input, op, prev, primary, seq, value["v"])


def write_event(seed: bytes, op: Any, prev: Optional[str], seq: int, ts: str) -> str:
    """Signs an event (§4, "Events")."""
    payload = {"op": op, "prev": prev, "primary": key_text(public_key(seed)), "seq": seq, "ts": ts, "v": VERSION}
    signing_input = f"{HEADER}.{base64url(strict_json.canonical(payload))}"
    return f"{signing_input}.{base64url(sign(seed, signing_input.encode()))}"
