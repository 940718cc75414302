//! Programs from the running distribution's packages, which need not be installed for that.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::cache::{self, lock, run, say};

/// What lies in some packages.
pub(crate) struct Unpacked {
    /// Stands for `/`.
    pub(crate) root: PathBuf,
    /// What has to be searched for libraries beside the system's folders.
    pub(crate) libraries: PathBuf,
}

impl Unpacked {
    /// Returns packages that were unpacked into a folder of the cache, fetching them by apt-get if they were not.
    ///
    /// Fetching is announced on standard error. Two processes that fetch at once wait for each other.
    ///
    /// # Errors
    /// In words, when they are not there and can't be fetched.
    pub(crate) async fn of(folder: &str, packages: &[&str]) -> Result<Self, String> {
        let told = |error: io::Error| error.to_string();
        let cache = cache::folder().ok_or("there is no folder to keep it in")?;
        let root = cache.join(folder);
        let _lock = lock(&cache).await.map_err(told)?;
        if !root.exists() {
            say(&format!("no {folder} here; fetching its packages with apt-get, this once …"));
            fetch(&cache, &root, packages).await?;
        }
        let libraries = libraries_in(&root).map_err(told)?;
        Ok(Self { root, libraries })
    }
}

/// Returns where a program is installed. Those for the system's administrator are not on everybody's path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let everywhere = env::split_paths(&folders).chain(["/usr/sbin".into(), "/sbin".into()]);
    everywhere.map(|folder| folder.join(program)).find(|path| path.is_file())
}

async fn fetch(cache: &Path, root: &Path, packages: &[&str]) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    let work = cache.join("fetching");
    cache::clear(&work).map_err(told)?;
    let unpacked = work.join("root");
    fs::create_dir_all(&unpacked).map_err(told)?;
    run("apt-get", |command| command.args(["-qq", "download"]).args(packages).current_dir(&work).stdin(Stdio::null()))
        .await?;
    for entry in fs::read_dir(&work).map_err(told)?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            run("dpkg-deb", |command| command.arg("-x").arg(entry.path()).arg(&unpacked)).await?;
        }
    }
    fs::rename(&unpacked, root).map_err(told)?;
    cache::clear(&work).map_err(told)
}

/// Returns the one folder of libraries for this machine's architecture.
fn libraries_in(root: &Path) -> io::Result<PathBuf> {
    let mut folders = fs::read_dir(root.join("usr/lib"))?.flatten().map(|entry| entry.path());
    folders.find(|path| path.to_string_lossy().ends_with("-linux-gnu")).ok_or_else(|| io::ErrorKind::NotFound.into())
}
