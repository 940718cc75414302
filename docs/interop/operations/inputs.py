"""What the cases are written in: hex, *bytes* and policies."""

from __future__ import annotations

from typing import Any

from kez.files import seal_file

# Above this, an output is compared by its hash.
MAX_WRITTEN_OUT = 1_000


def from_hex(text: str) -> bytes:
    """Reads lower-case hex."""
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError(f"{text!r} is not lower-case hex")
    return data


def read_bytes(value: Any) -> bytes:
    """Reads *bytes*: hex, or one of the forms that write large bytes in one line."""
    if isinstance(value, str):
        return from_hex(value)
    members = set(value)
    if members == {"repeat", "len"}:
        pattern, length = from_hex(value["repeat"]), int(value["len"])
        return (pattern * (length // len(pattern) + 1))[:length]
    if members == {"concat"}:
        return b"".join(map(read_bytes, value["concat"]))
    if members == {"of", "from", "to"}:
        data = read_bytes(value["of"])
        if not 0 <= value["from"] <= value["to"] <= len(data):
            raise ValueError(f"no such part of {len(data)} bytes: {value['from']} to {value['to']}")
        return data[value["from"] : value["to"]]
    if members == {"sealed"} and set(value["sealed"]) == {"key", "plain"}:
        return seal_file(from_hex(value["sealed"]["key"]), read_bytes(value["sealed"]["plain"]))
    raise ValueError(f"no form of bytes has the members {sorted(members)}")


def is_development(policy: str) -> bool:
    """Reads a policy."""
    return {"production": False, "development": True}[policy]


def take_members(value: dict[str, Any], *names: str) -> list[Any]:
    """Returns the values of an object that has exactly these members."""
    if set(value) != set(names):
        raise ValueError(f"expected the members {sorted(names)}, got {sorted(value)}")
    return [value[name] for name in names]
