//! `cargo xtask bench`: the benchmarks in `benches/`, with peers in the same run.

use std::process::Command;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::cargo::{Workspace, build_servers};

/// What is measured.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench servers lookups
  cargo xtask bench broker                      all parts, in about ten minutes
  cargo xtask bench broker purge --seconds 60   inbox keeping for a minute with and a minute without
  cargo xtask bench messaging                   all parts, in about ten minutes
  cargo xtask bench keeping                     a history of 100,000 messages, in about two minutes")]
pub(crate) struct Options {
    /// The suite.
    suite: Suite,
    /// Builds kez-core with its feature `aws-lc-rs`; for `core`.
    #[arg(long)]
    aws_lc_rs: bool,
    /// How long each load lasts, 30 if not given, for `broker`; how long each comparison takes, 60 if not given, for
    /// `messaging`.
    #[arg(long)]
    seconds: Option<u64>,
    /// The parts to measure, all if none is named: of `servers` `lookups`, `registrations`, `appends`, of `broker`
    /// `logins`, `purge`, `consumers`, of `messaging` `throughput`, `latency`, `client`,
    /// `keeping`.
    parts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Envelope, sigchain, manifest and files, on a processor alone.
    Core,
    /// Look-ups, registrations and appends over real sockets, and the home server's memory.
    Servers,
    /// Logins through the auth callout, inbox keeping under load, and what idle inboxes cost.
    Broker,
    /// Durable messages a second and how long they take, beside a harness over raw async-nats, and an idle client.
    Messaging,
    /// The part `keeping` of `messaging`: a long history, beside SQLite that does the bare queries.
    Keeping,
}

/// Runs a suite in an optimised build.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(options.suite == Suite::Core || !options.aws_lc_rs, "--aws-lc-rs goes with `core`");
    let is_timed = matches!(options.suite, Suite::Broker | Suite::Messaging);
    ensure!(is_timed || options.seconds.is_none(), "--seconds goes with `broker` and `messaging`");
    let has_parts = !matches!(options.suite, Suite::Core | Suite::Keeping);
    ensure!(has_parts || options.parts.is_empty(), "`core` and `keeping` have no parts");
    match options.suite {
        Suite::Core => workspace.run_cargo(|command| {
            command.args(["bench", "--package", "kez-benches", "--bench", "core"]);
            if options.aws_lc_rs {
                command.args(["--features", "aws-lc-rs"]);
            }
        }),
        Suite::Servers => servers(workspace, "compare", |command| {
            command.args(&options.parts);
        }),
        Suite::Broker => servers(workspace, "broker", |command| add_timed_parts(command, options)),
        Suite::Messaging => messaging(workspace, |command| add_timed_parts(command, options)),
        Suite::Keeping => messaging(workspace, |command| {
            command.arg("keeping");
        }),
    }
}

fn messaging(workspace: &Workspace, configure: impl FnOnce(&mut Command)) -> Result<()> {
    workspace.run_cargo(|command| {
        command.args(["bench", "--package", "kez-messaging-benches", "--bench", "messaging", "--", "compare"]);
        configure(command);
    })
}

fn add_timed_parts(command: &mut Command, options: &Options) {
    if let Some(seconds) = options.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    command.args(&options.parts);
}

fn servers(workspace: &Workspace, task: &str, configure: impl FnOnce(&mut Command)) -> Result<()> {
    workspace.run_cargo(|command| build_servers(command.args(["build", "--release"])))?;
    // Beside this program's own folder, which is that of another profile.
    let release = workspace.programs.with_file_name("release");
    workspace.run_cargo(|command| {
        command.args(["bench", "--package", "kez-server-benches", "--bench", "servers", "--", task]);
        command.arg("--chat-server").arg(release.join("kez-chat-server"));
        command.arg("--sig-server").arg(release.join("kez-sig-server"));
        configure(command);
    })
}
