//! The second implementation: the Python reader in `docs/interop`, run over the vectors.

use anyhow::{Context as _, Result};

use crate::{cargo::Workspace, python};

/// Has the Python reader compute PROTOCOL.md's examples and check every vector.
pub(crate) fn read_vectors(workspace: &Workspace) -> Result<()> {
    let reader = workspace.root.join("docs/interop");
    let python = python::environment("interop", &reader.join("requirements.txt"))?.join("python3");
    python::run(&python, |command| {
        command.args(["-B", "-m", "unittest", "test_examples"]).current_dir(&reader);
    })
    .context("docs/interop does not compute the examples of docs/PROTOCOL.md")?;
    python::run(&python, |command| {
        command.args(["-B", "read_vectors.py"]).arg(workspace.root.join("kez-core/tests/vectors"));
        command.current_dir(&reader);
    })
    .context("docs/interop does not take every vector as it stands")
}
