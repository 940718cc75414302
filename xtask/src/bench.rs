//! `cargo xtask bench`: the benchmarks in `benches/`, with peers in the same run.

use std::{env, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::{
    cargo::{Workspace, build_servers, without_own_package},
    guard::Guarded,
    peers,
};

/// What is measured.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench servers lookups
  cargo xtask bench broker                      all parts, in about ten minutes
  cargo xtask bench broker purge --seconds 60   inbox keeping for a minute with and a minute without
  cargo xtask bench messaging                   all parts, in about ten minutes
  cargo xtask bench files                       1 GiB, three times each, beside iroh-blobs, sendme and croc
  cargo xtask bench files loopback --mib 64     a smaller file
  cargo xtask bench files delay                 paths of 50 and 100 ms, by ranges in parallel and by one stream
  cargo xtask bench keeping                     a history of 100,000 messages, in about two minutes
  cargo xtask bench cli                         how long the command takes to start, in about two minutes")]
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
    /// How long the file is in MiB, 1024 if not given, or 256 for its part `delay`; for `files`.
    #[arg(long)]
    mib: Option<u64>,
    /// How often everybody shares and fetches it, 3 if not given; for `files`.
    #[arg(long)]
    rounds: Option<u32>,
    /// The parts to measure, all if none is named: of `servers` `lookups`, `registrations`, `appends`, of `broker`
    /// `logins`, `purge`, `consumers`, of `messaging` `throughput`, `latency`, `client`,
    /// `keeping`, of `files` `loopback` and `delay`.
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
    /// A file shared and fetched over loopback, beside raw iroh-blobs, `sendme` and `croc`, and fetched over paths of 50
    /// and 100 ms. What of the two programs is neither named by `KEZ_SENDME` or `KEZ_CROC` nor on the path is installed
    /// into the cache.
    Files,
    /// The part `keeping` of `messaging`: a long history, beside SQLite that does the bare queries.
    Keeping,
    /// The start of the `kez-chat` command, beside a program that does nothing.
    Cli,
}

/// Runs a suite in an optimised build.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(options.suite == Suite::Core || !options.aws_lc_rs, "--aws-lc-rs goes with `core`");
    let is_timed = matches!(options.suite, Suite::Broker | Suite::Messaging);
    ensure!(is_timed || options.seconds.is_none(), "--seconds goes with `broker` and `messaging`");
    let has_parts = !matches!(options.suite, Suite::Core | Suite::Keeping | Suite::Cli);
    ensure!(has_parts || options.parts.is_empty(), "`core`, `keeping` and `cli` have no parts");
    let unknown = options.parts.iter().find(|part| !["loopback", "delay"].contains(&part.as_str()));
    if let (Suite::Files, Some(unknown)) = (options.suite, unknown) {
        bail!("`files` has no part {unknown}; it has `loopback` and `delay`");
    }
    let is_of_files = options.mib.is_some() || options.rounds.is_some();
    ensure!(options.suite == Suite::Files || !is_of_files, "--mib and --rounds go with `files`");
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
        Suite::Files => files(workspace, options),
        Suite::Keeping => messaging(workspace, |command| {
            command.arg("keeping");
        }),
        Suite::Cli => cli(workspace),
    }
}

fn cli(workspace: &Workspace) -> Result<()> {
    workspace.run_cargo(|command| {
        command.args(["build", "--release", "--package", "kez-chat-cli"]);
    })?;
    // Beside this program's own folder, which is that of another profile.
    let program = workspace.programs.with_file_name("release").join("kez-chat");
    workspace.run_cargo(|command| {
        command
            .args(["bench", "--package", "kez-cli-benches", "--bench", "cli", "--", "compare", "--cli"])
            .arg(program);
    })
}

fn messaging(workspace: &Workspace, configure: impl FnOnce(&mut Command)) -> Result<()> {
    workspace.run_cargo(|command| {
        command.args(["bench", "--package", "kez-messaging-benches", "--bench", "messaging", "--", "compare"]);
        configure(command);
    })
}

/// A network of its own in which nothing reaches 127.0.0.2 but what comes from 127.0.0.3.
const LONG_PIPE: &str = "\
ip link set lo up &&
ip rule add pref 1 from 127.0.0.3 to 127.0.0.2 lookup local &&
ip rule add pref 2 to 127.0.0.2 blackhole &&
ip rule add pref 3 lookup local &&
ip rule del pref 0 &&
exec \"$@\"";

fn files(workspace: &Workspace, options: &Options) -> Result<()> {
    let has = |part: &str| options.parts.is_empty() || options.parts.iter().any(|named| named == part);
    if has("loopback") {
        loopback(workspace, options)?;
    }
    if has("delay") {
        delay(workspace, options)?;
    }
    Ok(())
}

/// Fetches over paths of 50 and 100 ms, by ranges in parallel and by one stream: the SDK's own measurement, for it needs a
/// way that the endpoint is given.
fn delay(workspace: &Workspace, options: &Options) -> Result<()> {
    const TEST: [&str; 5] = ["test", "--release", "--package", "kez-chat-sdk", "--lib"];
    workspace.run_cargo(|command| {
        command.args(TEST).arg("--no-run");
    })?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let measuring = Guarded::spawn("unshare", |command| {
        without_own_package(command).current_dir(&workspace.root);
        command.args(["--map-root-user", "--net", "sh", "-c", LONG_PIPE, "sh"]).arg(cargo).args(TEST);
        command.args(["--offline", "--", "--ignored", "--nocapture", "how_fast_a_long_pipe_is"]);
        command.env("KEZ_TEST_MIB", options.mib.unwrap_or(256).to_string());
        command.env("KEZ_TEST_ROUNDS", options.rounds.unwrap_or(3).to_string());
    });
    let status = measuring.context("unshare can't be started")?.wait(None)?;
    ensure!(
        status.is_some_and(|status| status.success()),
        "long paths can't be measured, see above: it needs `unshare` and `ip`, and a kernel that lets this user make a network"
    );
    Ok(())
}

fn loopback(workspace: &Workspace, options: &Options) -> Result<()> {
    let programs = [("sendme", peers::sendme(workspace)), ("croc", peers::croc())];
    workspace.run_cargo(|command| {
        command.args(["bench", "--package", "kez-files-benches", "--bench", "files", "--", "compare"]);
        for (name, program) in programs {
            match program {
                Ok(program) => command.arg(format!("--{name}")).arg(program),
                // The others are measured all the same.
                Err(error) => command.arg("--missing").arg(format!("{name}: {error:#}")),
            };
        }
        if let Some(mib) = options.mib {
            command.args(["--mib", &mib.to_string()]);
        }
        if let Some(rounds) = options.rounds {
            command.args(["--rounds", &rounds.to_string()]);
        }
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
