"""identity.json."""

from __future__ import annotations

from typing import Any, Optional

from kez import claims, handles, keys, safety
from kez.ed25519 import public_key, sign
from kez.encoding import base64url
from kez.refusal import Refusal

from .inputs import from_hex, is_development, take_members


def key_from_seed(seed: str) -> dict[str, Any]:
    secret = from_hex(seed)
    key = public_key(secret)
    x25519_secret = keys.x25519_secret(secret)
    return {
        "key": keys.key_text(key),
        "hex": key.hex(),
        "nkey": keys.nkey("user", key),
        "x25519_secret": x25519_secret.hex(),
        "x25519_public": keys.x25519_public(key).hex(),
        "words": keys.words(secret),
    }


def key_from_bytes(bytes_: str) -> dict[str, Any]:
    return {"key": keys.key_text(keys.check_key(from_hex(bytes_)))}


def key_from_text(text: str) -> dict[str, Any]:
    return {"hex": keys.parse_key(text).hex()}


def nkey_decode(text: str) -> dict[str, Any]:
    kind, key = keys.parse_nkey(text)
    return {"kind": kind, "hex": key.hex()}


def nkey_user(text: str) -> dict[str, Any]:
    return {"key": keys.key_text(keys.parse_nkey_of("user", text))}


def mnemonic_parse(text: str) -> dict[str, Any]:
    return {"seed": keys.parse_words(text).hex()}


def _message(statement: dict[str, Any]) -> bytes:
    """Returns the bytes of a statement; handles and domains are judged under the production policy."""
    kind = statement["kind"]
    if kind == "nats":
        _, domain, nonce = take_members(statement, "kind", "domain", "nonce")
        return keys.nats_statement(handles.check_home(domain, False), nonce)
    if kind == "claim":
        _, claim, key = take_members(statement, "kind", "claim", "key")
        if not claims.is_claim(claim):
            raise Refusal("BadClaim")
        return keys.claim_statement(claim, keys.parse_key(key))
    if kind not in ("register", "retire"):
        raise ValueError(f"no statement is of the kind {kind!r}")
    _, handle, key = take_members(statement, "kind", "handle", "key")
    return keys.handle_statement(kind, handles.check_qualified(handle, False), keys.parse_key(key))


def statement_sign(seed: str, statement: dict[str, Any]) -> dict[str, Any]:
    message = _message(statement)
    return {"message": message.hex(), "signature": base64url(sign(from_hex(seed), message))}


def statement_verify(key: str, statement: dict[str, Any], signature: str) -> dict[str, Any]:
    keys.verify_text(keys.parse_key(key), _message(statement), signature)
    return {}


def handle_parse(text: str, home: Optional[str], policy: str) -> dict[str, Any]:
    development = is_development(policy)
    if home is not None:
        handles.check_home(home, development)
    handle = handles.parse_input(text, home, development)
    return {"handle": handle, "shown": None if home is None else handles.shown(handle, home)}


def handle_qualified(text: str, policy: str) -> dict[str, Any]:
    return {"handle": handles.check_qualified(text, is_development(policy))}


def handle_free(handle: str) -> dict[str, Any]:
    handles.check_free(handles.check_qualified(handle, False))
    return {}


def home_parse(text: str, policy: str) -> dict[str, Any]:
    return {"home": handles.check_home(handles.lower_ascii(text), is_development(policy))}


def uri_parse(text: str, policy: str) -> dict[str, Any]:
    key, handle, sigchain = handles.parse_uri(text, is_development(policy))
    return {"key": keys.key_text(key), "handle": handle, "sigchain": sigchain}


def safety_number(a: str, b: str) -> dict[str, Any]:
    return {"number": safety.safety_number(keys.parse_key(a), keys.parse_key(b))}


def claim_parse(claim: str, at: Optional[str]) -> dict[str, Any]:
    return dict(claims.parse_claim(claim, at)._asdict())


def claim_prove(seed: str, claim: str) -> dict[str, Any]:
    return {"line": claims.prove(from_hex(seed), claim)}


def claim_verify(key: str, claim: str, at: Optional[str], line: str) -> dict[str, Any]:
    claims.verify_line(keys.parse_key(key), claim, at, line)
    return {}


def claim_nostr(key: str, claim: str, sig: str) -> dict[str, Any]:
    claims.verify_nostr(keys.parse_key(key), claim, from_hex(sig))
    return {}


OPERATIONS = {
    "key.from_seed": key_from_seed,
    "key.from_bytes": key_from_bytes,
    "key.from_text": key_from_text,
    "nkey.decode": nkey_decode,
    "nkey.user": nkey_user,
    "mnemonic.parse": mnemonic_parse,
    "statement.sign": statement_sign,
    "statement.verify": statement_verify,
    "handle.parse": handle_parse,
    "handle.qualified": handle_qualified,
    "handle.free": handle_free,
    "home.parse": home_parse,
    "uri.parse": uri_parse,
    "safety": safety_number,
    "claim.parse": claim_parse,
    "claim.prove": claim_prove,
    "claim.verify": claim_verify,
    "claim.nostr": claim_nostr,
}
