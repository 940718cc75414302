"""manifest.json."""

from __future__ import annotations

from typing import Any, Optional

from kez import manifest as manifests
from kez.keys import parse_key
from kez.primitives import blake3

from .inputs import from_hex, read_bytes, take_members


def manifest_build(owner: str, version: int, salt: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    for entry in entries:
        _, _, _, filler, details = take_members(entry, "id", "entry_key", "readers", "filler", "details")
        for pair in filler:
            take_members(pair, "tag", "wrapped")
        _, _, thumbnail = take_members(details, "entry", "shared_at_ms", "thumbnail")
        if thumbnail is not None:
            take_members(thumbnail, "blob_hash", "plain_len", "key")
    data = manifests.build_manifest(from_hex(owner), version, from_hex(salt), entries)
    return {"manifest": data.hex(), "hash": blake3(data).hex()}


def manifest_read(
    manifest: Any, owner: str, hash_: str, version: int, reader: str, id_: Optional[str]
) -> dict[str, Any]:
    wanted = None if id_ is None else from_hex(id_)
    opened = manifests.read_manifest(
        read_bytes(manifest), parse_key(owner), from_hex(hash_), version, from_hex(reader), wanted
    )
    return {"entries": [{"id": entry_id.hex(), "details": opened[entry_id]} for entry_id in sorted(opened)]}


OPERATIONS = {"manifest.build": manifest_build, "manifest.read": manifest_read}
