"""Computes the examples of docs/PROTOCOL.md again: `python -m unittest` in this folder."""

from __future__ import annotations

import unittest
from typing import Any, Callable

from kez import (
    broker,
    callout,
    chain,
    claims,
    ed25519,
    envelope,
    event,
    files,
    handles,
    keys,
    manifest,
    payload,
    safety,
)
from kez.ed25519 import public_key, sign, verify
from kez.encoding import Reader, base64url, from_base64url, varint
from kez.entries import read_folder, write_entry
from kez.nostr import bip340_verify, parse_npub
from kez.ops import Owner
from kez.primitives import blake3, hkdf, open_sealed, sha256, sha512
from kez.refusal import Refusal

ALICE_SEED, BOB_SEED, SERVER_SEED = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
ALICE, BOB, SERVER = (public_key(seed) for seed in (ALICE_SEED, BOB_SEED, SERVER_SEED))
PRODUCTION, DEVELOPMENT = False, True

HEAD = "a07b7fd9df4f15644f4b7b49979f8029ce0cd4144cc486e670113b259480ff1c"
PAYLOAD = bytes.fromhex(
    "01 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0011223344556677 01 a8bfd6afa034"
    "0d 616c696365406b657a2e6c6174 0b 626f62406b657a2e6c6174 01 06 05 68656c6c6f"
    "01 02 21 03" + HEAD
)
SENT_AT_MS = 1_795_396_313_000
TS = "2026-11-23T00:00:00Z"
OPS = (
    {
        "home": "kez.lat",
        "inbox": f"kez.inbox.{ALICE.hex()}",
        "protocol": "nats",
        "type": "add_endpoint",
        "url": "tls://nats.kez.lat",
    },
    {"install": "0011223344556677", "node_id": ALICE.hex(), "protocol": "iroh", "type": "add_endpoint"},
    {"handle": "alice@kez.lat", "type": "set_handle"},
)


class Case(unittest.TestCase):
    """A test that can ask for a refusal."""

    def refuses(self, code: str, action: Callable[..., Any], *arguments: Any) -> None:
        with self.assertRaises(Refusal) as caught:
            action(*arguments)
        self.assertEqual(caught.exception.code, code)


class Notation(Case):
    def test_varints(self) -> None:
        for value, data in ((0, "00"), (127, "7f"), (128, "8001"), (2**53 - 1, "ffffffffffffff0f")):
            self.assertEqual(varint(value).hex(), data)
            self.assertEqual(Reader(bytes.fromhex(data), "").varint(), value)
        for data in ("8000", "ffffffffffffff1f", "ffffffffffffffff", "ffffffffffffffff01"):
            self.refuses("BadVarint", Reader(bytes.fromhex(data), "").varint)
        for data in ("", "80", "ffffffffffffff"):
            self.refuses("Truncated", Reader(bytes.fromhex(data), "").varint)

    def test_base64url_has_one_form(self) -> None:
        self.assertEqual(from_base64url("-_8"), b"\xfb\xff")
        for text in ("-_9", "+/8", "-_8=", "-", "-_8\n", "ä"):
            self.refuses("BadBase64", from_base64url, text)


class Keys(Case):
    def test_the_people_of_the_examples(self) -> None:
        self.assertEqual(ALICE.hex(), "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
        self.assertEqual(BOB.hex(), "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394")
        self.assertEqual(SERVER.hex(), "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1")

    def test_nkeys(self) -> None:
        for key, text in (
            (ALICE, "UCFIRY65OQE7DFP5KLNS2PF2LVZMUZYJX4OZIEQ36N2IQANUB5XVZ45L"),
            (BOB, "UCATS5YOVB6ROX2WUNKGNQ2MP3GMXDMKSG2O4N5CLX3A6W4PZGZZJPJO"),
        ):
            self.assertEqual(keys.nkey("user", key), text)
            self.assertEqual(keys.parse_nkey(text), ("user", key))
        self.refuses("BadKeyText", keys.parse_nkey, keys.nkey("user", ALICE).lower())
        for kind, letter in (("account", "A"), ("server", "N"), ("curve", "X")):
            self.assertEqual(keys.nkey(kind, ALICE)[0], letter)

    def test_x25519(self) -> None:
        alice_x, bob_x = keys.x25519_secret(ALICE_SEED), keys.x25519_secret(BOB_SEED)
        self.assertEqual(alice_x.hex(), "58e86efb75fa4e2c410f46e16de9f6acae1a1703528651b69bc176c088bef36e")
        self.assertEqual(bob_x.hex(), "a83c626bc9c38c8c201878ebb1d5b0b50ac40e8986c78793db1d4ef369fca14e")
        alice_u, bob_u = keys.x25519_public(ALICE), keys.x25519_public(BOB)
        self.assertEqual(alice_u.hex(), "1b1b58dd50ea14b60da17b790cd02754d970c9bab864ebb3c0f3016fe51d3f57")
        self.assertEqual(bob_u.hex(), "60346e7c911a5f6ba154129174cafe75b294ac3bbd5549632f48cec6266f8410")
        self.assertEqual(keys.x25519_base(alice_x), alice_u)
        shared = "4181d7302557342bdb6d061c4b1eebea828ecb625c3368b7111680793307220b"
        self.assertEqual(keys.x25519(alice_x, bob_u).hex(), shared)
        self.assertEqual(keys.x25519(bob_x, alice_u).hex(), shared)
        self.refuses("ZeroSecret", keys.x25519, alice_x, bytes(32))
        for public in (b"\xed" + b"\xff" * 30 + b"\x7f", alice_u[:31] + bytes([alice_u[31] | 0x80])):
            self.refuses("BadKey", keys.check_x25519, public)

    def test_words(self) -> None:
        words = "absurd amount doctor acoustic avoid letter advice cage " * 2
        words += "absurd amount doctor acoustic avoid letter advice comic"
        self.assertEqual(keys.words(ALICE_SEED), words)
        self.assertEqual(keys.parse_words(words.upper().replace(" ", "\u2003 \n")), ALICE_SEED)
        for text in (words.replace("comic", "cage"), words.replace("comic", "komic"), words + " cage", ""):
            self.refuses("BadMnemonic", keys.parse_words, text)

    def test_keys_that_are_none(self) -> None:
        p = 2**255 - 19
        identity, order_two = (1).to_bytes(32, "little"), (p - 1).to_bytes(32, "little")
        second_identity = (p + 1).to_bytes(32, "little")
        signed_zero = (1 | 1 << 255).to_bytes(32, "little")
        order_four, no_point = bytes(32), (2).to_bytes(32, "little")
        for key in (identity, order_two, second_identity, signed_zero, order_four, no_point, b""):
            self.refuses("BadKey", keys.check_key, key)

    def test_signatures_are_judged_strictly(self) -> None:
        signature = sign(ALICE_SEED, b"message")
        verify(ALICE, b"message", signature)
        s = int.from_bytes(signature[32:], "little")
        above = signature[:32] + (s + ed25519.L).to_bytes(32, "little")
        self.refuses("BadSignature", verify, ALICE, b"message", above)
        self.refuses("BadSignature", verify, ALICE, b"other", signature)
        self.refuses("BadSignature", verify, BOB, b"message", signature)
        self.refuses("BadSignature", verify, ALICE, b"message", signature[:63])

    def test_a_small_order_r_is_refused(self) -> None:
        # R is the identity, and S such that the equation holds: only the rule on R is left to refuse it.
        r = (1).to_bytes(32, "little")
        h = int.from_bytes(sha512(r + ALICE + b"m"), "little") % ed25519.L
        s = h * int.from_bytes(keys.x25519_secret(ALICE_SEED), "little") % ed25519.L
        minus_a = ed25519.negate(ed25519.key_point(ALICE))
        self.assertEqual(ed25519.compress(ed25519.multiply_two(s, ed25519.BASE, h, minus_a)), r)
        self.refuses("BadSignature", verify, ALICE, b"m", r + s.to_bytes(32, "little"))


class Handles(Case):
    def test_input_and_wire(self) -> None:
        for text in ("alice", "@alice", "Alice@KEZ.lat", "@alice@kez.lat"):
            self.assertEqual(handles.parse_input(text, "kez.lat", PRODUCTION), "alice@kez.lat")
        self.refuses("BadHandle", handles.check_qualified, "Alice@kez.lat", PRODUCTION)
        self.refuses("BadHandle", handles.parse_input, "\u212aez@kez.lat", None, PRODUCTION)
        self.refuses("BadHandle", handles.parse_input, "alice", None, PRODUCTION)
        self.assertEqual(handles.shown("alice@kez.lat", "kez.lat"), "@alice")
        self.assertEqual(handles.shown("alice@kez.lat", "other.lat"), "@alice@kez.lat")

    def test_homes(self) -> None:
        for home in ("kez.lat", "localhost", "localhost:1", "a-b.c0", "1.2.3.4x", "0xg", "a" * 63):
            self.assertEqual(handles.check_home(home, PRODUCTION), home)
        self.assertEqual(handles.check_home("kez.lat:65535", DEVELOPMENT), "kez.lat:65535")
        for home in ("", ".", "kez.lat.", "127.0.0.1", "a.0x7f", "0x", "a" * 64, "-a", "kez.lat:1", "localhost:0"):
            self.refuses("BadHandle", handles.check_home, home, PRODUCTION)
        for home in ("kez.lat:65536", "kez.lat:01", "kez.lat:", "kez.lat:\u0661"):
            self.refuses("BadHandle", handles.check_home, home, DEVELOPMENT)

    def test_reserved_names(self) -> None:
        self.assertEqual(len(handles.RESERVED_NAMES), 41)
        self.refuses("ReservedHandle", handles.check_free, "kez-chat@kez.lat")
        handles.check_free("alice@kez.lat")

    def test_registration_and_retirement(self) -> None:
        registration = keys.handle_statement("register", "alice@kez.lat", ALICE)
        self.assertEqual(len(registration), 102)
        self.assertTrue(registration.hex().startswith("6b657a2f72656769737465722f3100616c696365406b657a2e6c617400"))
        self.assertEqual(
            base64url(sign(ALICE_SEED, registration)),
            "ua_B8JNT00BrExjwkt-9p57LQhLOR3PeQX0chUQvVIHdJsUpNvYQu41tuMn7DQyWHEXpu6ilgWv8n2R3Wd-1Cw",
        )
        self.assertEqual(
            base64url(sign(ALICE_SEED, keys.handle_statement("retire", "alice@kez.lat", ALICE))),
            "LnRc2VVE5viGufc99SQwOD6KvE42xfzpls7E2Oie-1Hr3WXMGvs9fbo-eudT-stO4srMbSJ7EeVNypqlkufrDw",
        )

    def test_contact_uri(self) -> None:
        uri = f"kez:ed25519:{ALICE.hex()}?h=alice@kez.lat&sig=https://sig.kez.lat"
        read = (ALICE, "alice@kez.lat", "https://sig.kez.lat")
        self.assertEqual(handles.parse_uri(uri, PRODUCTION), read)
        self.assertEqual(handles.parse_uri(uri + "&x=%C3%A9&y=", PRODUCTION), read)
        for wrong in (uri + "/", uri + "?", uri + "%3F", uri + "&h=", uri + "&=", uri + "&x=%c3%a9", uri + "&x=%41"):
            self.refuses("BadUri", handles.parse_uri, wrong, PRODUCTION)
        self.refuses("BadUri", handles.parse_uri, uri.replace("https", "http"), PRODUCTION)
        self.refuses("BadUri", handles.parse_uri, uri.replace("https://", "https://u@"), PRODUCTION)
        self.refuses("BadKey", handles.parse_uri, uri.replace(ALICE.hex(), "00" * 32), PRODUCTION)


class Sigchain(Case):
    def setUp(self) -> None:
        self.chain = chain.Chain(Owner(ALICE, PRODUCTION))
        self.events = [chain.sign_next(ALICE_SEED, self.chain, op, TS) for op in OPS]

    def test_the_chain_of_a_new_account(self) -> None:
        heads = (
            "2c694c65e91f984fb8f2c115777623c913121cffdd25eb5a63faa278788255da",
            "13425b4e26ae7d41d8355d7cab4f81c151349c2d904584d57686a1dd1b20ea11",
            HEAD,
        )
        self.assertEqual(tuple(self.chain.known[seq].head for seq in (1, 2, 3)), heads)
        self.assertEqual(len(self.events[0]), 562)
        self.assertEqual(
            self.events[0].rpartition(".")[2],
            "S_ww4J8eUNueNcg49SZGVDL8HsWEl4URuZGibbehKnbzVlYTNDAkt1-dSlzcYl7QpUyaAaK8i3o5ltR82ud5Bg",
        )
        self.assertEqual(
            self.events[2],
            "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoia2V6LWV2ZW50K2p3cyJ9.eyJvcCI6eyJoYW5kbGUiOiJhbGljZUBrZXoubGF0IiwidHlwZSI6"
            "InNldF9oYW5kbGUifSwicHJldiI6IjEzNDI1YjRlMjZhZTdkNDFkODM1NWQ3Y2FiNGY4MWMxNTEzNDljMmQ5MDQ1ODRkNTc2ODZhMWRkM"
            "WIyMGVhMTEiLCJwcmltYXJ5IjoiZWQyNTUxOTo4YTg4ZTNkZDc0MDlmMTk1ZmQ1MmRiMmQzY2JhNWQ3MmNhNjcwOWJmMWQ5NDEyMWJmMz"
            "c0ODgwMWI0MGY2ZjVjIiwic2VxIjozLCJ0cyI6IjIwMjYtMTEtMjNUMDA6MDA6MDBaIiwidiI6MX0.CD-VOqmFvmmXrTRHA-U418pKzF"
            "UQ9e0ZUyTVlbox6Xim-w_mtmHJqFAWAb-yFiX5j-w0mi1mc76s56mnGO_TCQ",
        )

    def test_walking_and_resuming(self) -> None:
        walked = chain.Chain(Owner(ALICE, PRODUCTION))
        chain.walk(walked, self.events[:2])
        self.refuses("Gap", chain.walk, walked, self.events[1:2])
        chain.resume(walked, self.events[1:], 3)
        self.assertEqual((walked.seq, walked.head, walked.state()["handle"]), (3, HEAD, "alice@kez.lat"))
        self.refuses("Rollback", chain.resume, walked, [], 2)
        other = event.write_event(ALICE_SEED, {"type": "retire"}, walked.known[3].prev, 3, TS)
        self.refuses("Fork", chain.resume, walked, [other], 3)
        self.assertEqual(chain.verify_fork(self.events[2], other).seq, 3)

    def test_events_that_are_refused(self) -> None:
        header, body, signature = self.events[0].split(".")
        self.refuses("BadJws", event.read_event, f"{header}.{body}", ALICE)
        self.refuses("BadJwsHeader", event.read_event, f"{header[:-1]}.{body}.{signature}", ALICE)
        self.refuses("BadBase64", event.read_event, f"{header}.{body}=.{signature}", ALICE)
        self.refuses("BadSignature", event.read_event, self.events[0], BOB)
        self.refuses("TooLong", event.read_event, "." * 16_385, ALICE)
        for payload_text, code in (
            ('{"op":1e0}', "BadJson"),
            ('{"a":1,"a":1}', "BadJson"),
            ('{"op":-0}', "BadJson"),
            ('"\\ud800"', "BadJson"),
            ("[" * 17 + "]" * 17, "BadJson"),
            ("[" * 6_000 + "]" * 6_000, "BadJson"),
            ('{"b":1,"a":1}', "NotCanonicalJson"),
            ("[" * 16 + "]" * 16, "BadEvent"),
            ('{"x":1}', "UnknownMember"),
            ("{}", "BadEvent"),
        ):
            signing_input = f"{event.HEADER}.{base64url(payload_text.encode())}"
            jws = f"{signing_input}.{base64url(sign(ALICE_SEED, signing_input.encode()))}"
            self.refuses(code, event.read_event, jws, ALICE)


class Broker(Case):
    def test_login(self) -> None:
        message = keys.nats_statement("kez.lat", "abcdefghijklmno")
        self.assertEqual(len(message), 43)
        self.assertEqual(message[11:].hex(), "294e149947a0db2d61719f1f64318ae3c4b4cbe9740ca5d00adeebb44b8cf4de")
        self.assertEqual(
            base64url(sign(ALICE_SEED, message)),
            "FDLect5d1B1V3CVad62uGr1jDtcSebKss34ILlZVRuNXOG9MZ9EtTy0tdrnizFWPfAOC9BZoKMODUanW5BUUDQ",
        )
        for nonce in ("", "n" * 65):
            self.refuses("BadNonce", keys.nats_statement, "kez.lat", nonce)

    def test_routes_and_accounts(self) -> None:
        self.assertEqual(broker.day_of(1_795_391_999_999), "2026-11-22")
        self.assertEqual(broker.day_of(1_795_392_000_000), "2026-11-23")
        self.assertEqual(broker.route(ALICE_SEED, SERVER, "2026-11-23"), "dec79aabf0d45579cbbe0083cca18bb5")
        self.assertEqual(broker.route(ALICE_SEED, SERVER, "2026-11-24"), "432c36d33850f69a16d82464ad99ca21")
        self.assertEqual(broker.account_hash("JS"), "9Nj4u4iY")

    def test_frames(self) -> None:
        own, streams = ALICE.hex(), ["KEZ_INBOX"]
        subject = f"kez.inbox.{own}.{'0' * 32}"
        for reply in (f"$JS.ACK.KEZ_INBOX.{own}.1.2.3.4.5", f"$JS.ACK._.9Nj4u4iY.KEZ_INBOX.{own}.1.2.3.4.5"):
            broker.check_inbox_frame(ALICE, streams, subject, reply)
            self.refuses("BadFrame", broker.check_inbox_frame, BOB, streams, subject, reply)
            self.refuses("BadFrame", broker.check_inbox_frame, ALICE, ["OTHER"], subject, reply)
            self.refuses("BadFrame", broker.check_inbox_frame, ALICE, streams, subject + "0", reply)
        for other in (None, "+ACK", f"$JS.ACK.KEZ_INBOX.{own}.1.2.3.4.5.6", f"$JS.ACK.KEZ_INBOX.{own}.1.2.3.*.5"):
            self.refuses("BadFrame", broker.check_inbox_frame, ALICE, streams, subject, other)

    def test_callout(self) -> None:
        options = {
            "nkey": keys.nkey("user", ALICE),
            "sig": base64url(sign(ALICE_SEED, keys.nats_statement("kez.lat", "n"))),
        }
        nats = {
            "type": "authorization_request",
            "server_id": {"id": "server"},
            "user_nkey": keys.nkey("user", BOB),
            "client_info": {"nonce": "n"},
            "connect_opts": options,
        }
        jwt = callout.write_jwt(SERVER_SEED, {"iss": keys.nkey("server", SERVER), "nats": nats})
        request = callout.read_request(jwt)
        self.assertEqual(callout.decide(request, "kez.lat"), ALICE)
        self.refuses("BadSignature", callout.decide, request, "other.lat")
        self.refuses(
            "BadJwt",
            callout.read_request,
            callout.write_jwt(SERVER_SEED, {"iss": keys.nkey("server", BOB), "nats": nats}),
        )
        self.refuses("BadJwt", callout.read_request, jwt.rpartition(".")[0])


class Envelope(Case):
    def test_padding(self) -> None:
        lengths = {0: 256, 255: 256, 256: 272, 271: 272, 272: 288, 511: 512, 512: 544, 1_000: 1_024, 63_487: 63_488}
        for length, expected in lengths.items():
            self.assertEqual(envelope.padded_length(length), expected)
        self.refuses("TooLarge", envelope.pad, bytes(63_488))
        self.assertEqual(envelope.unpad(envelope.pad(b"\x80\0")), b"\x80\0")
        for padded in (b"", bytes(256), b"\x80" + bytes(271)):
            self.refuses("BadPadding", envelope.unpad, padded)

    def test_the_example(self) -> None:
        wire = envelope.seal_envelope(ALICE_SEED, BOB, PAYLOAD, b"\x09" * 32)
        self.assertEqual(len(wire), 422)
        self.assertEqual(sha256(wire).hex(), "4d388dbab71d9f4ee6797f4b52611613c3add23377ebb114f4ab05594b180f64")
        ephemeral, header, body = wire[6:38], wire[38:150], wire[150:]
        self.assertEqual(ephemeral.hex(), "ce4bc3a70b8ebecc53d31e65f3b42c2692f8da28aefcbd4967fb621725c64566")
        self.assertEqual(sha256(body).hex(), "4480362d478bce03c280a970c1ce78ecb378adba6502932f27da8d0f2a8edbd2")
        es = keys.x25519(keys.x25519_secret(BOB_SEED), ephemeral)
        self.assertEqual(es.hex(), "af36f8345d254016d29448b9161bb8e301562f9e9a1aa5358c1c28d2f875e215")
        salt = b"kez/envelope/1\x01" + ephemeral + keys.x25519_public(BOB)
        k1 = hkdf(salt, es, b"header")
        self.assertEqual(k1.hex(), "d393302918fb78126f486d350d8ab2dba8161810b487f92492e876282545c77c")
        opened = open_sealed(k1, header, "BadHeader", wire[:38] + sha256(body))
        self.assertEqual(
            (opened[:32], base64url(opened[32:])),
            (ALICE, "ySPeOWfkRVND_Hszv8LQRBDEbDsx55wnkpn5Kz89TWG6rZbrFSMnJ6YIRl-j4goLvwmOysXA6VKQIUBUIWCsDA"),
        )
        self.assertEqual(envelope.open_envelope(BOB_SEED, wire), (ALICE, PAYLOAD))

    def test_every_flipped_byte_is_noticed(self) -> None:
        wire = envelope.seal_envelope(ALICE_SEED, BOB, PAYLOAD, b"\x09" * 32)
        codes = {0: "BadVersion", 1: "UnknownSuite", 2: "UnknownKeyId", 37: "BadKey", 38: "BadHeader", 421: "BadHeader"}
        for place, code in codes.items():
            flipped = bytearray(wire)
            flipped[place] ^= 0x80
            self.refuses(code, envelope.open_envelope, BOB_SEED, bytes(flipped))
        self.refuses("BadHeader", envelope.open_envelope, ALICE_SEED, wire)
        self.refuses("BadLength", envelope.open_envelope, BOB_SEED, wire[:421])


class Payload(Case):
    def decode(self, data: bytes, channel: str = "inbox") -> dict[str, Any]:
        return payload.decode_payload(data, channel, PRODUCTION, ["bob@kez.lat"])

    def test_the_example(self) -> None:
        self.assertEqual(len(PAYLOAD), 102)
        self.assertEqual(
            self.decode(PAYLOAD),
            {
                "id": "aa" * 16,
                "install": "0011223344556677",
                "seq": 1,
                "sent_at_ms": SENT_AT_MS,
                "from": "alice@kez.lat",
                "to": "bob@kez.lat",
                "kind": 1,
                "content": {"text": "hello"},
                "own_head": {"seq": 3, "head": HEAD},
                "peer_head": None,
                "reply_to": None,
            },
        )

    def test_refusals(self) -> None:
        self.refuses("WrongChannel", self.decode, PAYLOAD, "presence")
        self.refuses("TrailingBytes", self.decode, PAYLOAD + b"\0")
        self.refuses("BadVersion", self.decode, b"\x02" + PAYLOAD[1:])
        self.refuses("Misaddressed", self.decode, PAYLOAD.replace(b"bob@", b"rob@"))
        self.refuses("BadHandle", self.decode, PAYLOAD.replace(b"bob@", b"Bob@"))
        self.refuses("Unsupported", self.decode, PAYLOAD.replace(b"\x01\x06\x05hello", b"\x07\x06\x05hello"))
        for length in range(len(PAYLOAD)):
            self.refuses("Truncated", self.decode, PAYLOAD[:length])

    def test_addresses(self) -> None:
        known = ["1.2.3.4:1", "[::1]:65535", "[2001:db8::1:0:0:1]:80", "https://r"]
        others = ["1.2.3.4:0", "01.2.3.4:1", "::1:1", "[::1%1]:1", "[::ffff:1.2.3.4]:1", "[0::1]:1", "https://", "x"]
        texts = b"".join(varint(len(text)) + text.encode() for text in known + others)
        body = b"\x01\x96\x01\x00" + varint(len(known + others)) + texts
        data = PAYLOAD[:25] + b"\0\0\0\0\x40" + varint(len(body)) + body + b"\0"
        self.assertEqual(self.decode(data, "presence")["content"]["addresses"], known)

    def test_counts_are_held_against_the_bytes_first(self) -> None:
        for body, code in ((b"\x40" + bytes(10), "Truncated"), (b"\x41" + bytes(65 * 99), "BadPayload")):
            start = PAYLOAD[: PAYLOAD.index(b"\x01\x06\x05hello")]
            self.refuses(code, self.decode, start + b"\x02" + varint(len(body)) + body + b"\0")


class Files(Case):
    KEY = b"\x07" * 32

    def test_the_example(self) -> None:
        blob = files.seal_file(self.KEY, b"hello world")
        self.assertEqual(blob.hex(), "81723f7aa94d112bb0e81d40cf1517722fd76ec2ed5bcec4a3cc9c")
        self.assertEqual(blake3(blob).hex(), "28d00eb1ad17629564f761c41febc7a14536070859d9c8dfca3a1b8f142617d6")
        plain_hash = "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24"
        self.assertEqual(blake3(b"hello world").hex(), plain_hash)
        self.assertEqual(files.seal_file(self.KEY, b"").hex(), "de8c724b49f9349d2f022c9a6380ee9f")

    def test_segments(self) -> None:
        plain = bytes(range(256)) * 513
        blob, plain_hash = files.seal_file(self.KEY, plain), blake3(plain)
        self.assertEqual(len(blob), files.blob_len(len(plain)))

        def opened(data: bytes, streamed: bool = False, wanted: bytes = plain_hash) -> bytes:
            return files.open_file(self.KEY, len(plain), wanted, data, streamed)

        self.assertEqual(opened(blob), plain)
        for offset, length in ((65_530, 65_550), (0, 1), (131_072, 256), (65_536, 65_536), (9, 0)):
            part = files.open_part(self.KEY, len(plain), blob, offset, length)
            self.assertEqual(part, plain[offset : offset + length])
        self.refuses("BadLength", opened, blob[:-1])
        self.refuses("Truncated", opened, blob[:-1], True)
        self.refuses("TrailingBytes", opened, blob + b"\0", True)
        self.refuses("BadHash", opened, blob, False, bytes(32))
        segment = 65_552
        self.refuses("BadSegment", opened, blob[segment : 2 * segment] + blob[:segment] + blob[2 * segment :])
        self.refuses("TooLarge", files.blob_len, 2**48 + 1)

    def test_folders(self) -> None:
        def listed(*paths: str, media: str = "") -> bytes:
            entry = {"media": media, "blob_hash": "00" * 32, "key": "00" * 32, "plain_hash": "00" * 32, "plain_len": 0}
            return varint(len(paths)) + b"".join(write_entry({"path": path, **entry}, "BadPayload") for path in paths)

        self.assertEqual(len(read_folder(listed("a", "a-b/c", "a.b"))), 3)
        self.assertEqual(read_folder(listed()), [])
        self.refuses("BadPath", read_folder, listed("a/b", "a-b", "a"))
        self.refuses("BadPath", read_folder, listed("a", "a"))
        self.refuses("BadPayload", read_folder, listed("a", media="application/vnd.kez.folder"))
        for path in ("", "/a", "a/", "a//b", ".", "a/..", "a\\b", "a\x7f", "a\u200b", "b" * 256, "a/" * 512 + "a"):
            self.refuses("BadPath", listed, path)


class Manifest(Case):
    def test_the_example(self) -> None:
        blob = files.seal_file(Files.KEY, b"hello world")
        entry = {
            "path": "hello.txt",
            "media": "text/plain",
            "blob_hash": blake3(blob).hex(),
            "key": Files.KEY.hex(),
            "plain_hash": blake3(b"hello world").hex(),
            "plain_len": 11,
        }
        self.assertEqual(len(write_entry(entry, "BadPayload")), 118)
        details = {"entry": entry, "shared_at_ms": SENT_AT_MS, "thumbnail": None}
        given = {
            "id": "05" * 16,
            "entry_key": "06" * 32,
            "readers": [keys.key_text(BOB)],
            "filler": [],
            "details": details,
        }
        data = manifest.build_manifest(ALICE_SEED, 1, b"\x04" * 32, [given])
        self.assertEqual(len(data), 440)
        blob_hash = blake3(data)
        self.assertEqual(blob_hash.hex(), "bfd3c0dd5db50f88733a5bef99024c1e3e2b4dea5f5dd135b507f9e6d37843d3")
        self.assertEqual(data[100:116].hex(), "f1bfc97962d3432ac8dedd7aeccc7bb2")
        self.assertEqual(
            data[116:164].hex(),
            "aada87b2497fcbff0171fad1ca6a900b372c1bf41ceaf377ce9d5a92e2b529a8f3f33bb96643d924426223f51c431567",
        )
        self.assertEqual(
            hkdf(b"kez/manifest/1" + b"\x04" * 32, b"\x06" * 32, b"details" + b"\x05" * 16).hex(),
            "2fce7b577233c72549546435d19bb17603d026ff1108ed7edf840fc71979d8b8",
        )

        def read(seed: bytes, wanted: Any = None, version: int = 1, owner: bytes = ALICE) -> Any:
            return manifest.read_manifest(data, owner, blob_hash, version, seed, wanted)

        self.assertEqual(read(BOB_SEED), {b"\x05" * 16: details})
        self.assertEqual(read(SERVER_SEED), {})
        self.refuses("NotAReader", read, SERVER_SEED, b"\x05" * 16)
        self.refuses("NotAReader", read, BOB_SEED, b"\x06" * 16)
        self.refuses("BadManifest", read, BOB_SEED, None, 2)
        self.refuses("BadManifest", read, BOB_SEED, None, 1, BOB)


class Claims(Case):
    LINE = (
        f"kez1:dns:alice.example:{ALICE.hex()}:"
        "mHwuMow0Plelt66nkn0wuwVr0HzBaOwhDajK04a-qtImZdj8ZP4jUksDc56jEAl5CnqrhsGYJHYPah6G7GZwCg"
    )

    def test_the_example(self) -> None:
        self.assertEqual(claims.prove(ALICE_SEED, "dns:alice.example"), self.LINE)
        claims.verify_line(ALICE, "dns:alice.example", None, self.LINE)
        self.assertEqual(claims.parse_claim("dns:alice.example", None).where, "_kez.alice.example")

    def test_refusals(self) -> None:
        self.refuses("WrongSubject", claims.verify_line, BOB, "dns:alice.example", None, self.LINE)
        self.refuses("WrongSubject", claims.verify_line, ALICE, "dns:other.example", None, self.LINE)
        self.refuses("BadBase64", claims.verify_line, ALICE, "dns:alice.example", None, self.LINE + "=")
        self.refuses("BadSignature", claims.verify_line, ALICE, "dns:alice.example", None, self.LINE[:-3] + "A")
        self.refuses("BadClaim", claims.verify_line, ALICE, "dns:alice.example", None, " " + self.LINE)
        self.refuses("BadClaim", claims.parse_claim, "github:alice", None)
        self.refuses("BadClaim", claims.parse_claim, "dns:127.0.0.1", None)

    def test_bip340(self) -> None:
        # Vector 0 of BIP-340, and NIP-19's own npub.
        key = bytes.fromhex("F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9")
        signature = bytes.fromhex(
            "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA8215"
            "25F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0"
        )
        bip340_verify(key, bytes(32), signature)
        self.refuses("BadSignature", bip340_verify, key, b"\x01" * 32, signature)
        npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
        self.assertEqual(parse_npub(npub).hex(), "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e")
        self.refuses("BadClaim", parse_npub, npub.upper())
        self.refuses("BadClaim", parse_npub, npub[:-1] + "q")


class Rest(Case):
    def test_safety_number(self) -> None:
        number = "06865 37674 87780 55949 04883 36766 04425 98347 65722 81078 87399 33836"
        self.assertEqual(safety.safety_number(ALICE, BOB), number)
        self.assertEqual(safety.safety_number(BOB, ALICE), number)

    def test_the_stores_key(self) -> None:
        store_key = "868c8cc087d6d721c4fd14dba88e9bec001d40a08b8f62613cb3ec8e56c35157"
        self.assertEqual(hkdf(b"kez/store/1", ALICE_SEED, b"").hex(), store_key)


if __name__ == "__main__":
    unittest.main()
