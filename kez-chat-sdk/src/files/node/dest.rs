//! Where a fetched file goes: below one folder, under names that are safe here, over nothing that exists.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kez_core::payload::SharePath;
use tempfile::NamedTempFile;

use super::NodeError;

/// The longest name, in bytes, that file systems agree on.
const MAX_NAME_BYTES: usize = 255;
/// How much of a name its partial file carries: `name.XXXXXX.part`.
const MAX_PART_STEM_BYTES: usize = 200;

/// The place of a fetched file.
#[derive(Clone, Debug)]
pub(super) struct Target {
    base: PathBuf,
    folders: Vec<String>,
    name: String,
}

impl Target {
    /// Places a shared path below `base`.
    pub(super) fn new(base: &Path, path: &SharePath) -> Self {
        let mut folders: Vec<_> = path.as_str().split('/').map(safe_name).collect();
        let name = folders.pop().unwrap_or_else(|| "_".to_owned());
        Self { base: base.to_owned(), folders, name }
    }

    /// Refuses early what [`Target::create`] or [`Target::deliver`] would refuse after the transfer.
    pub(super) fn check(&self) -> Result<(), NodeError> {
        let mut folder = self.base.clone();
        for part in &self.folders {
            folder.push(part);
            if exists(&folder)? {
                check_folder(&folder)?;
            }
        }
        let path = folder.join(&self.name);
        if exists(&path)? { Err(NodeError::AlreadyExists { path }) } else { Ok(()) }
    }

    /// Makes the folders, and in the last one a new partial file that goes when it is dropped.
    pub(super) fn create(&self) -> Result<NamedTempFile, NodeError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| NodeError::write(path, source)
        };
        fs::create_dir_all(&self.base).map_err(failed(&self.base))?;
        let mut folder = self.base.clone();
        for part in &self.folders {
            let parent = folder.clone();
            folder.push(part);
            match fs::create_dir(&folder) {
                Ok(()) => sync_folder(&parent).map_err(failed(&parent))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_folder(&folder)?,
                Err(error) => return Err(failed(&folder)(error)),
            }
        }
        let stem = format!("{}.", shortened(&self.name, MAX_PART_STEM_BYTES));
        tempfile::Builder::new().prefix(&stem).suffix(".part").tempfile_in(&folder).map_err(failed(&folder))
    }

    /// Gives a complete partial file its name, in one step that never replaces anything.
    pub(super) fn deliver(&self, part: NamedTempFile) -> Result<PathBuf, NodeError> {
        let mut path = self.base.clone();
        path.extend(&self.folders);
        let folder = path.clone();
        path.push(&self.name);
        match part.persist_noclobber(&path) {
            Ok(_) => {}
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(NodeError::AlreadyExists { path });
            }
            Err(refused) => return Err(NodeError::write(path, refused.error)),
        }
        sync_folder(&folder).map_err(|source| NodeError::write(folder, source))?;
        Ok(path)
    }
}

/// Brings a folder's entries to disk, where the system knows how.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A link is not followed, wherever it leads.
fn exists(path: &Path) -> Result<bool, NodeError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(NodeError::write(path, source)),
    }
}

fn check_folder(path: &Path) -> Result<(), NodeError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(NodeError::NotAFolder { path: path.to_owned() }),
        Err(source) => Err(NodeError::write(path, source)),
    }
}

/// Makes one part of a path safe on every file system, the same on each, so that a folder can be moved between them.
///
/// A leading dot goes too: a file that was fetched into a home directory must not become a program's settings.
fn safe_name(part: &str) -> String {
    let replace = |character: char| match character {
        '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
        character if character.is_control() => '_',
        character => character,
    };
    let mut name: String = part.chars().map(replace).collect();
    // Windows drops them at the end.
    let kept = name.trim_end_matches(['.', ' ']).len();
    let dropped = name.len() - kept;
    name.replace_range(kept.., &"_".repeat(dropped));
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    if name.is_empty() || is_device(&name) {
        name.insert(0, '_');
    }
    shortened(&name, MAX_NAME_BYTES).to_owned()
}

/// Tells whether Windows would open a device instead of a file, whatever follows the first dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    match stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")) {
        Some(port) => matches!(port.chars().collect::<Vec<_>>()[..], ['0'..='9' | '¹' | '²' | '³']),
        None => matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"),
    }
}

fn shortened(name: &str, max_bytes: usize) -> &str {
    &name[..name.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_safe() {
        for (shared, safe) in [
            ("report.pdf", "report.pdf"),
            ("日本 – ü.txt", "日本 – ü.txt"),
            ("..a", "_.a"),
            (".bashrc", "_bashrc"),
            ("...", "___"),
            ("a. .", "a___"),
            (" ", "_"),
            ("c:evil", "c_evil"),
            ("a<b>|\"?*.txt", "a_b_____.txt"),
            ("CON", "_CON"),
            ("nul.tar.gz", "_nul.tar.gz"),
            ("aux .txt", "_aux .txt"),
            ("com1", "_com1"),
            ("LPT³.x", "_LPT³.x"),
            ("com10", "com10"),
            ("console", "console"),
        ] {
            assert_eq!(safe_name(shared), safe, "{shared:?}");
        }
        assert_eq!(safe_name(&format!("con.{}", "a".repeat(251))).len(), 255);
        assert_eq!(shortened("aü", 2), "a");
    }

    fn target(base: &Path, path: &str) -> Target {
        Target::new(base, &SharePath::parse(path).unwrap())
    }

    #[test]
    fn what_exists_is_never_replaced() {
        let base = tempfile::tempdir().unwrap();
        let target = target(base.path(), "a/b.txt");
        target.check().unwrap();
        let part = target.create().unwrap();
        // Somebody else's file comes in between.
        fs::write(base.path().join("a/b.txt"), "theirs").unwrap();
        assert!(matches!(target.check(), Err(NodeError::AlreadyExists { .. })));
        assert!(matches!(target.deliver(part), Err(NodeError::AlreadyExists { .. })));
        assert_eq!(fs::read(base.path().join("a/b.txt")).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(base.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn a_long_name_has_room_for_its_partial_file() {
        let base = tempfile::tempdir().unwrap();
        let name = "é".repeat(127);
        let target = target(base.path(), &name);
        assert_eq!(target.deliver(target.create().unwrap()).unwrap(), base.path().join(name));
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere() {
        let (base, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), base.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("new"), base.path().join("dangling")).unwrap();
        fs::write(base.path().join("file"), "").unwrap();
        for path in ["link/a", "link/b/c", "dangling/a", "file/a"] {
            let target = target(base.path(), path);
            assert!(matches!(target.check(), Err(NodeError::NotAFolder { .. })), "{path}");
            assert!(matches!(target.create(), Err(NodeError::NotAFolder { .. })), "{path}");
        }
        let dangling = target(base.path(), "dangling");
        assert!(matches!(dangling.check(), Err(NodeError::AlreadyExists { .. })));
        assert!(matches!(dangling.deliver(dangling.create().unwrap()), Err(NodeError::AlreadyExists { .. })));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
