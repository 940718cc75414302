"""The JSON of events: RFC 8259 under §4's restrictions, in the form of RFC 8785."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from .encoding import MAX_VARINT
from .refusal import Refusal, require

MAX_LEVELS = 16

_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def parse(data: bytes) -> Any:
    """Reads a value in its one form: `BadJson` over the whole text, then `NotCanonicalJson` (§4, "Events")."""
    try:
        value = json.loads(
            data.decode(),
            parse_int=_integer,
            parse_float=_refuse,
            parse_constant=_refuse,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        raise Refusal("BadJson") from None
    _check(value, 1)
    require(canonical(value) == data, "NotCanonicalJson")
    return value


def canonical(value: Any) -> bytes:
    """Writes a value in its RFC 8785 form, as far as events have it: no number but integers (§4, "Events")."""
    return _write(value).encode()


def _write(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(map(_escape, value)) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_write(key)}:{_write(value[key])}" for key in sorted(value)) + "}"
    raise Refusal("BadJson")


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character >= " " else f"\\u{ord(character):04x}"


def _integer(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_VARINT:
        _refuse(text)
    return int(text)


def _refuse(_: str) -> NoReturn:
    raise Refusal("BadJson")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    require(len(value) == len(pairs), "BadJson")
    return value


def _check(value: Any, level: int) -> None:
    """Refuses lone surrogates, keys beyond ASCII, and the 17th level."""
    if isinstance(value, str):
        require(not any("\ud800" <= character <= "\udfff" for character in value), "BadJson")
    elif isinstance(value, (list, dict)):
        require(level <= MAX_LEVELS, "BadJson")
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, level + 1)
        require(all(key.isascii() for key in value) if isinstance(value, dict) else True, "BadJson")
