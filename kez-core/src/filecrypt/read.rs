//! Sealing and opening over a [`Read`].
//!
//! Both are a [`BufRead`] too, which spares those who can use it a copy.

use std::{
    io::{self, BufRead, ErrorKind, Read},
    mem,
};

use zeroize::Zeroizing;

use super::{FileError, FileKey, Opener, SEALED_SEGMENT_BYTES, SEGMENT_BYTES, Sealed, Sealer, blob_len};

/// How many segments are read at a time: enough that a second thread is worth its start.
const READ_SEGMENTS: usize = 8;

/// Reads a file's blob, made from the file's plaintext on the way.
///
/// An error of the plaintext's reader is passed on, and reading may go on after it. [`FileError`] comes as the inner
/// error of an [`io::Error`].
///
/// ```
/// use std::io::Read;
/// use kez_core::filecrypt::{FileKey, OpeningReader, SealingReader};
///
/// let key = FileKey::from_bytes([7; 32]);
/// let mut reader = SealingReader::new(&key, &b"hello world"[..]);
/// let mut blob = Vec::new();
/// reader.read_to_end(&mut blob)?;
/// let sealed = reader.sealed().ok_or("not at its end")?;
///
/// let mut plain = String::new();
/// OpeningReader::new(&key, sealed.plain_len, &sealed.plain_hash, &blob[..])?.read_to_string(&mut plain)?;
/// assert_eq!(plain, "hello world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SealingReader<R> {
    inner: R,
    plain: Input,
    sealer: Sealer,
    blob: Output,
    outcome: Option<Result<Sealed, FileError>>,
}

impl<R> SealingReader<R> {
    /// Begins a file under a key that no other file has.
    #[must_use]
    pub fn new(key: &FileKey, plain: R) -> Self {
        Self {
            inner: plain,
            plain: Input::new(READ_SEGMENTS * SEGMENT_BYTES),
            sealer: Sealer::new(key),
            blob: Output::new((READ_SEGMENTS + 1) * SEALED_SEGMENT_BYTES),
            outcome: None,
        }
    }

    /// Returns what was learned of the file, once its plaintext was read to the end.
    #[must_use]
    pub fn sealed(&self) -> Option<Sealed> {
        self.outcome.and_then(Result::ok)
    }

    fn seal(&mut self, ended: bool) -> Result<(), FileError> {
        let blob = self.blob.space();
        self.sealer.update(self.plain.take(), blob)?;
        if ended {
            self.outcome = Some(Ok(self.sealer.end(blob)?));
        }
        Ok(())
    }
}

impl<R: Read> Read for SealingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

impl<R: Read> BufRead for SealingReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.outcome {
                Some(Err(error)) => return Err(error.into()),
                None if self.blob.is_empty() => {}
                Some(Ok(_)) | None => break,
            }
            let ended = self.plain.fill(&mut self.inner)?;
            if let Err(error) = self.seal(ended) {
                self.outcome = Some(Err(error));
            }
        }
        Ok(self.blob.waiting())
    }

    fn consume(&mut self, count: usize) {
        self.blob.given(count);
    }
}

/// Reads a file's plaintext out of its blob.
///
/// It reads the blob to its end, and gives out the last plaintext only when the whole was found complete and to have the
/// announced hash. So an end is always the file's, and who has as many bytes as were announced has the file. An error of
/// the blob's reader is passed on, and reading may go on after it; [`FileError`] comes as the inner error of an
/// [`io::Error`], and again at each further call.
pub struct OpeningReader<R> {
    inner: R,
    sealed: Input,
    opener: Opener,
    plain_hash: [u8; 32],
    plain: Output,
    outcome: Option<Result<(), FileError>>,
}

impl<R> OpeningReader<R> {
    /// Begins to open the blob of a file that was announced with this length and BLAKE3 hash.
    ///
    /// # Errors
    /// [`FileError::TooLarge`].
    pub fn new(key: &FileKey, plain_len: u64, plain_hash: &[u8; 32], blob: R) -> Result<Self, FileError> {
        Ok(Self {
            inner: blob,
            sealed: Input::new(READ_SEGMENTS * SEALED_SEGMENT_BYTES),
            opener: Opener::new(key, plain_len, blob_len(plain_len)?)?,
            plain_hash: *plain_hash,
            plain: Output::new(READ_SEGMENTS * SEGMENT_BYTES),
            outcome: None,
        })
    }

    fn open(&mut self, ended: bool) -> Result<(), FileError> {
        self.opener.update(self.sealed.take(), self.plain.space())?;
        if ended {
            self.opener.check(&self.plain_hash)?;
            self.outcome = Some(Ok(()));
        }
        Ok(())
    }
}

impl<R: Read> Read for OpeningReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

impl<R: Read> BufRead for OpeningReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.outcome {
                Some(Err(error)) => return Err(error.into()),
                // What came last waits until the blob is known to end there, and the whole to be the file.
                None if self.plain.is_empty() || self.opener.left() == 0 => {}
                Some(Ok(())) | None => break,
            }
            let ended = self.sealed.fill(&mut self.inner)?;
            if let Err(error) = self.open(ended) {
                self.outcome = Some(Err(error));
            }
        }
        Ok(self.plain.waiting())
    }

    fn consume(&mut self, count: usize) {
        self.plain.given(count);
    }
}

fn read_buffered(reader: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let count = reader.fill_buf()?.read(buffer)?;
    reader.consume(count);
    Ok(count)
}

/// What was read and not yet worked on. Plaintext may be in it, so it is wiped.
struct Input {
    bytes: Zeroizing<Vec<u8>>,
    filled: usize,
}

impl Input {
    fn new(capacity: usize) -> Self {
        Self { bytes: Zeroizing::new(vec![0; capacity]), filled: 0 }
    }

    /// Reads until it is full or the reader ends, which it tells. What came before an error stays.
    fn fill(&mut self, from: &mut impl Read) -> io::Result<bool> {
        while self.filled < self.bytes.len() {
            match from.read(&mut self.bytes[self.filled..]) {
                Ok(0) => return Ok(true),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn take(&mut self) -> &[u8] {
        &self.bytes[..mem::take(&mut self.filled)]
    }
}

/// What was made and not yet given out. Plaintext may be in it, so it is wiped.
struct Output {
    bytes: Zeroizing<Vec<u8>>,
    given: usize,
}

impl Output {
    /// Makes room for all that is ever in it: growing would leave copies behind.
    fn new(capacity: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(capacity)), given: 0 }
    }

    fn is_empty(&self) -> bool {
        self.given == self.bytes.len()
    }

    /// Returns where more is appended.
    fn space(&mut self) -> &mut Vec<u8> {
        if self.is_empty() {
            self.bytes.clear();
            self.given = 0;
        }
        &mut self.bytes
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.given..]
    }

    fn given(&mut self, count: usize) {
        self.given = self.bytes.len().min(self.given + count);
    }
}
