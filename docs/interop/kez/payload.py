"""Payloads (§7): what an envelope carries."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Optional, Sequence

from .encoding import Reader, is_printable
from .entries import ENTRY_SMALLEST, check_paths, read_entry
from .handles import check_qualified
from .refusal import Refusal, require

VERSION = 1
EXTENSION_SMALLEST = 2
EXTENSION_COUNTS = range(33)
ID_BYTES = 16
FIRST_PRESENCE_KIND = 64

TEXT, FILE_SHARE, RECEIPT, EDIT, DELETE, REACTION, PRESENCE = 1, 2, 3, 4, 5, 6, 64
KNOWN_KINDS = (TEXT, FILE_SHARE, RECEIPT, EDIT, DELETE, REACTION, PRESENCE)
OWN_HEAD, PEER_HEAD, REPLY_TO = 2, 4, 6

MAX_TEXT_BYTES = 49_152
MAX_EMOJI_BYTES = 32
MAX_ADDRESS_BYTES = 1024
MAX_TTL_S = 600
STATUSES = {1: "delivered", 2: "read"}
STATES = {0: "off", 1: "online", 2: "away"}

_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


def decode_payload(
    data: bytes, channel: str, development: bool, own_handles: Optional[Sequence[str]]
) -> dict[str, Any]:
    """Reads a payload in §7's order of checks.

    `Unsupported` and `Misaddressed` are outcomes: they come as refusals that hold the message.
    """
    message, body, extensions = _read_structure(data, development)
    kind = message["kind"]
    require((kind < FIRST_PRESENCE_KIND) == (channel == "inbox"), "WrongChannel")
    unsupported = _read_extensions(message, extensions)
    if unsupported is None and kind not in KNOWN_KINDS:
        unsupported = {"unsupported_kind": kind}
    if unsupported is not None:
        raise Refusal("Unsupported", {**message, "content": unsupported})
    reader = Reader(body, "BadPayload")
    message["content"] = _read_content(kind, reader)
    reader.end()
    require((message["seq"] == 0) == (kind in (RECEIPT, PRESENCE)), "BadPayload")
    if own_handles is not None and message["to"] is not None and message["to"] not in own_handles:
        raise Refusal("Misaddressed", message)
    return message


def _read_structure(data: bytes, development: bool) -> tuple[dict[str, Any], bytes, list[tuple[int, bytes]]]:
    """Step 1: all fields in the order of the bytes. Returns also the body and the extensions."""
    reader = Reader(data, "BadPayload")
    require(reader.unsigned(1) == VERSION, "BadVersion")
    message = {
        "id": reader.hex(ID_BYTES),
        "install": reader.hex(8),
        "seq": reader.varint(),
        "sent_at_ms": reader.varint(),
        "from": _read_handle(reader, development),
        "to": _read_handle(reader, development),
        "kind": reader.varint(),
    }
    body = reader.take(reader.varint())
    extensions: list[tuple[int, bytes]] = []
    for _ in range(reader.count(reader.varint(), EXTENSION_SMALLEST, EXTENSION_COUNTS)):
        ext = reader.varint()
        require(not extensions or ext > extensions[-1][0], "BadPayload")
        extensions.append((ext, reader.take(reader.varint())))
    reader.end()
    return message, body, extensions


def _read_handle(reader: Reader, development: bool) -> Optional[str]:
    text = reader.string()
    return check_qualified(text, development) if text else None


def _read_extensions(message: dict[str, Any], extensions: list[tuple[int, bytes]]) -> Optional[dict[str, Any]]:
    """Step 3: known extensions by their content, then critical unknown ones, of which it returns the first."""
    message.update(own_head=None, peer_head=None, reply_to=None)
    critical = None
    for ext, content in extensions:
        reader = Reader(content, "BadPayload")
        if ext in (OWN_HEAD, PEER_HEAD):
            name = "own_head" if ext == OWN_HEAD else "peer_head"
            message[name] = {"seq": reader.varint(), "head": reader.hex(32)}
        elif ext == REPLY_TO:
            message["reply_to"] = {"author": reader.hex(32), "id": reader.hex(ID_BYTES)}
        else:
            if ext % 2 == 1 and critical is None:
                critical = {"unsupported_ext": ext}
            continue
        reader.end()
    return critical


def _read_content(kind: int, reader: Reader) -> dict[str, Any]:
    """Step 4: the body, field by field."""
    if kind == TEXT:
        return {"text": _read_text(reader)}
    if kind == FILE_SHARE:
        count = reader.count(reader.varint(), ENTRY_SMALLEST, range(1, 65))
        entries = [read_entry(reader) for _ in range(count)]
        check_paths(entries)
        return {"entries": entries, "addresses": _read_addresses(reader)}
    if kind == RECEIPT:
        status = _choice(reader, STATUSES)
        count = reader.count(reader.varint(), ID_BYTES, range(1, 257))
        return {"status": status, "ids": [reader.hex(ID_BYTES) for _ in range(count)]}
    if kind == EDIT:
        return {"id": reader.hex(ID_BYTES), "text": _read_text(reader)}
    if kind == DELETE:
        return {"id": reader.hex(ID_BYTES)}
    if kind == REACTION:
        content = {"author": reader.hex(32), "id": reader.hex(ID_BYTES), "emoji": reader.string()}
        require(len(content["emoji"].encode()) <= MAX_EMOJI_BYTES, "BadPayload")
        return content
    state = _choice(reader, STATES)
    ttl_s = reader.varint()
    require(ttl_s <= MAX_TTL_S, "BadPayload")
    flags = reader.unsigned(1)
    require(flags in (0, 1), "BadPayload")
    return {"state": state, "ttl_s": ttl_s, "answer": flags == 1, "addresses": _read_addresses(reader)}


def _choice(reader: Reader, names: dict[int, str]) -> str:
    number = reader.unsigned(1)
    require(number in names, "BadPayload")
    return names[number]


def _read_text(reader: Reader) -> str:
    text = reader.string()
    require(text, "BadPayload")
    require(len(text.encode()) <= MAX_TEXT_BYTES, "TooLarge")
    return text


def _read_addresses(reader: Reader) -> list[str]:
    """Reads addresses and skips those of another form."""
    addresses = []
    for _ in range(reader.count(reader.varint(), 1, range(17))):
        address = reader.string()
        require(len(address.encode()) <= MAX_ADDRESS_BYTES, "BadPayload")
        addresses.append(address)
    return [address for address in addresses if _is_address(address)]


def _is_address(text: str) -> bool:
    """Tells whether this is `ip:port` or the URL of a relay."""
    if text.startswith("https://"):
        return len(text) > len("https://") and is_printable(text)
    ip, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        return False
    try:
        if ip.startswith("[") and ip.endswith("]"):
            address = ipaddress.IPv6Address(ip[1:-1])
            return address.ipv4_mapped is None and str(address) == ip[1:-1] and "%" not in ip
        return str(ipaddress.IPv4Address(ip)) == ip
    except ValueError:
        return False
