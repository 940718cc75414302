//! `cargo xtask fuzz`: cargo-fuzz over the targets in `fuzz/`.

use anyhow::{Result, bail};
use clap::Args;

use crate::cargo::Workspace;

/// What is fuzzed, and for how long.
#[derive(Args)]
pub(crate) struct Options {
    /// For how long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The targets; all of them if none is named.
    targets: Vec<String>,
}

/// Runs the targets one after the other.
pub(crate) fn run(_workspace: &Workspace, options: &Options) -> Result<()> {
    bail!("there are no fuzz targets yet ({} s, {:?})", options.seconds, options.targets)
}
