//! `cargo xtask vectors`: the protocol's test vectors, made and checked by kez-core and read by a second implementation.

use anyhow::Result;

use crate::{cargo::Workspace, interop};

/// What the vector test looks at: set, it writes the files instead of comparing them.
const WRITE: &str = "KEZ_VECTORS_WRITE";

/// Writes the files anew, and has the second implementation check what kez-core computed for them.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    test(workspace, true)?;
    interop::read_vectors(workspace)
}

/// Checks that the files are what kez-core makes and takes, and what the Python reader takes.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    test(workspace, false)?;
    interop::read_vectors(workspace)
}

fn test(workspace: &Workspace, write: bool) -> Result<()> {
    workspace.run_cargo(|command| {
        command.args(["test", "--package", "kez-core", "--test", "it", "--", "vectors::"]);
        if write {
            command.env(WRITE, "1");
        } else {
            command.env_remove(WRITE);
        }
    })
}
