//! Calling cargo, and finding what it has built.

use std::{
    env,
    ffi::OsString,
    path::{self, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::guard::Guarded;

/// The workspace's root and the folder that holds the programs it builds.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) programs: PathBuf,
}

impl Workspace {
    /// Finds both: this program lies beside the others.
    pub(crate) fn find() -> Result<Self> {
        // Cargo says it when it runs this; a program that another checkout has built may lie in a shared folder.
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package.parent().context("xtask lies in no workspace")?;
        let own = env::current_exe().context("this program's own place can't be told")?;
        let programs = own.parent().context("this program lies in no folder")?;
        Ok(Self { root: root.to_owned(), programs: programs.to_owned() })
    }

    /// Returns the path of a program that the workspace builds.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Starts cargo in the workspace's root.
    pub(crate) fn cargo(&self, configure: impl FnOnce(&mut Command)) -> Result<Guarded> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        Guarded::spawn(cargo, |command| {
            configure(without_own_package(command.current_dir(&self.root)));
        })
        .context("cargo can't be started")
    }

    /// Runs cargo to its end, which has to be a good one.
    pub(crate) fn run_cargo(&self, configure: impl FnOnce(&mut Command)) -> Result<()> {
        let status = self.cargo(configure)?.wait(None)?;
        ensure!(status.is_some_and(|status| status.success()), "cargo failed, see above");
        Ok(())
    }
}

/// Keeps from a command that builds what `cargo xtask` says of this package in the environment. Build scripts that watch
/// those variables would run again, and half of the dependencies be built again, at each change between `cargo` and
/// `cargo xtask`.
pub(crate) fn without_own_package(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Returns the folder for what is fetched or learned: that of kez-testbed, which this crate does not depend on.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("KEZ_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("kez-chat")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/kez-chat")))
        .context("there is no folder to keep downloads in: set KEZ_CACHE")?;
    // Who uses it may work in another folder than this program.
    path::absolute(folder).context("the current folder can't be told")
}

/// Adds what builds the programs that the demo and the tests start, with the features that the whole workspace gives
/// them.
pub(crate) fn build_programs(command: &mut Command) {
    command.args(["build", "--package", "kez-chat-cli"]);
    build_servers(command);
}

/// Adds what builds the servers and the testbed; to be called on `cargo build`.
pub(crate) fn build_servers(command: &mut Command) {
    command.args(["--package", "kez-chat-server", "--package", "kez-sig-server", "--package", "kez-testbed"]);
}
