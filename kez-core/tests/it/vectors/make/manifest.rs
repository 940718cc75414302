//! `manifest.json`: manifests made and read; what is wrong with others is in [`super::manifest_faults`].

use kez_core::Code;
use serde_json::{Value, json};

use super::{
    super::{
        bytes::{plain, short},
        case::File,
        check,
        forge::{
            keys::{ALICE, BOB, CAROL, primary},
            manifest::{ENTRY_KEY, Head, SALT, details, entry, pair, place, public_entry},
        },
    },
    contents::Entry,
    payload::varint,
};

pub(super) const ID: [u8; 16] = [5; 16];
const SHARED_AT_MS: u64 = 1_795_396_313_000;

pub(in super::super) fn make() -> File {
    let mut file = File::new("Manifests (PROTOCOL.md 9).", check::manifest::run);
    built(&mut file);
    not_built(&mut file);
    read(&mut file);
    super::manifest_faults::make(&mut file);
    file
}

/// The file of §9's example.
fn example_details() -> Value {
    json!({
        "entry": {
            "path": "hello.txt", "media": "text/plain",
            "blob_hash": "28d00eb1ad17629564f761c41febc7a14536070859d9c8dfca3a1b8f142617d6",
            "key": plain([7; 32]),
            "plain_hash": "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24",
            "plain_len": 11,
        },
        "shared_at_ms": SHARED_AT_MS,
        "thumbnail": null,
    })
}

pub(super) fn details_of(entry: &Entry) -> Value {
    json!({"entry": entry.shown(), "shared_at_ms": SHARED_AT_MS, "thumbnail": null})
}

fn draft(id: u8, readers: Option<&[[u8; 32]]>, filler: usize, details: &Value) -> Value {
    let readers = readers.map(|readers| readers.iter().map(|reader| primary(*reader)).collect::<Vec<_>>());
    let filler: Vec<_> = (0..filler)
        .map(|index| {
            let byte = id ^ u8::try_from(index).unwrap() ^ 0x40;
            json!({"tag": plain([byte; 16]), "wrapped": plain([byte; 48])})
        })
        .collect();
    json!({
        "id": plain([id; 16]), "entry_key": plain([id + 1; 32]), "readers": readers, "filler": filler,
        "details": details,
    })
}

fn build(entries: &[Value]) -> Value {
    json!({"owner": plain(ALICE), "version": 1, "salt": plain(SALT), "entries": entries})
}

fn built(file: &mut File) {
    let example = build(&[draft(5, Some(&[BOB]), 0, &example_details())]);
    let made = file.outputs("the example of §9", "manifest.build", &example);
    assert_eq!(made["hash"], "bfd3c0dd5db50f88733a5bef99024c1e3e2b4dea5f5dd135b507f9e6d37843d3");
    assert_eq!(made["manifest"].as_str().unwrap().len(), 2 * 440);
    file.gives("the example of §9", "manifest.build", example, made);

    let plain_details = details_of(&Entry::new("a/b.txt"));
    let mut pictured = plain_details.clone();
    pictured["thumbnail"] = json!({"blob_hash": plain([8; 32]), "plain_len": 2_000, "key": plain([9; 32])});
    let group = [BOB, CAROL, ALICE];
    // Beside a path of this length, such details take 109 bytes.
    let filling = |bytes: usize| {
        let mut details = plain_details.clone();
        details["entry"]["media"] = json!("");
        details["entry"]["path"] = json!("p".repeat(bytes - 109));
        details
    };
    for (name, entries) in [
        ("nothing to read", vec![]),
        ("one for everyone", vec![draft(5, None, 0, &plain_details)]),
        ("one for nobody", vec![draft(5, Some(&[]), 1, &plain_details)]),
        ("one for the owner", vec![draft(5, Some(&[ALICE]), 0, &plain_details)]),
        ("one for two", vec![draft(5, Some(&[BOB, CAROL]), 0, &plain_details)]),
        ("one for three, and a filler", vec![draft(5, Some(&group), 1, &plain_details)]),
        (
            "one for five, and three fillers",
            vec![draft(5, Some(&[[10; 32], [11; 32], [12; 32], [13; 32], BOB]), 3, &plain_details)],
        ),
        ("a thumbnail", vec![draft(5, Some(&[BOB]), 0, &pictured)]),
        (
            "three entries in their order",
            vec![
                draft(9, None, 0, &plain_details),
                draft(1, Some(&[BOB]), 0, &pictured),
                draft(5, Some(&[CAROL, BOB]), 0, &plain_details),
            ],
        ),
        ("details that fill a step", vec![draft(5, None, 0, &filling(255))]),
        ("details that just do not fit a step", vec![draft(5, None, 0, &filling(256))]),
    ] {
        file.ok(&format!("built: {name}"), "manifest.build", build(&entries));
    }
    let mut later = build(&[]);
    later["version"] = json!((1_u64 << 53) - 1);
    file.ok("built: the largest version", "manifest.build", later);
}

fn not_built(file: &mut File) {
    let details = details_of(&Entry::new("a"));
    let large = details_of(&Entry { plain_len: (1 << 48) + 1, ..Entry::new("a") });
    for (name, entries, code) in [
        ("a reader twice", vec![draft(5, Some(&[BOB, CAROL, BOB]), 1, &details)], Code::BadManifest),
        ("an id twice", vec![draft(5, Some(&[BOB]), 0, &details), draft(5, None, 0, &details)], Code::DuplicateId),
        ("a file that is too large", vec![draft(5, None, 0, &large)], Code::TooLarge),
        ("a path outside", vec![draft(5, None, 0, &details_of(&Entry::new("../a")))], Code::BadPath),
        (
            "a media type with a blank",
            vec![draft(5, None, 0, &details_of(&Entry { media: "a b", ..Entry::new("a") }))],
            Code::BadManifest,
        ),
    ] {
        file.refused(&format!("not built: {name}"), "manifest.build", build(&entries), code);
    }
    let mut unsound = draft(5, Some(&[BOB]), 0, &details);
    unsound["readers"] = json!([format!("ed25519:{}", "00".repeat(32))]);
    file.refused("not built: a reader of no sound key", "manifest.build", build(&[unsound]), Code::BadKey);
}

/// Reads a manifest of Alice's, version 1, as somebody.
pub(super) fn input(manifest: &[u8], reader: [u8; 32], id: Option<[u8; 16]>) -> Value {
    json!({
        "manifest": short(manifest), "owner": primary(ALICE), "hash": plain(blake3::hash(manifest).as_bytes()),
        "version": 1, "reader": plain(reader), "id": id.map(plain),
    })
}

/// Returns an entry's plaintext, not padded yet.
pub(super) fn content(entry: &Entry) -> Vec<u8> {
    [entry.bytes(), varint(SHARED_AT_MS), vec![0]].concat()
}

/// Pads as it must be.
pub(super) fn pad(content: &[u8]) -> Vec<u8> {
    let mut padded = [content, &[0x80]].concat();
    padded.resize(padded.len().next_multiple_of(256), 0);
    padded
}

/// Returns an entry for Bob with this plaintext.
pub(super) fn for_bob(id: [u8; 16], padded: &[u8]) -> Vec<u8> {
    let place = place(1, id);
    entry(id, &[pair(&primary(BOB), id, &ENTRY_KEY, &place)], &details(id, padded, &place, 0))
}

/// Returns an entry for everyone.
pub(super) fn for_everyone(id: [u8; 16], padded: &[u8]) -> Vec<u8> {
    public_entry(id, &details(id, padded, &place(1, id), 1))
}

pub(super) fn manifest(entries: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(entries.len()).unwrap();
    [Head::new(count).bytes(), entries.concat()].concat()
}

fn read(file: &mut File) {
    let [first, second, third] = ["a", "b", "a"].map(Entry::new);
    let shown = |id: u8, entry: &Entry| json!({"id": plain([id; 16]), "details": details_of(entry)});
    let place = place(1, [2; 16]);
    let mut pairs = [BOB, CAROL].map(|reader| pair(&primary(reader), [2; 16], &ENTRY_KEY, &place)).to_vec();
    pairs.sort();
    let both = entry([2; 16], &pairs, &details([2; 16], &pad(&content(&second)), &place, 0));
    let entries = [for_everyone([9; 16], &pad(&content(&first))), both, for_bob([3; 16], &pad(&content(&third)))];
    let manifest_bytes = manifest(&entries);
    let (public, shared, bobs) = (shown(9, &first), shown(2, &second), shown(3, &third));
    for (name, reader, id, entries) in [
        ("Bob reads all", BOB, None, vec![shared.clone(), bobs.clone(), public.clone()]),
        ("Carol reads hers", CAROL, None, vec![shared.clone(), public.clone()]),
        ("a stranger reads what is public", [10; 32], None, vec![public.clone()]),
        ("the owner is not a reader", ALICE, None, vec![public.clone()]),
        ("Bob reads one", BOB, Some([3; 16]), vec![bobs]),
        ("Carol reads one", CAROL, Some([2; 16]), vec![shared]),
        ("a stranger reads the public one", [10; 32], Some([9; 16]), vec![public]),
    ] {
        file.gives(name, "manifest.read", input(&manifest_bytes, reader, id), json!({"entries": entries}));
    }
    for (name, reader, id) in [
        ("an entry for somebody else", CAROL, [3; 16]),
        ("an entry that is not there", BOB, [4; 16]),
        ("the owner's own entry for others", ALICE, [2; 16]),
    ] {
        file.refused(name, "manifest.read", input(&manifest_bytes, reader, Some(id)), Code::NotAReader);
    }
    let nothing = json!({"entries": []});
    file.gives("a manifest without entries", "manifest.read", input(&manifest(&[]), BOB, None), nothing.clone());
    file.refused(
        "no entry of a manifest without entries",
        "manifest.read",
        input(&manifest(&[]), BOB, Some(ID)),
        Code::NotAReader,
    );
    // Random pairs look like anybody's.
    let filler = entry(ID, &[vec![0x40; 64]], &[0x41; 272]);
    file.gives("an entry for nobody", "manifest.read", input(&manifest(&[filler]), BOB, None), nothing);
    let mut pictured = content(&first);
    pictured.pop();
    pictured.extend([&[1][..], &[8; 32], &varint(2_000), &[9; 32]].concat());
    let mut details = details_of(&first);
    details["thumbnail"] = json!({"blob_hash": plain([8; 32]), "plain_len": 2_000, "key": plain([9; 32])});
    let out = json!({"entries": [{"id": plain(ID), "details": details}]});
    file.gives(
        "a thumbnail is read",
        "manifest.read",
        input(&manifest(&[for_bob(ID, &pad(&pictured))]), BOB, None),
        out,
    );
}
