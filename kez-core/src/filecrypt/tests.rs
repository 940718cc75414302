use std::io::{ErrorKind, Read};

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce};
use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

fn key() -> FileKey {
    FileKey::from_bytes([7; 32])
}

fn file(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
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

/// §9 by the letter, one segment after the other.
fn seal_by_hand(plain: &[u8]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(&[7; 32].into());
    let segments: Vec<&[u8]> = if plain.is_empty() { vec![plain] } else { plain.chunks(SEGMENT_BYTES).collect() };
    let mut blob = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&u32::try_from(index).unwrap().to_be_bytes());
        nonce[11] = u8::from(index == segments.len() - 1);
        let mut sealed = segment.to_vec();
        cipher.encrypt_in_place(&Nonce::from(nonce), &[], &mut sealed).unwrap();
        blob.extend_from_slice(&sealed);
    }
    blob
}

fn open(blob: &[u8], sealed: &Sealed, piece: usize) -> Result<Vec<u8>, FileError> {
    let mut opener = Opener::new(&key(), sealed.plain_len, blob_len(sealed.plain_len)?)?;
    let mut plain = Vec::new();
    for part in blob.chunks(piece) {
        opener.update(part, &mut plain)?;
    }
    opener.finish(&sealed.plain_hash).map(|()| plain)
}

fn open_part(blob: &[u8], plain_len: u64, offset: u64, len: u64, piece: usize) -> Result<Vec<u8>, FileError> {
    let mut opener = PartOpener::new(&key(), plain_len, offset, len)?;
    let range = opener.blob_range();
    let needed = &blob[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
    let mut part = Vec::new();
    for sealed in needed.chunks(piece) {
        opener.update(sealed, &mut part)?;
    }
    opener.finish().map(|()| part)
}

/// Reads a blob to its end, and tells also what came before an error.
fn read(blob: impl Read, sealed: &Sealed) -> (Vec<u8>, Option<FileError>) {
    let mut reader = OpeningReader::new(&key(), sealed.plain_len, &sealed.plain_hash, blob).unwrap();
    let mut plain = Vec::new();
    match reader.read_to_end(&mut plain) {
        Ok(_) => (plain, None),
        Err(error) => {
            let fault = error.downcast().unwrap();
            let again = reader.read(&mut [0; 10]).unwrap_err().downcast::<FileError>().unwrap();
            assert_eq!(fault, again, "an error is never followed by an end");
            (plain, Some(fault))
        }
    }
}

/// A reader as they come: it gives a little at a time, and is interrupted in between.
struct Choppy<'a> {
    bytes: &'a [u8],
    most: usize,
    interrupted: bool,
}

impl<'a> Choppy<'a> {
    fn new(bytes: &'a [u8], most: usize) -> Self {
        Self { bytes, most, interrupted: false }
    }
}

impl Read for Choppy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(ErrorKind::Interrupted.into());
        }
        let most = self.most.min(buffer.len());
        self.bytes.read(&mut buffer[..most])
    }
}

#[test]
fn every_boundary_round_trips() {
    let ends = [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1];
    for len in ends.into_iter().chain([2, 3, 4, 5, 8, 9, 17].map(|segments| segments * SEGMENT_BYTES)) {
        let plain = file(len);
        let by_hand = seal_by_hand(&plain);
        assert_eq!(by_hand.len() as u64, blob_len(len as u64).unwrap(), "{len}");
        for piece in [10_007, SEGMENT_BYTES, 5 * SEGMENT_BYTES, usize::MAX] {
            let (blob, sealed) = seal(&plain, piece);
            assert!(blob == by_hand, "{len} {piece}");
            assert_eq!(sealed, Sealed { plain_hash: *blake3::hash(&plain).as_bytes(), plain_len: len as u64 });
            assert!(open(&blob, &sealed, piece).unwrap() == plain, "{len} {piece}");
        }
        let mut reader = SealingReader::new(&key(), &plain[..]);
        assert_eq!(reader.sealed(), None);
        let mut blob = Vec::new();
        reader.read_to_end(&mut blob).unwrap();
        assert!(blob == by_hand, "{len}");
        let sealed = reader.sealed().unwrap();
        assert_eq!(sealed, seal(&plain, usize::MAX).1);
        assert!(read(&blob[..], &sealed) == (plain, None), "{len}");
    }
}

#[test]
fn the_example_of_the_specification_holds() {
    let (blob, sealed) = seal(b"hello world", 1);
    assert_eq!(HEXLOWER.encode(&blob), "81723f7aa94d112bb0e81d40cf1517722fd76ec2ed5bcec4a3cc9c");
    assert_eq!(HEXLOWER.encode(&sealed.plain_hash), "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24");
    assert_eq!(HEXLOWER.encode(&seal(&[], 1).0), "de8c724b49f9349d2f022c9a6380ee9f");
}

#[test]
fn cut_moved_repeated_and_appended_segments_are_noticed() {
    let (blob, sealed) = seal(&[1; 9 * SEGMENT_BYTES], usize::MAX);
    let segments: Vec<&[u8]> = blob.chunks(SEALED_SEGMENT_BYTES).collect();
    let with = |order: [usize; 9]| order.map(|index| segments[index]).concat();
    let bad = |index| FileError::BadSegment { index };
    let shorter = Sealed { plain_len: 2 * SEGMENT_BYTES as u64, ..sealed };
    let other = Sealed { plain_hash: [0; 32], ..sealed };
    for (blob, sealed, fault) in [
        (with([1, 0, 2, 3, 4, 5, 6, 7, 8]), sealed, bad(0)),
        (with([0, 1, 2, 3, 4, 5, 7, 6, 8]), sealed, bad(6)),
        (with([0, 0, 2, 3, 4, 5, 6, 7, 8]), sealed, bad(1)),
        (with([0, 1, 2, 3, 4, 5, 6, 8, 7]), sealed, bad(7)),
        (segments[..8].concat(), sealed, FileError::Truncated),
        (blob[..blob.len() - 1].to_vec(), sealed, FileError::Truncated),
        (vec![], sealed, FileError::Truncated),
        ([&blob[..], &[0]].concat(), sealed, FileError::TrailingBytes),
        ([&blob[..], segments[8]].concat(), sealed, FileError::TrailingBytes),
        // Cut at a segment's end and announced as shorter: the middle segment was not sealed as a last one.
        (segments[..2].concat(), shorter, bad(1)),
        (blob.clone(), other, FileError::BadHash),
    ] {
        for piece in [10_007, SEALED_SEGMENT_BYTES, usize::MAX] {
            assert_eq!(open(&blob, &sealed, piece), Err(fault), "{fault} {piece}");
        }
        for reader in [Choppy::new(&blob, 10_007), Choppy::new(&blob, usize::MAX)] {
            let (before, found) = read(reader, &sealed);
            assert_eq!(found, Some(fault));
            assert!((before.len() as u64) < sealed.plain_len, "the last bytes come only with the check");
            assert!(before.iter().all(|&byte| byte == 1));
        }
    }
}

#[test]
fn sound_segments_before_a_bad_one_are_given_out_and_nothing_after_it() {
    let plain = file(12 * SEGMENT_BYTES);
    let (mut blob, sealed) = seal(&plain, usize::MAX);
    for bad in [0, 1, 5, 6, 11] {
        blob[bad * SEALED_SEGMENT_BYTES] ^= 1;
        let mut opener = Opener::new(&key(), sealed.plain_len, blob.len() as u64).unwrap();
        let mut opened = vec![9];
        let fault = FileError::BadSegment { index: bad as u64 };
        assert_eq!(opener.update(&blob, &mut opened), Err(fault));
        assert!(opened == [&[9], &plain[..bad * SEGMENT_BYTES]].concat(), "{bad}");
        assert_eq!(opener.update(&blob[..10], &mut opened), Err(fault));
        assert_eq!(opener.finish(&sealed.plain_hash), Err(fault));
        blob[bad * SEALED_SEGMENT_BYTES] ^= 1;
    }
}

#[test]
fn lengths_are_checked_before_anything_is_read() {
    assert_eq!(Opener::new(&key(), 10, 25).err(), Some(FileError::BadLength { expected: 26, found: 25 }));
    let limit = MAX_SEGMENTS * SEGMENT_BYTES as u64;
    assert!(blob_len(limit).is_ok());
    for plain_len in [limit + 1, u64::MAX] {
        let too_large = FileError::TooLarge { plain_len };
        assert_eq!(blob_len(plain_len), Err(too_large));
        assert_eq!(PartOpener::new(&key(), plain_len, 0, 0).err(), Some(too_large));
        assert_eq!(OpeningReader::new(&key(), plain_len, &[0; 32], io::empty()).err(), Some(too_large));
    }
}

#[test]
fn a_part_needs_its_own_segments_only() {
    let segment = SEGMENT_BYTES as u64;
    let plain = file(2 * SEGMENT_BYTES + 100);
    let (mut blob, sealed) = seal(&plain, usize::MAX);
    let range = |offset, len| PartOpener::new(&key(), sealed.plain_len, offset, len).map(|part| part.blob_range());
    assert_eq!(range(0, 1), Ok(0..65_552));
    assert_eq!(range(segment - 1, 2), Ok(0..131_104));
    assert_eq!(range(segment, segment), Ok(65_552..131_104));
    assert_eq!(range(2 * segment + 99, 1), Ok(131_104..131_220));
    assert_eq!(range(sealed.plain_len, 0), Ok(0..0));
    for (offset, len) in [(sealed.plain_len, 1), (0, sealed.plain_len + 1), (u64::MAX, 1), (1, u64::MAX)] {
        let fault = FileError::OutOfRange { offset, len, plain_len: sealed.plain_len };
        assert_eq!(range(offset, len), Err(fault));
        assert_eq!(fault.code(), Code::BadLength);
    }

    // Announced as longer or shorter, the last segment of the true file is not what it must be.
    assert_eq!(open_part(&blob, sealed.plain_len, 2 * segment, 100, 7), Ok(plain[2 * SEGMENT_BYTES..].to_vec()));
    let fault = open_part(&blob, 2 * segment, segment, 1, usize::MAX);
    assert_eq!(fault, Err(FileError::BadSegment { index: 1 }));
    blob.resize(4 * SEALED_SEGMENT_BYTES, 0);
    let fault = open_part(&blob, 4 * segment, 2 * segment, 1, usize::MAX);
    assert_eq!(fault, Err(FileError::BadSegment { index: 2 }));

    let mut opener = PartOpener::new(&key(), sealed.plain_len, 10, 10).unwrap();
    let mut part = Vec::new();
    opener.update(&blob[..SEALED_SEGMENT_BYTES - 1], &mut part).unwrap();
    assert!(part.is_empty());
    assert_eq!(opener.update(&blob[SEALED_SEGMENT_BYTES - 1..][..2], &mut part), Err(FileError::TrailingBytes));
    assert_eq!(part, plain[10..20], "the segment itself is sound");
    let opener = PartOpener::new(&key(), sealed.plain_len, 10, 10).unwrap();
    assert_eq!(opener.finish(), Err(FileError::Truncated));
}

#[test]
fn a_reader_that_fails_is_passed_on_and_may_go_on() {
    struct Failing<R>(R, usize);
    impl<R: Read> Read for Failing<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(3) { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
        }
    }
    fn read_on(mut reader: impl Read) -> (Vec<u8>, usize) {
        let (mut bytes, mut failed) = (Vec::new(), 0);
        while let Err(error) = reader.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            failed += 1;
        }
        (bytes, failed)
    }
    let plain = file(3 * SEGMENT_BYTES);
    let (blob, sealed) = seal(&plain, usize::MAX);
    let part = SEGMENT_BYTES / 2;
    let (made, failed) = read_on(SealingReader::new(&key(), Failing(Choppy::new(&plain, part), 0)));
    assert!(made == blob && failed > 0);
    let failing = Failing(Choppy::new(&blob, part), 0);
    let (opened, failed) = read_on(OpeningReader::new(&key(), sealed.plain_len, &sealed.plain_hash, failing).unwrap());
    assert!(opened == plain && failed > 0);
}

#[test]
fn an_io_error_keeps_the_fault_and_names_its_kind() {
    for (fault, kind) in [
        (FileError::TooLarge { plain_len: u64::MAX }, ErrorKind::FileTooLarge),
        (FileError::OutOfRange { offset: 1, len: 1, plain_len: 1 }, ErrorKind::InvalidInput),
        (FileError::Truncated, ErrorKind::UnexpectedEof),
        (FileError::BadHash, ErrorKind::InvalidData),
    ] {
        let error = io::Error::from(fault);
        assert_eq!(error.kind(), kind);
        assert_eq!(error.downcast::<FileError>().unwrap(), fault);
    }
}

const FEW_SEGMENTS: usize = 7 * SEGMENT_BYTES;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pieces_of_any_size_give_the_same(len in 0..FEW_SEGMENTS, pieces in prop::collection::vec(1..FEW_SEGMENTS, 1..9)) {
        let plain = file(len);
        let blob = seal_by_hand(&plain);
        let sealed = Sealed { plain_hash: *blake3::hash(&plain).as_bytes(), plain_len: len as u64 };
        let cut = |mut bytes: &[u8], take: &mut dyn FnMut(&[u8])| {
            for &piece in pieces.iter().cycle() {
                let (now, later) = bytes.split_at(piece.min(bytes.len()));
                take(now);
                bytes = later;
                if bytes.is_empty() {
                    break;
                }
            }
        };
        let (mut sealer, mut made) = (Sealer::new(&key()), Vec::new());
        cut(&plain, &mut |piece| sealer.update(piece, &mut made).unwrap());
        prop_assert_eq!(sealer.finish(&mut made), Ok(sealed));
        prop_assert!(made == blob);
        let (mut opener, mut opened) = (Opener::new(&key(), len as u64, blob.len() as u64).unwrap(), Vec::new());
        cut(&blob, &mut |piece| opener.update(piece, &mut opened).unwrap());
        prop_assert_eq!(opener.finish(&sealed.plain_hash), Ok(()));
        prop_assert!(opened == plain);
    }

    #[test]
    fn readers_of_any_temper_give_the_same(len in 0..FEW_SEGMENTS, most in 100..FEW_SEGMENTS, want in 100..FEW_SEGMENTS) {
        let plain = file(len);
        let mut reader = SealingReader::new(&key(), Choppy::new(&plain, most));
        let (mut blob, mut buffer) = (Vec::new(), vec![0; want]);
        loop {
            let count = reader.read(&mut buffer).unwrap();
            blob.extend_from_slice(&buffer[..count]);
            if count == 0 {
                break;
            }
            prop_assert_eq!(reader.read(&mut []).unwrap(), 0);
        }
        prop_assert!(blob == seal_by_hand(&plain));
        let sealed = reader.sealed().unwrap();
        prop_assert!(read(Choppy::new(&blob, most), &sealed) == (plain, None));
    }

    #[test]
    fn any_part_is_that_of_the_file(
        len in 1..FEW_SEGMENTS,
        from: prop::sample::Index,
        to: prop::sample::Index,
        piece in 1000..FEW_SEGMENTS,
    ) {
        let plain = file(len);
        let (blob, sealed) = seal(&plain, usize::MAX);
        let (from, to) = (from.index(len + 1), to.index(len + 1));
        let (start, end) = (from.min(to), from.max(to));
        let part = open_part(&blob, sealed.plain_len, start as u64, (end - start) as u64, piece);
        prop_assert!(part.unwrap() == plain[start..end]);
    }

    #[test]
    fn any_flipped_bit_is_noticed(len in 0..FEW_SEGMENTS, at: prop::sample::Index, bit in 0..8u8, piece in 1000..FEW_SEGMENTS) {
        let (mut blob, sealed) = seal(&file(len), usize::MAX);
        let at = at.index(blob.len());
        blob[at] ^= 1u8 << bit;
        let index = (at / SEALED_SEGMENT_BYTES) as u64;
        let fault = FileError::BadSegment { index };
        prop_assert_eq!(open(&blob, &sealed, piece), Err(fault));
        prop_assert_eq!(read(&blob[..], &sealed).1, Some(fault));
        if len > 0 {
            let offset = index * SEGMENT_BYTES as u64;
            prop_assert_eq!(open_part(&blob, sealed.plain_len, offset, 1, piece), Err(fault));
        }
    }
}
