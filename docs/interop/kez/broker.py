"""The broker: subjects, routes, permissions and frames (§5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Optional, Sequence

from .ed25519 import public_key
from .encoding import is_hex, is_printable
from .keys import x25519, x25519_public, x25519_secret
from .primitives import hkdf, sha256
from .refusal import require

ROUTE_BYTES = 16
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SHORT_ACK_TOKENS = 9
LONG_ACK_TOKENS = 11


def subjects(key: bytes, route: str) -> dict[str, str]:
    """Returns a person's subjects, and those under which a sender with this route writes to them (§5, "Subjects")."""
    own = key.hex()
    return {
        "inbox": f"kez.inbox.{own}",
        "inbox_publish": f"kez.inbox.{own}.{route}",
        "presence_publish": f"kez.presence.{own}.{route}",
        "deliver": f"kez.deliver.{own}",
        "presence_deliver": f"kez.pdeliver.{own}",
        "reply_prefix": f"_INBOX_{own}",
    }


def day_of(day_ms: int) -> str:
    """Returns the UTC day of a time in milliseconds since 1970 (§5, "Routes")."""
    return (datetime(1970, 1, 1) + timedelta(milliseconds=day_ms)).strftime("%Y-%m-%d")


def route(seed: bytes, server: bytes, day: str) -> str:
    """Returns a sender's route at the home with this server key (§5, "Routes")."""
    shared = x25519(x25519_secret(seed), x25519_public(server))
    return hkdf(b"kez/route/1", shared, day.encode() + public_key(seed) + server, ROUTE_BYTES).hex()


def account_hash(account: str) -> str:
    """Returns the account's token in nats-server's newer ack subjects (§5, "Subjects")."""
    return "".join(DIGITS[byte % 62] for byte in sha256(account.encode())[:8])


def permissions(key: bytes, routes: Sequence[str], account: str, domain: Optional[str]) -> dict[str, list[str]]:
    """Returns exactly what a user may publish and subscribe to (§5, "Subjects")."""
    own = key.hex()
    publish = [f"kez.{channel}.*.{one}" for channel in ("inbox", "presence") for one in routes]
    publish.append(f"$JS.ACK.KEZ_INBOX.{own}.>")
    publish.append(f"$JS.ACK.{domain or '_'}.{account_hash(account)}.KEZ_INBOX.{own}.>")
    return {"publish": publish, "subscribe": [f"kez.deliver.{own}", f"kez.pdeliver.{own}", f"_INBOX_{own}.>"]}


def check_inbox_frame(key: bytes, streams: Sequence[str], subject: str, reply: Optional[str]) -> None:
    """Takes an inbox frame only in the shape of a true delivery (§5, "Frames")."""
    start = f"kez.inbox.{key.hex()}."
    require(subject.startswith(start) and is_hex(subject[len(start) :], 2 * ROUTE_BYTES), "BadFrame")
    tokens = (reply or "").split(".")
    sound = all(token and is_printable(token) and not set(token) & set("*>") for token in tokens)
    require(sound and tokens[:2] == ["$JS", "ACK"], "BadFrame")
    if len(tokens) == SHORT_ACK_TOKENS:
        stream, consumer = tokens[2:4]
    else:
        require(len(tokens) >= LONG_ACK_TOKENS, "BadFrame")
        stream, consumer = tokens[4:6]
    require(stream in streams and consumer == key.hex(), "BadFrame")


def check_presence_frame(key: bytes, subject: str) -> None:
    """Takes a presence frame by its subject (§5, "Frames")."""
    require(subject == f"kez.pdeliver.{key.hex()}", "BadFrame")
