//! A Secret Service on a session bus of its own: gnome-keyring, fetched from the distribution's packages where it is
//! missing.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    guard::Guarded,
    packages::{Unpacked, on_path},
};

const PROGRAM: &str = "gnome-keyring-daemon";
/// The package, and the libraries of its own that it needs beside what every desktop library needs.
const PACKAGES: [&str; 3] = ["gnome-keyring", "libgck-1-0", "libgcr-base-3-1"];
const SESSION: &str = include_str!("secret_service/session.sh");

/// Why there is no Secret Service to be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no Secret Service to start: {why}\nInstall the packages gnome-keyring, dbus-bin and dbus-daemon; the first can also be fetched by apt-get into KEZ_CACHE"
)]
pub struct SecretServiceError {
    why: String,
}

/// Where the parts of a Secret Service are.
#[derive(Debug, Clone)]
pub struct SecretService {
    daemon: PathBuf,
    /// What has to be searched for its libraries beside the system's folders; empty for an installed one.
    libraries: PathBuf,
}

impl SecretService {
    /// Finds a session bus and gnome-keyring, fetching the latter into the cache if needed.
    ///
    /// Fetching is announced on standard error. Two processes that fetch at once wait for each other.
    ///
    /// # Errors
    /// When there is none and none can be fetched; the error says how to get one.
    pub async fn find() -> Result<Self, SecretServiceError> {
        let fault = |why: String| SecretServiceError { why };
        if let Some(missing) = ["dbus-run-session", "dbus-send"].into_iter().find(|name| on_path(name).is_none()) {
            return Err(fault(format!("{missing} is missing")));
        }
        if let Some(daemon) = on_path(PROGRAM) {
            return Ok(Self { daemon, libraries: PathBuf::new() });
        }
        let Unpacked { root, libraries } = Unpacked::of("gnome-keyring", &PACKAGES).await.map_err(fault)?;
        Ok(Self { daemon: root.join("usr/bin").join(PROGRAM), libraries })
    }

    /// Runs a program beside a Secret Service whose keyring is new, or the one of an earlier run, in `folder`, and unlocked.
    /// Both are gone when the program has ended, or the value that is returned.
    ///
    /// # Errors
    /// When `sh` can't be started.
    pub fn spawn(
        &self,
        folder: &Path,
        program: impl AsRef<Path>,
        configure: impl FnOnce(&mut tokio::process::Command),
    ) -> io::Result<Guarded> {
        Guarded::spawn("dbus-run-session", |command| {
            command.args(["--", "sh", "-c", SESSION, "kez-session"]);
            command.arg(&self.daemon).arg(&self.libraries).arg(program.as_ref());
            // Nobody is asked anything, and the keyrings of whoever runs this are left alone.
            command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
            command.env("XDG_DATA_HOME", folder).env("XDG_RUNTIME_DIR", folder);
            configure(command);
        })
    }
}
