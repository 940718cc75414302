"""The auth callout: its request, the decision, and the response (§5)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn, Optional

from .ed25519 import SIGNATURE_BYTES, public_key, sign, verify
from .encoding import base64url, from_base64url
from .keys import nats_statement, nkey, parse_nkey, parse_nkey_of, verify_text
from .refusal import Refusal, require

TYPE = "JWT"
ALGORITHM = "ed25519-nkey"
RESPONSE_HEADER = {"typ": TYPE, "alg": ALGORITHM}
NO_LIMIT = -1


class Request(NamedTuple):
    """A request; `None` stands for what is absent or empty."""

    server_id: str
    user_nkey: str
    nkey: Optional[str]
    sig: Optional[str]
    nonce: Optional[str]


def read_request(jwt: str) -> Request:
    """Reads a request: parts, header, signature, members, and `BadJwt` for whatever is wrong with them (§5)."""
    parts = jwt.split(".")
    require(len(parts) == 3, "BadJwt")
    header_bytes, claims_bytes, signature = (from_base64url(part, "BadJwt") for part in parts)
    header = _object(_json(header_bytes))
    require(_text(header, "alg") == ALGORITHM and _text(header, "typ").upper() == TYPE, "BadJwt")
    claims = _object(_json(claims_bytes))
    try:
        issuer = parse_nkey_of("server", claims.get("iss"))
        require(len(signature) == SIGNATURE_BYTES, "BadJwt")
        verify(issuer, f"{parts[0]}.{parts[1]}".encode(), signature)
    except Refusal:
        raise Refusal("BadJwt") from None
    nats = _object(claims.get("nats"))
    require(nats.get("type") == "authorization_request", "BadJwt")
    server_id = _text(_object(nats.get("server_id")), "id")
    user_nkey = _text(nats, "user_nkey")
    _check_user_nkey(user_nkey)
    client, options = _object(nats.get("client_info")), _object(nats.get("connect_opts"))
    return Request(
        server_id, user_nkey, _optional(options, "nkey"), _optional(options, "sig"), _optional(client, "nonce")
    )


def _check_user_nkey(text: str) -> None:
    try:
        kind, _ = parse_nkey(text)
    except Refusal:
        raise Refusal("BadJwt") from None
    require(kind == "user", "BadJwt")


def decide(request: Request, domain: str) -> bytes:
    """Returns the key that has logged in at the home `domain` (§5, "The auth callout")."""
    key = parse_nkey_of("user", request.nkey)
    require(request.nonce is not None, "BadNonce")
    message = nats_statement(domain, str(request.nonce))
    require(request.sig is not None, "BadSignature")
    verify_text(key, message, str(request.sig))
    return key


def respond(
    issuer: bytes, request: Request, now_s: int, grant: Optional[dict[str, Any]], error: Optional[str]
) -> dict[str, Any]:
    """Returns the claims of a response: with a user JWT, or a word for the broker's log (§5, "The auth callout")."""
    nats: dict[str, Any] = {"type": "authorization_response", "version": 2}
    if grant is not None:
        nats["jwt"] = write_jwt(issuer, user_claims(issuer, request, now_s, grant))
    else:
        nats["error"] = error
    name = nkey("account", public_key(issuer))
    return {"iss": name, "sub": request.user_nkey, "aud": request.server_id, "iat": now_s, "nats": nats}


def user_claims(issuer: bytes, request: Request, now_s: int, grant: dict[str, Any]) -> dict[str, Any]:
    """Returns the claims of the user JWT inside a response (§5)."""
    return {
        "iss": nkey("account", public_key(issuer)),
        "sub": request.user_nkey,
        "aud": grant["account"],
        "name": grant["client_nkey"],
        "iat": now_s,
        "exp": grant["expires_at_s"],
        "nats": {
            "type": "user",
            "version": 2,
            "pub": {"allow": grant["publish"]},
            "sub": {"allow": grant["subscribe"]},
            "subs": NO_LIMIT,
            "data": NO_LIMIT,
            "payload": NO_LIMIT,
        },
    }


def write_jwt(issuer: bytes, claims: dict[str, Any]) -> str:
    """Signs a JWT as the home's issuer (§5)."""
    signing_input = ".".join(base64url(json.dumps(part).encode()) for part in (RESPONSE_HEADER, claims))
    return f"{signing_input}.{base64url(sign(issuer, signing_input.encode()))}"


def read_response(jwt: str, issuer: bytes) -> dict[str, Any]:
    """Returns the claims of a JWT that the home's issuer has signed, its header being the one of responses (§5)."""
    parts = jwt.split(".")
    require(len(parts) == 3, "BadJwt")
    header, claims, signature = (from_base64url(part, "BadJwt") for part in parts)
    require(_json(header) == RESPONSE_HEADER, "BadJwt")
    verify(public_key(issuer), f"{parts[0]}.{parts[1]}".encode(), signature)
    return _object(_json(claims))


def _json(data: bytes) -> Any:
    try:
        return json.loads(data.decode(), parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise Refusal("BadJwt") from None


def _refuse(_: str) -> NoReturn:
    raise Refusal("BadJwt")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    require(len(value) == len(pairs), "BadJwt")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal("BadJwt")
    return value


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise Refusal("BadJwt")
    return text


def _optional(value: dict[str, Any], name: str) -> Optional[str]:
    text = value.get(name)
    require(text is None or isinstance(text, str), "BadJwt")
    return text or None
