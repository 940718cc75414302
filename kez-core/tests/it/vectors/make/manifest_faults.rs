//! `manifest.json`: what refuses a manifest, or an entry of it.

use kez_core::Code;
use serde_json::json;

use super::{
    super::{
        bytes::{bytes, concat, plain, repeat},
        case::File,
        forge::{
            keys::{ALICE, BOB, CAROL, mixed_order, p_plus, primary},
            manifest::{ENTRY_KEY, Head, details, entry, pair, place, public_entry},
        },
    },
    contents::Entry,
    manifest::{ID, content, details_of, for_bob, for_everyone, input, manifest, pad},
    payload::varint,
};

pub(super) fn make(file: &mut File) {
    published(file);
    heads(file);
    structures(file);
    sealed(file);
    paddings(file);
    contents(file);
}

/// Adds the case of a manifest that Bob is refused.
fn bad(file: &mut File, name: &str, manifest: &[u8], code: Code) {
    file.refused(name, "manifest.read", input(manifest, BOB, None), code);
}

fn good() -> Vec<u8> {
    manifest(&[for_bob(ID, &pad(&content(&Entry::new("a"))))])
}

fn published(file: &mut File) {
    let with = |member: &str, value| {
        let mut input = input(&good(), BOB, None);
        input[member] = value;
        input
    };
    for (name, input) in [
        ("another hash", with("hash", plain([0; 32]))),
        ("another owner", with("owner", json!(primary(CAROL)))),
        ("an older version", with("version", json!(2))),
        ("a newer version", with("version", json!(0))),
    ] {
        file.refused(name, "manifest.read", input, Code::BadManifest);
    }
    let mut flipped = input(&good(), BOB, None);
    let mut bytes = good();
    *bytes.last_mut().unwrap() ^= 1;
    flipped["manifest"] = plain(bytes);
    file.refused("a flipped bit", "manifest.read", flipped, Code::BadManifest);
}

fn heads(file: &mut File) {
    let rest = &good()[Head::new(1).bytes().len()..];
    let with = |head: Head| [&head.bytes(), rest].concat();
    for (name, head, code) in [
        ("another beginning", Head { magic: b"KEZm", ..Head::new(1) }, Code::BadManifest),
        ("another beginning and version", Head { magic: b"KEZ1", format: 2, ..Head::new(1) }, Code::BadManifest),
        ("format 0", Head { format: 0, ..Head::new(1) }, Code::BadVersion),
        ("format 2", Head { format: 2, ..Head::new(1) }, Code::BadVersion),
        ("format 2 of an unsound owner", Head { format: 2, owner: [0; 32], ..Head::new(1) }, Code::BadVersion),
        ("an owner of mixed order", Head { owner: mixed_order(ALICE), ..Head::new(1) }, Code::BadKey),
        ("an owner that is not canonical", Head { owner: p_plus(1), ..Head::new(1) }, Code::BadKey),
        ("an unsound owner of another version", Head { owner: [0; 32], version: 2, ..Head::new(1) }, Code::BadKey),
        ("another owner inside", Head { owner: *primary(CAROL).as_bytes(), ..Head::new(1) }, Code::BadManifest),
        ("another version inside", Head { version: 2, ..Head::new(1) }, Code::BadManifest),
        ("a version in the upper bytes", Head { version: 1 | 1 << 32, ..Head::new(1) }, Code::BadManifest),
        ("one entry too few", Head::new(0), Code::TrailingBytes),
        ("one entry too many", Head::new(2), Code::Truncated),
        ("100,001 entries that nothing backs", Head::new(100_001), Code::Truncated),
        ("2^32 − 1 entries", Head::new(u32::MAX), Code::Truncated),
    ] {
        bad(file, name, &with(head), code);
    }
    let many = concat(&[plain(Head::new(100_001).bytes()), repeat(&[0], 100_001 * 23)]);
    let mut too_many = input(b"", BOB, None);
    too_many["hash"] = plain(blake3::hash(&bytes(&many)).as_bytes());
    too_many["manifest"] = many;
    file.refused("100,001 entries", "manifest.read", too_many, Code::BadManifest);
    bad(file, "no manifest", b"", Code::Truncated);
    bad(file, "three bytes", b"KEZ", Code::Truncated);
    bad(file, "a beginning alone", b"KEZM", Code::Truncated);
    bad(file, "another beginning alone", b"KEZN", Code::BadManifest);
    let head = Head::new(0).bytes();
    for (name, len) in [("owner", 20), ("version", 40), ("salt", 60), ("number of entries", 80)] {
        bad(file, &format!("cut in the {name}"), &head[..len], Code::Truncated);
    }
}

fn structures(file: &mut File) {
    let sealed = [0x41; 272];
    let wrap = |tag: u8| [tag; 64].to_vec();
    let one = |entry: Vec<u8>| manifest(&[entry]);
    let with = |at: usize, bytes: &[u8]| {
        let mut entry = entry(ID, &[wrap(1)], &sealed);
        entry[at..at + bytes.len()].copy_from_slice(bytes);
        one(entry)
    };
    let (flags, count, length) = (16, 17, 17 + 2 + 64);
    let pairs = |tags: &[u8]| one(entry(ID, &tags.iter().map(|tag| wrap(*tag)).collect::<Vec<_>>(), &sealed));
    let long = |len: usize| one(entry(ID, &[wrap(1)], &vec![0; len]));
    for (name, bytes, code) in [
        ("flags 2", with(flags, &[2]), Code::BadManifest),
        ("flags 0x81", with(flags, &[0x81]), Code::BadManifest),
        ("no readers at all", one([&ID[..], &[0, 0, 0], &272_u32.to_le_bytes(), &sealed].concat()), Code::BadManifest),
        ("three pairs", pairs(&[1, 2, 3]), Code::BadManifest),
        ("tags that fall", pairs(&[2, 1]), Code::BadManifest),
        ("a tag twice", pairs(&[1, 1]), Code::BadManifest),
        ("three pairs that nothing backs", with(count, &[200, 0]), Code::Truncated),
        ("32,768 pairs that nothing backs", with(count, &[0, 0x80]), Code::Truncated),
        ("65,535 pairs that nothing backs", with(count, &[0xff, 0xff]), Code::Truncated),
        ("details of no length", with(length, &[0, 0]), Code::BadManifest),
        ("details of 16 bytes", long(16), Code::BadManifest),
        ("details of 256 bytes", long(256), Code::BadManifest),
        ("details of 271 bytes", with(length, &[0x0f, 1]), Code::BadManifest),
        ("details of 273 bytes", long(273), Code::BadManifest),
        ("details of 4,368 bytes", long(4_368), Code::BadManifest),
        ("details of 528 bytes that nothing backs", with(length, &[0x10, 2]), Code::Truncated),
        ("details of 273 bytes that nothing backs", with(length, &[0x11, 1]), Code::Truncated),
        ("details of 2^32 − 1 bytes", with(length, &[0xff; 4]), Code::Truncated),
        ("a byte left over in a manifest", [good(), vec![0]].concat(), Code::TrailingBytes),
        ("a manifest cut short", good()[..good().len() - 1].to_vec(), Code::Truncated),
        ("cut after the flags", good()[..81 + 17].to_vec(), Code::Truncated),
    ] {
        bad(file, name, &bytes, code);
    }
    let twice = manifest(&[
        entry(ID, &[wrap(1)], &sealed),
        entry([6; 16], &[wrap(1)], &sealed),
        entry(ID, &[wrap(2)], &sealed),
    ]);
    bad(file, "an id three entries hold twice", &twice, Code::DuplicateId);
    let second_bad =
        manifest(&[for_bob(ID, &pad(&content(&Entry::new("a")))), entry([6; 16], &[wrap(2), wrap(1)], &sealed)]);
    bad(file, "one bad entry refuses all", &second_bad, Code::BadManifest);
    let widest = manifest(&[entry(ID, &[wrap(1)], &[0x41; 4_112])]);
    file.gives(
        "details of 4,112 bytes for somebody else",
        "manifest.read",
        input(&widest, BOB, None),
        json!({"entries": []}),
    );
}

fn sealed(file: &mut File) {
    let (here, padded) = (place(1, ID), pad(&content(&Entry::new("a"))));
    let pair_at = |place: &[u8], key: &[u8; 32]| pair(&primary(BOB), ID, key, place);
    let good_pair = pair_at(&here, &ENTRY_KEY);
    let good_details = details(ID, &padded, &here, 0);
    let mut torn = good_pair.clone();
    torn[63] ^= 1;
    let mut damaged = good_details.clone();
    damaged[0] ^= 1;
    let elsewhere = place(1, [6; 16]);
    for (name, pairs, details) in [
        ("a pair that does not decrypt", torn.clone(), good_details.clone()),
        ("a pair of another version", pair_at(&place(2, ID), &ENTRY_KEY), good_details.clone()),
        ("a pair of another entry", pair_at(&elsewhere, &ENTRY_KEY), good_details.clone()),
        ("another entry key", pair_at(&here, &[7; 32]), good_details.clone()),
        ("details that do not decrypt", good_pair.clone(), damaged.clone()),
        ("details of another version", good_pair.clone(), details(ID, &padded, &place(2, ID), 0)),
        ("details of another entry", good_pair.clone(), details(ID, &padded, &elsewhere, 0)),
        ("details of a public entry", good_pair.clone(), details(ID, &padded, &here, 1)),
    ] {
        let manifest = manifest(&[entry(ID, &[pairs], &details)]);
        bad(file, name, &manifest, Code::BadManifest);
    }
    // With another salt or tag the entry is nobody's that is known; who can read it without a pair notices.
    let flipped = |manifest: &[u8], at: usize| {
        let mut manifest = manifest.to_vec();
        manifest[at] ^= 1;
        manifest
    };
    let (salt, head) = (4 + 1 + 32 + 8, Head::new(1).bytes().len());
    for (name, at) in [("a flipped bit of the salt", salt), ("a flipped bit of a tag", head + 16 + 1 + 2)] {
        let input = input(&flipped(&good(), at), BOB, Some(ID));
        file.refused(name, "manifest.read", input, Code::NotAReader);
    }
    let public_salt = flipped(&manifest(&[for_everyone(ID, &padded)]), salt);
    bad(file, "a flipped bit of a public manifest's salt", &public_salt, Code::BadManifest);
    let public = manifest(&[public_entry(ID, &good_details)]);
    bad(file, "a public entry sealed for readers", &public, Code::BadManifest);
    let torn = manifest(&[entry(ID, &[torn], &good_details)]);
    file.refused("a damaged pair, asked for", "manifest.read", input(&torn, BOB, Some(ID)), Code::BadManifest);
    // Whoever is not a reader does not notice.
    file.gives("a damaged pair of somebody else", "manifest.read", input(&torn, CAROL, None), json!({"entries": []}));
    let mixed = manifest(&[entry(ID, &[good_pair], &damaged), for_bob([6; 16], &padded)]);
    let out = json!({"entries": [{"id": plain([6; 16]), "details": details_of(&Entry::new("a"))}]});
    file.gives("one's own entry beside a damaged one", "manifest.read", input(&mixed, BOB, Some([6; 16])), out);
    bad(file, "a listing with a damaged entry", &mixed, Code::BadManifest);
    // A listing judges entries where they stand, not by their ids.
    let badly_padded = for_bob([9; 16], &vec![0; 256]);
    let two = manifest(&[badly_padded, entry(ID, &[pair_at(&here, &ENTRY_KEY)], &damaged)]);
    bad(file, "a listing with two bad entries", &two, Code::BadPadding);
}

fn paddings(file: &mut File) {
    let content = content(&Entry::new("a"));
    let mut longer = pad(&content);
    longer.resize(512, 0);
    let mut after = pad(&content);
    after[200] = 1;
    let mut mark = pad(&content);
    mark[content.len()] = 0x81;
    for (name, padded) in [
        ("no mark", vec![0; 256]),
        ("no padding", [7; 256].to_vec()),
        ("a step more", longer),
        ("a byte after the mark", after),
        ("another mark", mark),
    ] {
        bad(file, &format!("details' padding: {name}"), &manifest(&[for_bob(ID, &padded)]), Code::BadPadding);
    }
}

fn contents(file: &mut File) {
    let good = content(&Entry::new("a"));
    let time = Entry::new("a").bytes().len();
    let with_time = |bytes: &[u8]| [&good[..time], bytes, &[0]].concat();
    let thumbnail = |plain_len: u64| [&good[..good.len() - 1], &[1], &[8; 32], &varint(plain_len), &[9; 32]].concat();
    let entry_with = |entry: Entry| content(&entry);
    let mut not_utf8 = good.clone();
    not_utf8[1] = 0xff;
    for (name, content, code) in [
        ("nothing", vec![], Code::Truncated),
        ("half an entry", good[..50].to_vec(), Code::Truncated),
        ("no time", good[..time].to_vec(), Code::Truncated),
        ("no thumbnail's byte", good[..good.len() - 1].to_vec(), Code::Truncated),
        ("a byte left over", [&good[..], &[0]].concat(), Code::TrailingBytes),
        ("a path outside", entry_with(Entry::new("../a")), Code::BadPath),
        ("a path that is not UTF-8", not_utf8, Code::BadManifest),
        ("a media type with a blank", entry_with(Entry { media: "a b", ..Entry::new("a") }), Code::BadManifest),
        ("a large file", entry_with(Entry { plain_len: (1 << 48) + 1, ..Entry::new("a") }), Code::TooLarge),
        ("a time in two bytes", with_time(&[0x81, 0]), Code::BadVarint),
        ("a time of 2^53", with_time(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]), Code::BadVarint),
        ("a thumbnail's byte of 2", [&good[..good.len() - 1], &[2]].concat(), Code::BadManifest),
        ("half a thumbnail", thumbnail(1)[..good.len() + 40].to_vec(), Code::Truncated),
        ("a byte after a thumbnail", [thumbnail(1), vec![0]].concat(), Code::TrailingBytes),
        ("a large thumbnail", thumbnail((1 << 48) + 1), Code::TooLarge),
    ] {
        bad(file, &format!("details: {name}"), &manifest(&[for_bob(ID, &pad(&content))]), code);
    }
}
