"""The forms of a sigchain's operations (§4, "Operations"; row 16 of the order of checks)."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

from .claims import is_claim
from .ed25519 import SIGNATURE_BYTES
from .encoding import from_base64url, is_hex, is_printable
from .event import VERSION, Event, is_integer
from .handles import MAX_URL_CHARACTERS, check_home, check_qualified
from .refusal import Refusal, require

Form = Callable[[Any], bool]


class Owner(NamedTuple):
    """Whose ops these are, and under which policy they are read."""

    key: bytes
    development: bool


def is_url(value: object, *schemes: str) -> bool:
    """Tells whether this is a URL of one of these schemes: at most 1,024 characters of 21–7E (§4, "Operations")."""
    if not isinstance(value, str) or len(value) > MAX_URL_CHARACTERS or not is_printable(value):
        return False
    scheme, separator, rest = value.partition("://")
    return bool(separator) and scheme in schemes and rest != ""


def _holds(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except Refusal:
        return False
    return True


def _is_signature(value: object) -> bool:
    return isinstance(value, str) and _holds(from_base64url, value) and len(from_base64url(value)) == SIGNATURE_BYTES


def _protocol_of(op: dict[str, Any]) -> Optional[str]:
    """Returns the `protocol` of a type that has one; it is looked at before all other members."""
    if op["type"] not in ("add_endpoint", "remove_endpoint"):
        return None
    protocol = op.get("protocol")
    if not isinstance(protocol, str):
        raise Refusal("BadEvent")
    return protocol


def _forms(op: dict[str, Any], owner: Owner) -> Optional[tuple[dict[str, Form], dict[str, Form]]]:
    """Returns the members that an op must have and those that it may have; `None` if the op is unknown."""
    own_hex = owner.key.hex()
    broker_schemes = ("tls", "wss", "nats", "ws") if owner.development else ("tls", "wss")
    forms: dict[tuple[str, Optional[str]], tuple[dict[str, Form], dict[str, Form]]] = {
        ("add_endpoint", "nats"): (
            {
                "home": lambda value: _holds(check_home, value, owner.development),
                "url": lambda value: is_url(value, *broker_schemes),
                "inbox": lambda value: value == f"kez.inbox.{own_hex}",
            },
            {},
        ),
        ("add_endpoint", "iroh"): (
            {"node_id": lambda value: value == own_hex, "install": lambda value: is_hex(value, 16)},
            {"relay_url": lambda value: is_url(value, "https")},
        ),
        ("remove_endpoint", "nats"): ({"url": lambda value: is_url(value, *broker_schemes)}, {}),
        ("remove_endpoint", "iroh"): ({"install": lambda value: is_hex(value, 16)}, {}),
        ("set_handle", None): (
            {"handle": lambda value: value is None or _holds(check_qualified, value, owner.development)},
            {},
        ),
        ("set_shared_files", None): (
            {"manifest": lambda value: value is None or is_hex(value, 64), "version": is_integer},
            {},
        ),
        ("add_claim", None): ({"claim": is_claim}, {"at": lambda value: is_url(value, "https"), "sig": _is_signature}),
        ("remove_claim", None): ({"claim": is_claim}, {}),
        ("retire", None): ({}, {}),
    }
    return forms.get((op["type"], _protocol_of(op)))


def check_op(event: Event, owner: Owner) -> bool:
    """Checks the form of an event's op; returns whether the op is known (§4, "Operations")."""
    op = event.op
    if event.v != VERSION:
        return False
    forms = _forms(op, owner)
    if forms is None:
        return False
    required, optional = forms
    members = op.keys() - {"type", "protocol"} if _protocol_of(op) else op.keys() - {"type"}
    require(members <= required.keys() | optional.keys(), "UnknownMember")
    for name, has_form in required.items():
        require(name in op and has_form(op[name]), "BadEvent")
    for name, has_form in optional.items():
        require(name not in op or has_form(op[name]), "BadEvent")
    return True


def may_be_skipped(event: Event) -> bool:
    """Tells whether an unknown op may be skipped: only `true` counts (§4, "Unknown ops")."""
    return event.op.get("ignorable") is True
