//! `envelope.json`: payloads. [`super::contents`] has the kinds.

use kez_core::Code;
use serde_json::{Value, json};

use super::{
    super::{
        bytes::{concat, plain, repeat},
        case::File,
    },
    envelope::PAYLOAD,
};

/// A payload field by field, each as the bytes that stand for it.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) version: u8,
    pub(super) seq: Vec<u8>,
    pub(super) sent_at_ms: Vec<u8>,
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    pub(super) kind: Vec<u8>,
    /// With its length.
    pub(super) body: Vec<u8>,
    /// With their number.
    pub(super) extensions: Vec<u8>,
}

impl Raw {
    /// Returns the text "hi" from Alice to Bob.
    pub(super) fn text() -> Self {
        Self::of(1, 1, &string("hi"))
    }

    pub(super) fn of(kind: u64, seq: u64, body: &[u8]) -> Self {
        Self {
            version: 1,
            seq: varint(seq),
            sent_at_ms: varint(1_795_396_313_000),
            from: string("alice@kez.lat"),
            to: string("bob@kez.lat"),
            kind: varint(kind),
            body: blob(body),
            extensions: vec![0],
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self { version, seq, sent_at_ms, from, to, kind, body, extensions } = self;
        let head = [&[*version][..], &[0xaa; 16], &[0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]].concat();
        [&head, seq, sent_at_ms, from, to, kind, body, extensions].map(Vec::as_slice).concat()
    }
}

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
    out
}

pub(super) fn blob(bytes: &[u8]) -> Vec<u8> {
    [&varint(bytes.len() as u64), bytes].concat()
}

pub(super) fn string(text: &str) -> Vec<u8> {
    blob(text.as_bytes())
}

/// Joins extensions behind their number.
fn extensions(list: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = varint(list.len() as u64);
    for (number, value) in list {
        out.extend([varint(*number), blob(value)].concat());
    }
    out
}

pub(super) fn input(bytes: Value, channel: &str) -> Value {
    json!({"bytes": bytes, "channel": channel, "policy": "production", "own_handles": null})
}

/// Returns the fields of [`Raw::of`].
pub(super) fn fields(kind: u64, seq: u64, content: Value) -> Value {
    json!({
        "id": "aa".repeat(16), "install": "0011223344556677", "seq": seq, "sent_at_ms": 1_795_396_313_000_u64,
        "from": "alice@kez.lat", "to": "bob@kez.lat", "kind": kind, "content": content, "own_head": null,
        "peer_head": null, "reply_to": null,
    })
}

/// Adds the case of a payload from the inbox that is refused.
pub(super) fn bad(file: &mut File, name: &str, raw: &Raw, code: Code) {
    file.refused(name, "payload.decode", input(plain(raw.bytes()), "inbox"), code);
}

pub(super) fn make(file: &mut File) {
    example(file);
    structure(file);
    integers(file);
    handles(file);
    extension_rules(file);
    later_versions(file);
    addressees(file);
    super::contents::make(file);
}

fn example(file: &mut File) {
    let mut out = fields(1, 1, json!({"text": "hello"}));
    let head = "a07b7fd9df4f15644f4b7b49979f8029ce0cd4144cc486e670113b259480ff1c";
    out["own_head"] = json!({"seq": 3, "head": head});
    file.gives("the example of §7", "payload.decode", input(json!(PAYLOAD), "inbox"), out);
    let mut largest = Raw { seq: varint((1 << 53) - 1), sent_at_ms: varint(0), ..Raw::text() };
    let mut out = fields(1, (1 << 53) - 1, json!({"text": "hi"}));
    out["sent_at_ms"] = json!(0);
    file.gives("the largest seq", "payload.decode", input(plain(largest.bytes()), "inbox"), out.clone());
    (largest.from, largest.to) = (vec![0], vec![0]);
    (out["from"], out["to"]) = (json!(null), json!(null));
    file.gives("nobody to nobody", "payload.decode", input(plain(largest.bytes()), "inbox"), out);
}

fn structure(file: &mut File) {
    bad(file, "version 0", &Raw { version: 0, ..Raw::text() }, Code::BadVersion);
    bad(file, "version 2", &Raw { version: 2, ..Raw::text() }, Code::BadVersion);
    let mut cut = |name: &str, bytes: Value, code| file.refused(name, "payload.decode", input(bytes, "inbox"), code);
    let good = Raw::text().bytes();
    cut("an empty payload", json!(""), Code::Truncated);
    cut("another version alone", json!("02"), Code::BadVersion);
    // The ends of version, id, install, seq, sent_at, from, to, kind, body.
    for end in [1, 10, 17, 25, 26, 32, 40, 46, 58, 59, 61, good.len() - 1] {
        cut(&format!("cut after {end} bytes"), plain(&good[..end]), Code::Truncated);
    }
    cut("a byte left over", concat(&[plain(&good), json!("00")]), Code::TrailingBytes);
    cut("the payload twice", concat(&[plain(&good), plain(&good)]), Code::TrailingBytes);
    let hidden = [&good[..good.len() - 1], &[1]].concat();
    cut("an extension that nothing backs", plain(hidden), Code::Truncated);
    // Structure comes before the channel, and the channel before the content.
    let odd = Raw { body: blob(b"?"), ..Raw::of(64, 0, b"") };
    bad(file, "presence by the inbox", &odd, Code::WrongChannel);
    let odd = Raw { extensions: vec![1], ..odd };
    bad(file, "presence by the inbox, cut", &odd, Code::Truncated);
    let unknown_critical = Raw { extensions: extensions(&[(7, b"")]), ..Raw::of(64, 0, b"") };
    bad(file, "presence by the inbox with an unknown extension", &unknown_critical, Code::WrongChannel);
    for kind in [1, 2, 3, 4, 5, 6, 0, 63] {
        let bytes = plain(Raw::of(kind, 1, b"").bytes());
        let name = format!("kind {kind} by presence");
        file.refused(&name, "payload.decode", input(bytes, "presence"), Code::WrongChannel);
    }
}

fn integers(file: &mut File) {
    let too_large = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10].to_vec();
    let text = Raw::text();
    for (name, raw) in [
        ("a seq in two bytes", Raw { seq: vec![0x81, 0], ..text.clone() }),
        ("a seq of 2^53", Raw { seq: too_large.clone(), ..text.clone() }),
        ("a seq of eight full groups", Raw { seq: vec![0xff; 8], ..text.clone() }),
        ("a seq of nine bytes", Raw { seq: [vec![0x80; 8], vec![1]].concat(), ..text.clone() }),
        ("a time of 2^53", Raw { sent_at_ms: too_large.clone(), ..text.clone() }),
        ("a zero in two bytes", Raw { from: vec![0x80, 0], ..text.clone() }),
        ("a kind in two bytes", Raw { kind: vec![0x81, 0], ..text.clone() }),
        ("a kind in three bytes", Raw { kind: vec![0x81, 0x80, 0], ..text.clone() }),
        ("a body's length in two bytes", Raw { body: vec![0x83, 0, 2, b'h', b'i'], ..text.clone() }),
        ("a text's length in two bytes", Raw { body: blob(&[0x82, 0, b'h', b'i']), ..text.clone() }),
        ("a number of extensions in two bytes", Raw { extensions: vec![0x80, 0], ..text.clone() }),
        ("an extension's number in two bytes", Raw { extensions: vec![1, 0x88, 0, 0], ..text.clone() }),
        ("an extension's length in two bytes", Raw { extensions: vec![1, 8, 0x80, 0], ..text.clone() }),
        (
            "a head's seq in two bytes",
            Raw { extensions: extensions(&[(2, &[&[0x83, 0][..], &[1; 32]].concat())]), ..text.clone() },
        ),
    ] {
        bad(file, name, &raw, Code::BadVarint);
    }
    bad(file, "a body of 2^53 − 1 bytes", &Raw { body: varint((1 << 53) - 1), ..text.clone() }, Code::Truncated);
    bad(file, "a body of 2^53 bytes", &Raw { body: too_large, ..text }, Code::BadVarint);
}

fn handles(file: &mut File) {
    for (name, handle, code) in [
        ("a bare handle", &b"alice"[..], Code::BadHandle),
        ("a handle with an @ before", b"@alice@kez.lat", Code::BadHandle),
        ("a handle in capitals", b"Alice@kez.lat", Code::BadHandle),
        ("a handle at an address", b"alice@127.0.0.1", Code::BadHandle),
        ("a handle with a port", b"alice@kez.lat:80", Code::BadHandle),
        ("a handle with a dot at its end", b"alice@kez.lat.", Code::BadHandle),
        ("a handle that is not UTF-8", b"alic\xe9@kez.lat", Code::BadPayload),
    ] {
        bad(file, &format!("from: {name}"), &Raw { from: blob(handle), ..Raw::text() }, code);
        bad(file, &format!("to: {name}"), &Raw { to: blob(handle), ..Raw::text() }, code);
    }
    let raw = Raw { from: string("alice@kez.test:80"), ..Raw::text() };
    let mut out = fields(1, 1, json!({"text": "hi"}));
    out["from"] = json!("alice@kez.test:80");
    let mut input = input(plain(raw.bytes()), "inbox");
    input["policy"] = json!("development");
    file.gives("a handle with a port under development", "payload.decode", input, out);
    let both = Raw { from: string("alice"), extensions: vec![1], ..Raw::text() };
    bad(file, "a bare handle comes before a cut", &both, Code::BadHandle);
}

fn extension_rules(file: &mut File) {
    let head = [&[3][..], &[6; 32]].concat();
    let reply = [[9; 32].as_slice(), &[8; 16]].concat();
    let all: [(u64, &[u8]); 5] = [(2, &head), (4, &head), (6, &reply), (8, b""), (1_000_000, b"later")];
    let raw = Raw { extensions: extensions(&all), ..Raw::text() };
    let mut out = fields(1, 1, json!({"text": "hi"}));
    let seen = json!({"seq": 3, "head": "06".repeat(32)});
    (out["own_head"], out["peer_head"]) = (seen.clone(), seen);
    out["reply_to"] = json!({"author": "09".repeat(32), "id": "08".repeat(16)});
    file.gives("all known extensions and two unknown ones", "payload.decode", input(plain(raw.bytes()), "inbox"), out);
    let even = |count: u64| (0..count).map(|number| (8 + 2 * number, &b""[..])).collect::<Vec<_>>();
    let raw = Raw { extensions: extensions(&even(32)), ..Raw::text() };
    let out = fields(1, 1, json!({"text": "hi"}));
    file.gives("32 extensions", "payload.decode", input(plain(raw.bytes()), "inbox"), out);
    let nowhere = [&varint((1 << 53) - 1)[..], &[6; 32]].concat();
    let raw = Raw { extensions: extensions(&[(4, &nowhere)]), ..Raw::text() };
    file.ok("a head at a place that no chain has", "payload.decode", input(plain(raw.bytes()), "inbox"));

    let (short, long, none) = (&head[..32], [&head[..], &[0]].concat(), &b""[..]);
    for (name, extensions, code) in [
        ("33 extensions", extensions(&even(33)), Code::BadPayload),
        ("33 extensions that nothing backs", vec![33, 8, 0], Code::Truncated),
        ("200 extensions that nothing backs", vec![200, 1], Code::Truncated),
        ("an extension twice", extensions(&[(8, none), (8, none)]), Code::BadPayload),
        ("extensions that fall", extensions(&[(8, none), (4, &head)]), Code::BadPayload),
        ("an extension longer than the payload", vec![1, 8, 1], Code::Truncated),
        ("a head without its hash", extensions(&[(2, &[3])]), Code::Truncated),
        ("a head cut short", extensions(&[(2, short)]), Code::Truncated),
        ("an empty head", extensions(&[(4, none)]), Code::Truncated),
        ("a head with a byte more", extensions(&[(4, &long)]), Code::TrailingBytes),
        ("a reply to half a message", extensions(&[(6, &reply[..47])]), Code::Truncated),
        ("a reply with a byte more", extensions(&[(6, &[&reply[..], &[0]].concat())]), Code::TrailingBytes),
        ("a bad known extension before an unknown critical one", extensions(&[(6, none), (7, none)]), Code::Truncated),
        ("a bad known extension after an unknown critical one", extensions(&[(1, none), (6, none)]), Code::Truncated),
    ] {
        bad(file, name, &Raw { extensions, ..Raw::text() }, code);
    }
}

fn later_versions(file: &mut File) {
    let mut case = |name: &str, raw: &Raw, channel: &str, out: Value| {
        file.marked(name, "payload.decode", input(plain(raw.bytes()), channel), Code::Unsupported, out);
    };
    let kind = |kind: u64, seq: u64| fields(kind, seq, json!({"unsupported_kind": kind}));
    case("kind 7", &Raw::of(7, 1, b"?"), "inbox", kind(7, 1));
    case("kind 0, not counted", &Raw::of(0, 0, b""), "inbox", kind(0, 0));
    case("kind 63", &Raw::of(63, 5, b""), "inbox", kind(63, 5));
    case("kind 65", &Raw::of(65, 1, b"\xff"), "presence", kind(65, 1));
    case("the largest kind", &Raw::of((1 << 53) - 1, 0, b""), "presence", kind((1 << 53) - 1, 0));
    let ext = |ext: u64, kind: u64, seq: u64| fields(kind, seq, json!({"unsupported_ext": ext}));
    let with = |raw: Raw, list: &[(u64, &[u8])]| Raw { extensions: extensions(list), ..raw };
    case("an unknown critical extension", &with(Raw::text(), &[(7, b"")]), "inbox", ext(7, 1, 1));
    case("extension 1", &with(Raw::text(), &[(1, b"x")]), "inbox", ext(1, 1, 1));
    case(
        "two unknown critical extensions",
        &with(Raw::text(), &[(8, b""), (9, b""), (11, b"")]),
        "inbox",
        ext(9, 1, 1),
    );
    // What such a message says is not judged, nor is its seq.
    case("a critical extension and a bad body", &with(Raw::of(1, 1, b"\x05"), &[(7, b"")]), "inbox", ext(7, 1, 1));
    case("a critical extension and no seq", &with(Raw::of(1, 0, b"\x05"), &[(7, b"")]), "inbox", ext(7, 1, 0));
    case("a critical extension of an unknown kind", &with(Raw::of(9, 0, b""), &[(7, b"")]), "inbox", ext(7, 9, 0));
}

fn addressees(file: &mut File) {
    let with = |raw: &Raw, own: &[&str]| {
        let mut input = input(plain(raw.bytes()), "inbox");
        input["own_handles"] = json!(own);
        input
    };
    let out = || fields(1, 1, json!({"text": "hi"}));
    let text = Raw::text();
    file.gives("to one's own handle", "payload.decode", with(&text, &["bob@kez.lat"]), out());
    let past = with(&text, &["bobby@kez.lat", "bob@kez.lat"]);
    file.gives("to a past handle", "payload.decode", past, out());
    file.marked("to another", "payload.decode", with(&text, &["bobby@kez.lat"]), Code::Misaddressed, out());
    file.marked("to somebody without a handle", "payload.decode", with(&text, &[]), Code::Misaddressed, out());
    file.marked("to another home", "payload.decode", with(&text, &["bob@kez.example"]), Code::Misaddressed, out());
    let nobody = Raw { to: vec![0], ..Raw::text() };
    let mut to_nobody = out();
    to_nobody["to"] = json!(null);
    file.gives("to no handle", "payload.decode", with(&nobody, &["bob@kez.lat"]), to_nobody);
    let unknown = fields(9, 1, json!({"unsupported_kind": 9}));
    let input_of = with(&Raw::of(9, 1, b""), &[]);
    file.marked("an unknown kind to another", "payload.decode", input_of, Code::Unsupported, unknown);
    let empty = Raw { body: blob(&[0]), ..Raw::text() };
    file.refused("to another, and empty", "payload.decode", with(&empty, &[]), Code::BadPayload);
    // The number of a text's bytes is judged before whether it is counted, which is judged before the addressee.
    let sized = |len: usize| {
        let head = Raw { seq: vec![0], body: vec![], extensions: vec![], ..Raw::text() }.bytes();
        let length = |len: usize| plain(varint(len as u64));
        let body = concat(&[length(len), repeat(b"x", len)]);
        input(concat(&[plain(head), length(len + 3), body, json!("00")]), "inbox")
    };
    file.refused("a text of 49,152 bytes that is not counted", "payload.decode", sized(49_152), Code::BadPayload);
    file.refused("a text of 49,153 bytes", "payload.decode", sized(49_153), Code::TooLarge);
}
