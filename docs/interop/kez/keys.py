"""Keys: their text forms, X25519, paper backup, and the statements that a primary signs (§1)."""

from __future__ import annotations

import base64
import binascii
import unicodedata
from functools import cache
from typing import Tuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mnemonic import Mnemonic

from .ed25519 import SIGNATURE_BYTES, P, compress, key_point, verify
from .encoding import from_base64url, is_hex
from .primitives import sha256, sha512
from .refusal import Refusal, require

KEZ_PREFIX = "ed25519:"
NKEY_CHARACTERS = 56
NKEY_KINDS = {0xA0: "user", 0x00: "account", 0x68: "server", 0xB8: "curve"}
NKEY_PREFIXES = {kind: prefix for prefix, kind in NKEY_KINDS.items()}

WORD_COUNT = 24
WORDS = Mnemonic("english").wordlist
# The property White_Space. Python's `str.split` would also split at U+001C to U+001F, which do not have it.
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

MAX_NONCE_BYTES = 64


def check_key(key: bytes) -> bytes:
    """Returns the 32 bytes of a sound public key (§1)."""
    key_point(key)
    return key


def key_text(key: bytes) -> str:
    """Writes the KEZ form (§1, "Text forms")."""
    return KEZ_PREFIX + key.hex()


def parse_key(text: object) -> bytes:
    """Reads the KEZ form of a sound key (§1, "Text forms")."""
    require(isinstance(text, str) and text.startswith(KEZ_PREFIX), "BadKeyText")
    digits = str(text)[len(KEZ_PREFIX) :]
    require(is_hex(digits, 64), "BadKeyText")
    return check_key(bytes.fromhex(digits))


def crc16_xmodem(data: bytes) -> int:
    """CRC-16/XMODEM: polynomial 0x1021, initial value 0, no reflection."""
    return binascii.crc_hqx(data, 0)


def nkey(kind: str, key: bytes) -> str:
    """Writes a NATS nkey of a kind (§1, "Text forms")."""
    data = bytes([NKEY_PREFIXES[kind]]) + key
    return base64.b32encode(data + crc16_xmodem(data).to_bytes(2, "little")).decode()


def parse_nkey(text: object) -> Tuple[str, bytes]:
    """Reads the kind and the bytes of a NATS nkey; whether the key is sound is not asked (§1, "Text forms")."""
    require(isinstance(text, str) and len(text) == NKEY_CHARACTERS, "BadKeyText")
    try:
        data = base64.b32decode(str(text))
    except ValueError:
        raise Refusal("BadKeyText") from None
    kind = NKEY_KINDS.get(data[0])
    if kind is None or nkey(kind, data[1:33]) != text:
        raise Refusal("BadKeyText")
    return kind, data[1:33]


def parse_nkey_of(wanted: str, text: object) -> bytes:
    """Reads an nkey of one kind and of a sound key (§1)."""
    kind, key = parse_nkey(text)
    require(kind == wanted, "BadKeyText")
    return check_key(key)


def words(seed: bytes) -> str:
    """Writes the paper backup of a seed: BIP-39 with the seed itself as entropy (§1, "Paper backup")."""
    bits = int.from_bytes(seed + sha256(seed)[:1], "big")
    return " ".join(WORDS[bits >> 11 * place & 0x7FF] for place in reversed(range(WORD_COUNT)))


def parse_words(text: str) -> bytes:
    """Reads a paper backup: NFKD, lower case, then split at Unicode white space (§1, "Paper backup")."""
    normal = unicodedata.normalize("NFKD", text).lower()
    given = "".join(" " if character in WHITE_SPACE else character for character in normal).split(" ")
    given = [word for word in given if word]
    require(len(given) == WORD_COUNT and all(word in WORDS for word in given), "BadMnemonic")
    bits = 0
    for word in given:
        bits = bits << 11 | WORDS.index(word)
    data = bits.to_bytes(33, "big")
    require(data[32:] == sha256(data[:32])[:1], "BadMnemonic")
    return data[:32]


def clamp(scalar: bytes) -> bytes:
    """RFC 7748's `decodeScalar25519`, as bytes."""
    return bytes([scalar[0] & 0xF8]) + scalar[1:31] + bytes([scalar[31] & 0x7F | 0x40])


def x25519_secret(seed: bytes) -> bytes:
    """Returns the clamped X25519 secret `x` of a seed (§1, "X25519")."""
    return clamp(sha512(seed)[:32])


@cache
def x25519_public(key: bytes) -> bytes:
    """Returns `u`, the Montgomery form of an ed25519 key (§1, "X25519")."""
    y = int.from_bytes(compress(key_point(key)), "little") & (1 << 255) - 1
    return ((1 + y) * pow(1 - y, -1, P) % P).to_bytes(32, "little")


def x25519_base(secret: bytes) -> bytes:
    """`X25519(secret, 9)`."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def check_x25519(public: bytes) -> None:
    """Refuses an X25519 key off the wire that is not below p with bit 255 clear (§1, "X25519")."""
    require(int.from_bytes(public, "little") < P, "BadKey")


def x25519(secret: bytes, public: bytes) -> bytes:
    """`X25519(secret, public)`; refuses a result of zeros (§1, "X25519")."""
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        # The library's own word for a result of zeros.
        raise Refusal("ZeroSecret") from None


def handle_statement(kind: str, handle: str, key: bytes) -> bytes:
    """Returns row 1 (`register`) or row 2 (`retire`) of the table of what a primary signs."""
    return f"kez/{kind}/1\0{handle}\0{key_text(key)}\0".encode()


def nats_statement(domain: str, nonce: str) -> bytes:
    """Returns row 3: a login at a broker; the nonce is 1 to 64 bytes of UTF-8 (§5)."""
    require(1 <= len(nonce.encode()) <= MAX_NONCE_BYTES, "BadNonce")
    return b"kez/nats/1\0" + sha256(f"{domain}\0{nonce}".encode())


def claim_statement(claim: str, key: bytes) -> bytes:
    """Returns row 5: a claim (§10)."""
    return f"kez/claim/1\0{claim}\0{key_text(key)}\0".encode()


def verify_text(key: bytes, message: bytes, signature: str) -> None:
    """Verifies a signature that is given as base64url (§1, "Signatures")."""
    data = from_base64url(signature)
    require(len(data) == SIGNATURE_BYTES, "BadSignature")
    verify(key, message, data)
