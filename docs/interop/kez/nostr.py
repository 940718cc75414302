"""What a `nostr` claim needs (§10): NIP-19's npub in bech32 (BIP-173) and BIP-340 signatures over secp256k1."""

from __future__ import annotations

from typing import Optional, Tuple

from .primitives import sha256
from .refusal import Refusal, require

# `None` is the point at infinity.
Point = Optional[Tuple[int, int]]

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G: Point = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)

BECH32_DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
CHECKSUM_DIGITS = 6
HUMAN_PART = "npub"


def add(a: Point, b: Point) -> Point:
    """Adds two points."""
    if a is None or b is None:
        return a or b
    (x1, y1), (x2, y2) = a, b
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if a == b:
        slope = 3 * x1 * x1 * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiply(scalar: int, a: Point) -> Point:
    """Returns [scalar]A."""
    result: Point = None
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, a)
    return result


def lift_x(x: int) -> Point:
    """Returns the point of that x with an even y (BIP-340); `None` if there is none."""
    if x >= P:
        return None
    square = (pow(x, 3, P) + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    return x, y if y % 2 == 0 else P - y


def bip340_verify(key: bytes, message: bytes, signature: bytes) -> None:
    """Verifies a BIP-340 signature of a key that is a curve point."""
    point = lift_x(int.from_bytes(key, "big"))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    require(len(signature) == 64 and point is not None and r < P and s < N, "BadSignature")
    tag = sha256(b"BIP0340/challenge")
    e = int.from_bytes(sha256(tag + tag + signature[:32] + key + message), "big") % N
    found = add(multiply(s, G), multiply(N - e, point))
    require(found is not None and found[1] % 2 == 0 and found[0] == r, "BadSignature")


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for index, generator in enumerate(BECH32_GENERATOR):
            checksum ^= generator if top >> index & 1 else 0
    return checksum


def parse_npub(text: str) -> bytes:
    """Reads the key of an npub, in lower case, which has to be that of a curve point."""
    human, separator, digits = text.rpartition("1")
    require(separator and human == HUMAN_PART and all(digit in BECH32_DIGITS for digit in digits), "BadClaim")
    values = [BECH32_DIGITS.index(digit) for digit in digits]
    expanded = [ord(c) >> 5 for c in human] + [0] + [ord(c) & 31 for c in human]
    require(len(values) >= CHECKSUM_DIGITS and _polymod(expanded + values) == 1, "BadClaim")
    data = values[:-CHECKSUM_DIGITS]
    # 52 digits are 260 bits: a key of 32 bytes, and four zeros to fill the last digit up.
    require(len(data) == 52, "BadClaim")
    bits = 0
    for value in data:
        bits = bits << 5 | value
    require(bits & 0xF == 0, "BadClaim")
    key = (bits >> 4).to_bytes(32, "big")
    if lift_x(int.from_bytes(key, "big")) is None:
        raise Refusal("BadClaim")
    return key
