"""The safety number (§11)."""

from __future__ import annotations

from .primitives import sha512

GROUPS = 12


def safety_number(one: bytes, other: bytes) -> str:
    """Returns the number that two people compare, the same in either order (§11)."""
    h = sha512(b"kez/safety/1\0" + min(one, other) + max(one, other))
    groups = (int.from_bytes(h[5 * i : 5 * i + 5], "big") % 100_000 for i in range(GROUPS))
    return " ".join(f"{group:05}" for group in groups)
