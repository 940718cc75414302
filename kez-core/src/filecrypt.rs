//! How the bytes of a shared file are protected (`docs/PROTOCOL.md` §9).
//!
//! The blob is STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its
//! Nonce-Reuse Misuse-Resistance", 2015; the BE32 variant) of ChaCha20-Poly1305 over segments of 64 KiB:
//! cut, reordered, repeated or appended segments are noticed, and memory stays at a segment whatever the size.

use std::fmt;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::Code;

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
            Self::BadLength { .. } => Code::BadLength,
            Self::BadSegment { .. } => Code::BadSegment,
            Self::Truncated => Code::Truncated,
            Self::TrailingBytes => Code::TrailingBytes,
            Self::BadHash => Code::BadHash,
        }
    }
}

/// The content key of one file: 32 bytes, fresh for each, wiped on drop and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey(Zeroizing<[u8; 32]>);

impl FileKey {
    /// Makes a fresh key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Takes the 32 bytes that a `file_share` carries.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Shows the key to the store or the message that carries it.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

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

/// Both directions: one segment at a time, under a nonce of its index and whether it is the last.
struct Segments {
    cipher: ChaCha20Poly1305,
    next: u64,
}

impl Segments {
    fn new(key: &FileKey) -> Self {
        Self { cipher: ChaCha20Poly1305::new((&*key.0).into()), next: 0 }
    }

    fn nonce(&mut self, last: bool) -> Option<Nonce> {
        let counter = u32::try_from(self.next).ok()?;
        self.next += 1;
        let mut nonce = Nonce::default();
        nonce[7..11].copy_from_slice(&counter.to_be_bytes());
        nonce[11] = u8::from(last);
        Some(nonce)
    }
}

/// Seals a file of unknown length, piece by piece.
///
/// ```
/// use kez_core::filecrypt::{FileKey, Opener, Sealer, blob_len};
///
/// let key = FileKey::from_bytes([7; 32]);
/// let mut sealer = Sealer::new(&key);
/// let mut blob = Vec::new();
/// sealer.update(b"hello ", &mut blob)?;
/// sealer.update(b"world", &mut blob)?;
/// let sealed = sealer.finish(&mut blob)?;
/// assert_eq!(blob.len() as u64, blob_len(sealed.plain_len)?);
///
/// let mut opener = Opener::new(&key, sealed.plain_len, blob.len() as u64)?;
/// let mut plain = Vec::new();
/// opener.update(&blob, &mut plain)?;
/// opener.finish(&sealed.plain_hash)?;
/// assert_eq!(plain, b"hello world");
/// # Ok::<(), kez_core::filecrypt::FileError>(())
/// ```
pub struct Sealer {
    segments: Segments,
    buffer: Zeroizing<Vec<u8>>,
    hasher: blake3::Hasher,
    plain_len: u64,
}

/// What a [`Sealer`] learned of the file on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// BLAKE3 of the plaintext.
    pub plain_hash: [u8; 32],
    /// The plaintext's length in bytes.
    pub plain_len: u64,
}

impl Sealer {
    /// Begins a file under a key that no other file has.
    #[must_use]
    pub fn new(key: &FileKey) -> Self {
        let buffer = Zeroizing::new(Vec::with_capacity(SEALED_SEGMENT_BYTES));
        Self { segments: Segments::new(key), buffer, hasher: blake3::Hasher::new(), plain_len: 0 }
    }

    /// Takes the next plaintext bytes and appends every segment that is now complete to `out`.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] above 2^32 segments.
    pub fn update(&mut self, mut plain: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        self.hasher.update(plain);
        self.plain_len = self.plain_len.saturating_add(plain.len() as u64);
        while !plain.is_empty() {
            // A full segment is held back until more follows: only then is it known not to be the last.
            if self.buffer.len() == SEGMENT_BYTES {
                self.seal(false, out)?;
            }
            let room = SEGMENT_BYTES - self.buffer.len();
            let (now, later) = plain.split_at(room.min(plain.len()));
            self.buffer.extend_from_slice(now);
            plain = later;
        }
        Ok(())
    }

    /// Appends the last segment to `out`.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] above 2^32 segments.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Sealed, FileError> {
        self.seal(true, out)?;
        Ok(Sealed { plain_hash: self.hasher.finalize().into(), plain_len: self.plain_len })
    }

    fn seal(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), FileError> {
        let too_large = FileError::TooLarge { plain_len: self.plain_len };
        let nonce = self.segments.nonce(last).ok_or(too_large)?;
        self.segments.cipher.encrypt_in_place(&nonce, &[], &mut *self.buffer).map_err(|_| too_large)?;
        out.extend_from_slice(&self.buffer);
        self.buffer.clear();
        Ok(())
    }
}

/// Opens a blob of known length, piece by piece. Plaintext is given out segment by segment, each authenticated;
/// it is the whole file only after [`Opener::finish`] said so.
pub struct Opener {
    segments: Segments,
    total_segments: u64,
    buffer: Zeroizing<Vec<u8>>,
    hasher: blake3::Hasher,
    /// Sealed bytes still to come.
    left: u64,
}

impl Opener {
    /// Begins to open a blob of `blob_len` bytes that was announced as a file of `plain_len` bytes.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], or [`FileError::BadLength`] if the lengths do not belong together.
    pub fn new(key: &FileKey, plain_len: u64, found_len: u64) -> Result<Self, FileError> {
        let expected = blob_len(plain_len)?;
        if found_len != expected {
            return Err(FileError::BadLength { expected, found: found_len });
        }
        Ok(Self {
            segments: Segments::new(key),
            total_segments: segment_count(plain_len),
            buffer: Zeroizing::new(Vec::with_capacity(SEALED_SEGMENT_BYTES)),
            hasher: blake3::Hasher::new(),
            left: expected,
        })
    }

    /// Takes the next bytes of the blob and appends every segment that is now complete, opened, to `out`.
    ///
    /// # Errors
    /// [`FileError::BadSegment`], or [`FileError::TrailingBytes`] beyond the announced length.
    pub fn update(&mut self, mut sealed: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        while !sealed.is_empty() {
            if self.left == 0 {
                return Err(FileError::TrailingBytes);
            }
            let wanted = SEALED_SEGMENT_BYTES
                .min(self.buffer.len().saturating_add(usize::try_from(self.left).unwrap_or(usize::MAX)));
            let (now, later) = sealed.split_at((wanted - self.buffer.len()).min(sealed.len()));
            self.buffer.extend_from_slice(now);
            self.left -= now.len() as u64;
            sealed = later;
            if self.buffer.len() == wanted {
                self.open(out)?;
            }
        }
        Ok(())
    }

    /// Checks that the blob is complete and the file the announced one.
    ///
    /// # Errors
    /// [`FileError::Truncated`] or [`FileError::BadHash`].
    pub fn finish(self, plain_hash: &[u8; 32]) -> Result<(), FileError> {
        if self.left > 0 {
            return Err(FileError::Truncated);
        }
        if self.hasher.finalize() == *plain_hash { Ok(()) } else { Err(FileError::BadHash) }
    }

    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), FileError> {
        let index = self.segments.next;
        let last = index + 1 == self.total_segments;
        let bad = FileError::BadSegment { index };
        let nonce = self.segments.nonce(last).ok_or(bad)?;
        self.segments.cipher.decrypt_in_place(&nonce, &[], &mut *self.buffer).map_err(|_| bad)?;
        self.hasher.update(&self.buffer);
        out.extend_from_slice(&self.buffer);
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal(plain: &[u8], piece: usize) -> (Vec<u8>, Sealed) {
        let mut sealer = Sealer::new(&FileKey::from_bytes([7; 32]));
        let mut blob = Vec::new();
        for part in plain.chunks(piece) {
            sealer.update(part, &mut blob).unwrap();
        }
        let sealed = sealer.finish(&mut blob).unwrap();
        (blob, sealed)
    }

    fn open(blob: &[u8], sealed: &Sealed, piece: usize) -> Result<Vec<u8>, FileError> {
        let mut opener = Opener::new(&FileKey::from_bytes([7; 32]), sealed.plain_len, blob_len(sealed.plain_len)?)?;
        let mut plain = Vec::new();
        for part in blob.chunks(piece) {
            opener.update(part, &mut plain)?;
        }
        opener.finish(&sealed.plain_hash).map(|()| plain)
    }

    #[test]
    fn every_boundary_round_trips() {
        for len in [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES] {
            let plain: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let (blob, sealed) = seal(&plain, 10_007);
            assert_eq!(blob.len() as u64, blob_len(len as u64).unwrap(), "{len}");
            assert_eq!(sealed.plain_hash, *blake3::hash(&plain).as_bytes());
            assert!(open(&blob, &sealed, 9_973).unwrap() == plain, "{len}");
        }
        assert_eq!(seal(&[], 1).0.len(), TAG_BYTES);
    }

    #[test]
    fn cut_moved_repeated_and_appended_segments_are_noticed() {
        let plain = vec![1; 3 * SEGMENT_BYTES];
        let (blob, sealed) = seal(&plain, 1 << 20);
        let segment = |i: usize| &blob[i * SEALED_SEGMENT_BYTES..(i + 1) * SEALED_SEGMENT_BYTES];
        let swapped = [segment(1), segment(0), segment(2)].concat();
        assert_eq!(open(&swapped, &sealed, 1 << 20), Err(FileError::BadSegment { index: 0 }));
        let repeated = [segment(0), segment(0), segment(2)].concat();
        assert_eq!(open(&repeated, &sealed, 1 << 20), Err(FileError::BadSegment { index: 1 }));
        assert_eq!(open(&blob[..blob.len() - 1], &sealed, 1 << 20), Err(FileError::Truncated));
        let longer = [&blob[..], &[0]].concat();
        assert_eq!(open(&longer, &sealed, 1 << 20), Err(FileError::TrailingBytes));
        // Cut at a segment's end and announced as shorter: the middle segment was not sealed as a last one.
        let shorter = Sealed { plain_len: 2 * SEGMENT_BYTES as u64, ..sealed };
        assert_eq!(open(&blob[..2 * SEALED_SEGMENT_BYTES], &shorter, 1 << 20), Err(FileError::BadSegment { index: 1 }));
        let other = Sealed { plain_hash: [0; 32], ..sealed };
        assert_eq!(open(&blob, &other, 1 << 20), Err(FileError::BadHash));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_read() {
        let key = FileKey::from_bytes([7; 32]);
        assert_eq!(Opener::new(&key, 10, 25).err(), Some(FileError::BadLength { expected: 26, found: 25 }));
        let limit = MAX_SEGMENTS * SEGMENT_BYTES as u64;
        assert!(blob_len(limit).is_ok());
        assert_eq!(blob_len(limit + 1), Err(FileError::TooLarge { plain_len: limit + 1 }));
        assert_eq!(blob_len(u64::MAX), Err(FileError::TooLarge { plain_len: u64::MAX }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0usize..(1000 + TAG_BYTES) * 8) {
            let (mut blob, sealed) = seal(&[3; 1000], 1000);
            blob[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(&blob, &sealed, 4096), Err(FileError::BadSegment { index: 0 }));
        }
    }
}
