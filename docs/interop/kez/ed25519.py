"""Points of edwards25519 and the strict rules of §1.

Libraries accept keys and signatures that this protocol refuses (second encodings, torsion, an R of small order), so
points are decoded and signatures verified here. Points are in extended coordinates (X, Y, Z, T) with x = X/Z, y = Y/Z
and xy = T/Z. Nothing here is constant-time; nothing here is secret.
"""

from __future__ import annotations

from functools import cache
from typing import Optional, Tuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .primitives import sha512
from .refusal import Refusal, require

Point = Tuple[int, int, int, int]

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)

IDENTITY: Point = (0, 1, 1, 0)
SIGNATURE_BYTES = 64


def add(a: Point, b: Point) -> Point:
    """Adds two points, equal ones too: the formula is complete."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    minus = (y1 - x1) * (y2 - x2) % P
    plus = (y1 + x1) * (y2 + x2) % P
    c = 2 * D * t1 * t2 % P
    d = 2 * z1 * z2 % P
    e, f, g, h = plus - minus, d - c, d + c, plus + minus
    return e * f % P, g * h % P, f * g % P, e * h % P


def double(a: Point) -> Point:
    """Adds a point to itself."""
    x, y, z, _ = a
    xx, yy = x * x % P, y * y % P
    h = xx + yy
    e = h - (x + y) * (x + y) % P
    g = xx - yy
    f = 2 * z * z % P + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def negate(a: Point) -> Point:
    """Returns −A."""
    x, y, z, t = a
    return -x % P, y, z, -t % P


def multiply_two(s: int, a: Point, h: int, b: Point) -> Point:
    """Returns [s]A + [h]B."""
    sums = (IDENTITY, a, b, add(a, b))
    result = IDENTITY
    for bit in range(max(s.bit_length(), h.bit_length()) - 1, -1, -1):
        result = double(result)
        choice = (s >> bit & 1) + 2 * (h >> bit & 1)
        if choice:
            result = add(result, sums[choice])
    return result


def is_identity(a: Point) -> bool:
    """Tells whether this is the neutral element."""
    x, y, z, _ = a
    return x % P == 0 and (y - z) % P == 0


def has_small_order(a: Point) -> bool:
    """Tells whether [8]A is the identity."""
    return is_identity(double(double(double(a))))


def compress(a: Point) -> bytes:
    """Writes a point: y, and the lowest bit of x on top."""
    x, y, z, _ = a
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompress(data: bytes) -> Optional[Point]:
    """Reads a point; `None` if there is none, or if it would be written with other bytes."""
    encoded = int.from_bytes(data, "little")
    sign, y = encoded >> 255, encoded & (1 << 255) - 1
    if len(data) != 32 or y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * SQRT_MINUS_1 % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


_BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert _BASE is not None
BASE: Point = _BASE


@cache
def key_point(key: bytes) -> Point:
    """Decodes a public key: canonical, not the identity, of prime order (§1, "Which public keys are keys")."""
    point = decompress(key)
    if point is None or is_identity(point) or not is_identity(multiply_two(L, point, 0, IDENTITY)):
        raise Refusal("BadKey")
    return point


def public_key(seed: bytes) -> bytes:
    """Returns the public key of a seed (RFC 8032)."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(seed: bytes, message: bytes) -> bytes:
    """`Ed25519(key, message)`: deterministic, so that every signature of a vector can be made again."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def verify(key: bytes, message: bytes, signature: bytes) -> None:
    """Verifies a signature under §1's rule: S < L, R canonical and not of small order, no cofactor."""
    a = key_point(key)
    require(len(signature) == SIGNATURE_BYTES, "BadSignature")
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    require(s < L, "BadSignature")
    r_point = decompress(r)
    if r_point is None or has_small_order(r_point):
        raise Refusal("BadSignature")
    h = int.from_bytes(sha512(r + key + message), "little") % L
    require(compress(multiply_two(s, BASE, h, negate(a))) == r, "BadSignature")
