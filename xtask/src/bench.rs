//! `cargo xtask bench`: the benchmarks in `benches/`, with peers in the same run.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::cargo::{Workspace, build_servers};

/// What is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// The suite.
    suite: Suite,
    /// Builds kez-core with its feature `aws-lc-rs`; for `core`.
    #[arg(long)]
    aws_lc_rs: bool,
    /// The parts to measure, `lookups`, `registrations` or `appends`; all if none is named; for `servers`.
    parts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Envelope, sigchain, manifest and files, on a processor alone.
    Core,
    /// Look-ups, registrations and appends over real sockets, and the home server's memory.
    Servers,
}

/// Runs a suite in an optimised build.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(options.suite == Suite::Core || !options.aws_lc_rs, "--aws-lc-rs goes with `core`");
    ensure!(options.suite == Suite::Servers || options.parts.is_empty(), "parts go with `servers`");
    match options.suite {
        Suite::Core => workspace.run_cargo(|command| {
            command.args(["bench", "--package", "kez-benches", "--bench", "core"]);
            if options.aws_lc_rs {
                command.args(["--features", "aws-lc-rs"]);
            }
        }),
        Suite::Servers => servers(workspace, &options.parts),
    }
}

fn servers(workspace: &Workspace, parts: &[String]) -> Result<()> {
    workspace.run_cargo(|command| build_servers(command.args(["build", "--release"])))?;
    // Beside this program's own folder, which is that of another profile.
    let release = workspace.programs.with_file_name("release");
    workspace.run_cargo(|command| {
        command.args(["bench", "--package", "kez-server-benches", "--bench", "servers", "--", "compare"]);
        command.arg("--chat-server").arg(release.join("kez-chat-server"));
        command.arg("--sig-server").arg(release.join("kez-sig-server"));
        command.args(parts);
    })
}
