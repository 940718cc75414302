"""HKDF, AEAD and hashes as the notation names them; all of them come from libraries."""

from __future__ import annotations

import hashlib
import hmac

import blake3 as blake3_library
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from .refusal import Refusal

ZERO_NONCE = bytes(12)
TAG_BYTES = 16


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def sha512(data: bytes) -> bytes:
    """SHA-512."""
    return hashlib.sha512(data).digest()


def blake3(data: bytes) -> bytes:
    """BLAKE3, 32 bytes."""
    return blake3_library.blake3(data).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC with SHA-256."""
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(salt: bytes, ikm: bytes, info: bytes, length: int = 32) -> bytes:
    """`HKDF(salt, ikm, info)`: extract and expand."""
    return HKDF(hashes.SHA256(), length, salt, info).derive(ikm)


def hkdf_expand(key: bytes, info: bytes) -> bytes:
    """`HKDF-Expand(key, info)`."""
    return HKDFExpand(hashes.SHA256(), 32, info).derive(key)


def seal(key: bytes, plain: bytes, aad: bytes = b"", nonce: bytes = ZERO_NONCE) -> bytes:
    """`AEAD(key, plain, aad)`: the ciphertext, then the tag."""
    return ChaCha20Poly1305(key).encrypt(nonce, plain, aad)


def open_sealed(key: bytes, sealed: bytes, code: str, aad: bytes = b"", nonce: bytes = ZERO_NONCE) -> bytes:
    """Undoes `seal`; what does not decrypt is refused with `code`."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refusal(code) from None
