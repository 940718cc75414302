"""Claims and their proofs (§10); the form that any claim of a chain has is §4's."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from .ed25519 import public_key, sign
from .encoding import base64url, is_hex
from .handles import MAX_URL_CHARACTERS, is_domain
from .keys import claim_statement, verify_text
from .nostr import bip340_verify, parse_npub
from .primitives import sha256
from .refusal import Refusal, require

_CLAIM = re.compile(r"[a-z][a-z0-9]*:[\x21-\x7e]{1,255}", re.ASCII)
_USER = re.compile(r"[a-z0-9-]{1,39}", re.ASCII)
_GIST = re.compile(r"https://gist\.github\.com/([a-z0-9-]{1,39})/([0-9a-f]+)", re.ASCII)

PROOF_PREFIX = "kez1:"
# The schemes whose proof is a text.
TEXT_SCHEMES = ("dns", "https", "github")


class Claim(NamedTuple):
    """A claim's scheme, or `unknown`, and where its proof is found, if a text proves it."""

    scheme: str
    where: Optional[str]


def is_claim(text: object) -> bool:
    """Tells whether a chain may carry this claim (§4)."""
    return isinstance(text, str) and _CLAIM.fullmatch(text) is not None


def parse_claim(claim: str, at: Optional[str]) -> Claim:
    """Holds a claim, and its `at` where it is used, against the form of its scheme (§10)."""
    _check_subject(claim)
    scheme, _, subject = claim.partition(":")
    if scheme == "dns":
        return Claim(scheme, f"_kez.{subject}")
    if scheme == "https":
        return Claim(scheme, f"https://{subject}/.well-known/kez.txt")
    if scheme == "github":
        gist = _GIST.fullmatch(at or "")
        if at is None or gist is None or gist[1] != subject or len(at) > MAX_URL_CHARACTERS:
            raise Refusal("BadClaim")
        return Claim(scheme, f"{subject}/{gist[2]}")
    return Claim(scheme if scheme == "nostr" else "unknown", None)


def _check_subject(claim: str) -> None:
    """Holds what a claim claims against the form of its scheme, without its `at`."""
    require(is_claim(claim), "BadClaim")
    scheme, _, subject = claim.partition(":")
    if scheme in ("dns", "https"):
        require(is_domain(subject), "BadClaim")
    elif scheme == "github":
        require(_USER.fullmatch(subject), "BadClaim")
    elif scheme == "nostr":
        parse_npub(subject)


def prove(seed: bytes, claim: str) -> str:
    """Writes the proof text of a claim (§10)."""
    _check_subject(claim)
    require(claim.partition(":")[0] in TEXT_SCHEMES, "BadClaim")
    key = public_key(seed)
    return f"{PROOF_PREFIX}{claim}:{key.hex()}:{base64url(sign(seed, claim_statement(claim, key)))}"


def verify_line(key: bytes, claim: str, at: Optional[str], line: str) -> None:
    """Checks a proof text: forms, then subject, then signature (§10)."""
    require(parse_claim(claim, at).scheme in TEXT_SCHEMES, "BadClaim")
    # From the right, since a claim may hold colons.
    parts = line.rsplit(":", 2)
    require(len(parts) == 3 and parts[0].startswith(PROOF_PREFIX) and is_hex(parts[1], 64), "BadClaim")
    named_claim, named_key, signature = parts[0][len(PROOF_PREFIX) :], parts[1], parts[2]
    require(is_claim(named_claim), "BadClaim")
    require(named_claim == claim and named_key == key.hex(), "WrongSubject")
    verify_text(key, claim_statement(claim, key), signature)


def verify_nostr(key: bytes, claim: str, signature: bytes) -> None:
    """Checks the BIP-340 signature of a `nostr` claim (§10)."""
    require(parse_claim(claim, None).scheme == "nostr", "BadClaim")
    npub = parse_npub(claim.partition(":")[2])
    bip340_verify(npub, sha256(claim_statement(claim, key)), signature)
