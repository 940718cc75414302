"""Blobs: files encrypted in segments, so that no part can be cut off, moved or repeated (§9)."""

from __future__ import annotations

from typing import Iterator

from .entries import check_plain_len
from .primitives import TAG_BYTES, blake3, open_sealed, seal
from .refusal import require

SEGMENT_BYTES = 65_536


def segment_count(plain_len: int) -> int:
    """Returns how many segments a file has: an empty one has one too (§9, "Blobs")."""
    return max(1, -(-plain_len // SEGMENT_BYTES))


def blob_len(plain_len: int) -> int:
    """Returns the length of a file's blob (§9, "Blobs")."""
    return check_plain_len(plain_len) + TAG_BYTES * segment_count(plain_len)


def _nonce(index: int, count: int) -> bytes:
    return bytes(7) + index.to_bytes(4, "big") + bytes([index == count - 1])


def seal_file(key: bytes, plain: bytes) -> bytes:
    """Returns the blob of a file (§9, "Blobs")."""
    count = segment_count(len(plain))
    segments = (plain[i * SEGMENT_BYTES : (i + 1) * SEGMENT_BYTES] for i in range(count))
    return b"".join(seal(key, segment, nonce=_nonce(i, count)) for i, segment in enumerate(segments))


def _open_segments(key: bytes, blob: bytes, plain_len: int, wanted: range) -> Iterator[bytes]:
    """Opens segments in their order; a blob that ends within one is `Truncated`."""
    count = segment_count(plain_len)
    for index in wanted:
        start = index * (SEGMENT_BYTES + TAG_BYTES)
        end = min(start + SEGMENT_BYTES + TAG_BYTES, blob_len(plain_len))
        require(end <= len(blob), "Truncated")
        yield open_sealed(key, blob[start:end], "BadSegment", nonce=_nonce(index, count))


def open_file(key: bytes, plain_len: int, plain_hash: bytes, blob: bytes, streamed: bool) -> bytes:
    """Returns the file of a blob; a stream's length is noticed only when it ends (§9, "Blobs")."""
    expected = blob_len(plain_len)
    require(streamed or len(blob) == expected, "BadLength")
    plain = b"".join(_open_segments(key, blob, plain_len, range(segment_count(plain_len))))
    require(len(blob) == expected, "TrailingBytes")
    require(blake3(plain) == plain_hash, "BadHash")
    return plain


def open_part(key: bytes, plain_len: int, blob: bytes, offset: int, length: int) -> bytes:
    """Returns a part of a file, opening only the segments that hold it (§9, "Blobs")."""
    require(len(blob) == blob_len(plain_len), "BadLength")
    require(offset + length <= plain_len, "BadLength")
    first = offset // SEGMENT_BYTES
    wanted = range(first, -(-(offset + length) // SEGMENT_BYTES) if length else first)
    start = offset - first * SEGMENT_BYTES
    return b"".join(_open_segments(key, blob, plain_len, wanted))[start : start + length]
