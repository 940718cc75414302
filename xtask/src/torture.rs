//! `cargo xtask torture`: two clients who write to each other while they, the servers and the broker are killed.

use std::{convert::Infallible, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::cargo::{Workspace, build_programs};

/// How long, and how much.
#[derive(Args)]
pub(crate) struct Options {
    /// How many messages both clients send together.
    #[arg(long, default_value_t = 500)]
    pub(crate) messages: u64,
    /// How long they are sent and everything is killed; what is under way then may still arrive.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Draws the same kills and clocks as the run that printed it.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// Builds the programs and becomes the torture, so that Ctrl-C and the terminal are its own.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Infallible> {
    // With the features that everything else is built with, so that nothing is built twice.
    workspace.run_cargo(|command| {
        build_programs(command);
        command.args(["--package", "kez-torture"]);
    })?;
    let program = workspace.program("kez-torture");
    let mut command = Command::new(&program);
    command.args(["run", "--messages", &options.messages.to_string(), "--seconds", &options.seconds.to_string()]);
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    Err(command.exec()).with_context(|| format!("{} can't be started", program.display()))
}
