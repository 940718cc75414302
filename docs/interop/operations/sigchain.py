"""sigchain.json."""

from __future__ import annotations

from typing import Any, Callable

from kez import chain
from kez.ed25519 import public_key
from kez.keys import key_text, parse_key
from kez.ops import Owner
from kez.refusal import Refusal

from .inputs import from_hex, is_development


def _new(key: str, policy: str) -> chain.Chain:
    return chain.Chain(Owner(parse_key(key), is_development(policy)))


def _result(walked: chain.Chain) -> dict[str, Any]:
    return {"seq": walked.seq, "head": walked.head, "state": walked.state()}


def _walked(walked: chain.Chain, step: Callable[[], None]) -> dict[str, Any]:
    """Returns what a walk leaves behind; a refusal carries it too."""
    try:
        step()
    except Refusal as refusal:
        raise Refusal(refusal.code, _result(walked)) from None
    return _result(walked)


def chain_walk(key: str, policy: str, events: list[str]) -> dict[str, Any]:
    walked = _new(key, policy)
    return _walked(walked, lambda: chain.walk(walked, events))


def chain_resume(key: str, policy: str, pinned: list[str], events: list[str], seq: int) -> dict[str, Any]:
    walked = _new(key, policy)
    chain.walk(walked, pinned)
    return _walked(walked, lambda: chain.resume(walked, events, seq))


def chain_append(key: str, policy: str, events: list[str], event: str) -> dict[str, Any]:
    kept = _new(key, policy)
    for earlier in events:
        chain.append(kept, earlier)
    placed = chain.append(kept, event)
    return {"seq": placed.seq, "head": placed.head}


def chain_sign(seed: str, policy: str, events: list[str], op: Any, ts: str) -> dict[str, Any]:
    own = _new(key_text(public_key(from_hex(seed))), policy)
    chain.walk(own, events)
    return {"event": chain.sign_next(from_hex(seed), own, op, ts)}


def fork_verify(events: list[str]) -> dict[str, Any]:
    one, other = events
    event = chain.verify_fork(one, other)
    return {"key": key_text(event.primary), "seq": event.seq}


OPERATIONS = {
    "chain.walk": chain_walk,
    "chain.resume": chain_resume,
    "chain.append": chain_append,
    "chain.sign": chain_sign,
    "fork.verify": fork_verify,
}
