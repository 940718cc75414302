//! Opening, piece by piece.

use std::mem;

use zeroize::Zeroizing;

use super::{
    FileError, FileKey, SEALED_SEGMENT_BYTES, SEGMENT_BYTES, TAG_BYTES, blob_len,
    cipher::{Cipher, PARALLEL_SEGMENTS, join},
    segment_count,
};

/// Opens a blob of known length, piece by piece. Plaintext is given out segment by segment, each authenticated;
/// it is the whole file only after [`Opener::finish`] said so.
pub struct Opener {
    /// The hasher holds the last block of plaintext.
    segments: Segments<Zeroizing<blake3::Hasher>>,
}

impl Opener {
    /// Begins to open a blob of `found_len` bytes that was announced as a file of `plain_len` bytes.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], or [`FileError::BadLength`] if the lengths do not belong together.
    pub fn new(key: &FileKey, plain_len: u64, found_len: u64) -> Result<Self, FileError> {
        let expected = blob_len(plain_len)?;
        if found_len != expected {
            return Err(FileError::BadLength { expected, found: found_len });
        }
        Ok(Self { segments: Segments::new(key, plain_len, 0, expected, Zeroizing::new(blake3::Hasher::new())) })
    }

    /// Takes the next bytes of the blob and appends every segment that is now complete, opened, to `out`.
    ///
    /// # Errors
    /// [`FileError::BadSegment`], or [`FileError::TrailingBytes`] beyond the announced length. What comes after an
    /// error is refused with the same.
    pub fn update(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        self.segments.update(sealed, out)
    }

    /// Checks that the blob is complete and the file the announced one.
    ///
    /// # Errors
    /// [`FileError::Truncated`] or [`FileError::BadHash`], or what an update was refused with.
    pub fn finish(self, plain_hash: &[u8; 32]) -> Result<(), FileError> {
        self.check(plain_hash)
    }

    pub(super) fn check(&self, plain_hash: &[u8; 32]) -> Result<(), FileError> {
        self.segments.finish()?;
        if self.segments.digest.finalize() == *plain_hash { Ok(()) } else { Err(FileError::BadHash) }
    }

    /// Returns how many bytes of the blob are still to come.
    pub(super) fn left(&self) -> u64 {
        self.segments.left
    }
}

/// What the plaintext goes through on the way out: a hash for a whole file, nothing for a part of one.
pub(super) trait Digest {
    fn take(&mut self, plain: &[u8]);
}

impl Digest for Zeroizing<blake3::Hasher> {
    fn take(&mut self, plain: &[u8]) {
        self.update(plain);
    }
}

impl Digest for () {
    fn take(&mut self, _plain: &[u8]) {}
}

/// Opens segments that follow each other.
pub(super) struct Segments<D> {
    cipher: Cipher,
    /// The index of the next segment.
    next: u64,
    /// The index of the file's last segment, which may be none of these.
    last: u64,
    /// Sealed bytes still to come.
    left: u64,
    /// The beginning of the next segment.
    partial: Vec<u8>,
    digest: D,
    fault: Option<FileError>,
}

impl<D: Digest> Segments<D> {
    /// Begins with a segment of a file of `plain_len` bytes; `len` bytes of its blob are to come, all of them in whole
    /// segments.
    pub(super) fn new(key: &FileKey, plain_len: u64, first: u64, len: u64, digest: D) -> Self {
        let last = segment_count(plain_len) - 1;
        Self { cipher: Cipher::new(key), next: first, last, left: len, partial: Vec::new(), digest, fault: None }
    }

    pub(super) fn update(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let opened = self.take(sealed, out);
        self.fault = opened.err();
        opened
    }

    pub(super) fn finish(&self) -> Result<(), FileError> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.left > 0 => Err(FileError::Truncated),
            None => Ok(()),
        }
    }

    fn take(&mut self, mut sealed: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        while !sealed.is_empty() {
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            if left == 0 {
                return Err(FileError::TrailingBytes);
            }
            // Whole segments are opened where they are; only what is left of a piece is kept for the next.
            let whole =
                if sealed.len() >= left { left } else { sealed.len() / SEALED_SEGMENT_BYTES * SEALED_SEGMENT_BYTES };
            if self.partial.is_empty() && whole > 0 {
                let (now, later) = sealed.split_at(whole);
                self.left -= whole as u64;
                self.open(now, out)?;
                sealed = later;
                continue;
            }
            let wanted = SEALED_SEGMENT_BYTES.min(self.partial.len().saturating_add(left));
            let (now, later) = sealed.split_at((wanted - self.partial.len()).min(sealed.len()));
            self.partial.reserve_exact(wanted - self.partial.len());
            self.partial.extend_from_slice(now);
            self.left -= now.len() as u64;
            if self.partial.len() == wanted {
                let mut segment = mem::take(&mut self.partial);
                self.open(&segment, out)?;
                segment.clear();
                self.partial = segment;
            }
            sealed = later;
        }
        Ok(())
    }

    /// Opens whole segments: all up to the first one that does not decrypt.
    fn open(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        let segments = sealed.len().div_ceil(SEALED_SEGMENT_BYTES);
        let start = out.len();
        out.resize(start + sealed.len() - segments * TAG_BYTES, 0);
        let (cipher, digest, first, last) = (&self.cipher, &mut self.digest, self.next, self.last);
        // Hashing takes a third of the time of opening, so that this is done with three when the other is with four.
        let mine = segments * 3 / 7;
        let (my_sealed, their_sealed) = sealed.split_at(mine * SEALED_SEGMENT_BYTES);
        let (my_place, their_place) = out[start..].split_at_mut(mine * SEGMENT_BYTES);
        let (here, there) = join(
            segments >= PARALLEL_SEGMENTS,
            || {
                cipher.open_run(first, last, my_sealed, my_place)?;
                digest.take(my_place);
                Ok(())
            },
            || cipher.open_run(first + mine as u64, last, their_sealed, their_place),
        );
        match here.and(there) {
            Ok(()) => {
                self.digest.take(their_place);
                self.next += segments as u64;
                Ok(())
            }
            Err(index) => {
                // Below the number of segments of this piece, so it fits.
                let sound = (index - first) as usize * SEGMENT_BYTES;
                out.truncate(start + sound);
                Err(FileError::BadSegment { index })
            }
        }
    }
}
