//! `envelope.json`: the kinds of messages, good and bad.

use std::slice::from_ref;

use kez_core::Code;
use serde_json::{Value, json};

use super::{
    super::{
        bytes::{concat, plain, repeat},
        case::File,
    },
    payload::{Raw, bad, fields, input, string, varint},
};

const ID: [u8; 16] = [7; 16];
const AUTHOR: [u8; 32] = [9; 32];

/// One shared file as messages, folder lists and manifests write it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) path: &'static str,
    pub(super) media: &'static str,
    pub(super) plain_len: u64,
}

impl Entry {
    pub(super) fn new(path: &'static str) -> Self {
        Self { path, media: "text/plain", plain_len: 70_000 }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [string(self.path), string(self.media), self.tail()].concat()
    }

    /// Returns what follows the texts.
    fn tail(&self) -> Vec<u8> {
        [[3; 32].as_slice(), &[4; 32], &[5; 32], &varint(self.plain_len)].concat()
    }

    pub(super) fn shown(&self) -> Value {
        json!({
            "path": self.path, "media": self.media, "blob_hash": plain([3; 32]), "key": plain([4; 32]),
            "plain_hash": plain([5; 32]), "plain_len": self.plain_len,
        })
    }
}

pub(super) fn list(entries: &[Entry]) -> Vec<u8> {
    [varint(entries.len() as u64), entries.iter().flat_map(Entry::bytes).collect()].concat()
}

pub(super) fn make(file: &mut File) {
    texts(file);
    shares(file);
    receipts(file);
    references(file);
    presence(file);
    addresses(file);
    counted(file);
}

fn good(file: &mut File, name: &str, kind: u64, body: &[u8], content: Value) {
    let (seq, channel) = match kind {
        3 => (0, "inbox"),
        64 => (0, "presence"),
        _ => (1, "inbox"),
    };
    let bytes = plain(Raw::of(kind, seq, body).bytes());
    file.gives(name, "payload.decode", input(bytes, channel), fields(kind, seq, content));
}

fn texts(file: &mut File) {
    good(file, "a text", 1, &string("hi"), json!({"text": "hi"}));
    let odd = "\u{0}\n\u{202e}\u{1f389}e\u{301}";
    good(file, "a text of odd characters", 1, &string(odd), json!({"text": odd}));
    for (name, body, code) in [
        ("an empty text", &[0][..], Code::BadPayload),
        ("a text that is not UTF-8", b"\x01\xff", Code::BadPayload),
        ("a text of an overlong character", b"\x02\xc0\xaf", Code::BadPayload),
        ("a text of a surrogate", b"\x03\xed\xa0\x80", Code::BadPayload),
        ("a text with half a character", b"\x01\xc3", Code::BadPayload),
        ("a text longer than its body", b"\x03hi", Code::Truncated),
        ("a text without its length", b"", Code::Truncated),
        ("a byte after a text", b"\x02hi!", Code::TrailingBytes),
    ] {
        bad(file, name, &Raw::of(1, 1, body), code);
    }
}

fn shares(file: &mut File) {
    let one = Entry::new("a/b.txt");
    let two = Entry { path: "\u{fc}bung/\u{65e5}\u{672c}", media: "", plain_len: 0 };
    let body = [list(&[one.clone(), two.clone()]), vec![0]].concat();
    good(file, "two files", 2, &body, json!({"entries": [one.shown(), two.shown()], "addresses": []}));
    let largest = Entry { plain_len: 1 << 48, ..Entry::new("a") };
    good(
        file,
        "the largest file",
        2,
        &[list(from_ref(&largest)), vec![0]].concat(),
        json!({"entries": [largest.shown()], "addresses": []}),
    );
    let beside = ["a/b", "a!", "a/c", "ab", "A/b", "a/bc/d"].map(Entry::new);
    let shown: Vec<_> = beside.iter().map(Entry::shown).collect();
    good(
        file,
        "paths beside each other",
        2,
        &[list(&beside), vec![0]].concat(),
        json!({"entries": shown, "addresses": []}),
    );

    let mut refused = |name: &str, entries: &[Entry], code| {
        bad(file, name, &Raw::of(2, 1, &[list(entries), vec![0]].concat()), code);
    };
    refused("no file", &[], Code::BadPayload);
    refused("a path twice", &[one.clone(), two.clone(), one.clone()], Code::BadPath);
    refused("a path that is a directory of another", &["a/b/c", "a!", "a/b"].map(Entry::new), Code::BadPath);
    refused("a directory before what lies in it", &["a", "a/b"].map(Entry::new), Code::BadPath);
    refused("a path outside", &[Entry::new("../a")], Code::BadPath);
    refused("an absolute path", &[Entry::new("/a")], Code::BadPath);
    refused("an empty path", &[Entry::new("")], Code::BadPath);
    refused("a bad second path", &[one.clone(), Entry::new("a\\b")], Code::BadPath);
    let media = |media| Entry { media, ..Entry::new("a") };
    refused("a blank in a media type", &[media("text/ plain")], Code::BadPayload);
    refused("a media type that is not ASCII", &[media("t\u{e9}xt")], Code::BadPayload);
    let long: &str = "application/abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-\
                      abcdefghijklmnopqrstuvwxyz-abcdefgh";
    assert_eq!(long.len(), 128);
    refused("a media type of 128 characters", &[media(long)], Code::BadPayload);
    refused("a file that is too large", &[Entry { plain_len: (1 << 48) + 1, ..Entry::new("a") }], Code::TooLarge);
    // The list's paths are compared as soon as the list is read, before the addresses.
    bad(file, "a path twice, and no addresses", &Raw::of(2, 1, &list(&[one.clone(), one.clone()])), Code::BadPath);
    bad(file, "no addresses", &Raw::of(2, 1, &list(from_ref(&one))), Code::Truncated);
    bad(
        file,
        "a byte after a share",
        &Raw::of(2, 1, &[list(from_ref(&one)), vec![0, 0]].concat()),
        Code::TrailingBytes,
    );
    let not_utf8 = [&[1, 1, 0xff, 0], &[0; 97][..], &[0]].concat();
    bad(file, "a path that is not UTF-8", &Raw::of(2, 1, &not_utf8), Code::BadPayload);
    bad(file, "half an entry", &Raw::of(2, 1, &list(from_ref(&one))[..80]), Code::Truncated);
    bad(file, "64 files in ten bytes", &Raw::of(2, 1, &[64, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Code::Truncated);
    let small = |count: u64, bytes: usize| {
        let head = Raw { body: vec![], extensions: vec![], ..Raw::of(2, 1, b"") }.bytes();
        let body = [varint(bytes as u64 + 2), varint(count)].concat();
        input(concat(&[plain(head), plain(body), repeat(&[0], bytes + 1), json!("00")]), "inbox")
    };
    file.refused("65 files", "payload.decode", small(65, 65 * 99), Code::BadPayload);
    file.refused("64 files without paths", "payload.decode", small(64, 64 * 99), Code::BadPath);
    file.refused("65 files, one byte short", "payload.decode", small(65, 65 * 99 - 2), Code::Truncated);
}

fn receipts(file: &mut File) {
    let receipt = |status: u8, count: u64, ids: usize| {
        Raw::of(3, 0, &[vec![status], varint(count), [7; 16].repeat(ids)].concat())
    };
    let ids = vec![plain(ID); 2];
    let body = [&[1, 2][..], &ID, &ID].concat();
    good(file, "delivered", 3, &body, json!({"status": "delivered", "ids": ids}));
    let body = [&[2, 1][..], &ID].concat();
    good(file, "read", 3, &body, json!({"status": "read", "ids": ids[..1]}));
    for (name, raw, code) in [
        ("status 0", receipt(0, 1, 1), Code::BadPayload),
        ("status 3", receipt(3, 1, 1), Code::BadPayload),
        ("a receipt for nothing", receipt(1, 0, 0), Code::BadPayload),
        ("a receipt for 257 messages in few bytes", receipt(1, 257, 1), Code::Truncated),
        ("a receipt for one message fewer", receipt(1, 1, 2), Code::TrailingBytes),
        ("a receipt for one message more", receipt(1, 2, 1), Code::Truncated),
        ("status 3 without messages", Raw::of(3, 0, &[3]), Code::BadPayload),
    ] {
        bad(file, name, &raw, code);
    }
    let many = |count: u64| {
        let (head, bytes) = (Raw { body: vec![], extensions: vec![], ..Raw::of(3, 0, b"") }.bytes(), count * 16);
        let start = [varint(bytes + 4), vec![1], varint(count)].concat();
        input(
            concat(&[plain(head), plain(start), repeat(&[7], usize::try_from(bytes).unwrap()), json!("0000")]),
            "inbox",
        )
    };
    // The byte left over shows that 256 are not too many.
    file.refused("a receipt for 256 messages and a byte", "payload.decode", many(256), Code::TrailingBytes);
    file.refused("a receipt for 257 messages", "payload.decode", many(257), Code::BadPayload);
}

fn references(file: &mut File) {
    let edit = |text: &str| [&ID[..], &string(text)].concat();
    good(file, "an edit", 4, &edit("better"), json!({"id": plain(ID), "text": "better"}));
    bad(file, "an edit to nothing", &Raw::of(4, 1, &edit("")), Code::BadPayload);
    bad(file, "an edit without a text", &Raw::of(4, 1, &ID), Code::Truncated);
    bad(file, "a byte after an edit", &Raw::of(4, 1, &[&edit("a")[..], &[0]].concat()), Code::TrailingBytes);
    good(file, "a deletion", 5, &ID, json!({"id": plain(ID)}));
    bad(file, "a deletion of half a message", &Raw::of(5, 1, &ID[..8]), Code::Truncated);
    bad(file, "a deletion of two messages", &Raw::of(5, 1, &[ID, ID].concat()), Code::TrailingBytes);
    let reaction = |emoji: &str| [&AUTHOR[..], &ID, &string(emoji)].concat();
    let target = |emoji: &str| json!({"author": plain(AUTHOR), "id": plain(ID), "emoji": emoji});
    for (name, emoji) in [
        ("a reaction", "\u{1f389}"),
        ("a reaction taken back", ""),
        ("a reaction of 32 bytes", "\u{1f389}\u{1f389}\u{1f389}\u{1f389}\u{1f389}\u{1f389}\u{1f389}\u{1f389}"),
    ] {
        good(file, name, 6, &reaction(emoji), target(emoji));
    }
    // An author names a row and is never used as a key.
    let body = [&[0; 32][..], &ID, &string("+")].concat();
    good(
        file,
        "a reaction to no sound key",
        6,
        &body,
        json!({"author": plain([0; 32]), "id": plain(ID), "emoji": "+"}),
    );
    bad(file, "a reaction of 33 bytes", &Raw::of(6, 1, &reaction(&"+".repeat(33))), Code::BadPayload);
    bad(file, "a reaction without an emoji", &Raw::of(6, 1, &reaction("")[..48]), Code::Truncated);
    bad(file, "a byte after a reaction", &Raw::of(6, 1, &[&reaction("+")[..], &[0]].concat()), Code::TrailingBytes);
}

fn presence(file: &mut File) {
    let body = |state: u8, ttl_s: u64, flags: u8| [vec![state], varint(ttl_s), vec![flags, 0]].concat();
    let shown = |state: &str, ttl_s: u64, answer: bool| json!({"state": state, "ttl_s": ttl_s, "answer": answer, "addresses": []});
    good(file, "gone", 64, &body(0, 0, 0), shown("off", 0, false));
    good(file, "here", 64, &body(1, 150, 1), shown("online", 150, true));
    good(file, "away", 64, &body(2, 600, 0), shown("away", 600, false));
    for (name, body, code) in [
        ("state 3", body(3, 150, 0), Code::BadPayload),
        ("601 seconds", body(1, 601, 0), Code::BadPayload),
        ("flag 2", body(1, 150, 2), Code::BadPayload),
        ("flag 129", body(1, 150, 129), Code::BadPayload),
        ("presence without addresses", body(1, 150, 0)[..4].to_vec(), Code::Truncated),
        ("a byte after presence", [body(1, 150, 0), vec![0]].concat(), Code::TrailingBytes),
        ("seconds in three bytes", vec![1, 0x96, 0x81, 0, 0, 0], Code::BadVarint),
    ] {
        let bytes = plain(Raw::of(64, 0, &body).bytes());
        file.refused(name, "payload.decode", input(bytes, "presence"), code);
    }
}

fn addresses(file: &mut File) {
    let body = |count: usize, texts: &[&str]| {
        let texts = texts.iter().flat_map(|text| string(text));
        [vec![1], varint(150), vec![0], varint(count as u64), texts.collect()].concat()
    };
    let known = [
        "192.0.2.1:4433",
        "0.0.0.0:1",
        "[2001:db8::1]:65535",
        "[::1]:1",
        "[::]:1",
        "[2001:db8:0:1:1:1:1:1]:1",
        "[64:ff9b::c000:201]:1",
        "https://relay.example/",
        "https://r",
    ];
    let other = [
        "",
        "192.0.2.1",
        "192.0.2.1:0",
        "192.0.2.1:04433",
        "192.0.2.1:65536",
        "192.0.02.1:1",
        "192.0.2:1",
        "3221225985:1",
        "2001:db8::1:1",
        "[2001:DB8::1]:1",
        "[2001:db8:0::1]:1",
        "[2001:db8::0.0.0.1]:1",
        "[2001:db8::1:1:1:1:1]:1",
        "[fe80::1%1]:1",
        "[::ffff:192.0.2.1]:1",
        "[::ffff:c000:201]:1",
        "relay.example:1",
        "http://relay.example/",
        "https://",
        "HTTPS://relay.example/",
        "https://a b",
        "https://b\u{fc}cher.example/",
        " 192.0.2.1:1",
        "192.0.2.1:+1",
        "\u{661}92.0.2.1:1",
    ];
    let shown = |addresses: &[&str]| json!({"state": "online", "ttl_s": 150, "answer": false, "addresses": addresses});
    good(file, "addresses", 64, &body(known.len(), &known), shown(&known));
    for (part, skipped) in other.chunks(13).enumerate() {
        let name = format!("addresses of other forms, {}", part + 1);
        let mixed = [&["192.0.2.9:9"], skipped].concat();
        good(file, &name, 64, &body(mixed.len(), &mixed), shown(&["192.0.2.9:9"]));
    }
    good(file, "16 addresses", 64, &body(16, &[""; 16]), shown(&[]));
    let (longest, too_long) = (format!("https://{}", "a".repeat(1016)), format!("https://{}", "a".repeat(1017)));
    good(file, "an address of 1,024 bytes", 64, &body(1, &[&longest]), shown(&[&longest]));
    for (name, body, code) in [
        ("17 addresses", body(17, &[""; 17]), Code::BadPayload),
        ("an address of 1,025 bytes", body(1, &[&too_long]), Code::BadPayload),
        ("two addresses, one there", body(2, &["a"; 1])[..5].to_vec(), Code::Truncated),
        ("17 addresses that nothing backs", body(17, &[]), Code::Truncated),
        ("an address that is not UTF-8", [body(1, &[]), vec![1, 0xff]].concat(), Code::BadPayload),
    ] {
        let bytes = plain(Raw::of(64, 0, &body).bytes());
        file.refused(name, "payload.decode", input(bytes, "presence"), code);
    }
}

fn counted(file: &mut File) {
    let bodies: [(u64, Vec<u8>); 5] = [
        (1, string("hi")),
        (2, [list(&[Entry::new("a")]), vec![0]].concat()),
        (4, [&ID[..], &string("a")].concat()),
        (5, ID.to_vec()),
        (6, [&AUTHOR[..], &ID, &string("+")].concat()),
    ];
    for (kind, body) in bodies {
        bad(file, &format!("kind {kind} that is not counted"), &Raw::of(kind, 0, &body), Code::BadPayload);
    }
    bad(file, "a receipt that is counted", &Raw::of(3, 1, &[&[1, 1][..], &ID].concat()), Code::BadPayload);
    let bytes = plain(Raw::of(64, 1, &[1, 0, 0, 0]).bytes());
    file.refused("presence that is counted", "payload.decode", input(bytes, "presence"), Code::BadPayload);
    bad(file, "not counted, and empty", &Raw::of(1, 0, &[2, b'h']), Code::Truncated);
}
