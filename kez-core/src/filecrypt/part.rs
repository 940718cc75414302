//! Opening a part of a file.

use std::ops::Range;

use super::{FileError, FileKey, SEALED_SEGMENT_BYTES, SEGMENT_BYTES, blob_len, open::Segments};

/// Opens a part of a file from the segments that it lies in, each authenticated at its place.
///
/// A part is what the file's sealer wrote there, or refused; that the file as a whole is the announced one only a full
/// read tells.
///
/// ```
/// use kez_core::filecrypt::{FileKey, PartOpener, Sealer};
///
/// let key = FileKey::from_bytes([7; 32]);
/// let (mut sealer, mut blob) = (Sealer::new(&key), Vec::new());
/// sealer.update(&[1; 200_000], &mut blob)?;
/// let sealed = sealer.finish(&mut blob)?;
///
/// let mut opener = PartOpener::new(&key, sealed.plain_len, 70_000, 10)?;
/// let needed = opener.blob_range();
/// assert_eq!(needed, 65_552..131_104);
/// let mut part = Vec::new();
/// opener.update(&blob[needed.start as usize..needed.end as usize], &mut part)?;
/// opener.finish()?;
/// assert_eq!(part, [1; 10]);
/// # Ok::<(), kez_core::filecrypt::FileError>(())
/// ```
pub struct PartOpener {
    segments: Segments<()>,
    blob_range: Range<u64>,
    /// Opened bytes before the part.
    skip: usize,
    /// Bytes of the part still to come.
    left: u64,
}

impl PartOpener {
    /// Begins to open `len` bytes from `offset` on, of a file of `plain_len` bytes.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], or [`FileError::OutOfRange`] if the part does not lie inside the file.
    pub fn new(key: &FileKey, plain_len: u64, offset: u64, len: u64) -> Result<Self, FileError> {
        let blob_len = blob_len(plain_len)?;
        let end = offset.checked_add(len).filter(|&end| end <= plain_len);
        let end = end.ok_or(FileError::OutOfRange { offset, len, plain_len })?;
        let segment = SEGMENT_BYTES as u64;
        // No segment holds an empty part, not even at the end of a full one.
        let (first, behind) = if len == 0 { (0, 0) } else { (offset / segment, end.div_ceil(segment)) };
        let sealed = SEALED_SEGMENT_BYTES as u64;
        let blob_range = first * sealed..blob_len.min(behind * sealed);
        let segments = Segments::new(key, plain_len, first, blob_range.end - blob_range.start, ());
        Ok(Self { segments, blob_range, skip: (offset % segment) as usize, left: len })
    }

    /// Returns which bytes of the blob are needed: whole segments, none for an empty part.
    #[must_use]
    pub fn blob_range(&self) -> Range<u64> {
        self.blob_range.clone()
    }

    /// Takes the next bytes of that range and appends what they hold of the part to `out`.
    ///
    /// # Errors
    /// [`FileError::BadSegment`], or [`FileError::TrailingBytes`] beyond the range. What comes after an error is
    /// refused with the same.
    pub fn update(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        let start = out.len();
        let opened = self.segments.update(sealed, out);
        // Also after an error: the segments before the bad one are sound, and their edges are still not asked for.
        let skip = self.skip.min(out.len() - start);
        out.drain(start..start + skip);
        self.skip -= skip;
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len() - start);
        out.truncate(start + wanted);
        self.left -= wanted as u64;
        opened
    }

    /// Checks that the part is complete.
    ///
    /// # Errors
    /// [`FileError::Truncated`], or what an update was refused with.
    pub fn finish(self) -> Result<(), FileError> {
        self.segments.finish()
    }
}
