//! Making a manifest.

use std::collections::{HashMap, HashSet};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    AEAD_TAG_BYTES, DETAILS_STEP, Details, EntryId, EntryKey, MAGIC, MAX_DETAILS_BYTES, MAX_ENTRIES,
    MAX_MANIFEST_BYTES, MAX_READERS, ManifestError, PAIR_BYTES, PUBLIC, READER_TAG_BYTES, VERSION,
    wrap::{Frame, ReaderKey},
};
use crate::{
    codec::{MAX_INTEGER, put_varint},
    filecrypt,
    identity::{PrimaryKey, SecretKey},
    payload::PayloadError,
};

/// Who may read an entry.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody who has the manifest.
    Public,
    /// These people, each named once; also nobody, or the owner.
    Readers(Vec<PrimaryKey>),
}

/// An entry to publish.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its name, not that of another entry.
    pub id: EntryId,
    /// Who may read it.
    pub access: Access,
    /// What they read.
    pub details: Details,
}

/// Makes the manifest of a publication. `version` is the one that the chain's `set_shared_files` will carry.
///
/// # Errors
/// [`ManifestError`] for whatever a reader would refuse: too many entries or readers, a reader or an id twice, details
/// that do not fit.
pub fn build(
    owner: &SecretKey,
    version: u64,
    entries: &[Draft],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, ManifestError> {
    build_from(owner, version, entries.iter(), rng)
}

pub(super) fn build_from<'a>(
    owner: &SecretKey,
    version: u64,
    entries: impl ExactSizeIterator<Item = &'a Draft>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, ManifestError> {
    let bad = |field| ManifestError::BadField { field };
    if entries.len() > MAX_ENTRIES {
        return Err(bad("number of entries"));
    }
    if version > MAX_INTEGER {
        return Err(bad("version"));
    }
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let frame = Frame::new(owner.primary(), version, &salt);
    let mut keys = ReaderKeys { owner, frame: &frame, known: HashMap::new() };
    let mut ids = HashSet::new();
    let mut padded = Zeroizing::new(Vec::with_capacity(MAX_DETAILS_BYTES));

    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.extend_from_slice(frame.owner.as_bytes());
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(&u32::try_from(entries.len()).map_err(|_| bad("number of entries"))?.to_le_bytes());
    for draft in entries {
        if !ids.insert(draft.id) {
            return Err(ManifestError::DuplicateId(draft.id));
        }
        let mut key = EntryKey::default();
        rng.fill_bytes(key.as_mut_slice());
        out.extend_from_slice(&draft.id.0);
        let public = matches!(draft.access, Access::Public);
        out.push(if public { PUBLIC } else { 0 });
        match &draft.access {
            Access::Public => out.extend_from_slice(key.as_slice()),
            Access::Readers(readers) => write_wraps(&mut out, &mut keys, draft.id, &key, readers, rng)?,
        }
        pad(&draft.details, &mut padded)?;
        let len = padded.len() + AEAD_TAG_BYTES;
        out.extend_from_slice(&u32::try_from(len).map_err(|_| bad("details"))?.to_le_bytes());
        let start = out.len();
        out.resize(start + len, 0);
        frame.seal_details(&key, &draft.id, public, &padded, &mut out[start..]);
        if out.len() > MAX_MANIFEST_BYTES {
            return Err(bad("length"));
        }
    }
    Ok(out)
}

/// Agrees with each reader once, however many entries they read.
struct ReaderKeys<'a> {
    owner: &'a SecretKey,
    frame: &'a Frame,
    /// Boxed: a table that grows leaves copies of what lies in it.
    known: HashMap<PrimaryKey, Box<ReaderKey>>,
}

impl ReaderKeys<'_> {
    fn of(&mut self, reader: &PrimaryKey) -> &ReaderKey {
        let (owner, frame) = (self.owner, self.frame);
        self.known.entry(*reader).or_insert_with(|| Box::new(frame.reader_key(&owner.agree(reader), reader)))
    }
}

/// Writes an entry's wraps, and random ones up to a power of two.
fn write_wraps(
    out: &mut Vec<u8>,
    keys: &mut ReaderKeys<'_>,
    id: EntryId,
    key: &EntryKey,
    readers: &[PrimaryKey],
    rng: &mut impl CryptoRng,
) -> Result<(), ManifestError> {
    check_readers(readers)?;
    let count = readers.len().next_power_of_two();
    let mut pairs = Vec::with_capacity(count);
    let frame = keys.frame;
    for reader in readers {
        let reader = keys.of(reader);
        let mut pair = [0; PAIR_BYTES];
        pair[..READER_TAG_BYTES].copy_from_slice(&reader.tag(&id));
        frame.wrap(reader, &id, key, &mut pair[READER_TAG_BYTES..]);
        pairs.push(pair);
    }
    pairs.resize_with(count, || {
        let mut pair = [0; PAIR_BYTES];
        let (tag, wrapped) = pair.split_at_mut(READER_TAG_BYTES);
        rng.fill_bytes(tag);
        rng.fill_bytes(wrapped);
        pair
    });
    pairs.sort_unstable();
    let count = u16::try_from(count).map_err(|_| ManifestError::BadField { field: "number of readers" })?;
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(pairs.as_flattened());
    Ok(())
}

/// Refuses a list of readers that is too long or names one twice.
pub(super) fn check_readers(readers: &[PrimaryKey]) -> Result<(), ManifestError> {
    if readers.len() > MAX_READERS {
        return Err(ManifestError::BadField { field: "number of readers" });
    }
    let mut named = HashSet::with_capacity(readers.len());
    if readers.iter().all(|reader| named.insert(reader)) {
        Ok(())
    } else {
        Err(ManifestError::BadField { field: "list of readers" })
    }
}

/// Writes details, padded, in place of what was there. `out` has room for the largest: growing would leave copies of
/// keys behind.
pub(super) fn pad(details: &Details, out: &mut Vec<u8>) -> Result<(), ManifestError> {
    out.clear();
    details.file.write(out)?;
    if details.shared_at_ms > MAX_INTEGER {
        return Err(ManifestError::BadField { field: "shared_at" });
    }
    put_varint(out, details.shared_at_ms);
    match &details.thumbnail {
        None => out.push(0),
        Some(thumbnail) => {
            out.push(1);
            out.extend_from_slice(&thumbnail.blob_hash);
            filecrypt::blob_len(thumbnail.plain_len).map_err(PayloadError::from)?;
            put_varint(out, thumbnail.plain_len);
            out.extend_from_slice(thumbnail.key.expose_bytes());
        }
    }
    out.push(0x80);
    let padded = out.len().next_multiple_of(DETAILS_STEP);
    if padded > MAX_DETAILS_BYTES {
        return Err(ManifestError::BadField { field: "details" });
    }
    out.resize(padded, 0);
    Ok(())
}
