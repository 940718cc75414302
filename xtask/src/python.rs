//! Python programs that hold this project's against another view of it, with their libraries.
//!
//! The libraries live in environments in the cache, each made once for each Python and each content of its
//! `requirements.txt`.

use std::{
    ffi::OsStr,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{cargo::cache_folder, guard::Guarded};

const PYTHON: &str = "python3";
const NO_PYTHON: &str = "this needs Python 3.9 or newer as python3: install it (https://www.python.org/downloads/)";
/// Tells which Python this is, in words that change when an environment made with it would no longer run.
const IDENTIFY: &str = "import sys; print(sys.version_info >= (3, 9), sys.executable, sys.version)";

/// Returns the `bin` folder of an environment that has these requirements, making it if there is none.
pub(crate) fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let cache = cache_folder()?;
    let wanted = fs::read_to_string(requirements).with_context(|| format!("{} is needed", requirements.display()))?;
    let ready = cache.join(environment_name(name, &wanted, &identify(PYTHON)?));
    if ready.is_dir() {
        return Ok(ready.join("bin"));
    }
    let unusable =
        || format!("the cache {} can't be used: set KEZ_CACHE to a folder that can be written", cache.display());
    let _lock = lock(&cache).with_context(unusable)?;
    if ready.is_dir() {
        return Ok(ready.join("bin"));
    }
    // Under the lock, whatever lies here was left behind by a run that was killed.
    let work = cache.join("python-making");
    clear(&work).with_context(unusable)?;
    let packages = wanted.split_whitespace().collect::<Vec<_>>().join(", ");
    say(&format!("making a Python environment in {}, this once; fetching {packages} …", ready.display()));
    run(PYTHON, |command| {
        command.args(["-m", "venv"]).arg(&work);
    })
    .context("python3 has no working venv (Debian and Ubuntu have it in the package python3-venv)")?;
    run(work.join("bin").join(PYTHON), |command| {
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
        command.arg(requirements);
    })
    .with_context(|| format!("the packages of {} can't be installed", requirements.display()))?;
    // Only a finished environment has the name that is looked for. Its own scripts still name the old place, but its
    // interpreter finds its packages from where it is.
    fs::rename(&work, &ready).with_context(unusable)?;
    Ok(ready.join("bin"))
}

/// Returns a name that changes with what is in the environment.
fn environment_name(name: &str, requirements: &str, python: &str) -> String {
    // It changes with the compiler's library too, which only makes the environment anew.
    let mut hasher = DefaultHasher::new();
    (requirements, python).hash(&mut hasher);
    format!("{name}-{:016x}", hasher.finish())
}

/// Returns what tells this Python apart from others, if it is new enough.
fn identify(program: impl AsRef<OsStr>) -> Result<String> {
    let mut child = Guarded::spawn(program, |command| {
        isolate(command).args(["-c", IDENTIFY]).stdout(Stdio::piped()).stderr(Stdio::null());
    })
    .context(NO_PYTHON)?;
    let mut said = String::new();
    child.take_stdout().context(NO_PYTHON)?.read_to_string(&mut said).context(NO_PYTHON)?;
    let status = child.wait(None)?;
    if !status.is_some_and(|status| status.success()) {
        bail!(NO_PYTHON);
    }
    match said.trim().split_once(' ') {
        Some(("True", identity)) => Ok(identity.to_owned()),
        Some((_, identity)) => bail!("{NO_PYTHON}; this one is {identity}"),
        None => bail!(NO_PYTHON),
    }
}

/// Runs a program to its end, which has to be a good one.
pub(crate) fn run(program: impl AsRef<OsStr>, configure: impl FnOnce(&mut Command)) -> Result<()> {
    let program = program.as_ref();
    let mut child = Guarded::spawn(program, |command| configure(isolate(command)))
        .with_context(|| format!("{} can't be started", program.display()))?;
    let status = child.wait(None)?;
    ensure!(status.is_some_and(|status| status.success()), "{} failed, see above", program.display());
    Ok(())
}

/// Keeps the surroundings' modules away.
fn isolate(command: &mut Command) -> &mut Command {
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME")
}

/// Waits for a lock of its own in the cache, which the operating system frees when its holder ends in whatever way.
fn lock(cache: &Path) -> io::Result<File> {
    fs::create_dir_all(cache)?;
    let file = File::options().create(true).append(true).open(cache.join("python-lock"))?;
    if file.try_lock().is_err() {
        say("another process is making a Python environment, waiting for it …");
        file.lock()?;
    }
    Ok(file)
}

fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Writes a line to the terminal: a fetch takes time, and nothing is fetched in silence.
fn say(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(io::stderr(), "xtask: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_named_by_its_packages_and_its_python() {
        let name = environment_name("interop", "blake3==1", "/bin/python3 3.9");
        assert_eq!(name, environment_name("interop", "blake3==1", "/bin/python3 3.9"));
        assert_ne!(name, environment_name("interop", "blake3==2", "/bin/python3 3.9"));
        assert_ne!(name, environment_name("interop", "blake3==1", "/bin/python3 3.10"));
    }

    #[test]
    fn what_is_no_python_is_refused_with_how_to_get_one() {
        // `echo` prints the question, and so neither word of an answer.
        for program in ["/nonexistent/python3", "false", "true", "echo"] {
            let error = identify(program).unwrap_err().to_string();
            assert!(error.starts_with(NO_PYTHON), "{program}: {error}");
        }
    }
}
