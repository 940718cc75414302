//! Reading a manifest.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{
    AEAD_TAG_BYTES, DETAILS_STEP, Details, EntryId, EntryKey, MAGIC, MAX_DETAILS_BYTES, MAX_ENTRIES,
    MAX_MANIFEST_BYTES, MAX_READERS, ManifestError, PAIR_BYTES, PUBLIC, READER_TAG_BYTES, Thumbnail, VERSION,
    WRAPPED_BYTES,
    wrap::{Frame, ReaderKey},
};
use crate::{
    codec::Reader,
    filecrypt::{self, FileKey},
    identity::{PrimaryKey, SecretKey},
    payload::FileEntry,
};

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
    pub(super) frame: Frame,
    /// In the manifest's own order, in which they are judged.
    pub(super) entries: Vec<(EntryId, Sealed<'a>)>,
    places: BTreeMap<EntryId, usize>,
}

pub(super) struct Sealed<'a> {
    pub(super) access: SealedAccess<'a>,
    details: &'a [u8],
}

pub(super) enum SealedAccess<'a> {
    Public(EntryKey),
    /// Tags and wrapped keys, sorted by tag.
    Readers(&'a [[u8; PAIR_BYTES]]),
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
        let frame = Frame::new(owner, version, &reader.array()?);
        let count = u32::from_le_bytes(reader.array()?) as usize;
        reader.backs(count, MIN_ENTRY_BYTES)?;
        if count > MAX_ENTRIES {
            return Err(bad("number of entries"));
        }
        let (mut entries, mut places) = (Vec::with_capacity(count), BTreeMap::new());
        for place in 0..count {
            let id = EntryId(reader.array()?);
            if places.insert(id, place).is_some() {
                return Err(ManifestError::DuplicateId(id));
            }
            entries.push((id, Sealed::read(&mut reader)?));
        }
        reader.finish()?;
        Ok(Self { frame, entries, places })
    }

    /// Opens every entry that is public or for this reader, in the manifest's order; the others are left out.
    ///
    /// # Errors
    /// [`ManifestError`] for the first entry of this reader's that is damaged: the whole manifest is refused.
    pub fn open_all(&self, reader: &SecretKey) -> Result<Vec<(EntryId, Details)>, ManifestError> {
        let (key, mut padded) = (self.reader_key(reader), Padded::new());
        let mut opened = Vec::new();
        for (id, entry) in &self.entries {
            match self.entry_key(&key, id, entry) {
                Ok(key) => opened.push((*id, self.details(&key, id, entry, &mut padded)?)),
                Err(ManifestError::NotAReader) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(opened)
    }

    /// Opens one entry.
    ///
    /// # Errors
    /// [`ManifestError::NotAReader`] if it is not there or not for this reader.
    pub fn open(&self, id: &EntryId, reader: &SecretKey) -> Result<Details, ManifestError> {
        let place = self.places.get(id).ok_or(ManifestError::NotAReader)?;
        let (_, entry) = &self.entries[*place];
        let key = self.entry_key(&self.reader_key(reader), id, entry)?;
        self.details(&key, id, entry, &mut Padded::new())
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
        self.entries.iter().any(|(_, entry)| matches!(entry.access, SealedAccess::Public(_)))
    }

    fn reader_key(&self, reader: &SecretKey) -> ReaderKey {
        self.frame.reader_key(&reader.agree(&self.frame.owner), &reader.primary())
    }

    fn entry_key(&self, reader: &ReaderKey, id: &EntryId, entry: &Sealed<'_>) -> Result<EntryKey, ManifestError> {
        match &entry.access {
            SealedAccess::Public(key) => Ok(key.clone()),
            SealedAccess::Readers(pairs) => {
                let wrapped = find(pairs, &reader.tag(id)).ok_or(ManifestError::NotAReader)?;
                self.frame.unwrap(reader, id, wrapped).ok_or(ManifestError::Damaged)
            }
        }
    }

    pub(super) fn details(
        &self,
        key: &EntryKey,
        id: &EntryId,
        entry: &Sealed<'_>,
        padded: &mut Padded,
    ) -> Result<Details, ManifestError> {
        let public = matches!(entry.access, SealedAccess::Public(_));
        let padded = &mut padded.0[..entry.details.len() - AEAD_TAG_BYTES];
        self.frame.open_details(key, id, public, entry.details, padded).ok_or(ManifestError::Damaged)?;
        read_details(padded)
    }
}

/// Finds a reader's wrapped key by their tag.
pub(super) fn find<'a>(pairs: &'a [[u8; PAIR_BYTES]], tag: &[u8; READER_TAG_BYTES]) -> Option<&'a [u8; WRAPPED_BYTES]> {
    let found = pairs.binary_search_by(|pair| pair[..READER_TAG_BYTES].cmp(tag)).ok()?;
    pairs[found].last_chunk()
}

/// Where details are opened, one entry's after the other's.
pub(super) struct Padded(Zeroizing<Vec<u8>>);

impl Padded {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(vec![0; MAX_DETAILS_BYTES]))
    }
}

impl<'a> Sealed<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ManifestError> {
        let bad = |field| ManifestError::BadField { field };
        let access = match reader.byte()? {
            PUBLIC => SealedAccess::Public(Zeroizing::new(reader.array()?)),
            0 => {
                let count = usize::from(u16::from_le_bytes(reader.array()?));
                reader.backs(count, PAIR_BYTES)?;
                if !count.is_power_of_two() || count > MAX_READERS {
                    return Err(bad("number of readers"));
                }
                let (pairs, _) = reader.bytes(count * PAIR_BYTES)?.as_chunks::<PAIR_BYTES>();
                let sorted = pairs.is_sorted_by(|a, b| a[..READER_TAG_BYTES] < b[..READER_TAG_BYTES]);
                if !sorted {
                    return Err(bad("order of readers"));
                }
                SealedAccess::Readers(pairs)
            }
            _ => return Err(bad("flags")),
        };
        let len = u32::from_le_bytes(reader.array()?) as usize;
        let details = reader.bytes(len)?;
        let padded = details.len().checked_sub(AEAD_TAG_BYTES);
        if !padded.is_some_and(|len| len % DETAILS_STEP == 0 && (DETAILS_STEP..=MAX_DETAILS_BYTES).contains(&len)) {
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
