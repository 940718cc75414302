"""Manifests: what somebody shares with many (§9)."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from .ed25519 import public_key
from .encoding import Reader, varint
from .entries import check_plain_len, read_entry, write_entry
from .keys import check_key, parse_key, x25519, x25519_public, x25519_secret
from .primitives import TAG_BYTES, blake3, hkdf, hmac_sha256, open_sealed, seal
from .refusal import Refusal, require

MAGIC = b"KEZM"
VERSION = b"\x01"
CONTEXT = b"kez/manifest/1"
MAX_BYTES = 64 * 2**20
ENTRY_SMALLEST = 23
ENTRY_COUNTS = range(100_001)
ID_BYTES = 16
PAIR_BYTES = 64
PAIR_COUNTS = [1 << power for power in range(16)]
FOR_READERS, PUBLIC = 0, 1
PAD_TO = 256
DETAILS_LENGTHS = range(TAG_BYTES + PAD_TO, 4112 + 1, PAD_TO)


class _Reading:
    """The keys by which one reader finds and opens what is theirs."""

    def __init__(self, salt: bytes, shared: bytes, owner: bytes, reader: bytes) -> None:
        self._rk = hkdf(CONTEXT + salt, shared, b"reader" + owner + reader)

    def tag(self, entry_id: bytes) -> bytes:
        return hmac_sha256(self._rk, b"tag" + entry_id)[:16]

    def wrap_key(self, entry_id: bytes) -> bytes:
        return hmac_sha256(self._rk, b"wrap" + entry_id)


def _details_key(salt: bytes, entry_key: bytes, entry_id: bytes) -> bytes:
    return hkdf(CONTEXT + salt, entry_key, b"details" + entry_id)


def _write_details(details: dict[str, Any]) -> bytes:
    """Writes `P`, padded to the next multiple of 256."""
    thumbnail = details["thumbnail"]
    content = write_entry(details["entry"], "BadManifest") + varint(details["shared_at_ms"])
    if thumbnail is None:
        content += b"\0"
    else:
        content += b"\x01" + bytes.fromhex(thumbnail["blob_hash"])
        content += varint(check_plain_len(thumbnail["plain_len"])) + bytes.fromhex(thumbnail["key"])
    content += b"\x80"
    return content.ljust(-(-len(content) // PAD_TO) * PAD_TO, b"\0")


def _read_details(padded: bytes) -> dict[str, Any]:
    """Reads `P`: first its padding, which is the shortest, then the content."""
    stripped = padded.rstrip(b"\0")
    require(stripped.endswith(b"\x80") and len(padded) - len(stripped) < PAD_TO, "BadPadding")
    reader = Reader(stripped[:-1], "BadManifest")
    entry, shared_at_ms, thumbnail = read_entry(reader), reader.varint(), None
    flag = reader.unsigned(1)
    require(flag in (0, 1), "BadManifest")
    if flag:
        blob_hash, plain_len = reader.hex(32), check_plain_len(reader.varint())
        thumbnail = {"blob_hash": blob_hash, "plain_len": plain_len, "key": reader.hex(32)}
    reader.end()
    return {"entry": entry, "shared_at_ms": shared_at_ms, "thumbnail": thumbnail}


def build_manifest(seed: bytes, version: int, salt: bytes, entries: Sequence[dict[str, Any]]) -> bytes:
    """Builds a manifest; `filler` are an entry's random pairs, up to a power of two (§9, "Manifest")."""
    owner, x = public_key(seed), x25519_secret(seed)
    require(len(entries) in ENTRY_COUNTS, "BadManifest")
    ids = [entry["id"] for entry in entries]
    require(len(set(ids)) == len(ids), "DuplicateId")
    version_bytes = version.to_bytes(8, "little")
    data = MAGIC + VERSION + owner + version_bytes + salt + len(entries).to_bytes(4, "little")
    for entry in entries:
        entry_id, entry_key = bytes.fromhex(entry["id"]), bytes.fromhex(entry["entry_key"])
        aad = owner + version_bytes + entry_id
        if entry["readers"] is None:
            flags, access = bytes([PUBLIC]), entry_key
        else:
            pairs = [bytes.fromhex(pair["tag"] + pair["wrapped"]) for pair in entry["filler"]]
            readers = [parse_key(reader) for reader in entry["readers"]]
            require(len(set(readers)) == len(readers), "BadManifest")
            for reader in readers:
                keys = _Reading(salt, x25519(x, x25519_public(reader)), owner, reader)
                pairs.append(keys.tag(entry_id) + seal(keys.wrap_key(entry_id), entry_key, aad))
            require(len(pairs) in PAIR_COUNTS, "BadManifest")
            flags, access = bytes([FOR_READERS]), len(pairs).to_bytes(2, "little") + b"".join(sorted(pairs))
        details = seal(_details_key(salt, entry_key, entry_id), _write_details(entry["details"]), aad + flags)
        data += entry_id + flags + access + len(details).to_bytes(4, "little") + details
    require(len(data) <= MAX_BYTES, "BadManifest")
    return data


class _Entry:
    """An entry of a manifest, read and not opened."""

    def __init__(self, reader: Reader, seen: set[bytes]) -> None:
        self.id = reader.take(ID_BYTES)
        require(self.id not in seen, "DuplicateId")
        seen.add(self.id)
        self.flags = reader.unsigned(1)
        require(self.flags in (FOR_READERS, PUBLIC), "BadManifest")
        self.public_key: Optional[bytes] = None
        self.pairs: dict[bytes, bytes] = {}
        if self.flags == PUBLIC:
            self.public_key = reader.take(32)
        else:
            count = reader.unsigned(2)
            require(count <= reader.left // PAIR_BYTES, "Truncated")
            require(count in PAIR_COUNTS, "BadManifest")
            pairs = [(reader.take(16), reader.take(48)) for _ in range(count)]
            self.pairs = dict(pairs)
            require(list(self.pairs) == sorted(self.pairs) and len(self.pairs) == count, "BadManifest")
        length = reader.unsigned(4)
        require(length <= reader.left, "Truncated")
        require(length in DETAILS_LENGTHS, "BadManifest")
        self.details = reader.take(length)


def read_manifest(
    data: bytes, owner: bytes, blob_hash: bytes, version: int, seed: bytes, wanted: Optional[bytes]
) -> dict[bytes, dict[str, Any]]:
    """Returns the details of the entry asked for, or of all that are this reader's, by id (§9, "Reading one")."""
    require(len(data) <= MAX_BYTES and blake3(data) == blob_hash, "BadManifest")
    reader = Reader(data, "BadManifest")
    require(reader.take(len(MAGIC)) == MAGIC, "BadManifest")
    require(reader.take(1) == VERSION, "BadVersion")
    require(check_key(reader.take(32)) == owner, "BadManifest")
    version_bytes = reader.take(8)
    require(int.from_bytes(version_bytes, "little") == version, "BadManifest")
    salt = reader.take(32)
    count = reader.count(reader.unsigned(4), ENTRY_SMALLEST, ENTRY_COUNTS)
    seen: set[bytes] = set()
    entries = [_Entry(reader, seen) for _ in range(count)]
    reader.end()

    keys = _Reading(salt, x25519(x25519_secret(seed), x25519_public(owner)), owner, public_key(seed))
    opened = {}
    for entry in entries:
        if wanted is not None and entry.id != wanted:
            continue
        aad = owner + version_bytes + entry.id
        entry_key = entry.public_key
        wrapped = entry.pairs.get(keys.tag(entry.id))
        if entry_key is None and wrapped is not None:
            entry_key = open_sealed(keys.wrap_key(entry.id), wrapped, "BadManifest", aad)
        if entry_key is not None:
            details_key = _details_key(salt, entry_key, entry.id)
            plain = open_sealed(details_key, entry.details, "BadManifest", aad + bytes([entry.flags]))
            opened[entry.id] = _read_details(plain)
    if wanted is not None and not opened:
        raise Refusal("NotAReader")
    return opened
