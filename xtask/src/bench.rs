//! `cargo xtask bench`: the benchmarks in `benches/`, with peers in the same run.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cargo::Workspace;

/// What is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// The suite.
    suite: Suite,
    /// Builds kez-core with its feature `aws-lc-rs`.
    #[arg(long)]
    aws_lc_rs: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Suite {
    /// Envelope, sigchain, manifest and files, on a processor alone.
    Core,
}

/// Runs a suite in an optimised build.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let Suite::Core = options.suite;
    workspace.run_cargo(|command| {
        command.args(["bench", "--package", "kez-benches", "--bench", "core"]);
        if options.aws_lc_rs {
            command.args(["--features", "aws-lc-rs"]);
        }
    })
}
