//! What the person points at: a file, or a folder and the files in it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use kez_core::payload::{MAX_FOLDER_FILES, PayloadError, SharePath};
use walkdir::WalkDir;

use super::{
    FilesError, TransferError,
    node::{Plain, Stamp},
};

/// What was left out of a folder that was shared. `Debug` shows no name.
///
/// ```
/// use kez_chat_sdk::{LeftOut, LeftOutKind};
///
/// let left_out = LeftOut { path: "photos/secret".into(), kind: LeftOutKind::Link };
/// assert_eq!(format!("{left_out:?}"), "LeftOut(redacted, Link)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub kind: LeftOutKind,
}

impl fmt::Debug for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeftOut(redacted, {:?})", self.kind)
    }
}

/// Why something in a folder was not shared with it.
///
/// ```
/// use kez_chat_sdk::LeftOutKind;
///
/// fn say(kind: LeftOutKind) -> &'static str {
///     match kind {
///         LeftOutKind::Link => "a link is not followed: it may lead out of the folder",
///         _ => "it is no file",
///     }
/// }
/// assert_eq!(say(LeftOutKind::Special), "it is no file");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOutKind {
    /// A symbolic link: it may lead out of the folder.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

/// What is to be shared.
pub(super) struct Source {
    /// The file's or the folder's own name.
    pub(super) name: SharePath,
    /// In the order of their paths. There is one.
    pub(super) files: Vec<SourceFile>,
    pub(super) is_folder: bool,
    pub(super) left_out: Vec<LeftOut>,
}

/// A file to share.
pub(super) struct SourceFile {
    /// The path below the folder, its own name included.
    pub(super) path: SharePath,
    /// Where it is.
    pub(super) place: PathBuf,
    pub(super) len: u64,
    pub(super) stamp: Stamp,
}

impl Source {
    /// Looks at a file, or walks through a folder. The path itself may be a link, what is in a folder may not. It blocks.
    pub(super) fn look(path: &Path) -> Result<Self, FilesError> {
        let unreadable = |source| TransferError::Read { path: path.to_owned(), source };
        let place = fs::canonicalize(path).map_err(unreadable)?;
        let metadata = fs::metadata(&place).map_err(unreadable)?;
        let name = path.file_name().or(place.file_name()).unwrap_or_default();
        let name = share_path(path, name.to_str().map(str::to_owned))?;
        if metadata.is_file() {
            let file = SourceFile { path: name.clone(), place, len: metadata.len(), stamp: Stamp::of(&metadata) };
            return Ok(Self { name, files: vec![file], is_folder: false, left_out: Vec::new() });
        }
        if !metadata.is_dir() {
            return Err(TransferError::NotAFile { path: path.to_owned() }.into());
        }
        let (files, left_out) = walk(&place, &name)?;
        if files.is_empty() {
            return Err(FilesError::EmptyFolder { path: path.to_owned() });
        }
        Ok(Self { name, files, is_folder: true, left_out })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// Returns a file's path below the folder, without the folder's name.
    pub(super) fn inside(&self, file: &SourceFile) -> Result<SharePath, FilesError> {
        let inside = file.path.as_str().get(self.name.as_str().len() + 1..);
        share_path(&file.place, inside.map(str::to_owned))
    }
}

impl SourceFile {
    /// What to seal: this very file, whatever has its name meanwhile.
    pub(super) fn plain(&self) -> Plain {
        Plain::File { path: self.place.clone(), found: Some(self.stamp) }
    }
}

fn walk(folder: &Path, name: &SharePath) -> Result<(Vec<SourceFile>, Vec<LeftOut>), FilesError> {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let kind = entry.file_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            let kind = if kind.is_symlink() { LeftOutKind::Link } else { LeftOutKind::Special };
            left_out.push(LeftOut { path: entry.into_path(), kind });
            continue;
        }
        if files.len() == MAX_FOLDER_FILES {
            return Err(FilesError::TooManyFiles { path: folder.to_owned(), max: MAX_FOLDER_FILES });
        }
        let metadata = entry.metadata().map_err(|error| unreadable(entry.path(), error))?;
        let parts = entry.path().strip_prefix(folder).unwrap_or(entry.path()).iter();
        let below = parts.map(|part| part.to_str()).collect::<Option<Vec<_>>>().map(|parts| parts.join("/"));
        let path = share_path(entry.path(), below.map(|below| format!("{name}/{below}")))?;
        files.push(SourceFile { path, len: metadata.len(), stamp: Stamp::of(&metadata), place: entry.into_path() });
    }
    Ok((files, left_out))
}

fn unreadable(at: &Path, error: walkdir::Error) -> FilesError {
    let path = error.path().unwrap_or(at).to_owned();
    let source = error.into_io_error().unwrap_or_else(|| io::Error::other("a folder lies in itself"));
    TransferError::Read { path, source }.into()
}

/// Checks the path that readers will see; there is none if a name is not Unicode.
fn share_path(place: &Path, shared: Option<String>) -> Result<SharePath, FilesError> {
    let shared = shared.ok_or_else(|| PayloadError::BadPath(place.to_string_lossy().into_owned()));
    let path = shared.and_then(|shared| SharePath::parse(&shared));
    path.map_err(|source| FilesError::BadName { path: place.to_owned(), source })
}
