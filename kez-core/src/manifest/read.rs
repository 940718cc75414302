//! Reading a manifest.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{
    AEAD_TAG_BYTES, DETAILS_STEP, Details, EntryId, EntryKey, Frame, MAGIC, MAX_DETAILS_STEPS, MAX_ENTRIES,
    MAX_MANIFEST_BYTES, MAX_READERS, ManifestError, PUBLIC, READER_TAG_BYTES, Thumbnail, VERSION, WRAPPED_BYTES,
    wrap::ReaderKey,
};
use crate::{
    codec::Reader,
    filecrypt::{self, FileKey},
    identity::{PrimaryKey, SecretKey},
    payload::FileEntry,
};

const WRAP_BYTES: usize = READER_TAG_BYTES + WRAPPED_BYTES;
/// The fewest bytes that an entry's structure takes: id, flags, a number of readers and a length.
const MIN_ENTRY_BYTES: usize = 16 + 1 + 2 + 4;

/// What the owner's chain says of the manifest that stands behind it.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// The chain's owner.
    pub owner: PrimaryKey,
    /// BLAKE3 of the manifest.
    pub manifest: [u8; 32],
    /// The publication's version.
    pub version: u64,
}

/// A manifest whose form was checked, and that it is the one the chain names.
pub struct Manifest<'a> {
    frame: Frame,
    entries: BTreeMap<EntryId, Sealed<'a>>,
}

struct Sealed<'a> {
    access: SealedAccess<'a>,
    details: &'a [u8],
}

enum SealedAccess<'a> {
    Public(EntryKey),
    /// Tags and wrapped keys, sorted by tag.
    Readers(&'a [[u8; WRAP_BYTES]]),
}

impl<'a> Manifest<'a> {
    /// Checks a manifest's form, and that hash, owner and version are those of the chain.
    ///
    /// # Errors
    /// [`ManifestError`]; one bad entry refuses the manifest.
    pub fn parse(bytes: &'a [u8], published: &Published) -> Result<Self, ManifestError> {
        let bad = |field| ManifestError::BadField { field };
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(bad("length"));
        }
        if *blake3::hash(bytes).as_bytes() != published.manifest {
            return Err(bad("hash"));
        }
        let mut reader = Reader::new(bytes);
        if reader.array::<4>()? != *MAGIC {
            return Err(bad("beginning"));
        }
        let version = reader.byte()?;
        if version != VERSION {
            return Err(ManifestError::BadVersion(version));
        }
        let owner = PrimaryKey::from_bytes(&reader.array()?).map_err(|_| ManifestError::BadKey)?;
        if owner != published.owner {
            return Err(bad("owner"));
        }
        let version = u64::from_le_bytes(reader.array()?);
        if version != published.version {
            return Err(bad("version"));
        }
        let salt = reader.array()?;
        let count = u32::from_le_bytes(reader.array()?) as usize;
        reader.backs(count, MIN_ENTRY_BYTES)?;
        if count > MAX_ENTRIES {
            return Err(bad("number of entries"));
        }
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let id = EntryId(reader.array()?);
            let entry = Sealed::read(&mut reader)?;
            if entries.insert(id, entry).is_some() {
                return Err(ManifestError::DuplicateId(id));
            }
        }
        reader.finish()?;
        Ok(Self { frame: Frame { owner, version, salt }, entries })
    }

    /// Opens every entry that is public or for this reader; the others are left out.
    ///
    /// # Errors
    /// [`ManifestError`] if an entry for this reader is damaged: the whole manifest is refused.
    pub fn open_all(&self, reader: &SecretKey) -> Result<Vec<(EntryId, Details)>, ManifestError> {
        let key = self.reader_key(reader);
        let opened = self.entries.iter().filter_map(|(id, entry)| match self.open_entry(&key, id, entry) {
            Err(ManifestError::NotAReader) => None,
            Ok(details) => Some(Ok((*id, details))),
            Err(error) => Some(Err(error)),
        });
        opened.collect()
    }

    /// Opens one entry.
    ///
    /// # Errors
    /// [`ManifestError::NotAReader`] if it is not there or not for this reader.
    pub fn open(&self, id: &EntryId, reader: &SecretKey) -> Result<Details, ManifestError> {
        let entry = self.entries.get(id).ok_or(ManifestError::NotAReader)?;
        self.open_entry(&self.reader_key(reader), id, entry)
    }

    /// Returns how many entries there are, for whomever.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is no entry at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Tells whether some entry is public, and so the manifest itself (§9).
    #[must_use]
    pub fn has_public_entry(&self) -> bool {
        self.entries.values().any(|entry| matches!(entry.access, SealedAccess::Public(_)))
    }

    fn reader_key(&self, reader: &SecretKey) -> ReaderKey {
        self.frame.reader_key(&reader.agree(&self.frame.owner), &reader.primary())
    }

    fn open_entry(&self, reader: &ReaderKey, id: &EntryId, entry: &Sealed<'_>) -> Result<Details, ManifestError> {
        let (key, public) = match &entry.access {
            SealedAccess::Public(key) => (key.clone(), true),
            SealedAccess::Readers(wraps) => {
                let tag = reader.tag(id);
                let found = wraps.binary_search_by(|wrap| wrap[..READER_TAG_BYTES].cmp(&tag));
                let wrapped = &wraps[found.map_err(|_| ManifestError::NotAReader)?][READER_TAG_BYTES..];
                (self.frame.unwrap(reader, id, wrapped).ok_or(ManifestError::Damaged)?, false)
            }
        };
        let padded = self.frame.open_details(&key, id, public, entry.details).ok_or(ManifestError::Damaged)?;
        read_details(&padded)
    }
}

impl<'a> Sealed<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ManifestError> {
        let bad = |field| ManifestError::BadField { field };
        let access = match reader.byte()? {
            PUBLIC => SealedAccess::Public(Zeroizing::new(reader.array()?)),
            0 => {
                let count = usize::from(u16::from_le_bytes(reader.array()?));
                reader.backs(count, WRAP_BYTES)?;
                if !count.is_power_of_two() || count > MAX_READERS {
                    return Err(bad("number of readers"));
                }
                let (wraps, _) = reader.bytes(count * WRAP_BYTES)?.as_chunks::<WRAP_BYTES>();
                let sorted = wraps.is_sorted_by(|a, b| a[..READER_TAG_BYTES] < b[..READER_TAG_BYTES]);
                if !sorted {
                    return Err(bad("order of readers"));
                }
                SealedAccess::Readers(wraps)
            }
            _ => return Err(bad("flags")),
        };
        let len = u32::from_le_bytes(reader.array()?) as usize;
        let details = reader.bytes(len)?;
        let steps = len.checked_sub(AEAD_TAG_BYTES).filter(|padded| padded % DETAILS_STEP == 0);
        if !steps.is_some_and(|padded| (1..=MAX_DETAILS_STEPS).contains(&(padded / DETAILS_STEP))) {
            return Err(bad("details' length"));
        }
        Ok(Self { access, details })
    }
}

fn read_details(padded: &[u8]) -> Result<Details, ManifestError> {
    let end = padded.iter().rposition(|&byte| byte != 0).filter(|&end| padded[end] == 0x80);
    let end = end.filter(|end| (end + 1).next_multiple_of(DETAILS_STEP) == padded.len());
    let mut reader = Reader::new(&padded[..end.ok_or(ManifestError::BadPadding)?]);
    let file = FileEntry::read(&mut reader)?;
    let shared_at_ms = reader.varint()?;
    let thumbnail = match reader.byte()? {
        0 => None,
        1 => {
            let (blob_hash, plain_len) = (reader.array()?, reader.varint()?);
            filecrypt::blob_len(plain_len).map_err(crate::payload::PayloadError::from)?;
            Some(Thumbnail { blob_hash, plain_len, key: FileKey::from_bytes(reader.array()?) })
        }
        _ => return Err(ManifestError::BadField { field: "thumbnail" }),
    };
    reader.finish()?;
    Ok(Details { file, shared_at_ms, thumbnail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Code,
        manifest::{Access, Draft, build},
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
        let (bytes, published) =
            manifest(&[draft(1, &[2]), draft(2, &[2, 3, 4]), draft(3, &[]), draft(4, &[1]), public]);
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
        assert_eq!(lengths[5] - lengths[4], 4 * WRAP_BYTES);
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
        let length = flags + 3 + 2 * WRAP_BYTES;
        assert_eq!(with(length, good[length] - 1), Code::BadManifest);
        assert_eq!(with(length, good[length] + 1), Code::Truncated, "what nothing backs is cut, whatever its form");
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
}
