//! Sealing and opening a file, beside the bare cipher over the same segments.

use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use criterion::Criterion;
use kez_core::filecrypt::{FileKey, Opener, SEGMENT_BYTES, Sealed, Sealer};

use crate::measure::{Comparison, Ratio, Work};

const FILE_BYTES: usize = 64 << 20;
/// A file is read and written in pieces of this length.
const PIECE_BYTES: usize = 1 << 20;
const KEY: [u8; 32] = [7; 32];

pub(crate) fn seal_and_open(criterion: &mut Criterion) -> [Ratio; 2] {
    let plain: Vec<u8> = (0..FILE_BYTES).map(|index| index as u8).collect();
    let mut blob = Vec::new();
    let sealed = seal(&plain, |piece| blob.extend_from_slice(piece));
    let bare = Bare(ChaCha20Poly1305::new((&KEY).into()));
    let mut in_place = plain.clone();
    let tags = bare.seal(&mut in_place);

    let mut sealing =
        Comparison { ours: Work::new(|| seal(&plain, |_| ())), peer: Work::new(|| bare.seal(&mut in_place)) };
    sealing.ours.measure(criterion, "file_seal_64mib", "kez");
    sealing.peer.measure(criterion, "file_seal_64mib", "chacha20poly1305");
    let seal_ratio = 1.0 / sealing.ratio();
    drop(sealing);

    // Opening in place uses the sealed bytes up, so they are put back before each time.
    let mut sealed_bytes = plain.clone();
    assert_eq!(bare.seal(&mut sealed_bytes), tags);
    let in_place = std::cell::RefCell::new(in_place);
    let mut opening = Comparison {
        ours: Work::new(|| open(&blob, &sealed)),
        peer: Work::prepared(
            || in_place.borrow_mut().copy_from_slice(&sealed_bytes),
            |()| bare.open(&mut in_place.borrow_mut(), &tags),
        ),
    };
    opening.ours.measure(criterion, "file_open_64mib", "kez");
    opening.peer.measure(criterion, "file_open_64mib", "chacha20poly1305");
    [("file_seal_vs_aead", seal_ratio), ("file_open_vs_aead", 1.0 / opening.ratio())]
}

fn seal(plain: &[u8], mut write: impl FnMut(&[u8])) -> Sealed {
    let mut sealer = Sealer::new(&FileKey::from_bytes(KEY));
    let mut out = Vec::new();
    for piece in plain.chunks(PIECE_BYTES) {
        sealer.update(piece, &mut out).unwrap();
        write(&out);
        out.clear();
    }
    let sealed = sealer.finish(&mut out).unwrap();
    write(&out);
    sealed
}

fn open(blob: &[u8], sealed: &Sealed) {
    let mut opener = Opener::new(&FileKey::from_bytes(KEY), sealed.plain_len, blob.len() as u64).unwrap();
    let mut out = Vec::new();
    for piece in blob.chunks(PIECE_BYTES) {
        opener.update(piece, &mut out).unwrap();
        out.clear();
    }
    opener.finish(&sealed.plain_hash).unwrap();
}

/// The cipher alone: no copies, no hash of the content.
struct Bare(ChaCha20Poly1305);

impl Bare {
    fn seal(&self, bytes: &mut [u8]) -> Vec<Tag> {
        let segments = bytes.chunks_mut(SEGMENT_BYTES).enumerate();
        segments
            .map(|(index, segment)| self.0.encrypt_inout_detached(&nonce(index), &[], segment.into()).unwrap())
            .collect()
    }

    fn open(&self, bytes: &mut [u8], tags: &[Tag]) {
        for ((index, segment), tag) in bytes.chunks_mut(SEGMENT_BYTES).enumerate().zip(tags) {
            self.0.decrypt_inout_detached(&nonce(index), &[], segment.into(), tag).unwrap();
        }
    }
}

fn nonce(segment: usize) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&segment.to_be_bytes());
    nonce
}
