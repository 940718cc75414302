"""files.json."""

from __future__ import annotations

from typing import Any

from kez import entries, files
from kez.primitives import blake3

from .inputs import MAX_WRITTEN_OUT, from_hex, read_bytes


def file_seal(key: str, plain: Any) -> dict[str, Any]:
    data = read_bytes(plain)
    blob = files.seal_file(from_hex(key), data)
    out = {"blob_len": len(blob), "blob_hash": blake3(blob).hex(), "plain_hash": blake3(data).hex()}
    if len(blob) <= MAX_WRITTEN_OUT:
        out["blob"] = blob.hex()
    return out


def file_open(key: str, plain_len: int, plain_hash: str, blob: Any, streamed: bool = False) -> dict[str, Any]:
    files.open_file(from_hex(key), plain_len, from_hex(plain_hash), read_bytes(blob), streamed)
    return {}


def file_open_at(key: str, plain_len: int, blob: Any, offset: int, len_: int) -> dict[str, Any]:
    part = files.open_part(from_hex(key), plain_len, read_bytes(blob), offset, len_)
    return {"plain_hash": blake3(part).hex()}


def blob_len(plain_len: int) -> dict[str, Any]:
    return {"blob_len": files.blob_len(plain_len)}


def path_parse(path: str) -> dict[str, Any]:
    entries.check_path(path)
    return {}


def folder_decode(bytes_: Any) -> dict[str, Any]:
    return {"entries": entries.read_folder(read_bytes(bytes_))}


OPERATIONS = {
    "file.seal": file_seal,
    "file.open": file_open,
    "file.open_at": file_open_at,
    "blob.len": blob_len,
    "path.parse": path_parse,
    "folder.decode": folder_decode,
}
