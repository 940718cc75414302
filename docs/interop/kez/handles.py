"""Handles and homes (§2), and contact URIs (§3)."""

from __future__ import annotations

import re
from typing import Optional, Tuple

from .encoding import is_hex, is_printable
from .keys import KEZ_PREFIX, check_key
from .refusal import Refusal, require

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}[a-z0-9]", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NUMBER_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)

MAX_HOME_CHARACTERS = 253
MAX_URL_CHARACTERS = 1024

RESERVED_NAMES = frozenset(
    """
    abuse admin administrator all anonymous api billing bot
    channel everyone help here home hostmaster info kez
    kez-chat mail me mod moderator nats no-reply nobody
    noreply null official operator postmaster root security server
    sig staff support system undefined unknown webmaster www
    you
    """.split()
)


def lower_ascii(text: str) -> str:
    """Lower-cases A–Z only: a look-alike is refused and never mapped (§2)."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def is_domain(text: str) -> bool:
    """Tells whether this is a home without a port, in its exact spelling (§2)."""
    labels = text.split(".")
    return (
        len(text) <= MAX_HOME_CHARACTERS
        and all(_LABEL.fullmatch(label) for label in labels)
        and not _NUMBER_LABEL.fullmatch(labels[-1])
    )


def check_home(text: object, development: bool) -> str:
    """Returns a home in its exact spelling (§2)."""
    if not isinstance(text, str):
        raise Refusal("BadHandle")
    domain, colon, port = text.partition(":")
    require(is_domain(domain), "BadHandle")
    if colon:
        require(domain == "localhost" or development, "BadHandle")
        require(_PORT.fullmatch(port) and int(port) <= 65535, "BadHandle")
    return text


def check_qualified(text: object, development: bool) -> str:
    """Returns a handle as storage and wire carry it: `name@home`, exactly (§2)."""
    if not isinstance(text, str):
        raise Refusal("BadHandle")
    name, at, home = text.partition("@")
    require(at and _NAME.fullmatch(name), "BadHandle")
    check_home(home, development)
    return text


def parse_input(text: str, home: Optional[str], development: bool) -> str:
    """Reads a handle that a person typed: `@name`, `name`, `name@home` or `@name@home` (§2, "Input")."""
    text = lower_ascii(text)
    if text.startswith("@"):
        text = text[1:]
    if "@" not in text:
        if home is None:
            raise Refusal("BadHandle")
        text = f"{text}@{home}"
    return check_qualified(text, development)


def shown(handle: str, home: Optional[str]) -> str:
    """Returns how a reader of `home` is shown a handle (§2)."""
    name, _, its_home = handle.partition("@")
    return f"@{name}" if its_home == home else f"@{handle}"


def check_free(handle: str) -> None:
    """Refuses a name that no home gives away (§2, "Reserved names")."""
    require(handle.partition("@")[0] not in RESERVED_NAMES, "ReservedHandle")


_UNENCODED = re.compile(r"[A-Za-z0-9._~:/@-]", re.ASCII)
_ENCODED = re.compile(r"(?:[A-Za-z0-9._~:/@-]|%[0-9A-F]{2})*", re.ASCII)


def _decode_value(text: str) -> str:
    """Undoes a value's percent-encoding, which has one form for each text."""
    require(_ENCODED.fullmatch(text), "BadUri")
    data = re.sub(rb"%(..)", lambda match: bytes([int(match[1], 16)]), text.encode())
    encoded = "".join(chr(b) if _UNENCODED.fullmatch(chr(b)) else f"%{b:02X}" for b in data)
    require(encoded == text, "BadUri")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refusal("BadUri") from None


def is_base_url(url: str, development: bool) -> bool:
    """Tells whether this is the base URL of a sigchain server, without user information (§3, "Contact URI")."""
    scheme, separator, rest = url.partition("://")
    authority = rest.partition("/")[0]
    return (
        bool(separator)
        and scheme in (("https", "http") if development else ("https",))
        and len(url) <= MAX_URL_CHARACTERS
        and is_printable(url)
        and authority != ""
        and "@" not in authority
        and not url.endswith("/")
        and "?" not in url
        and "#" not in url
    )


def parse_uri(text: str, development: bool) -> Tuple[bytes, Optional[str], str]:
    """Reads a contact URI: key, handle and sigchain server. That the key is sound is asked last (§3, "Contact URI")."""
    start = "kez:" + KEZ_PREFIX
    require(text.startswith(start), "BadUri")
    digits, question, query = text[len(start) :].partition("?")
    require(is_hex(digits, 64) and question, "BadUri")
    members = []
    for member in query.split("&"):
        name, equals, value = member.partition("=")
        require(equals, "BadUri")
        members.append((_decode_value(name), _decode_value(value)))
    names = [name for name, _ in members]
    require(names[:2] == ["h", "sig"], "BadUri")
    require(not any(name in ("", "h", "sig") for name in names[2:]), "BadUri")
    handle, sigchain = members[0][1], members[1][1]
    if handle:
        try:
            check_qualified(handle, development)
        except Refusal:
            raise Refusal("BadUri") from None
    require(is_base_url(sigchain, development), "BadUri")
    return check_key(bytes.fromhex(digits)), handle or None, sigchain
