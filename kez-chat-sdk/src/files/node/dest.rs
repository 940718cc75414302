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
/// How much of a name its partial file carries: `name.MARK-XXXXXX.part`.
const MAX_PART_STEM_BYTES: usize = 180;
/// How long an extension may be to stay one in `name (1).extension`.
const MAX_EXTENSION_BYTES: usize = 32;

/// The place of a fetched file.
#[derive(Clone)]
pub(crate) struct Target {
    base: PathBuf,
    folders: Vec<String>,
    name: String,
    /// What its partial files are told by, from others and from those of other clients.
    mark: String,
}

impl Target {
    /// Places a shared path below `base`.
    pub(crate) fn new(base: &Path, path: &SharePath, mark: String) -> Self {
        let mut folders: Vec<_> = path.as_str().split('/').map(safe_name).collect();
        let name = folders.pop().unwrap_or_else(|| "_".to_owned());
        Self { base: base.to_owned(), folders, name, mark }
    }

    /// Places a path of the list of the folder that this one is.
    pub(crate) fn below(&self, path: &SharePath) -> Self {
        let inner = Self::new(&self.base, path, self.mark.clone());
        let folders = self.folders.iter().chain([&self.name]).chain(&inner.folders).cloned().collect();
        Self { folders, ..inner }
    }

    /// Returns the folder that it goes into.
    pub(crate) fn folder(&self) -> PathBuf {
        let mut folder = self.base.clone();
        folder.extend(&self.folders);
        folder
    }

    /// Returns its place: under its own name, or the `number`th other one, as in `name (1).pdf`.
    pub(crate) fn path(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.folder().join(&self.name);
        }
        let (stem, extension) = match self.name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() && extension.len() <= MAX_EXTENSION_BYTES => {
                (stem, format!(".{extension}"))
            }
            _ => (self.name.as_str(), String::new()),
        };
        let rest = format!(" ({number}){extension}");
        self.folder().join(format!("{}{rest}", shortened(stem, MAX_NAME_BYTES - rest.len())))
    }

    /// Refuses early what [`Target::create`] would refuse after the transfer.
    pub(crate) fn check_folders(&self) -> Result<(), NodeError> {
        let mut folder = self.base.clone();
        for part in &self.folders {
            folder.push(part);
            if exists(&folder)? {
                check_folder(&folder)?;
            }
        }
        Ok(())
    }

    /// Makes the folder that it is itself, where it is one.
    pub(crate) fn make(&self) -> Result<(), NodeError> {
        let folder = self.make_folders()?.join(&self.name);
        match fs::create_dir(&folder) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_folder(&folder),
            Err(source) => Err(NodeError::write(folder, source)),
        }
    }

    /// Makes the folders that it goes into, and returns the last one.
    fn make_folders(&self) -> Result<PathBuf, NodeError> {
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
        Ok(folder)
    }

    /// Makes the folders, and in the last one a new partial file that goes when it is dropped.
    pub(crate) fn create(&self) -> Result<NamedTempFile, NodeError> {
        let folder = self.make_folders()?;
        let name = format!("{}.{}-", shortened(&self.name, MAX_PART_STEM_BYTES), self.mark);
        let made = tempfile::Builder::new().prefix(&name).suffix(".part").tempfile_in(&folder);
        made.map_err(|source| NodeError::write(folder, source))
    }
}

/// Gives a complete partial file its name, in one step that never replaces anything. Gives it back if the name is taken.
pub(crate) fn deliver(part: NamedTempFile, path: &Path) -> Result<Option<NamedTempFile>, NodeError> {
    match part.persist_noclobber(path) {
        Ok(_) => {}
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => return Ok(Some(refused.file)),
        Err(refused) => return Err(NodeError::write(path, refused.error)),
    }
    let folder = path.parent().unwrap_or(path);
    sync_folder(folder).map_err(|source| NodeError::write(folder, source))?;
    Ok(None)
}

/// Removes what a killed process has left of partial files with a mark in a folder, and in the folders below it if `deep`.
/// Links are not followed.
pub(crate) fn clear_parts(folder: &Path, mark: &str, deep: bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && deep {
            clear_parts(&entry.path(), mark, deep);
        }
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".part"));
        let is_ours = stem.and_then(|stem| stem.rsplit_once('.')?.1.strip_prefix(mark)?.strip_prefix('-')).is_some();
        if kind.is_file()
            && is_ours
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(kind = %error.kind(), "a partial file stays");
        }
    }
}

/// Brings a folder's entries to disk, where the system knows how.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Tells whether there is something. A link is not followed, wherever it leads.
pub(crate) fn exists(path: &Path) -> Result<bool, NodeError> {
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
        Target::new(base, &SharePath::parse(path).unwrap(), "1a".to_owned())
    }

    #[test]
    fn what_exists_is_never_replaced() {
        let base = tempfile::tempdir().unwrap();
        let target = target(base.path(), "a/b.txt");
        target.check_folders().unwrap();
        let part = target.create().unwrap();
        // Somebody else's file comes in between.
        fs::write(base.path().join("a/b.txt"), "theirs").unwrap();
        let part = deliver(part, &target.path(0)).unwrap().expect("the name is taken");
        assert!(deliver(part, &target.path(1)).unwrap().is_none());
        assert_eq!(fs::read(base.path().join("a/b.txt")).unwrap(), b"theirs");
        assert!(base.path().join("a/b (1).txt").exists());
        assert_eq!(fs::read_dir(base.path().join("a")).unwrap().count(), 2);
    }

    #[test]
    fn other_names_fit_as_well() {
        let base = tempfile::tempdir().unwrap();
        let other = |path: &str| target(base.path(), path).path(12).file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(other("a/report.pdf"), "report (12).pdf");
        assert_eq!(other("report"), "report (12)");
        assert_eq!(other(".rc"), "_rc (12)");
        assert_eq!(other(&format!("{}.gz", "a".repeat(252))), format!("{} (12).gz", "a".repeat(247)));
        assert_eq!(other(&format!("a.{}", "b".repeat(253))).len(), 255);
    }

    #[test]
    fn what_a_killed_process_has_left_goes_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let left = target(base.path(), "a/b.txt").create().unwrap().into_temp_path().keep().unwrap();
        for others in ["a/c.txt.1a2-000000.part", "a/c.part", "a/c.1a-000000.part.txt", "a/c.1a.part"] {
            fs::write(base.path().join(others), "").unwrap();
        }
        clear_parts(base.path(), "1a", false);
        assert!(left.exists());
        clear_parts(base.path(), "1a", true);
        assert!(!left.exists());
        assert_eq!(fs::read_dir(base.path().join("a")).unwrap().count(), 4);
    }

    #[test]
    fn a_listed_folder_lies_in_its_own_and_nowhere_else() {
        let base = tempfile::tempdir().unwrap();
        let folder = target(base.path(), "trips/rome");
        let file = folder.below(&SharePath::parse("day 1/.a").unwrap());
        assert_eq!(file.path(0), base.path().join("trips/rome/day 1/_a"));
        folder.make().unwrap();
        folder.make().unwrap();
        assert!(base.path().join("trips/rome").is_dir());
        fs::write(base.path().join("taken"), "").unwrap();
        assert!(matches!(target(base.path(), "taken").make(), Err(NodeError::NotAFolder { .. })));
    }

    #[test]
    fn a_long_name_has_room_for_its_partial_file() {
        let base = tempfile::tempdir().unwrap();
        let name = "é".repeat(127);
        let target = target(base.path(), &name);
        assert!(deliver(target.create().unwrap(), &target.path(0)).unwrap().is_none());
        assert!(base.path().join(name).exists());
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
            assert!(matches!(target.check_folders(), Err(NodeError::NotAFolder { .. })), "{path}");
            assert!(matches!(target.create(), Err(NodeError::NotAFolder { .. })), "{path}");
        }
        let dangling = target(base.path(), "dangling");
        assert!(exists(&dangling.path(0)).unwrap());
        assert!(deliver(dangling.create().unwrap(), &dangling.path(0)).unwrap().is_some());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
