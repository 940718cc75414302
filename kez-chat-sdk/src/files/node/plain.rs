//! What is sealed: a file on the disk, or a piece of memory.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use kez_core::filecrypt::{FileKey, SEGMENT_BYTES, Sealed, Sealer};
use zeroize::Zeroizing;

use super::NodeError;

/// How much is read at a time.
const PIECE_BYTES: usize = 4 * SEGMENT_BYTES;
/// How long ago a file must have been changed for its time to tell of the next change: file systems keep time in steps of up
/// to 2 s.
const TIME_STEP: Duration = Duration::from_secs(2);

/// What is to be sealed.
pub(crate) enum Plain {
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// What it was when it was found: another file in its place is refused.
        found: Option<Stamp>,
    },
    /// What is on no disk, and must not be.
    Memory(Zeroizing<Vec<u8>>),
}

impl Plain {
    /// Reads and seals it, piece by piece. Returns what was learned, and what tells the file for as long as nobody changes
    /// it.
    pub(super) fn seal(
        &self,
        key: &FileKey,
        send: impl FnMut(Vec<u8>) -> Result<(), NodeError>,
    ) -> Result<(Sealed, Option<Stamp>), NodeError> {
        match self {
            Self::File { path, found } => seal_file(path, *found, key, send),
            Self::Memory(bytes) => {
                let path = Path::new("");
                seal(bytes.as_slice(), path, key, send).map(|sealed| (sealed, None))
            }
        }
    }
}

/// What tells a file, and that it was not changed: its place on the disk, its length, and when it was last written and
/// touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp([u8; 40]);

impl Stamp {
    /// Takes it from what the system says of a file.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let (device, inode, touched_ns) = place(metadata);
        let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let since_epoch = written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let written_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = [0; 40];
        for (place, number) in bytes.chunks_exact_mut(8).zip([device, inode, metadata.len(), written_ns, touched_ns]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        Self(bytes)
    }

    /// Returns the bytes, to be kept.
    pub(crate) fn to_bytes(self) -> [u8; 40] {
        self.0
    }

    /// Tells whether it is the same file, changed or not, as far as the system numbers them.
    fn is_same_file(&self, other: &Self) -> bool {
        self.0[..16] == other.0[..16]
    }
}

#[cfg(unix)]
fn place(metadata: &Metadata) -> (u64, u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let touched_ns = metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec());
    (metadata.dev(), metadata.ino(), touched_ns.cast_unsigned())
}

#[cfg(not(unix))]
fn place(_metadata: &Metadata) -> (u64, u64, u64) {
    (0, 0, 0)
}

fn seal_file(
    path: &Path,
    found: Option<Stamp>,
    key: &FileKey,
    send: impl FnMut(Vec<u8>) -> Result<(), NodeError>,
) -> Result<(Sealed, Option<Stamp>), NodeError> {
    let unreadable = |source| NodeError::Read { path: path.to_owned(), source };
    let changed = || NodeError::FileChanged { path: path.to_owned() };
    // Looked at before it is opened too: opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(NodeError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    if found.is_some_and(|found| !found.is_same_file(&Stamp::of(&before))) {
        return Err(changed());
    }
    // One byte more than expected tells a file that grows.
    let rest = (&file).take(before.len().saturating_add(1));
    let sealed = seal(rest, path, key, send)?;
    let after = file.metadata().map_err(unreadable)?;
    if sealed.plain_len != before.len()
        || before.len() != after.len()
        || before.modified().ok() != after.modified().ok()
    {
        return Err(changed());
    }
    let age = after.modified().ok().and_then(|written| written.elapsed().ok());
    let tells = age.is_some_and(|age| age >= TIME_STEP);
    Ok((sealed, tells.then(|| Stamp::of(&after))))
}

fn seal(
    mut plain: impl Read,
    path: &Path,
    key: &FileKey,
    mut send: impl FnMut(Vec<u8>) -> Result<(), NodeError>,
) -> Result<Sealed, NodeError> {
    let unsealable = |source| NodeError::Unsealable { path: path.to_owned(), source };
    let mut sealer = Sealer::new(key);
    let mut buffer = Zeroizing::new(vec![0; PIECE_BYTES]);
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 1024);
        let read = match plain.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(|source| NodeError::Read { path: path.to_owned(), source })?,
        };
        if read == 0 {
            let sealed = sealer.finish(&mut piece).map_err(unsealable)?;
            send(piece)?;
            return Ok(sealed);
        }
        sealer.update(&buffer[..read], &mut piece).map_err(unsealable)?;
        if !piece.is_empty() {
            send(piece)?;
        }
    }
}
