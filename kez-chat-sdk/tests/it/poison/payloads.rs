//! Payloads with one thing wrong, sealed as well as any (`docs/PROTOCOL.md` §7).

use data_encoding::HEXLOWER;

use crate::front::now_ms;

const TEXT: u64 = 1;
const FILE_SHARE: u64 = 2;
const RECEIPT: u64 = 3;
const EDIT: u64 = 4;
const DELETE: u64 = 5;
const REACTION: u64 = 6;
const PRESENCE: u64 = 64;
/// The highest number that a varint may hold.
const HIGHEST: u64 = (1 << 53) - 1;

/// A payload's fields, of which any may be nonsense. A fresh one is a sound text.
#[derive(Clone)]
pub(super) struct Fields {
    pub(super) id: [u8; 16],
    seq: Vec<u8>,
    from: Vec<u8>,
    to: Vec<u8>,
    kind: Vec<u8>,
    body: Vec<u8>,
    extensions: Vec<u8>,
}

impl Fields {
    pub(super) fn new(from: &str, to: &str) -> Self {
        Self {
            id: rand::random(),
            seq: varint(1),
            from: string(from),
            to: string(to),
            kind: varint(TEXT),
            body: blob(&string("hello")),
            extensions: varint(0),
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let Self { id, seq, from, to, kind, body, extensions } = self;
        let sent_at = varint(now_ms());
        [&[1], id.as_slice(), &[7; 8], seq, &sent_at, from, to, kind, body, extensions].concat()
    }

    fn of(&self, kind: u64, body: &[u8]) -> Self {
        Self { id: rand::random(), kind: varint(kind), body: blob(body), ..self.clone() }
    }

    fn counting_nothing(self) -> Self {
        Self { seq: varint(0), ..self }
    }
}

/// Returns payloads that every reader refuses, each for another reason.
pub(super) fn broken(sound: &Fields) -> Vec<Vec<u8>> {
    let bytes = sound.write();
    let mut broken: Vec<Vec<u8>> = (0..bytes.len()).map(|end| bytes[..end].to_vec()).collect();
    broken.push([bytes.as_slice(), b"\0"].concat());
    broken.push([&[0], &bytes[1..]].concat());
    broken.extend(bodies(sound).iter().map(Fields::write));
    broken.extend(frames(sound).iter().map(Fields::write));
    broken
}

/// Returns such as name a version, kind, extension or recipient that only a later version may know.
pub(super) fn for_later(sound: &Fields) -> Vec<Vec<u8>> {
    let with = |extensions: Vec<u8>| Fields { id: rand::random(), extensions, ..sound.clone() };
    let later = [
        sound.of(0, b""),
        sound.of(63, b"from the future"),
        sound.of(7, &[0xff; 1000]).counting_nothing(),
        with(one_extension(1, b"")),
        with(one_extension(33, b"must be understood")),
        with(one_extension(HIGHEST, &[0; 40_000])),
        Fields { to: string("nobody@dead.example"), ..sound.clone() },
    ];
    let other_version = [&[2], &sound.write()[1..]].concat();
    later.iter().map(Fields::write).chain([other_version]).collect()
}

/// Returns sound ones that say something odd.
pub(super) fn odd(sound: &Fields) -> Vec<Vec<u8>> {
    let share = share_body(&[("photo.jpg", 1 << 40)], &["192.0.2.1:9", "[2001:db8::1]:9", "https://dead.example", "?"]);
    let mut odd: Vec<Vec<u8>> = [HIGHEST, 1 << 40, 2, 1, 3, 1]
        .map(|seq| Fields { id: rand::random(), seq: varint(seq), ..sound.clone() }.write())
        .to_vec();
    odd.extend(
        [
            sound.of(FILE_SHARE, &share),
            sound.of(RECEIPT, &[&[2, 1][..], &[9; 16]].concat()).counting_nothing(),
            sound.of(EDIT, &[&[9; 16][..], &string("never said")].concat()),
            sound.of(DELETE, &[9; 16]),
            sound.of(REACTION, &[&[9; 48][..], &string("\u{202e}")].concat()),
            Fields { extensions: one_extension(1 << 40, b"may be skipped"), id: rand::random(), ..sound.clone() },
            Fields { extensions: one_extension(2, &[&varint(HIGHEST)[..], &[9; 32]].concat()), ..sound.clone() },
            Fields { extensions: one_extension(6, &[9; 48]), id: rand::random(), ..sound.clone() },
        ]
        .iter()
        .map(Fields::write),
    );
    odd
}

fn bodies(sound: &Fields) -> Vec<Fields> {
    let ids = |count: usize| [&varint(count as u64)[..], &vec![9; 16 * count]].concat();
    let receipt = |status: u8, ids: Vec<u8>| sound.of(RECEIPT, &[&[status][..], &ids].concat()).counting_nothing();
    let share = |paths: &[&str]| {
        let entries: Vec<_> = paths.iter().map(|path| (*path, 1)).collect();
        sound.of(FILE_SHARE, &share_body(&entries, &[]))
    };
    vec![
        sound.of(TEXT, b""),
        sound.of(TEXT, &string("")),
        sound.of(TEXT, b"\x05hell"),
        sound.of(TEXT, b"\x05hello!"),
        sound.of(TEXT, b"\x02\xff\xfe"),
        sound.of(TEXT, &string(&"x".repeat(48 * 1024 + 1))),
        sound.of(TEXT, &string("hello")).counting_nothing(),
        share(&[]),
        share(&["../../etc/passwd"]),
        share(&["/etc/passwd"]),
        share(&["a", "a"]),
        share(&["a", "a/b"]),
        share(&["a\0b"]),
        share(&[&"x".repeat(300)]),
        share(&vec!["x"; 65]),
        sound.of(FILE_SHARE, &[&varint(HIGHEST)[..], &[0; 300]].concat()),
        sound.of(FILE_SHARE, &share_body(&[("a", 1)], &["192.0.2.1:9"; 17])),
        sound.of(FILE_SHARE, &share_body(&[("a", 1)], &[&"x".repeat(1025)])),
        receipt(0, ids(1)),
        receipt(3, ids(1)),
        receipt(1, ids(0)),
        receipt(1, ids(257)),
        receipt(1, varint(HIGHEST)),
        sound.of(RECEIPT, &[&[1][..], &ids(1)].concat()),
        sound.of(EDIT, &[9; 15]),
        sound.of(EDIT, &[&[9; 16][..], &string("")].concat()),
        sound.of(DELETE, &[9; 17]),
        sound.of(REACTION, &[9; 47]),
        sound.of(REACTION, &[&[9; 48][..], &string(&"x".repeat(33))].concat()),
        // Presence has a channel of its own.
        sound.of(PRESENCE, &[1, 60, 0, 0]).counting_nothing(),
        sound.of(PRESENCE + 1, b""),
    ]
}

fn frames(sound: &Fields) -> Vec<Fields> {
    let with = |extensions: Vec<u8>| Fields { extensions, ..sound.clone() };
    let two = |first: u64, second: u64| {
        let one = |number| [varint(number), blob(b"")].concat();
        with([varint(2), one(first), one(second)].concat())
    };
    let seq = |seq: &[u8]| Fields { seq: seq.to_vec(), ..sound.clone() };
    let from = |from: &str| Fields { from: string(from), ..sound.clone() };
    vec![
        // Not minimal, too large, without an end.
        seq(&[0x81, 0x00]),
        seq(&varint(HIGHEST + 1)),
        seq(&[0xff; 10]),
        from("not a handle"),
        from("Mallory@dead.example"),
        from("mallory@127.0.0.1"),
        from("mаllory@dead.example"),
        from(&format!("mallory@{}.example", "x".repeat(64))),
        from("@dead.example"),
        Fields { from: blob(&[0xff; 20]), ..sound.clone() },
        Fields { from: varint(HIGHEST), ..sound.clone() },
        Fields { to: string("bob"), ..sound.clone() },
        Fields { body: varint(HIGHEST), ..sound.clone() },
        Fields { body: blob(b"\xff\xff\xff\xff\xff\xff\xff\x0fhello"), ..sound.clone() },
        two(4, 2),
        two(8, 8),
        with(varint(HIGHEST)),
        with([varint(33), (0..33).flat_map(|n| [varint(8 + 2 * n), blob(b"")].concat()).collect()].concat()),
        with(one_extension(2, &[9; 32])),
        with(one_extension(4, &[9; 34])),
        with(one_extension(6, &[9; 47])),
        with(one_extension(6, &[9; 49])),
    ]
}

/// Writes files and addresses, of which anything may be wrong.
fn share_body(files: &[(&str, u64)], addresses: &[&str]) -> Vec<u8> {
    let mut body = varint(files.len() as u64);
    for (path, len) in files {
        body.extend([string(path), string(""), vec![1; 32], vec![2; 32], vec![3; 32], varint(*len)].concat());
    }
    body.extend(varint(addresses.len() as u64));
    addresses.iter().for_each(|address| body.extend(string(address)));
    body
}

fn one_extension(number: u64, value: &[u8]) -> Vec<u8> {
    [varint(1), varint(number), blob(value)].concat()
}

fn string(text: &str) -> Vec<u8> {
    blob(text.as_bytes())
}

fn blob(bytes: &[u8]) -> Vec<u8> {
    [&varint(bytes.len() as u64)[..], bytes].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// What this file writes is what it says: sound payloads are read, the others are refused for their own reason.
#[test]
fn broken_payloads_are_refused_and_odd_ones_are_not() {
    use kez_chat_sdk::{
        handle::Policy,
        payload::{Channel, Content, Payload},
    };
    let read = |bytes: &[u8]| Payload::decode(bytes, Channel::Inbox, Policy::Development);
    let sound = Fields::new("mallory@dead.example", "bob@dead.example");
    for bytes in odd(&sound).iter().chain([&sound.write()]) {
        assert!(
            matches!(read(bytes), Ok(payload) if !matches!(payload.content, Content::Unsupported(_))),
            "{}",
            HEXLOWER.encode(bytes)
        );
    }
    for bytes in broken(&sound) {
        assert!(read(&bytes).is_err(), "{}", HEXLOWER.encode(&bytes));
    }
    assert!(broken(&sound).len() > 100);
}
