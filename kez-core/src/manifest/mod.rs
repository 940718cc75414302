//! Manifests: what a person shares, readable entry by entry by those it is shared with (`docs/PROTOCOL.md` §9).
//!
//! A manifest is a blob whose hash stands on its owner's signed chain, so it carries no signature. Each entry has a key
//! of its own, wrapped for each reader under tags that only owner and reader can compute: others see how many entries
//! there are and, by a power of two, how many readers each has.
//!
//! An owner keeps a [`Collection`] and publishes it again whenever it changes; [`Collection::recover`] makes one from
//! what is published, for a device that has nothing but the owner's key and contacts. A reader checks what they fetched
//! with [`Manifest::parse`] and opens what is for them.

mod build;
mod collection;
mod read;
mod recover;
mod wrap;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    codec::CodecError,
    error::Code,
    filecrypt::FileKey,
    payload::{FileEntry, PayloadError},
};

pub use build::{Access, Draft, build};
pub use collection::Collection;
pub use read::{Manifest, Published};
pub use recover::Recovered;

/// The most bytes of a manifest.
pub const MAX_MANIFEST_BYTES: usize = 64 << 20;
/// The most entries of a manifest.
pub const MAX_ENTRIES: usize = 100_000;
/// The most readers of one entry.
pub const MAX_READERS: usize = 32_768;

const MAGIC: &[u8; 4] = b"KEZM";
const VERSION: u8 = 1;
const PUBLIC: u8 = 1;
const AEAD_TAG_BYTES: usize = 16;
const READER_TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = 32 + AEAD_TAG_BYTES;
/// What a reader takes in an entry: a tag to find, and the entry's key wrapped for them.
const PAIR_BYTES: usize = READER_TAG_BYTES + WRAPPED_BYTES;
/// Details are padded to a multiple of this many bytes, so that their length tells little.
const DETAILS_STEP: usize = 256;
const MAX_DETAILS_STEPS: usize = 16;
const MAX_DETAILS_BYTES: usize = DETAILS_STEP * MAX_DETAILS_STEPS;

/// Says why a manifest was refused, could not be made, or an entry of it not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The manifest begins with another version.
    #[error("the manifest has version {0}; this is version 1: update the application")]
    BadVersion(u8),
    /// The bytes are not the structure of a manifest.
    #[error("the manifest's bytes are malformed: {0}")]
    Codec(#[from] CodecError),
    /// A field holds what it may not, or is not what the chain says.
    #[error("the manifest's {field} is not what it must be")]
    BadField {
        /// What is wrong.
        field: &'static str,
    },
    /// The owner's or a reader's key is not sound.
    #[error("the manifest names an unsound key")]
    BadKey,
    /// Two entries have the same id.
    #[error("two entries of the manifest have the same id {0}")]
    DuplicateId(EntryId),
    /// A text names no entry.
    #[error("an entry is named by 32 digits of 0-9 and a-f, as a listing shows them")]
    BadEntryId,
    /// The entry asked for is not there, or not for this reader.
    #[error("there is no such entry for you in the manifest")]
    NotAReader,
    /// An entry is for this reader, but does not decrypt.
    #[error("an entry of the manifest does not decrypt: its owner's software is at fault")]
    Damaged,
    /// An entry's padding is not the one that its content's length calls for.
    #[error("an entry of the manifest is not padded as it must be")]
    BadPadding,
    /// An entry describes a file as it may not.
    #[error("an entry of the manifest is malformed: {0}")]
    BadEntry(#[from] PayloadError),
}

impl ManifestError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadVersion(_) => Code::BadVersion,
            Self::Codec(error) => error.code_or(Code::BadManifest),
            Self::BadField { .. } | Self::BadEntryId | Self::Damaged => Code::BadManifest,
            Self::BadKey => Code::BadKey,
            Self::DuplicateId(_) => Code::DuplicateId,
            Self::NotAReader => Code::NotAReader,
            Self::BadPadding => Code::BadPadding,
            Self::BadEntry(error) => match error.code() {
                Code::BadPayload => Code::BadManifest,
                code => code,
            },
        }
    }
}

/// An entry's name: 16 random bytes, kept for as long as the entry is published; 32 hex digits in text.
///
/// ```
/// use kez_core::manifest::EntryId;
///
/// let id: EntryId = "00112233445566778899aabbccddeeff".parse()?;
/// assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
/// assert_eq!(serde_json::to_value(id).unwrap(), id.to_string());
/// # Ok::<(), kez_core::manifest::ManifestError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub [u8; 16]);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({self})")
    }
}

impl FromStr for EntryId {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(ManifestError::BadEntryId)
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What an entry tells its readers.
#[derive(Clone, Debug, PartialEq)]
pub struct Details {
    /// The file.
    pub file: FileEntry,
    /// When it was shared, in milliseconds since 1970.
    pub shared_at_ms: u64,
    /// A small picture of it, a blob of its own.
    pub thumbnail: Option<Thumbnail>,
}

/// A small picture, sealed like any file and fetched when it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Thumbnail {
    /// BLAKE3 of its sealed blob.
    pub blob_hash: [u8; 32],
    /// Its length in bytes.
    pub plain_len: u64,
    /// The key that opens the blob.
    pub key: FileKey,
}

/// The key of one entry.
type EntryKey = Zeroizing<[u8; 32]>;
