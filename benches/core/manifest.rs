//! Opening all of a large manifest; there is no peer, the target is a time.

use criterion::Criterion;
use kez_core::{
    filecrypt::FileKey,
    identity::SecretKey,
    manifest::{Access, Details, Draft, EntryId, Manifest, Published, Thumbnail, build},
    payload::{FileEntry, SharePath},
};
use rand::{SeedableRng as _, rngs::StdRng};

use crate::measure::{Ratio, Work};

const ENTRIES: usize = 10_000;

/// Parses a manifest of 10,000 entries for four readers each, and opens all of them for one of the four.
pub(crate) fn open(criterion: &mut Criterion) -> Ratio {
    let owner = SecretKey::from_seed([1; 32]);
    let readers = [2, 3, 4, 5].map(|seed| SecretKey::from_seed([seed; 32]));
    let access = Access::Readers(readers.iter().map(SecretKey::primary).collect());
    let drafts: Vec<_> = (0..ENTRIES).map(|number| draft(number, access.clone())).collect();
    let bytes = build(&owner, 7, &drafts, &mut StdRng::seed_from_u64(1)).unwrap();
    let published = Published { owner: owner.primary(), manifest: *blake3::hash(&bytes).as_bytes(), version: 7 };

    let mut work = Work::new(|| {
        let opened = Manifest::parse(&bytes, &published).unwrap().open_all(&readers[2]).unwrap();
        assert_eq!(opened.len(), ENTRIES);
        opened
    });
    work.measure(criterion, "manifest_10k", "parse_and_open_all");
    ("manifest_10k_open_ms", 1000.0 * work.median())
}

fn draft(number: usize, access: Access) -> Draft {
    let mut id = [0; 16];
    // Spread, as random ids are.
    id.copy_from_slice(&blake3::hash(&number.to_le_bytes()).as_bytes()[..16]);
    let file = FileEntry {
        path: SharePath::parse(&format!("photos/2024/picture-{number:05}.jpg")).unwrap(),
        media_type: "image/jpeg".into(),
        blob_hash: [1; 32],
        key: FileKey::from_bytes([2; 32]),
        plain_hash: [3; 32],
        plain_len: 4_000_000,
    };
    let thumbnail = Thumbnail { blob_hash: [5; 32], plain_len: 9_000, key: FileKey::from_bytes([6; 32]) };
    let details = Details { file, shared_at_ms: 1_700_000_000_000, thumbnail: Some(thumbnail) };
    Draft { id: EntryId(id), access, details }
}
