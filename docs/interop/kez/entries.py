"""Paths, file entries and folder lists (§§7 and 9)."""

from __future__ import annotations

import unicodedata
from typing import Any, Sequence

from .encoding import Reader, is_printable, string, varint
from .refusal import require

MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 255
MAX_MEDIA_CHARACTERS = 127
MAX_FILE_BYTES = 2**48
ENTRY_SMALLEST = 99
FOLDER_MEDIA = "application/vnd.kez.folder"
FOLDER_COUNTS = range(100_001)

# The backslash, and what does not show or changes the direction of what does.
_FORBIDDEN = frozenset(
    "\\\u2028\u2029\u061c\ufeff"
    + "".join(map(chr, (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A))))
)


def check_path(path: str) -> str:
    """Returns a path that has its form (§9, "Paths")."""
    require(len(path.encode()) <= MAX_PATH_BYTES, "BadPath")
    for part in path.split("/"):
        require(1 <= len(part.encode()) <= MAX_PART_BYTES and part not in (".", ".."), "BadPath")
    require(not any(c in _FORBIDDEN or unicodedata.category(c) == "Cc" for c in path), "BadPath")
    return path


def check_paths(entries: Sequence[dict[str, Any]]) -> None:
    """Refuses a path that occurs twice or is a directory of another, compared part by part (§7, "Kinds")."""
    paths = sorted(tuple(entry["path"].encode().split(b"/")) for entry in entries)
    # A directory sorts right before what is in it.
    for one, other in zip(paths, paths[1:]):
        require(other[: len(one)] != one, "BadPath")


def check_plain_len(length: int) -> int:
    """Returns a file's length that is within the limit (§7, "Kinds")."""
    require(length <= MAX_FILE_BYTES, "TooLarge")
    return length


def read_entry(reader: Reader) -> dict[str, Any]:
    """Reads an entry, each field checked in its turn (§7, "Kinds")."""
    path = check_path(reader.string())
    media = reader.string()
    require(len(media) <= MAX_MEDIA_CHARACTERS and is_printable(media), reader.fault)
    return {
        "path": path,
        "media": media,
        "blob_hash": reader.hex(32),
        "key": reader.hex(32),
        "plain_hash": reader.hex(32),
        "plain_len": check_plain_len(reader.varint()),
    }


def write_entry(entry: dict[str, Any], fault: str) -> bytes:
    """Writes an entry that has its form; `fault` is the code of what has no code of its own (§7, "Kinds")."""
    require(len(entry["media"]) <= MAX_MEDIA_CHARACTERS and is_printable(entry["media"]), fault)
    hashes = bytes.fromhex(entry["blob_hash"] + entry["key"] + entry["plain_hash"])
    names = string(check_path(entry["path"])) + string(entry["media"])
    return names + hashes + varint(check_plain_len(entry["plain_len"]))


def read_folder(data: bytes) -> list[dict[str, Any]]:
    """Reads a folder list, none of whose entries is a folder again (§9, "Folders")."""
    reader = Reader(data, "BadPayload")
    entries = []
    for _ in range(reader.count(reader.varint(), ENTRY_SMALLEST, FOLDER_COUNTS)):
        entry = read_entry(reader)
        require(entry["media"] != FOLDER_MEDIA, "BadPayload")
        entries.append(entry)
    check_paths(entries)
    reader.end()
    return entries
