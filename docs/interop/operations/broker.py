"""broker.json."""

from __future__ import annotations

from typing import Any, Optional

from kez import broker, callout
from kez.ed25519 import public_key, sign
from kez.encoding import base64url
from kez.handles import check_home
from kez.keys import key_text, nats_statement, nkey, parse_key

from .inputs import from_hex, take_members


def subjects(key: str, route: str) -> dict[str, Any]:
    return dict(broker.subjects(parse_key(key), route))


def route_of(sender: str, server: str, day_ms: int) -> dict[str, Any]:
    day = broker.day_of(day_ms)
    return {"route": broker.route(from_hex(sender), parse_key(server), day), "day": day}


def permissions(key: str, routes: list[str], account: str, domain: Optional[str]) -> dict[str, Any]:
    return dict(broker.permissions(parse_key(key), routes, account, domain))


def login_sign(seed: str, domain: str, nonce: str) -> dict[str, Any]:
    secret = from_hex(seed)
    message = nats_statement(check_home(domain, False), nonce)
    return {"nkey": nkey("user", public_key(secret)), "sig": base64url(sign(secret, message))}


def frame_inbox(key: str, streams: list[str], subject: str, reply: Optional[str]) -> dict[str, Any]:
    broker.check_inbox_frame(parse_key(key), streams, subject, reply)
    return {}


def frame_presence(key: str, subject: str) -> dict[str, Any]:
    broker.check_presence_frame(parse_key(key), subject)
    return {}


def callout_request(jwt: str) -> dict[str, Any]:
    return dict(callout.read_request(jwt)._asdict())


def callout_login(jwt: str, domain: str) -> dict[str, Any]:
    check_home(domain, False)
    return {"key": key_text(callout.decide(callout.read_request(jwt), domain))}


def callout_response(
    issuer: str, jwt: str, now_s: int, grant: Optional[dict[str, Any]] = None, error: Optional[str] = None
) -> dict[str, Any]:
    if (grant is None) == (error is None):
        raise ValueError("a response has a grant or an error")
    if grant is not None:
        take_members(grant, "account", "client_nkey", "expires_at_s", "publish", "subscribe")
    secret = from_hex(issuer)
    claims = callout.respond(secret, callout.read_request(jwt), now_s, grant, error)
    return {"jwt": callout.write_jwt(secret, claims)}


def same_response(given: dict[str, Any], expected: dict[str, Any], got: dict[str, Any]) -> bool:
    """Compares two responses in what §5 names: header, signature and some claims; NATS's own are passed over."""
    issuer = from_hex(given["issuer"])
    (expected_jwt,), (got_jwt,) = take_members(expected, "jwt"), take_members(got, "jwt")
    return _same_claims(callout.read_response(got_jwt, issuer), callout.read_response(expected_jwt, issuer), issuer)


def _same_claims(got: Any, expected: Any, issuer: bytes) -> bool:
    """Tells whether all that is in `got`, which holds no more than §5 names, is in `expected` too."""
    if not isinstance(got, dict):
        return type(got) is type(expected) and got == expected
    if not isinstance(expected, dict):
        return False
    for name, value in got.items():
        other = expected.get(name)
        if name == "jwt" and isinstance(other, str):
            value, other = (callout.read_response(jwt, issuer) for jwt in (value, other))
        if not _same_claims(value, other, issuer):
            return False
    return not {"jwt", "error"} & (expected.keys() - got.keys())


# Where outputs are not simply equal.
COMPARISONS = {"callout.response": same_response}

OPERATIONS = {
    "subjects": subjects,
    "route": route_of,
    "permissions": permissions,
    "login.sign": login_sign,
    "frame.inbox": frame_inbox,
    "frame.presence": frame_presence,
    "callout.request": callout_request,
    "callout.login": callout_login,
    "callout.response": callout_response,
}
