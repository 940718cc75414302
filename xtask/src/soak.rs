//! `cargo xtask soak`: the long versions of what CI shows in short.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use crate::{
    cargo::{Workspace, build_servers},
    torture,
};

/// What is soaked.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask soak servers
  cargo xtask soak servers --kills 50
  cargo xtask soak files                        1 GiB, either side killed 20 times
  cargo xtask soak files --mib 64 --kills 5
  cargo xtask soak torture --seed 7")]
pub(crate) struct Options {
    /// The subject.
    subject: Subject,
    /// How often the servers are killed, 1,000 if not given, or each side of a transfer, 20 if not given; for `servers` and
    /// `files`.
    #[arg(long)]
    kills: Option<u32>,
    /// How long each file is, in MiB; for `files`.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    mib: u32,
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
    /// Files: who fetches and who provides are killed 20 times each, anywhere in 1 GiB. One whole file has to come of each
    /// time.
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
        Subject::Files => files(workspace, options),
        // These are tests that CI has no time for.
        Subject::Flood => workspace.run_cargo(|command| {
            command.args(["test", "--package", "kez-chat-server", "--test", "it", "--", "flood::", "--ignored"]);
            command.args(["--nocapture", "--test-threads", "1"]);
        }),
    }
}

/// Runs at length what CI runs in short, and ends with one line of what came of it.
fn files(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut tests = workspace.cargo(|command| {
        command.args(["test", "--package", "kez-chat-sdk", "--test", "it", "--", "fetching::killed::"]);
        command.args(["--nocapture", "--test-threads", "1"]).stdout(Stdio::piped());
        command.env("KEZ_TEST_KILLS", options.kills.unwrap_or(20).to_string());
        command.env("KEZ_TEST_MIB", options.mib.to_string());
    })?;
    let said = tests.take_stdout().context("what the tests say can't be read")?;
    let mut soaked = Vec::new();
    for line in BufReader::new(said).lines() {
        let line = line.context("what the tests say can't be read")?;
        let _ = writeln!(std::io::stdout(), "{line}");
        // The test harness says things before it on the same line.
        soaked.extend(line.split_once("soaked: ").map(|(_, soaked)| soaked.to_owned()));
    }
    let status = tests.wait(None)?;
    ensure!(status.is_some_and(|status| status.success()), "the tests failed, see above");
    ensure!(!soaked.is_empty(), "no test told what it has done");
    let _ = writeln!(std::io::stdout(), "soak files: {}", soaked.join("; "));
    Ok(())
}

/// Builds the programs and becomes the testbed, so that Ctrl-C and the terminal are its own.
fn servers(workspace: &Workspace, options: &Options) -> Result<()> {
    workspace.run_cargo(|command| build_servers(command.arg("build")))?;
    let program = workspace.program("kez-testbed");
    let mut command = Command::new(&program);
    command.args(["soak-servers", "--kills", &options.kills.unwrap_or(1_000).to_string()]);
    command.arg("--chat-server").arg(workspace.program("kez-chat-server"));
    command.arg("--sig-server").arg(workspace.program("kez-sig-server"));
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    Err(command.exec()).with_context(|| format!("{} can't be started", program.display()))
}
