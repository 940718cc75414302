//! The cipher over segments, each under a nonce of its index and whether it is the last (§9).

use std::thread;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag, aead::inout::InOutBuf};

use super::{FileKey, SEALED_SEGMENT_BYTES, SEGMENT_BYTES, TAG_BYTES};

/// From this many segments at a time on, a second thread helps: a sixth of a millisecond's work, several times what
/// starting a thread costs.
pub(super) const PARALLEL_SEGMENTS: usize = 4;

pub(super) struct Cipher(ChaCha20Poly1305);

impl Cipher {
    pub(super) fn new(key: &FileKey) -> Self {
        Self(ChaCha20Poly1305::new(key.expose_bytes().into()))
    }

    /// Seals one segment into a place that is a tag longer. `None` beyond the last index there is.
    pub(super) fn seal(&self, index: u64, last: bool, plain: &[u8], sealed: &mut [u8]) -> Option<()> {
        let (body, tag) = sealed.split_at_mut_checked(plain.len())?;
        let buffer = InOutBuf::new(plain, body).ok()?;
        let made = self.0.encrypt_inout_detached(&nonce(index, last)?, &[], buffer).ok()?;
        tag.copy_from_slice(&made);
        Some(())
    }

    /// Seals full segments, none of them the last.
    pub(super) fn seal_run(&self, first: u64, plain: &[u8], sealed: &mut [u8]) -> Option<()> {
        let places = sealed.chunks_exact_mut(SEALED_SEGMENT_BYTES);
        let mut segments = (first..).zip(plain.chunks_exact(SEGMENT_BYTES).zip(places));
        segments.try_for_each(|(index, (plain, sealed))| self.seal(index, false, plain, sealed))
    }

    /// Opens segments into a place that is a tag shorter for each; all are full, but for the file's last, whose index
    /// is given. A segment that does not decrypt is named, and nothing of it written.
    pub(super) fn open_run(&self, first: u64, last: u64, sealed: &[u8], mut plain: &mut [u8]) -> Result<(), u64> {
        for (index, sealed) in (first..).zip(sealed.chunks(SEALED_SEGMENT_BYTES)) {
            // Not by chunks of the plaintext: an empty last segment has none, and is checked like every other.
            let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(index)?;
            let (place, rest) = plain.split_at_mut_checked(body.len()).ok_or(index)?;
            let nonce = nonce(index, index == last).ok_or(index)?;
            let buffer = InOutBuf::new(body, place).map_err(|_| index)?;
            self.0.decrypt_inout_detached(&nonce, &[], buffer, &Tag::from(*tag)).map_err(|_| index)?;
            plain = rest;
        }
        Ok(())
    }
}

fn nonce(index: u64, last: bool) -> Option<Nonce> {
    let counter = u32::try_from(index).ok()?;
    let mut nonce = Nonce::default();
    nonce[7..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    Some(nonce)
}

/// Does two things, at the same time if that is worth a second thread and one is to be had.
pub(super) fn join<A, B: Send>(parallel: bool, here: impl FnOnce() -> A, there: impl FnOnce() -> B + Send) -> (A, B) {
    if !parallel {
        return (here(), there());
    }
    let (mut there, mut result) = (Some(there), None);
    let first = thread::scope(|scope| {
        let work = || result = there.take().map(|there| there());
        // A thread that does not start leaves its work where it is.
        let _started = thread::Builder::new().spawn_scoped(scope, work);
        here()
    });
    match (result, there) {
        (Some(second), _) => (first, second),
        (None, Some(there)) => (first, there()),
        (None, None) => unreachable!("the scope waits for its thread, and passes on its panic"),
    }
}
