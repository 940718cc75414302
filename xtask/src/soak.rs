//! `cargo xtask soak`: the long versions of what CI shows in short.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::{
    cargo::{Workspace, build_servers},
    torture,
};

/// What is soaked.
#[derive(Args)]
pub(crate) struct Options {
    /// The subject.
    subject: Subject,
    /// How often the servers are killed; for `servers`.
    #[arg(long, default_value_t = 1000)]
    kills: u32,
    /// Draws the same moments and keys as the run that printed it; for `servers` and `torture`.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Subject {
    /// Both servers, killed again and again while people register and append: nothing acknowledged may be lost.
    Servers,
    /// Floods of large and of small messages under the settings that a home has by default: how much is stored before who
    /// floods is cut off, and how others fare meanwhile.
    Flood,
    /// Files: who fetches and who provides are killed 20 times each, anywhere in 64 MiB. One whole file has to come of it.
    Files,
    /// Clients, servers and broker, killed for ten minutes while 5,000 messages flow: nothing may be lost, doubled or out of
    /// order.
    Torture,
}

/// Runs a subject to its end.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    match options.subject {
        Subject::Servers => servers(workspace, options),
        Subject::Torture => {
            let options = torture::Options { messages: 5_000, seconds: 600, seed: options.seed };
            torture::run(workspace, &options).map(|never| match never {})
        }
        // These are tests that CI runs in short.
        Subject::Files => workspace.run_cargo(|command| {
            command.args(["test", "--package", "kez-chat-sdk", "--test", "it", "--", "fetching::killed::"]);
            command.args(["--nocapture", "--test-threads", "1"]).env("KEZ_TEST_KILLS", "20");
        }),
        // These are tests that CI has no time for.
        Subject::Flood => workspace.run_cargo(|command| {
            command.args(["test", "--package", "kez-chat-server", "--test", "it", "--", "flood::", "--ignored"]);
            command.args(["--nocapture", "--test-threads", "1"]);
        }),
    }
}

/// Builds the programs and becomes the testbed, so that Ctrl-C and the terminal are its own.
fn servers(workspace: &Workspace, options: &Options) -> Result<()> {
    workspace.run_cargo(|command| build_servers(command.arg("build")))?;
    let program = workspace.program("kez-testbed");
    let mut command = Command::new(&program);
    command.args(["soak-servers", "--kills", &options.kills.to_string()]);
    command.arg("--chat-server").arg(workspace.program("kez-chat-server"));
    command.arg("--sig-server").arg(workspace.program("kez-sig-server"));
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    Err(command.exec()).with_context(|| format!("{} can't be started", program.display()))
}
