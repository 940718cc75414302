"""Lets some of the generated requests carry real keys and signatures, so that the servers' good answers are seen too."""

import base64
import hashlib
import json
import urllib.request
from functools import lru_cache

import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from schemathesis import GenerationMode

# Few, so that they meet again.
PEOPLE = 12


@schemathesis.serializer("application/jose")
def serialize_jose(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    # Every other case, told from its own content so that a seed stands for one run.
    digest = hashlib.sha256(repr((case.path_parameters, case.query, str(case.body))).encode()).digest()
    if digest[0] % 2:
        return
    person = Ed25519PrivateKey.from_private_bytes(bytes([digest[1] % PEOPLE + 1]) * 32)
    key = person.public_key().public_bytes_raw().hex()
    primary = f"ed25519:{key}"
    parameters = case.path_parameters or {}
    if "hex" in parameters:
        parameters["hex"] = key
    if "primary" in parameters:
        parameters["primary"] = primary
    if "handle" in parameters:
        parameters["handle"] = name_of(digest)
    if case.operation.path.endswith("/events"):
        case.body = event(person, primary)
    if "resource" in (case.query or {}):
        case.query["resource"] = f"acct:{name_of(digest)}@{domain(case.operation.base_url)}"
    if case.operation.path in ("/v1/register", "/v1/retire"):
        handle = f"{name_of(digest)}@{domain(case.operation.base_url)}"
        kind = case.operation.path.rsplit("/", 1)[1]
        message = f"kez/{kind}/1\0{handle}\0{primary}\0".encode()
        member = {"register": "registration_sig", "retire": "retire_sig"}[kind]
        case.body = {"handle": handle, "primary": primary, member: base64url(person.sign(message))}


def name_of(digest):
    return f"person-{digest[1] % PEOPLE}" if digest[2] % 4 else f"other-{digest[3] % PEOPLE}"


@lru_cache
def domain(base_url):
    with urllib.request.urlopen(f"{base_url.rstrip('/')}/v1/info", timeout=10) as answer:
        return json.load(answer)["domain"]


def event(person, primary):
    """Signs the first event of a chain, as docs/PROTOCOL.md §4 says."""
    header = '{"alg":"Ed25519","typ":"kez-event+jws"}'
    op = {"type": "add_claim", "claim": "dns:person.example"}
    payload = {"op": op, "prev": None, "primary": primary, "seq": 1, "ts": "2026-01-01T00:00:00Z", "v": 1}
    canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    signed = ".".join(base64url(part.encode()) for part in (header, canonical))
    return f"{signed}.{base64url(person.sign(signed.encode()))}"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
