"""How values become bytes and text ("How to read this document", Notation)."""

from __future__ import annotations

import base64
import binascii
import re

from .refusal import Refusal, require

MAX_VARINT = 2**53 - 1
MAX_VARINT_BYTES = 8
HEX_DIGITS = "0123456789abcdef"

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def is_hex(text: object, digits: int) -> bool:
    """Tells whether a value is a text of so many lower-case hex digits."""
    return isinstance(text, str) and len(text) == digits and all(c in HEX_DIGITS for c in text)


def is_printable(text: str) -> bool:
    """Tells whether all characters are of 21–7E."""
    return all("\x21" <= character <= "\x7e" for character in text)


def base64url(data: bytes) -> str:
    """Writes base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64url(text: str, code: str = "BadBase64") -> bytes:
    """Reads base64url in its one canonical form."""
    require(_BASE64URL.fullmatch(text), code)
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Refusal(code) from None
    require(base64url(data) == text, code)
    return data


def varint(value: int) -> bytes:
    """Writes an unsigned integer in minimal LEB128."""
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def string(text: str) -> bytes:
    """Writes a `str`: its length in bytes, then the bytes."""
    data = text.encode()
    return varint(len(data)) + data


class Reader:
    """Reads bytes from the front; `fault` is the code of what has no code of its own."""

    def __init__(self, data: bytes, fault: str) -> None:
        self.fault = fault
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def take(self, length: int) -> bytes:
        """Reads so many bytes."""
        require(length <= self.left, "Truncated")
        self._at += length
        return self._data[self._at - length : self._at]

    def hex(self, length: int) -> str:
        """Reads so many bytes as hex."""
        return self.take(length).hex()

    def unsigned(self, length: int) -> int:
        """Reads a little-endian integer of so many bytes: `u8` to `u64`."""
        return int.from_bytes(self.take(length), "little")

    def varint(self) -> int:
        """Reads a varint: at most eight bytes, in its shortest form."""
        value = 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                require((byte or index == 0) and value <= MAX_VARINT, "BadVarint")
                return value
        raise Refusal("BadVarint")

    def string(self) -> str:
        """Reads a `str`."""
        data = self.take(self.varint())
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise Refusal(self.fault) from None

    def count(self, count: int, smallest: int, limits: range) -> int:
        """Holds a count against the bytes left, then against the limits of its field."""
        require(count <= self.left // smallest, "Truncated")
        require(count in limits, self.fault)
        return count

    def end(self) -> None:
        """Refuses bytes that are left over."""
        require(self.left == 0, "TrailingBytes")
