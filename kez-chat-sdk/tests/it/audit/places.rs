//! Where a run leaves its traces.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// The folder of one run.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// What the process said, and what others noted of it.
    pub(super) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The home directories.
    pub(super) fn homes(&self) -> PathBuf {
        self.0.join("homes")
    }

    /// The process' folder for temporary files, where broker and servers keep theirs.
    pub(super) fn temporary(&self) -> PathBuf {
        self.0.join("temporary")
    }

    /// Copies of the two, made while they were in use.
    pub(super) fn seen(&self) -> PathBuf {
        self.0.join("seen")
    }

    /// What people have put elsewhere by their own will: backups, and files that they share or have fetched.
    pub(super) fn elsewhere(&self) -> PathBuf {
        self.0.join("elsewhere")
    }

    /// What to look for.
    pub(super) fn secrets(&self) -> PathBuf {
        self.0.join("secrets.json")
    }
}

/// Copies a folder that others are at work in: what goes meanwhile is left out.
pub(super) fn copy_tree(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy_tree(&from, &to),
            Ok(kind) if kind.is_file() => match fs::copy(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", from.display()),
                _ => {}
            },
            _ => {}
        }
    }
}

/// Lists all files below a folder.
pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Writes down command line and environment of this process and of those that it has started.
pub(super) fn note_processes(file: &Path) {
    // Only Linux shows this as files.
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut ours = BTreeSet::from([process::id()]);
    loop {
        let children = ids.iter().copied().filter(|id| parent_of(*id).is_some_and(|parent| ours.contains(&parent)));
        let all: BTreeSet<u32> = children.chain(ours.iter().copied()).collect();
        if all == ours {
            break;
        }
        ours = all;
    }
    // One that has ended meanwhile has nothing to show.
    let shown = |id, what| fs::read(format!("/proc/{id}/{what}")).unwrap_or_default();
    let noted: Vec<_> = ours.iter().flat_map(|id| [shown(*id, "cmdline"), shown(*id, "environ")]).collect();
    fs::write(file, noted.join(&b'\n')).unwrap();
}

fn parent_of(id: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}
