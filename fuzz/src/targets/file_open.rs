//! Blobs of shared files (`docs/PROTOCOL.md` §9).

use kez_core::{
    Code,
    filecrypt::{FileError, FileKey, Opener, SEGMENT_BYTES, Sealed, Sealer, TAG_BYTES, blob_len},
};

use super::input::{Input, Seed};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => foreign_bytes(input),
        1 => changed_bytes(input),
        _ => changed_segments(input),
    }
}

fn key() -> FileKey {
    FileKey::from_bytes([7; 32])
}

/// A blob of any bytes, announced as a file of any length.
fn foreign_bytes(mut input: Input<'_>) {
    let plain_len = u64::from_le_bytes(input.array());
    let blob = input.rest();
    let fits = blob_len(plain_len) == Ok(blob.len() as u64);
    match Opener::new(&key(), plain_len, blob.len() as u64) {
        Ok(_) => assert!(fits),
        Err(error) => {
            assert!(!fits && matches!(error.code(), Code::BadLength | Code::TooLarge));
            return;
        }
    }
    let whole = open(blob, plain_len, None, usize::MAX);
    assert_eq!(whole, open(blob, plain_len, None, 100));
    if let Ok(plain) = whole {
        assert_eq!(seal(&plain, usize::MAX).0, blob);
    }
}

/// A sealed file, cut into pieces of any size, whole or changed.
fn changed_bytes(mut input: Input<'_>) {
    let (sealing, opening) = (1 + input.below(3000), 1 + input.below(3000));
    let mut changes = Input::new(input.take(24));
    let plain = input.rest();
    let (sound, sealed) = seal(plain, sealing);
    assert_eq!(sound.len() as u64, blob_len(plain.len() as u64).unwrap());
    assert_eq!(open(&sound, sealed.plain_len, Some(&sealed), opening).as_deref(), Ok(plain));

    let mut blob = sound.clone();
    changes.mutate(&mut blob);
    // The length is held against what is read, not only against what was announced.
    let opened = open(&blob, sealed.plain_len, Some(&sealed), opening);
    assert_eq!(opened.is_ok(), blob == sound, "{opened:?}");
    if blob.len() < sound.len() && sound.starts_with(&blob) {
        assert_eq!(opened.unwrap_err().code(), Code::Truncated);
    } else if blob.len() > sound.len() && blob.starts_with(&sound) {
        assert_eq!(opened.unwrap_err().code(), Code::TrailingBytes);
    }
}

/// A file of two or three segments, put together in another order.
fn changed_segments(mut input: Input<'_>) {
    let last = input.below(64);
    let full = 1 + usize::from(input.byte() % 2);
    let plain: Vec<u8> = (0..full * SEGMENT_BYTES + last).map(|at| (at / SEGMENT_BYTES) as u8).collect();
    let (sound, sealed) = seal(&plain, usize::MAX);
    let segments: Vec<&[u8]> = sound.chunks(SEGMENT_BYTES + TAG_BYTES).collect();
    let count = usize::from(input.byte()) % 5;
    let order: Vec<usize> = (0..count).map(|_| input.below(segments.len())).collect();
    let blob = order.iter().map(|&index| segments[index]).collect::<Vec<_>>().concat();
    let opened = open(&blob, sealed.plain_len, Some(&sealed), SEGMENT_BYTES);
    assert_eq!(opened.is_ok(), order.iter().copied().eq(0..segments.len()));
    // Announced as what it now is, it is refused just so, unless it is the file.
    if let Some(plain_len) = blob.len().checked_sub(TAG_BYTES * count.max(1)) {
        let announced = open(&blob, plain_len as u64, None, usize::MAX);
        assert_eq!(announced.is_ok(), order.iter().copied().eq(0..segments.len()));
    }
}

fn seal(plain: &[u8], piece: usize) -> (Vec<u8>, Sealed) {
    let mut sealer = Sealer::new(&key());
    let mut blob = Vec::new();
    for part in plain.chunks(piece) {
        sealer.update(part, &mut blob).unwrap();
    }
    let sealed = sealer.finish(&mut blob).unwrap();
    (blob, sealed)
}

/// Opens in pieces; without `sealed` the file is the one that comes out.
fn open(blob: &[u8], plain_len: u64, sealed: Option<&Sealed>, piece: usize) -> Result<Vec<u8>, FileError> {
    let mut opener = Opener::new(&key(), plain_len, blob_len(plain_len)?)?;
    let mut plain = Vec::new();
    for part in blob.chunks(piece) {
        opener.update(part, &mut plain)?;
    }
    let hash = sealed.map_or_else(|| *blake3::hash(&plain).as_bytes(), |sealed| sealed.plain_hash);
    opener.finish(&hash).map(|()| plain)
}

pub fn seeds() -> Vec<Seed> {
    let foreign = |plain: &[u8]| [&[0], &(plain.len() as u64).to_le_bytes()[..], &seal(plain, 100).0].concat();
    let changed = |changes: &[u8]| [&[1, 9, 0, 0, 0, 9, 0, 0, 0], changes, &[0; 24][changes.len()..], b"hello"].concat();
    vec![
        ("foreign", foreign(b"hello world")),
        ("foreign-empty", foreign(b"")),
        ("foreign-huge", [&[0], [0xff; 8].as_slice()].concat()),
        ("flipped-bit", changed(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3])),
        ("cut", changed(&[0, 2, 10])),
        ("appended", changed(&[0, 3, 21, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9])),
        ("segments", vec![2, 5, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2]),
        ("segments-swapped", vec![2, 5, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0]),
        ("segments-full", vec![2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]),
    ]
}
