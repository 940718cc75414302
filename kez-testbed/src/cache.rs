//! The folder outside the source tree for programs that are fetched once for each machine.

use std::{
    env, fs,
    fs::File,
    io,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::guard::Guarded;

/// Returns the folder for what is fetched once for each machine; `None` if nothing says where it is.
pub(crate) fn folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("KEZ_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("kez-chat")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/kez-chat")))
}

/// Waits for the cache's lock, which the operating system frees when its holder ends in whatever way.
pub(crate) async fn lock(cache: &Path) -> io::Result<File> {
    fs::create_dir_all(cache)?;
    let file = File::options().create(true).append(true).open(cache.join("lock"))?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    say("another process is fetching into the cache, waiting for it …");
    tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await.map_err(io::Error::other)?
}

/// Removes a folder that may be there.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Runs a program to its end, and returns the last lines of what it said if it fails.
pub(crate) async fn run(
    program: &str,
    configure: impl FnOnce(&mut tokio::process::Command) -> &mut tokio::process::Command,
) -> Result<(), String> {
    let guarded = Guarded::spawn(program, |command| {
        configure(command).stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    let output = match guarded {
        Ok(guarded) => guarded.output().await,
        Err(error) => Err(error),
    }
    .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last: Vec<&str> = said.trim().lines().rev().take(3).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("{program} failed ({}): {}", output.status, last.join(" / ")))
}

/// Writes a line to the terminal: a fetch takes time, and nothing is fetched in silence.
pub(crate) fn say(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(io::stderr(), "kez-testbed: {line}");
}
