//! Sealing, piece by piece.

use zeroize::Zeroizing;

use super::{
    FileError, FileKey, SEALED_SEGMENT_BYTES, SEGMENT_BYTES, TAG_BYTES, blob_len,
    cipher::{Cipher, PARALLEL_SEGMENTS, join},
};

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
    cipher: Cipher,
    /// The index of the segment that is held back.
    next: u64,
    /// A segment is held back until more follows: only then is it known not to be the last.
    held: Zeroizing<Vec<u8>>,
    /// It holds the last block of plaintext.
    hasher: Zeroizing<blake3::Hasher>,
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
        let held = Zeroizing::new(Vec::with_capacity(SEGMENT_BYTES));
        Self { cipher: Cipher::new(key), next: 0, held, hasher: Zeroizing::new(blake3::Hasher::new()), plain_len: 0 }
    }

    /// Takes the next plaintext bytes and appends every segment that is now complete to `out`.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] above 2^32 segments. Nothing of this piece was taken then; give the file up.
    pub fn update(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        let plain_len = self.plain_len.saturating_add(plain.len() as u64);
        blob_len(plain_len)?;
        self.plain_len = plain_len;

        let room = SEGMENT_BYTES - self.held.len();
        let (now, rest) = plain.split_at(room.min(plain.len()));
        self.held.extend_from_slice(now);
        if rest.is_empty() {
            self.hasher.update(plain);
            return Ok(());
        }
        // What is held is full, and more follows. So it is with every full segment but one at the very end.
        let (full, later) = rest.split_at((rest.len() - 1) / SEGMENT_BYTES * SEGMENT_BYTES);
        self.seal_full(plain, full, out).ok_or(FileError::TooLarge { plain_len })?;
        self.held.clear();
        self.held.extend_from_slice(later);
        Ok(())
    }

    /// Appends the last segment to `out`.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] above 2^32 segments.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Sealed, FileError> {
        self.end(out)
    }

    /// Does what [`Sealer::finish`] does; nothing may come after it.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Result<Sealed, FileError> {
        let place = grow(out, self.held.len() + TAG_BYTES);
        let too_large = FileError::TooLarge { plain_len: self.plain_len };
        self.cipher.seal(self.next, true, &self.held, place).ok_or(too_large)?;
        Ok(Sealed { plain_hash: self.hasher.finalize().into(), plain_len: self.plain_len })
    }

    /// Hashes all that came, and seals what is held and the full segments that follow it.
    fn seal_full(&mut self, plain: &[u8], full: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let segments = 1 + full.len() / SEGMENT_BYTES;
        let place = grow(out, segments * SEALED_SEGMENT_BYTES);
        let (first_place, places) = place.split_at_mut(SEALED_SEGMENT_BYTES);
        // Hashing takes a third of the time of sealing, so two thirds of the sealing are half of the whole.
        let theirs = if segments < PARALLEL_SEGMENTS { 0 } else { segments * 2 / 3 };
        let mine = segments - 1 - theirs;
        let (my_plain, their_plain) = full.split_at(mine * SEGMENT_BYTES);
        let (my_places, their_places) = places.split_at_mut(mine * SEALED_SEGMENT_BYTES);

        let (cipher, hasher, held, first) = (&self.cipher, &mut self.hasher, &self.held, self.next);
        let here = || {
            hasher.update(plain);
            cipher.seal(first, false, held, first_place)?;
            cipher.seal_run(first + 1, my_plain, my_places)
        };
        let there = || cipher.seal_run(first + 1 + mine as u64, their_plain, their_places);
        let (here, there) = join(theirs > 0, here, there);
        here.and(there)?;
        self.next += segments as u64;
        Some(())
    }
}

fn grow(out: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    let start = out.len();
    out.resize(start + bytes, 0);
    &mut out[start..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filecrypt::MAX_SEGMENTS;

    #[test]
    fn the_last_index_is_used_and_none_beyond_it() {
        let limit = MAX_SEGMENTS * SEGMENT_BYTES as u64;
        let mut sealer = Sealer::new(&FileKey::from_bytes([7; 32]));
        // As if all but two segments had gone through.
        sealer.plain_len = limit - 2 * SEGMENT_BYTES as u64;
        sealer.next = MAX_SEGMENTS - 2;
        let mut blob = Vec::new();
        sealer.update(&vec![0; 2 * SEGMENT_BYTES], &mut blob).unwrap();
        assert_eq!(sealer.update(&[0], &mut blob), Err(FileError::TooLarge { plain_len: limit + 1 }));
        assert_eq!(sealer.finish(&mut blob).map(|sealed| sealed.plain_len), Ok(limit));
        assert_eq!(blob.len(), 2 * SEALED_SEGMENT_BYTES);
        let beyond = Cipher::new(&FileKey::from_bytes([7; 32])).seal(MAX_SEGMENTS, true, &[], &mut [0; TAG_BYTES]);
        assert_eq!(beyond, None);
    }
}
