//! How the bytes of a shared file are protected (`docs/PROTOCOL.md` §9).
//!
//! The blob is STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its
//! Nonce-Reuse Misuse-Resistance", 2015; the BE32 variant) of ChaCha20-Poly1305 over segments of 64 KiB:
//! cut, reordered, repeated or appended segments are noticed, and memory stays at a few segments whatever the size.
//!
//! [`Sealer`] and [`Opener`] take bytes as they come, [`SealingReader`] and [`OpeningReader`] do the same over a
//! [`std::io::Read`], and [`PartOpener`] opens a part of a file from the segments that it lies in.
//!
//! Pieces of four whole segments and more are worked on by two threads, because BLAKE3 of the plaintext would otherwise
//! add a third to the cipher's time; pieces of 1 MiB gain the most. What comes out is the same.

mod cipher;
mod open;
mod part;
mod read;
mod seal;

#[cfg(test)]
mod tests;

use std::{fmt, io};

use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::Code;

pub use open::Opener;
pub use part::PartOpener;
pub use read::{OpeningReader, SealingReader};
pub use seal::{Sealed, Sealer};

/// Plaintext bytes in every segment but the last.
pub const SEGMENT_BYTES: usize = 65_536;
/// Bytes that encryption adds to each segment.
pub const TAG_BYTES: usize = 16;
/// The most segments a file has.
pub const MAX_SEGMENTS: u64 = 1 << 32;

const SEALED_SEGMENT_BYTES: usize = SEGMENT_BYTES + TAG_BYTES;

/// Says why a file could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file has more than 2^32 segments.
    #[error("the file is too large: {plain_len} bytes, above 256 TiB")]
    TooLarge {
        /// The file's length.
        plain_len: u64,
    },
    /// The blob is not as long as a file of that length makes it.
    #[error("the blob is {found} bytes long; a file of the promised length makes {expected}")]
    BadLength {
        /// The length that follows from the promised plaintext length.
        expected: u64,
        /// The blob's length.
        found: u64,
    },
    /// A part was asked for that does not lie inside the file.
    #[error("{len} bytes from {offset} on do not lie inside a file of {plain_len} bytes")]
    OutOfRange {
        /// Where the part begins.
        offset: u64,
        /// The part's length.
        len: u64,
        /// The file's length.
        plain_len: u64,
    },
    /// A segment does not decrypt: it was changed, moved, or sealed under another key.
    #[error("segment {index} of the file does not decrypt: it was changed, moved or sealed under another key")]
    BadSegment {
        /// The segment's index, from 0.
        index: u64,
    },
    /// The blob ended before its last segment.
    #[error("the file's bytes end too early")]
    Truncated,
    /// Bytes follow the last segment.
    #[error("bytes follow the file's end")]
    TrailingBytes,
    /// The opened file is not the one that was announced.
    #[error("the file's content is not what its sender announced (BLAKE3 differs)")]
    BadHash,
}

impl FileError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::TooLarge,
            Self::BadLength { .. } | Self::OutOfRange { .. } => Code::BadLength,
            Self::BadSegment { .. } => Code::BadSegment,
            Self::Truncated => Code::Truncated,
            Self::TrailingBytes => Code::TrailingBytes,
            Self::BadHash => Code::BadHash,
        }
    }
}

/// Keeps the [`FileError`] as the error's inner one; `downcast` finds it.
impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        let kind = match error {
            FileError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            FileError::OutOfRange { .. } => io::ErrorKind::InvalidInput,
            FileError::Truncated => io::ErrorKind::UnexpectedEof,
            FileError::BadLength { .. }
            | FileError::BadSegment { .. }
            | FileError::TrailingBytes
            | FileError::BadHash => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// The content key of one file: 32 bytes, fresh for each, wiped on drop and never printed.
///
/// They stay at one place in memory, so that a list of files that grows or moves leaves no copy behind.
#[derive(Clone)]
pub struct FileKey(Box<Zeroizing<[u8; 32]>>);

impl FileKey {
    /// Makes a fresh key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Takes the 32 bytes that a `file_share` carries.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// Shows the key to the store or the message that carries it.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for FileKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for FileKey {}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(redacted)")
    }
}

/// Returns how long the blob of a file is: its bytes and a tag for each segment, of which there is at least one.
///
/// # Errors
/// [`FileError::TooLarge`] above 2^32 segments.
pub fn blob_len(plain_len: u64) -> Result<u64, FileError> {
    let segments = segment_count(plain_len);
    if segments > MAX_SEGMENTS {
        Err(FileError::TooLarge { plain_len })
    } else {
        Ok(plain_len + segments * TAG_BYTES as u64)
    }
}

fn segment_count(plain_len: u64) -> u64 {
    plain_len.div_ceil(SEGMENT_BYTES as u64).max(1)
}
