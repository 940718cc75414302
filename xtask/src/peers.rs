//! Programs of others that ours are measured by: one that is named, or on the path, or installed into the cache.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cargo::{Workspace, cache_folder, without_own_package},
    guard::Guarded,
};

/// The newest whose iroh is of our generation.
const SENDME_VERSION: &str = "0.37.1";
const CROC_VERSION: &str = "10.7.0";

/// Finds `sendme`, by `KEZ_SENDME` or on the path, or installs it.
pub(crate) fn sendme(workspace: &Workspace) -> Result<PathBuf> {
    find("sendme", "KEZ_SENDME", SENDME_VERSION, |root| {
        workspace.run_cargo(|command| {
            command.args(["install", "--quiet", "--locked", "sendme", "--version", SENDME_VERSION, "--root"]);
            command.arg(root).env_remove("CARGO_TARGET_DIR");
        })
    })
}

/// Finds `croc`, by `KEZ_CROC` or on the path, or installs it with Go.
pub(crate) fn croc() -> Result<PathBuf> {
    find("croc", "KEZ_CROC", CROC_VERSION, |root| {
        let installing = Guarded::spawn("go", |command| {
            without_own_package(command).arg("install");
            command.arg(format!("github.com/schollz/croc/v10@v{CROC_VERSION}")).env("GOBIN", root.join("bin"));
        });
        let status = installing.context("go can't be started")?.wait(None)?;
        ensure!(status.is_some_and(|status| status.success()), "go failed, see above");
        Ok(())
    })
}

fn find(name: &str, variable: &str, version: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    if let Some(named) = env::var_os(variable).filter(|named| !named.is_empty()) {
        ensure!(runs(Path::new(&named)), "{variable} names no program that runs");
        return Ok(named.into());
    }
    let root = cache_folder()?.join(format!("{name}-{version}"));
    let own = root.join("bin").join(name);
    if let Some(found) = [PathBuf::from(name), own.clone()].into_iter().find(|program| runs(program)) {
        return Ok(found);
    }
    let _ = writeln!(std::io::stderr(), "installing {name} {version} into {} …", root.display());
    install(&root).with_context(|| format!("{name} {version} can't be installed; {variable} may name one"))?;
    Ok(own)
}

fn runs(program: &Path) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
