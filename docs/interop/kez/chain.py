"""Walking a sigchain, keeping one, and writing one (§4)."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from .ed25519 import public_key
from .event import Event, read_event, read_event_of_anybody, write_event
from .ops import Owner, check_op, may_be_skipped
from .refusal import require

MAX_WALK_BYTES = 64 * 2**20


class Chain:
    """A chain as far as it was walked: its head, and the state that its ops add up to."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.seq = 0
        self.head = ""
        # The events that a fork can be judged against, by `seq`.
        self.known: dict[int, Event] = {}
        self.nats: list[dict[str, Any]] = []
        self.iroh: list[dict[str, Any]] = []
        self.handle: Optional[str] = None
        self.past_handles: set[str] = set()
        self.claims: dict[str, dict[str, Any]] = {}
        self.shared_files: Optional[dict[str, Any]] = None
        self.version: Optional[int] = None
        self.retired = False

    def take(self, event: Event, as_reader: bool = True) -> None:
        """Checks rows 12 to 17 and takes the event; a server does without the last row (§4, "Order of checks")."""
        self._check_place(event)
        known = check_op(event, self.owner)
        if known:
            self._check_version(event.op)
        elif as_reader:
            require(may_be_skipped(event), "UnknownOp")
        if known:
            self._apply(event.op)
        self.seq, self.head = event.seq, event.head
        self.known[event.seq] = event

    def _check_place(self, event: Event) -> None:
        """Rows 12 to 15."""
        known = self.known.get(event.seq)
        require(known is None or known.signing_input == event.signing_input, "Fork")
        require(event.seq == self.seq + 1, "Gap")
        require((event.prev or "") == self.head, "WrongPrev")
        require(not self.retired, "Retired")

    def _check_version(self, op: dict[str, Any]) -> None:
        rises = op["type"] != "set_shared_files" or self.version is None or op["version"] > self.version
        require(rises, "BadEvent")

    def _apply(self, op: dict[str, Any]) -> None:
        """Changes the state by a known op ("What they mean")."""
        kind = op["type"]
        if kind == "add_endpoint" and op["protocol"] == "nats":
            self.nats.append({"home": op["home"], "url": op["url"]})
        elif kind == "add_endpoint":
            self.iroh.append({"install": op["install"], "relay_url": op.get("relay_url")})
        elif kind == "remove_endpoint" and op["protocol"] == "nats":
            self.nats = [endpoint for endpoint in self.nats if endpoint["url"] != op["url"]]
        elif kind == "remove_endpoint":
            self.iroh = [endpoint for endpoint in self.iroh if endpoint["install"] != op["install"]]
        elif kind == "set_handle":
            self.handle = op["handle"]
            self.past_handles |= {op["handle"]} - {None}
        elif kind == "set_shared_files":
            self.version = op["version"]
            self.shared_files = {"manifest": op["manifest"], "version": op["version"]}
        elif kind == "add_claim":
            self.claims[op["claim"]] = {"claim": op["claim"], "at": op.get("at"), "sig": op.get("sig")}
        elif kind == "remove_claim":
            self.claims.pop(op["claim"], None)
        elif kind == "retire":
            self.retired = True
            self.nats, self.iroh, self.claims = [], [], {}
            self.handle = self.shared_files = None

    def state(self) -> dict[str, Any]:
        """Returns the state as the vectors have it; of each protocol the last endpoint counts (§4, "Operations")."""
        return {
            "nats": self.nats[-1] if self.nats else None,
            "iroh": self.iroh[-1] if self.iroh else None,
            "handle": self.handle,
            "past_handles": sorted(self.past_handles),
            "claims": [self.claims[claim] for claim in sorted(self.claims)],
            "shared_files": self.shared_files,
            "retired": self.retired,
        }


def walk(chain: Chain, events: Sequence[str]) -> None:
    """Takes events in order, up to 64 MiB of them; what fails leaves the chain as it was before (§4, "Walking")."""
    size = 0
    for jws in events:
        size += len(jws.encode())
        require(size <= MAX_WALK_BYTES, "TooLong")
        chain.take(read_event(jws, chain.owner.key))


def resume(chain: Chain, events: Sequence[str], seq: int) -> None:
    """Goes on from the pin, where `chain` stands, with the page after the place before it (§4, "Walking")."""
    pin = chain.known.get(chain.seq)
    if pin is None:
        walk(chain, events)
        return
    # Only the pin, and what is walked after it, can make a fork.
    chain.known = {pin.seq: pin}
    if not events:
        require(seq >= pin.seq, "Rollback")
        return
    first = read_event(events[0], chain.owner.key)
    require(first.seq == pin.seq, "Gap")
    require(first.signing_input == pin.signing_input, "Fork")
    walk(chain, events[1:])


def append(chain: Chain, jws: str) -> Event:
    """Does what a server does with one more event; the same again has its old place (§4, "Sigchain server")."""
    event = read_event(jws, chain.owner.key)
    known = chain.known.get(event.seq)
    if known is None or known.signing_input != event.signing_input:
        chain.take(event, as_reader=False)
    return event


def sign_next(seed: bytes, chain: Chain, op: Any, ts: str) -> str:
    """Signs the chain's next event, which its owner takes like any reader (§4)."""
    jws = write_event(seed, op, chain.head or None, chain.seq + 1, ts)
    chain.take(read_event(jws, public_key(seed)))
    return jws


def verify_fork(one: str, other: str) -> Event:
    """Checks a proof of a fork: two events at one place, of the key that the first names (§4, "Fork")."""
    first = read_event_of_anybody(one)
    second = read_event(other, first.primary)
    require(first.seq == second.seq and first.signing_input != second.signing_input, "Gap")
    return first
