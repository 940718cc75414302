//! `cargo xtask bench`: the benchmarks in `benches/`, with peers in the same run.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::cargo::Workspace;

/// What is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// The suite.
    suite: Suite,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Suite {
    /// Envelope, sigchain, manifest and files, on a processor alone.
    Core,
}

/// Runs a suite in an optimised build.
pub(crate) fn run(_workspace: &Workspace, options: &Options) -> Result<()> {
    bail!("there is no benchmark yet ({:?})", options.suite)
}
