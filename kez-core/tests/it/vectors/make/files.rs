//! `files.json`: blobs, paths and folder lists.

use kez_core::Code;
use serde_json::{Value, json};

use super::{
    super::{
        bytes::{bytes, concat, part, plain, repeat, sealed},
        case::File,
        check,
        forge::segment,
    },
    contents::{Entry, list},
    payload::varint,
};

const KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [8; 32];
const SEGMENT: usize = 65_536;
/// A segment with its tag.
const SEALED: usize = SEGMENT + 16;

pub(in super::super) fn make() -> File {
    let mut file = File::new("Files, paths and folder lists (PROTOCOL.md 7, 9).", check::files::run);
    seals(&mut file);
    opens(&mut file);
    wrong_segments(&mut file);
    wrong_lengths(&mut file);
    parts(&mut file);
    blob_lengths(&mut file);
    paths(&mut file);
    folders(&mut file);
    file
}

/// Returns a content whose segments all differ.
fn content(len: usize) -> Value {
    repeat(&[0, 1, 2, 3, 4, 5, 6], len)
}

fn seals(file: &mut File) {
    file.gives(
        "the example of §9",
        "file.seal",
        json!({"key": plain(KEY), "plain": plain("hello world")}),
        json!({
            "blob_len": 27,
            "blob_hash": "28d00eb1ad17629564f761c41febc7a14536070859d9c8dfca3a1b8f142617d6",
            "plain_hash": "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24",
            "blob": "81723f7aa94d112bb0e81d40cf1517722fd76ec2ed5bcec4a3cc9c",
        }),
    );
    let empty = file.outputs("an empty file", "file.seal", &json!({"key": plain(KEY), "plain": ""}));
    assert_eq!(empty["blob"], "de8c724b49f9349d2f022c9a6380ee9f", "the example of §9");
    for len in [0, 1, 984, 985, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 5] {
        let input = json!({"key": plain(KEY), "plain": content(len)});
        file.ok(&format!("a file of {len} bytes is sealed"), "file.seal", input);
    }
}

fn input(key: [u8; 32], len: usize, blob: Value) -> Value {
    let hash = blake3::hash(&bytes(&content(len)));
    json!({"key": plain(key), "plain_len": len, "plain_hash": plain(hash.as_bytes()), "blob": blob})
}

fn streamed(key: [u8; 32], len: usize, blob: Value) -> Value {
    let mut input = input(key, len, blob);
    input["streamed"] = json!(true);
    input
}

fn blob(len: usize) -> Value {
    sealed(&KEY, &content(len))
}

/// Returns the sealed segment at an index of a file of a length.
fn piece(len: usize, index: usize) -> Value {
    part(&blob(len), index * SEALED, ((index + 1) * SEALED).min(len + 16 * len.div_ceil(SEGMENT)))
}

fn flipped(len: usize, at: usize) -> Value {
    let byte = bytes(&blob(len))[at] ^ 1;
    let end = len + 16 * len.div_ceil(SEGMENT).max(1);
    concat(&[part(&blob(len), 0, at), plain([byte]), part(&blob(len), at + 1, end)])
}

fn opens(file: &mut File) {
    for len in [0, 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 5] {
        file.passes(&format!("a file of {len} bytes is opened"), "file.open", input(KEY, len, blob(len)));
    }
    let len = 2 * SEGMENT + 5;
    file.passes("a file is opened as it comes", "file.open", streamed(KEY, len, blob(len)));
    let mut other = input(KEY, 11, blob(11));
    other["plain_hash"] = plain([0; 32]);
    file.refused("another file", "file.open", other, Code::BadHash);
    let zeros = sealed(&KEY, &repeat(&[0], 11));
    file.refused("another content under the key", "file.open", input(KEY, 11, zeros), Code::BadHash);
}

fn wrong_segments(file: &mut File) {
    let mut bad = |name: &str, input: Value| file.refused(name, "file.open", input, Code::BadSegment);
    let len = 3 * SEGMENT;
    bad("another key", input(OTHER_KEY, 11, blob(11)));
    bad("another key, and no content", input(OTHER_KEY, 0, blob(0)));
    bad("a flipped bit in the only segment", input(KEY, 11, flipped(11, 0)));
    bad("a flipped bit in the only tag", input(KEY, 11, flipped(11, 26)));
    bad("a flipped bit in the first segment", input(KEY, len, flipped(len, 100)));
    bad("a flipped bit in the first tag", input(KEY, len, flipped(len, SEGMENT)));
    bad("a flipped bit in the last segment", input(KEY, len, flipped(len, 2 * SEALED + 7)));
    bad("a flipped bit in the last tag", input(KEY, len, flipped(len, 3 * SEALED - 1)));
    let [first, second, third] = [0, 1, 2].map(|index| piece(len, index));
    bad("two segments swapped", input(KEY, len, concat(&[second.clone(), first.clone(), third.clone()])));
    bad("the last segment moved", input(KEY, len, concat(&[first.clone(), third.clone(), second.clone()])));
    bad("a segment repeated", input(KEY, len, concat(&[first.clone(), first.clone(), third.clone()])));
    bad("a segment left out", input(KEY, 2 * SEGMENT, concat(&[first.clone(), third.clone()])));
    bad(
        "the last segment left out, and the length with it",
        input(KEY, 2 * SEGMENT, concat(&[first.clone(), second.clone()])),
    );
    bad("the last segment not sealed as the last", input(KEY, SEGMENT, first.clone()));
    bad("a segment sealed as the last before the end", input(KEY, len, concat(&[piece(SEGMENT, 0), second, third])));
    // What a sealer makes that ends every exact multiple with an empty segment.
    let empty = plain(segment(&KEY, 1, true, b""));
    bad("an exact multiple that ends in an empty segment", streamed(KEY, SEGMENT, concat(&[first, empty])));
    bad("an empty segment not sealed as the last", input(KEY, 0, plain(segment(&KEY, 0, false, b""))));
    bad("a segment of another index", input(KEY, 3, plain(segment(&KEY, 1, true, &[0, 1, 2]))));
    bad("a plain content", input(KEY, 11, concat(&[plain(b"hello world"), plain([0; 16])])));
    bad("a segment without content", input(KEY, 11, repeat(&[0], 27)));
}

fn wrong_lengths(file: &mut File) {
    let len = SEGMENT + 5;
    let cut = |blob_len: usize| part(&blob(len), 0, blob_len);
    let whole = len + 32;
    let longer = |tail: Value| concat(&[blob(len), tail]);
    for (name, blob) in [
        ("no blob", json!("")),
        ("one byte short", cut(whole - 1)),
        ("cut between segments", cut(SEALED)),
        ("a byte more", longer(json!("00"))),
        ("the last segment twice", longer(piece(len, 1))),
    ] {
        file.refused(&format!("{name}, seen by the length"), "file.open", input(KEY, len, blob), Code::BadLength);
    }
    let exact = concat(&[piece(SEGMENT + 1, 0), plain(segment(&KEY, 1, true, b""))]);
    file.refused("an empty segment more", "file.open", input(KEY, SEGMENT, exact), Code::BadLength);
    file.refused("no blob of an empty file", "file.open", input(KEY, 0, json!("")), Code::BadLength);
    for (name, blob) in [
        ("nothing", json!("")),
        ("cut in the first segment", cut(100)),
        ("cut between segments", cut(SEALED)),
        ("cut in the last segment", cut(SEALED + 3)),
        ("cut by one byte", cut(whole - 1)),
    ] {
        file.refused(&format!("{name}, seen at the end"), "file.open", streamed(KEY, len, blob), Code::Truncated);
    }
    file.refused("no end of an empty file", "file.open", streamed(KEY, 0, json!("00")), Code::Truncated);
    for (name, tail) in [("a byte", json!("00")), ("a segment", piece(len, 1)), ("a whole blob", blob(len))] {
        let input = streamed(KEY, len, longer(tail));
        file.refused(&format!("{name} after the end"), "file.open", input, Code::TrailingBytes);
    }
    let mut both = streamed(KEY, len, longer(json!("00")));
    both["plain_hash"] = plain([0; 32]);
    file.refused("a byte after the end of another file", "file.open", both, Code::TrailingBytes);
    let mut huge = input(KEY, 0, json!(""));
    huge["plain_len"] = json!((1_u64 << 48) + 1);
    file.refused("a file that is too large", "file.open", huge, Code::TooLarge);
}

fn parts(file: &mut File) {
    let whole = 3 * SEGMENT + 5;
    let input = |blob: Value, offset: u64, len: u64| json!({"key": plain(KEY), "plain_len": whole, "blob": blob, "offset": offset, "len": len});
    let plain_bytes = bytes(&content(whole));
    for (name, offset, len) in [
        ("the whole", 0, whole),
        ("the first byte", 0, 1),
        ("the last byte", whole - 1, 1),
        ("a part of the first segment", 100, 200),
        ("the first segment", 0, SEGMENT),
        ("the second segment", SEGMENT, SEGMENT),
        ("the last segment", 3 * SEGMENT, 5),
        ("the last byte of a segment", SEGMENT - 1, 1),
        ("the first byte of a segment", 2 * SEGMENT, 1),
        ("two bytes of two segments", SEGMENT - 1, 2),
        ("a part over all segments", 1, whole - 2),
        ("a part up to the end", 2 * SEGMENT + 9, SEGMENT - 4),
        ("nothing at the beginning", 0, 0),
        ("nothing in the middle", SEGMENT, 0),
        ("nothing at the end", whole, 0),
    ] {
        let out = json!({"plain_hash": plain(blake3::hash(&plain_bytes[offset..offset + len]).as_bytes())});
        file.gives(name, "file.open_at", input(blob(whole), offset as u64, len as u64), out);
    }
    let end = whole as u64;
    for (name, offset, len) in [
        ("a part beyond the end", end - 5, 6),
        ("a part behind the end", end + 1, 1),
        ("a byte at the end", end, 1),
        ("nothing behind the end", end + 1, 0),
        ("a part longer than all numbers", u64::MAX, u64::MAX),
    ] {
        file.refused(name, "file.open_at", input(blob(whole), offset, len), Code::BadLength);
    }
    let sealed_len = whole + 4 * 16;
    let [first, second, third, last] = [0, 1, 2, 3].map(|index| piece(whole, index));
    let swapped = concat(&[first.clone(), third.clone(), second.clone(), last.clone()]);
    let repeated = concat(&[first.clone(), first, third, last]);
    let bad_tag = flipped(whole, 2 * SEALED - 1);
    let segment = SEGMENT as u64;
    for (name, blob, offset) in [
        ("a part of a changed segment", bad_tag.clone(), segment),
        ("a part of a segment that was moved", swapped.clone(), segment + 7),
        ("a part of a segment that was repeated", repeated, segment),
        ("a part of the last segment, changed", flipped(whole, sealed_len - 1), 3 * segment),
    ] {
        file.refused(name, "file.open_at", input(blob, offset, 1), Code::BadSegment);
    }
    let mut other_key = input(blob(whole), 0, 1);
    other_key["key"] = plain(OTHER_KEY);
    file.refused("a part under another key", "file.open_at", other_key, Code::BadSegment);
    // Only the segments that a part lies in are looked at.
    for (name, blob, offset) in
        [("beside a changed segment", bad_tag, 2 * segment), ("beside moved segments", swapped, 0)]
    {
        let at = usize::try_from(offset).unwrap();
        let out = json!({"plain_hash": plain(blake3::hash(&plain_bytes[at..at + 9]).as_bytes())});
        file.gives(&format!("a part {name}"), "file.open_at", input(blob, offset, 9), out);
    }
    let mut huge = input(json!(""), 0, 0);
    huge["plain_len"] = json!((1_u64 << 48) + 1);
    file.refused("a part of a file that is too large", "file.open_at", huge, Code::TooLarge);
}

fn blob_lengths(file: &mut File) {
    let segment = SEGMENT as u64;
    for (plain_len, blob_len) in [
        (0, 16),
        (1, 17),
        (segment, segment + 16),
        (segment + 1, segment + 33),
        (2 * segment, 2 * segment + 32),
        (1 << 48, (1 << 48) + (16 << 32)),
    ] {
        let name = format!("the blob of {plain_len} bytes");
        file.gives(&name, "blob.len", json!({"plain_len": plain_len}), json!({"blob_len": blob_len}));
    }
    for plain_len in [(1_u64 << 48) + 1, (1 << 53) - 1] {
        let name = format!("the blob of {plain_len} bytes");
        file.refused(&name, "blob.len", json!({"plain_len": plain_len}), Code::TooLarge);
    }
}

fn paths(file: &mut File) {
    let (part, whole) = ("a".repeat(255), "ab/".repeat(341) + "a");
    for path in [
        "a",
        "report.pdf",
        "a/b/c",
        "...",
        "..a",
        "a..",
        ".hidden",
        "a b",
        " a",
        "a:b",
        "con",
        "a*?\"<>|",
        "\u{2026}",
        "\u{fc}bung/\u{65e5}\u{672c}.txt",
        "u\u{308}bung",
        "\u{1f389}",
        "a\u{a0}b",
        "a\u{ad}b",
        "a\u{2010}b",
        "a\u{2070}b",
        "a\u{2029f}b",
    ] {
        file.passes(&format!("the path {path:?}"), "path.parse", json!({"path": path}));
    }
    for (name, path) in [("a part of 255 bytes", &part), ("a path of 1,024 bytes", &whole)] {
        file.passes(name, "path.parse", json!({"path": path}));
    }
    for path in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "./a",
        "a/.",
        "a/../b",
        "a\\b",
        "\\a",
        "a\0",
        "a\nb",
        "a\tb",
        "a\u{1b}b",
        "a\u{7f}b",
        "a\u{85}b",
        "a\u{9f}",
        "a\u{61c}b",
        "\u{200b}a",
        "a\u{200e}",
        "a\u{200f}b",
        "a\u{2028}b",
        "a\u{2029}b",
        "a\u{202a}b",
        "a\u{202e}b",
        "a\u{2060}b",
        "a\u{2065}b",
        "a\u{2066}b",
        "a\u{2069}b",
        "\u{feff}a",
    ] {
        file.refused(&format!("the path {path:?}"), "path.parse", json!({"path": path}), Code::BadPath);
    }
    let wide = "\u{fc}".repeat(128);
    for (name, path) in [
        ("a part of 256 bytes", format!("{part}a")),
        ("a part of 256 bytes in 128 characters", format!("a/{wide}")),
        ("a path of 1,025 bytes", format!("{whole}b")),
    ] {
        file.refused(name, "path.parse", json!({"path": path}), Code::BadPath);
    }
}

fn folders(file: &mut File) {
    let entries = ["a/b", "a/c", "b"].map(Entry::new);
    let shown: Vec<_> = entries.iter().map(Entry::shown).collect();
    let input = |bytes: &[u8]| json!({"bytes": plain(bytes)});
    file.gives("a folder list", "folder.decode", input(&list(&entries)), json!({"entries": shown}));
    file.gives("an empty folder list", "folder.decode", input(&[0]), json!({"entries": []}));
    let folder = Entry { media: "application/vnd.kez.folder", ..Entry::new("d") };
    let good = list(&entries);
    for (name, bytes, code) in [
        ("no bytes of a list", vec![], Code::Truncated),
        ("a list cut short", good[..good.len() - 1].to_vec(), Code::Truncated),
        ("a byte after a list", [&good[..], &[0]].concat(), Code::TrailingBytes),
        ("a list's number in two bytes", [&[0x83, 0], &good[1..]].concat(), Code::BadVarint),
        ("a list that nothing backs", varint(100_000), Code::Truncated),
        ("a list of 2^53 − 1 files", varint((1 << 53) - 1), Code::Truncated),
        ("a folder in a folder", list(&[Entry::new("a"), folder.clone()]), Code::BadPayload),
        ("a folder in a folder, before a path outside", list(&[folder, Entry::new("../b")]), Code::BadPayload),
        ("a path twice in a list", list(&["a", "b", "a"].map(Entry::new)), Code::BadPath),
        (
            "a path twice in a list, and a byte after it",
            [list(&["a", "a"].map(Entry::new)), vec![0]].concat(),
            Code::BadPath,
        ),
        ("a path in a list that is not UTF-8", [&[1, 1, 0xff, 0], &[0; 97][..]].concat(), Code::BadPayload),
        ("a directory in a list", list(&["a/b", "a"].map(Entry::new)), Code::BadPath),
        ("a path outside a list", list(&["a", "../b"].map(Entry::new)), Code::BadPath),
        ("a large file in a list", list(&[Entry { plain_len: (1 << 48) + 1, ..Entry::new("a") }]), Code::TooLarge),
        ("a media type with a blank in a list", list(&[Entry { media: "a b", ..Entry::new("a") }]), Code::BadPayload),
    ] {
        file.refused(name, "folder.decode", input(&bytes), code);
    }
    // Structure first: what nothing backs is cut, however many it promises.
    let many = |count: u64, bytes: usize| json!({"bytes": concat(&[plain(varint(count)), repeat(&[0], bytes)])});
    file.refused("100,001 files", "folder.decode", many(100_001, 100_001 * 99), Code::BadPayload);
    file.refused("100,001 files, one byte short", "folder.decode", many(100_001, 100_001 * 99 - 1), Code::Truncated);
}
