//! Manifests under the hash that the chain would have (`docs/PROTOCOL.md` §9).

use std::collections::BTreeMap;

use kez_core::{
    filecrypt::FileKey,
    identity::SecretKey,
    manifest::{Access, Details, Draft, EntryId, Manifest, Published, Thumbnail, build},
    payload::{FOLDER_MEDIA_TYPE, FolderList},
};
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    input::{Input, Seed, alice, bob, carol, file_entry},
    notation::{aead, hkdf},
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => foreign_bytes(input.rest()),
        1 => changed_bytes(input),
        _ => foreign_details(input.rest()),
    }
}

/// What the chain would say of any bytes: their own hash, and the version that they name.
fn published(bytes: &[u8]) -> Published {
    let version = bytes.get(37..45).and_then(|version| version.try_into().ok()).map_or(0, u64::from_le_bytes);
    Published { owner: alice().primary(), manifest: *blake3::hash(bytes).as_bytes(), version }
}

/// Opens all that is for somebody, by both roads; `None` if an entry of theirs is damaged.
fn open(manifest: &Manifest<'_>, reader: &SecretKey) -> Option<BTreeMap<EntryId, Details>> {
    let opened: BTreeMap<EntryId, Details> = manifest.open_all(reader).ok()?.into_iter().collect();
    for (id, details) in &opened {
        assert_eq!(manifest.open(id, reader).as_ref(), Ok(details));
    }
    Some(opened)
}

fn foreign_bytes(bytes: &[u8]) {
    let names = published(bytes);
    assert!(Manifest::parse(bytes, &Published { manifest: [0; 32], ..names }).is_err());
    let Ok(manifest) = Manifest::parse(bytes, &names) else { return };
    assert!(Manifest::parse(bytes, &Published { version: !names.version, ..names }).is_err());
    assert!(Manifest::parse(bytes, &Published { owner: bob().primary(), ..names }).is_err());
    // One more byte is never the same manifest.
    let longer = [bytes, &[0]].concat();
    assert!(Manifest::parse(&longer, &Published { manifest: *blake3::hash(&longer).as_bytes(), ..names }).is_err());
    for reader in [alice(), bob(), carol()] {
        let opened = open(&manifest, &reader).map_or(0, |opened| opened.len());
        assert!(opened <= manifest.len());
    }
}

/// A sound manifest, changed and hashed anew: whatever still opens is what it was.
fn changed_bytes(mut input: Input<'_>) {
    let people = [alice(), bob(), carol()];
    let drafts: Vec<Draft> = (0..input.byte() % 4).map(|place| draft(place, &people, &mut input)).collect();
    let mut rng = StdRng::from_seed([input.byte(); 32]);
    let version = u64::from(input.byte());
    let sound = build(&alice(), version, &drafts, &mut rng).unwrap();
    let manifest = Manifest::parse(&sound, &published(&sound)).unwrap();
    assert_eq!(manifest.len(), drafts.len());
    let is_public = |draft: &Draft| matches!(draft.access, Access::Public);
    assert_eq!(manifest.has_public_entry(), drafts.iter().any(is_public));
    let before = people.clone().map(|reader| {
        let expected = drafts.iter().filter(|draft| match &draft.access {
            Access::Public => true,
            Access::Readers(readers) => readers.contains(&reader.primary()),
        });
        let opened = open(&manifest, &reader).unwrap();
        assert!(expected.map(|draft| (&draft.id, &draft.details)).eq(&opened));
        opened
    });

    let mut bytes = sound.clone();
    input.mutate(&mut bytes);
    let names = Published { owner: alice().primary(), manifest: *blake3::hash(&bytes).as_bytes(), version };
    let Ok(manifest) = Manifest::parse(&bytes, &names) else { return };
    for (reader, before) in people.iter().zip(&before) {
        for (id, details) in open(&manifest, reader).unwrap_or_default() {
            assert_eq!(before.get(&id), Some(&details));
        }
    }
}

fn draft(place: u8, people: &[SecretKey], input: &mut Input<'_>) -> Draft {
    let (access, more) = (input.byte(), input.byte());
    let mut file = file_entry(&format!("{place}/{}", "x".repeat(usize::from(more % 200) + 1)));
    file.plain_len = u64::from(input.byte()) << (more % 40);
    let thumbnail = (more % 2 == 0).then(|| Thumbnail {
        blob_hash: input.array(),
        plain_len: u64::from(more),
        key: FileKey::from_bytes([9; 32]),
    });
    let readers = people.iter().enumerate().filter(|(bit, _)| access >> bit & 1 == 1);
    Draft {
        id: EntryId([place; 16]),
        access: if access & 8 == 8 {
            Access::Public
        } else {
            Access::Readers(readers.map(|(_, reader)| reader.primary()).collect())
        },
        details: Details { file, shared_at_ms: u64::from(more), thumbnail },
    }
}

/// One public entry, its details of any bytes, encrypted as §9 has it and not by the core.
fn foreign_details(padded: &[u8]) {
    let (salt, entry_key, id, version) = ([4; 32], [6; 32], [5; 16], 1u64.to_le_bytes());
    let kdf_salt = [b"kez/manifest/1".as_slice(), &salt].concat();
    let key = hkdf(&kdf_salt, &entry_key, &[b"details".as_slice(), &id].concat());
    let owner = *alice().primary().as_bytes();
    let details = aead(&key, padded, &[owner.as_slice(), &version, &id, &[1]].concat());
    let len = (details.len() as u32).to_le_bytes();
    let head = [b"KEZM\x01".as_slice(), &owner, &version, &salt, &1u32.to_le_bytes()].concat();
    let bytes = [head.as_slice(), &id, &[1], &entry_key, &len, &details].concat();

    let parsed = Manifest::parse(&bytes, &published(&bytes));
    let length_fits = (256..=4096).contains(&padded.len()) && padded.len().is_multiple_of(256);
    assert_eq!(parsed.is_ok(), length_fits);
    let Ok(manifest) = parsed else { return };
    let opened = manifest.open_all(&carol());
    assert_eq!(opened.as_ref().map(Vec::len).map_err(Clone::clone), manifest.open(&EntryId(id), &bob()).map(|_| 1));
    let Ok(opened) = opened else { return };
    let (_, details) = &opened[0];
    // A folder list of one entry holds the entry's bytes after its count.
    let mut file = details.file.clone();
    let is_folder = file.media_type == FOLDER_MEDIA_TYPE;
    if is_folder {
        file.media_type = "x".repeat(FOLDER_MEDIA_TYPE.len());
    }
    let mut again = FolderList::new(vec![file]).unwrap().encode().unwrap()[1..].to_vec();
    put_varint(&mut again, details.shared_at_ms);
    match &details.thumbnail {
        None => again.push(0),
        Some(thumbnail) => {
            again.push(1);
            again.extend_from_slice(&thumbnail.blob_hash);
            put_varint(&mut again, thumbnail.plain_len);
            again.extend_from_slice(thumbnail.key.expose_bytes());
        }
    }
    again.push(0x80);
    again.resize(again.len().next_multiple_of(256), 0);
    assert!(is_folder || again == padded);
    assert_eq!(again.len(), padded.len());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn seeds() -> Vec<Seed> {
    let people = [alice(), bob(), carol()];
    let drafts: Vec<Draft> = [2, 7, 8]
        .into_iter()
        .zip(1..)
        .map(|(access, place)| draft(place, &people, &mut Input::new(&[access])))
        .collect();
    let built = |drafts: &[Draft]| build(&alice(), 1, drafts, &mut StdRng::from_seed([1; 32])).unwrap();
    let foreign = |bytes: &[u8]| [&[0], bytes].concat();
    let entry = FolderList::new(vec![file_entry("hello.txt")]).unwrap().encode().unwrap();
    let details = |rest: &[u8], len: usize| {
        let mut padded = [&entry[1..], rest, &[0x80]].concat();
        padded.resize(len, 0);
        [&[2], padded.as_slice()].concat()
    };
    let thumbnail = [b"\x08\x01".as_slice(), &[3; 32], &[9], &[4; 32]].concat();
    vec![
        ("empty", foreign(&built(&[]))),
        ("one-reader", foreign(&built(&drafts[..1]))),
        ("three-entries", foreign(&built(&drafts))),
        ("changed", [&[1, 3, 2, 1, 2, 7, 4, 5, 8, 6, 7, 1, 1], [0, 0, 100, 0, 0, 0].as_slice()].concat()),
        ("changed-public", [&[1, 1, 8, 1, 2, 1, 1], [0, 1, 90, 0, 0, 0, 0, 0, 0, 0, 5].as_slice()].concat()),
        ("details", details(b"\x08\x00", 256)),
        ("details-thumbnail", details(&thumbnail, 256)),
        ("details-long-padding", details(b"\x08\x00", 512)),
    ]
}
