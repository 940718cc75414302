use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{
    identity::{PrimaryKey, SecretKey},
    payload::SharePath,
};

fn key(byte: u8) -> SecretKey {
    SecretKey::from_seed([byte; 32])
}

fn details(name: &str) -> Details {
    let file = FileEntry {
        path: SharePath::parse(name).unwrap(),
        media_type: "text/plain".into(),
        blob_hash: [1; 32],
        key: FileKey::from_bytes([2; 32]),
        plain_hash: [3; 32],
        plain_len: 4,
    };
    let thumbnail = Thumbnail { blob_hash: [5; 32], plain_len: 6, key: FileKey::from_bytes([7; 32]) };
    Details { file, shared_at_ms: 8, thumbnail: Some(thumbnail) }
}

fn draft(id: u8, readers: &[u8]) -> Draft {
    let readers = readers.iter().map(|&reader| key(reader).primary()).collect();
    Draft { id: EntryId([id; 16]), access: Access::Readers(readers), details: details(&format!("file-{id}")) }
}

fn manifest(drafts: &[Draft]) -> (Vec<u8>, Published) {
    let bytes = build(&key(1), 3, drafts, &mut rand::rng()).unwrap();
    let published = Published { owner: key(1).primary(), manifest: *blake3::hash(&bytes).as_bytes(), version: 3 };
    (bytes, published)
}

fn code(bytes: &[u8]) -> Code {
    let published = Published { owner: key(1).primary(), manifest: *blake3::hash(bytes).as_bytes(), version: 3 };
    Manifest::parse(bytes, &published).map(drop).unwrap_err().code()
}

#[test]
fn each_reader_finds_their_own_entries() {
    let public = Draft { access: Access::Public, ..draft(9, &[]) };
    let (bytes, published) = manifest(&[draft(1, &[2]), draft(2, &[2, 3, 4]), draft(3, &[]), draft(4, &[1]), public]);
    let manifest = Manifest::parse(&bytes, &published).unwrap();
    assert_eq!(manifest.len(), 5);
    assert!(manifest.has_public_entry());
    for (reader, expected) in [(1, vec![4, 9]), (2, vec![1, 2, 9]), (3, vec![2, 9]), (5, vec![9])] {
        let opened = manifest.open_all(&key(reader)).unwrap();
        assert_eq!(opened.iter().map(|(id, _)| id.0[0]).collect::<Vec<_>>(), expected, "{reader}");
        for (id, opened) in opened {
            assert_eq!(opened, details(&format!("file-{}", id.0[0])));
        }
    }
    assert_eq!(manifest.open(&EntryId([1; 16]), &key(3)).unwrap_err(), ManifestError::NotAReader);
    assert_eq!(manifest.open(&EntryId([8; 16]), &key(2)).unwrap_err(), ManifestError::NotAReader);
}

#[test]
fn the_number_of_readers_shows_by_a_power_of_two_only() {
    let lengths = [0, 1, 2, 3, 4, 5].map(|count| {
        let readers: Vec<u8> = (10..10 + count).collect();
        manifest(&[draft(1, &readers)]).0.len()
    });
    assert_eq!(lengths[0], lengths[1]);
    assert_eq!(lengths[3], lengths[4]);
    assert_eq!(lengths[5] - lengths[4], 4 * PAIR_BYTES);
}

#[test]
fn it_is_the_one_that_the_chain_names_or_refused() {
    let (bytes, published) = manifest(&[draft(1, &[2])]);
    let fault = |published: Published| Manifest::parse(&bytes, &published).map(drop).unwrap_err().code();
    assert_eq!(fault(Published { version: 4, ..published }), Code::BadManifest);
    assert_eq!(fault(Published { owner: key(2).primary(), ..published }), Code::BadManifest);
    assert_eq!(fault(Published { manifest: [0; 32], ..published }), Code::BadManifest);
}

#[test]
fn faults_have_their_names() {
    let (good, _) = manifest(&[draft(1, &[2, 3])]);
    let with = |index: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[index] = byte;
        code(&bytes)
    };
    assert_eq!(with(0, b'k'), Code::BadManifest);
    assert_eq!(with(4, 2), Code::BadVersion);
    assert_eq!(with(5, good[5] ^ 1), Code::BadKey);
    let count = 4 + 1 + 32 + 8 + 32;
    assert_eq!(with(count, 2), Code::Truncated);
    assert_eq!(with(count, 0), Code::TrailingBytes);
    let flags = count + 4 + 16;
    assert_eq!(with(flags, 2), Code::BadManifest);
    assert_eq!(with(flags + 1, 3), Code::BadManifest, "not a power of two");
    assert_eq!(with(flags + 3, 0xff), Code::BadManifest, "tags out of order");
    let length = flags + 3 + 2 * PAIR_BYTES;
    assert_eq!(with(length, good[length] ^ 0x10), Code::BadManifest, "not a tag and steps of 256");
    assert_eq!(with(length, good[length] ^ 1), Code::Truncated, "not backed");
    for len in 0..good.len() {
        assert_eq!(code(&good[..len]), Code::Truncated, "{len}");
    }
    assert_eq!(code(&[&good[..], &[0]].concat()), Code::TrailingBytes);

    let twice = [draft(1, &[2]), draft(1, &[3])];
    assert_eq!(build(&key(1), 3, &twice, &mut rand::rng()).unwrap_err().code(), Code::DuplicateId);
    assert_eq!(build(&key(1), 3, &[draft(1, &[2, 2])], &mut rand::rng()).unwrap_err().code(), Code::BadManifest);
}

#[test]
fn a_damaged_entry_of_ones_own_refuses_the_manifest() {
    let (good, published) = manifest(&[draft(1, &[2]), draft(2, &[3])]);
    let mut bytes = good;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let published = Published { manifest: *blake3::hash(&bytes).as_bytes(), ..published };
    let damaged = Manifest::parse(&bytes, &published).unwrap();
    assert_eq!(damaged.open_all(&key(3)).unwrap_err(), ManifestError::Damaged);
    assert_eq!(damaged.open_all(&key(2)).unwrap().len(), 1, "others do not read it");
}

#[test]
fn an_entrys_checks_come_in_their_order() {
    let (good, _) = manifest(&[draft(1, &[2]), draft(2, &[2])]);
    let entry = (good.len() - 81) / 2;
    let first = 81;
    assert_eq!(good[first..first + 16], [1; 16]);
    // An id twice is noticed before anything that follows it.
    let mut twice = good.clone();
    twice[first + entry..][..16].fill(1);
    twice[first + entry + 16] = 7;
    assert_eq!(code(&twice), Code::DuplicateId);
    // A length that nothing backs is an early end, whatever its form.
    let mut long = good;
    let length = first + entry + 16 + 1 + 2 + PAIR_BYTES;
    long[length..][..4].copy_from_slice(&0xffff_fff1u32.to_le_bytes());
    assert_eq!(code(&long), Code::Truncated);
    long[length..][..4].copy_from_slice(&271u32.to_le_bytes());
    assert_eq!(code(&long), Code::BadManifest);
}

#[test]
fn the_example_of_the_specification_holds() {
    struct Given(Vec<u8>);
    impl rand_core::TryRng for Given {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            panic!("only bytes are asked for")
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            panic!("only bytes are asked for")
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
            self.0.drain(..out.len()).zip(out).for_each(|(given, place)| *place = given);
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Given {}

    let bytes = |hex: &str| HEXLOWER.decode(hex.as_bytes()).unwrap();
    let hash = |hex: &str| bytes(hex).try_into().unwrap();
    let file = FileEntry {
        path: SharePath::parse("hello.txt").unwrap(),
        media_type: "text/plain".into(),
        blob_hash: hash("28d00eb1ad17629564f761c41febc7a14536070859d9c8dfca3a1b8f142617d6"),
        key: FileKey::from_bytes([7; 32]),
        plain_hash: hash("d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24"),
        plain_len: 11,
    };
    let details = Details { file, shared_at_ms: 1_795_396_313_000, thumbnail: None };
    let draft = Draft { id: EntryId([5; 16]), access: Access::Readers(vec![key(2).primary()]), details };
    let made = build(&key(1), 1, &[draft], &mut Given([[4; 32], [6; 32]].concat())).unwrap();
    assert_eq!(made.len(), 440);
    let found = HEXLOWER.encode(blake3::hash(&made).as_bytes());
    assert_eq!(found, "bfd3c0dd5db50f88733a5bef99024c1e3e2b4dea5f5dd135b507f9e6d37843d3");
    assert_eq!(made[100..116], *bytes("f1bfc97962d3432ac8dedd7aeccc7bb2"));
}

#[test]
fn a_collection_changes_entry_by_entry() {
    let people = |readers: &[u8]| readers.iter().map(|&reader| key(reader).primary()).collect::<Vec<_>>();
    let readers = |shared: &Collection, id| match &shared.get(&EntryId([id; 16])).unwrap().access {
        Access::Public => None,
        Access::Readers(readers) => Some(readers.clone()),
    };
    let mut shared = Collection::new();
    assert!(shared.put(draft(1, &[2, 3])).unwrap().is_none());
    assert!(shared.put(draft(2, &[3])).unwrap().is_none());
    assert!(shared.put(Draft { access: Access::Public, ..draft(3, &[]) }).unwrap().is_none());
    assert_eq!(shared.put(draft(2, &[3, 4])).unwrap().unwrap().details, details("file-2"));
    assert_eq!(shared.len(), 3);
    assert_eq!(shared.take_away(&key(3).primary()), 2);
    assert_eq!(readers(&shared, 1), Some(people(&[2])));
    assert_eq!(readers(&shared, 2), Some(people(&[4])));
    assert_eq!(readers(&shared, 3), None);
    assert_eq!(shared.take_away(&key(3).primary()), 0);
    let before = shared.set_access(&EntryId([3; 16]), Access::Readers(people(&[5]))).unwrap();
    assert!(matches!(before, Some(Access::Public)));
    assert!(shared.set_access(&EntryId([9; 16]), Access::Public).unwrap().is_none());
    assert_eq!(shared.remove(&EntryId([1; 16])).unwrap().id, EntryId([1; 16]));
    assert!(shared.remove(&EntryId([1; 16])).is_none());
    assert_eq!(shared.iter().map(|entry| entry.id.0[0]).collect::<Vec<_>>(), [2, 3]);

    // What could not be published is refused at once, and changes nothing.
    let twice = Access::Readers(people(&[6, 6]));
    assert_eq!(shared.put(draft(2, &[6, 6])).unwrap_err().code(), Code::BadManifest);
    assert_eq!(shared.set_access(&EntryId([2; 16]), twice).unwrap_err().code(), Code::BadManifest);
    let mut late = draft(2, &[6]);
    late.details.shared_at_ms = u64::MAX;
    assert_eq!(shared.put(late).unwrap_err().code(), Code::BadManifest);
    assert_eq!(readers(&shared, 2), Some(people(&[4])));
}

#[test]
fn a_publication_repeats_nothing_of_the_one_before() {
    let mut shared = Collection::new();
    shared.put(draft(1, &[2, 3])).unwrap();
    let (one, _) = shared.publish(&key(1), 7, &mut rand::rng()).unwrap();
    let (two, published) = shared.publish(&key(1), 8, &mut rand::rng()).unwrap();
    assert_eq!(Manifest::parse(&two, &published).unwrap().open_all(&key(3)).unwrap().len(), 1);
    assert_ne!(one[45..77], two[45..77], "the salt");
    let behind_counts = |bytes: &[u8]| bytes[100..].windows(16).map(<[u8]>::to_vec).collect::<HashSet<_>>();
    assert!(behind_counts(&one).is_disjoint(&behind_counts(&two)), "pairs and details");
}

#[test]
fn an_owner_finds_their_own_again() {
    let public = Draft { access: Access::Public, ..draft(9, &[]) };
    let (bytes, published) =
        manifest(&[draft(1, &[2]), draft(2, &[4, 2, 3]), draft(3, &[]), draft(4, &[1]), draft(5, &[6]), public]);
    let manifest = Manifest::parse(&bytes, &published).unwrap();
    let people = [2, 3, 4, 5, 2].map(|who| key(who).primary());
    let found = Collection::recover(&manifest, &key(1), &people).unwrap();
    assert_eq!(found.unreadable, [EntryId([3; 16]), EntryId([5; 16])], "for nobody, and for somebody unknown");
    let seeds = |access: &Access| match access {
        Access::Public => None,
        Access::Readers(readers) => {
            let seed = |reader: &PrimaryKey| (1..9).find(|&seed| key(seed).primary() == *reader).unwrap();
            let mut seeds: Vec<u8> = readers.iter().map(seed).collect();
            seeds.sort_unstable();
            Some(seeds)
        }
    };
    let entries: Vec<_> = found.collection.iter().map(|entry| (entry.id.0[0], seeds(&entry.access))).collect();
    assert_eq!(entries, [(1, Some(vec![2])), (2, Some(vec![2, 3, 4])), (4, Some(vec![1])), (9, None)]);
    for entry in found.collection.iter() {
        assert_eq!(entry.details, details(&format!("file-{}", entry.id.0[0])));
    }
    let other = Collection::recover(&manifest, &key(2), &people).unwrap_err();
    assert_eq!(other, ManifestError::BadField { field: "owner" });
}

fn any_details() -> impl Strategy<Value = Details> {
    let thumbnail = (any::<[u8; 32]>(), 0..1u64 << 48, any::<[u8; 32]>());
    let thumbnail = thumbnail.prop_map(|(blob_hash, plain_len, key)| Thumbnail {
        blob_hash,
        plain_len,
        key: FileKey::from_bytes(key),
    });
    // Paths of up to 1,024 bytes: details of two to six steps.
    let path = prop_oneof!["[a-zä日]{1,20}", "([a-z]{200}/){0,4}[a-z]{1,200}"];
    let file = (path, "[!-~]{0,127}", any::<[[u8; 32]; 3]>(), 0..=1u64 << 48);
    (file, 0..1u64 << 53, prop::option::of(thumbnail)).prop_map(|(file, shared_at_ms, thumbnail)| {
        let (path, media_type, [blob_hash, key, plain_hash], plain_len) = file;
        let (path, key) = (SharePath::parse(&path).unwrap(), FileKey::from_bytes(key));
        Details { file: FileEntry { path, media_type, blob_hash, key, plain_hash, plain_len }, shared_at_ms, thumbnail }
    })
}

/// Who reads an entry, of the people 2 to 7; `None` is everybody.
fn any_access() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::weighted(0.8, prop::sample::subsequence((2..8).collect::<Vec<u8>>(), 0..=6).prop_shuffle())
}

fn any_drafts() -> impl Strategy<Value = Vec<(Option<Vec<u8>>, Draft)>> {
    prop::collection::btree_map(any::<[u8; 16]>(), (any_access(), any_details()), 0..6).prop_map(|entries| {
        let entries = entries.into_iter().map(|(id, (readers, details))| {
            let access = match &readers {
                None => Access::Public,
                Some(readers) => Access::Readers(readers.iter().map(|&reader| key(reader).primary()).collect()),
            };
            (readers, Draft { id: EntryId(id), access, details })
        });
        entries.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everybody_reads_what_was_drafted_for_them(entries in any_drafts()) {
        let drafts: Vec<Draft> = entries.iter().map(|(_, draft)| draft.clone()).collect();
        let (bytes, published) = manifest(&drafts);
        let manifest = Manifest::parse(&bytes, &published).unwrap();
        prop_assert_eq!(manifest.len(), drafts.len());
        for reader in 1..9 {
            let expected: Vec<_> = entries
                .iter()
                .filter(|(readers, _)| readers.as_ref().is_none_or(|readers| readers.contains(&reader)))
                .map(|(_, draft)| (draft.id, draft.details.clone()))
                .collect();
            prop_assert_eq!(manifest.open_all(&key(reader)).unwrap(), expected);
        }
        let people: Vec<PrimaryKey> = (2..8).map(|who| key(who).primary()).collect();
        let found = Collection::recover(&manifest, &key(1), &people).unwrap();
        let readable = entries.iter().filter(|(readers, _)| readers.as_ref().is_none_or(|readers| !readers.is_empty()));
        prop_assert!(found.collection.iter().map(|entry| &entry.details).eq(readable.map(|(_, draft)| &draft.details)));
        prop_assert_eq!(found.collection.len() + found.unreadable.len(), drafts.len());
    }

    #[test]
    fn any_flipped_bit_of_ones_own_entry_is_noticed(details in any_details(), at: prop::sample::Index, bit in 0..8u8) {
        let draft = Draft { id: EntryId([1; 16]), access: Access::Readers(vec![key(2).primary()]), details };
        let (mut bytes, _) = manifest(&[draft]);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        // Whoever flips it can't change the chain; here they can, to reach what lies behind the hash.
        let published = Published { owner: key(1).primary(), manifest: *blake3::hash(&bytes).as_bytes(), version: 3 };
        let opened = Manifest::parse(&bytes, &published).and_then(|manifest| manifest.open(&EntryId([1; 16]), &key(2)));
        prop_assert!(opened.is_err(), "{at}");
    }

    #[test]
    fn only_a_power_of_two_of_the_readers_shows(one in 0..40usize, other in 0..40usize) {
        let length = |count: usize| {
            let readers = (0..count).map(|seed| key(100 + u8::try_from(seed).unwrap()).primary()).collect();
            manifest(&[Draft { access: Access::Readers(readers), ..draft(1, &[]) }]).0.len()
        };
        prop_assert_eq!(
            length(one) == length(other),
            one.next_power_of_two() == other.next_power_of_two()
        );
    }
}

#[test]
fn entries_are_named_by_32_lower_case_hex_digits_and_nothing_else() {
    let id = EntryId([0xa5; 16]);
    assert_eq!(id.to_string().parse(), Ok(id));
    let name = "a5".repeat(16);
    let bad = [
        "",
        &name[1..],
        &name[2..],
        &format!("{name}a5"),
        &name.to_uppercase(),
        &format!(" {name}"),
        &name.replace('5', "g"),
    ];
    for bad in bad {
        assert_eq!(bad.parse::<EntryId>(), Err(ManifestError::BadEntryId), "{bad}");
        assert!(serde_json::from_value::<EntryId>(bad.into()).is_err());
    }
    assert!(serde_json::from_value::<EntryId>(5.into()).is_err());
}
