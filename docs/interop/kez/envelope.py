"""Envelope version 1, suite 1 (§6)."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from .ed25519 import public_key, sign, verify
from .keys import check_key, check_x25519, clamp, x25519, x25519_base, x25519_public, x25519_secret
from .primitives import TAG_BYTES, hkdf, hkdf_expand, open_sealed, seal, sha256
from .refusal import require

VERSION = b"\x01"
SUITE = b"\x01"
KEY_ID = bytes(4)

HEADER_AT = 38
BODY_AT = 150
MIN_PADDED = 256
MAX_PADDED = 63_488
WIRE_LENGTHS = range(BODY_AT + MIN_PADDED + TAG_BYTES, BODY_AT + MAX_PADDED + TAG_BYTES + 1)


class Keys(NamedTuple):
    """What both sides derive, apart from `k1`."""

    k2: bytes
    kc: bytes


def padded_length(length: int) -> int:
    """Returns the length to which a payload is padded: `max(256, Padmé(length + 1))` (§6, "Padding")."""
    size = max(MIN_PADDED, length + 1)
    exponent = size.bit_length() - 1
    step = 1 << exponent - exponent.bit_length()
    return -(-size // step) * step


def pad(payload: bytes) -> bytes:
    """`pad(p) = p ‖ 80 ‖ 00…` (§6, "Padding")."""
    length = padded_length(len(payload))
    require(length <= MAX_PADDED, "TooLarge")
    return (payload + b"\x80").ljust(length, b"\0")


def unpad(padded: bytes) -> bytes:
    """Strips the padding and refuses any but that of the payload's length (§6, "Padding")."""
    stripped = padded.rstrip(b"\0")
    require(stripped.endswith(b"\x80"), "BadPadding")
    payload = stripped[:-1]
    require(padded_length(len(payload)) == len(padded), "BadPadding")
    return payload


def _header_key(ephemeral: bytes, recipient: bytes, es: bytes) -> bytes:
    return hkdf(_salt(ephemeral, recipient), es, b"header")


def _message_keys(ephemeral: bytes, sender: bytes, recipient: bytes, es: bytes, ss: bytes) -> Keys:
    mk = hkdf(_salt(ephemeral, recipient), es + ss, b"message" + sender + recipient)
    return Keys(k2=hkdf_expand(mk, b"body"), kc=hkdf_expand(mk, b"commit"))


def _salt(ephemeral: bytes, recipient: bytes) -> bytes:
    return b"kez/envelope/1" + SUITE + ephemeral + x25519_public(recipient)


def _signed(recipient: bytes, ephemeral: bytes, kc: bytes, body: bytes) -> bytes:
    """Row 4 of the table of what a primary signs (§1)."""
    return b"kez/envelope/1\0" + SUITE + KEY_ID + recipient + ephemeral + kc + sha256(body)


def seal_envelope(seed: bytes, recipient: bytes, payload: bytes, rnd: bytes) -> bytes:
    """Seals a payload for a recipient (§6)."""
    padded = pad(payload)
    sender, x, r_x = public_key(seed), x25519_secret(seed), x25519_public(recipient)
    secret = clamp(hkdf(rnd, x, b"kez/eph/1" + recipient + sha256(payload)))
    ephemeral = x25519_base(secret)
    es, ss = x25519(secret, r_x), x25519(x, r_x)
    keys = _message_keys(ephemeral, sender, recipient, es, ss)
    start = VERSION + SUITE + KEY_ID + ephemeral
    body = seal(keys.k2, padded, start)
    signature = sign(seed, _signed(recipient, ephemeral, keys.kc, body))
    header = seal(_header_key(ephemeral, recipient, es), sender + signature, start + sha256(body))
    return start + header + body


def open_envelope(seed: bytes, wire: bytes) -> Tuple[bytes, bytes]:
    """Returns sender and payload, in the order of §6's table, rows 1 to 13."""
    require(len(wire) >= 2, "BadLength")
    require(wire[:1] == VERSION, "BadVersion")
    require(wire[1:2] == SUITE, "UnknownSuite")
    require(len(wire) in WIRE_LENGTHS, "BadLength")
    require(wire[2:6] == KEY_ID, "UnknownKeyId")
    start, ephemeral = wire[:HEADER_AT], wire[6:HEADER_AT]
    header, body = wire[HEADER_AT:BODY_AT], wire[BODY_AT:]
    check_x25519(ephemeral)
    recipient, x = public_key(seed), x25519_secret(seed)
    es = x25519(x, ephemeral)
    opened = open_sealed(_header_key(ephemeral, recipient, es), header, "BadHeader", start + sha256(body))
    sender, signature = check_key(opened[:32]), opened[32:]
    ss = x25519(x, x25519_public(sender))
    keys = _message_keys(ephemeral, sender, recipient, es, ss)
    verify(sender, _signed(recipient, ephemeral, keys.kc, body), signature)
    return sender, unpad(open_sealed(keys.k2, body, "BadBody", start))
