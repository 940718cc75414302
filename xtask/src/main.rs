//! The one way in: `cargo xtask demo | up | test | ci | vectors | http | fuzz | torture | soak | bench`.
//!
//! Depends on no other crate of the workspace, so that it is there in seconds; what needs them is built and started
//! as a process of its own.

mod artifacts;
mod bench;
mod cargo;
mod ci;
mod fuzz;
mod guard;
mod http;
mod interop;
mod peers;
mod python;
mod soak;
mod tally;
mod torture;
mod vectors;

use std::{
    convert::Infallible,
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};

use crate::cargo::{Workspace, build_programs};

/// Everything that is done with this repository.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    after_help = "\
Examples:
  cargo xtask demo             alice and bob chat and share a file, on this machine, on real parts
  cargo xtask up               the same broker and servers kept running, to try it by hand
  cargo xtask test             all tests
  cargo xtask test -- sigchain tests whose name has `sigchain` in it
  cargo xtask ci               all that has to be right before a change lands
  cargo xtask vectors          writes kez-core/tests/vectors anew
  cargo xtask vectors --check  checks them, with kez-core and with the Python reader in docs/interop
  cargo xtask http             holds both servers against their OpenAPI descriptions
  cargo xtask fuzz --seconds 60 envelope_open
  cargo xtask torture          kills clients, servers and broker for a minute while messages flow
  cargo xtask soak servers     kills both servers 1,000 times while people write
  cargo xtask soak files       kills who fetches and who provides files, 20 times each
  cargo xtask soak torture     the same torture for ten minutes, with 5,000 messages
  cargo xtask bench core       compares the core with its peers
  cargo xtask bench servers    compares the servers with bare handlers
  cargo xtask bench broker     logins, inbox keeping and idle inboxes on a real broker
  cargo xtask bench messaging  compares two clients with a harness over raw async-nats
  cargo xtask bench files      shares and fetches a file of 1 GiB beside raw iroh-blobs, sendme and croc
  cargo xtask bench keeping    lists, pages and searches 100,000 messages beside bare SQLite"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Shows two people chatting and sharing a file, step by step, and takes everything down again.
    Demo,
    /// Keeps a broker and both servers running until Ctrl-C.
    Up,
    /// Draws docs/pictures anew, from a demo and a conversation that take place.
    Pictures,
    /// Runs all tests.
    Test {
        /// Goes to `cargo test` as it is.
        #[arg(last = true)]
        more: Vec<OsString>,
    },
    /// Runs formatting, lints, docs and all tests, in stages with their times.
    Ci,
    /// Writes the protocol's test vectors, or checks them.
    Vectors {
        /// Writes nothing: checks the files with kez-core and with the Python reader.
        #[arg(long)]
        check: bool,
        /// Writes nothing: checks the files with the Python reader alone.
        #[arg(long, conflicts_with = "check")]
        reader: bool,
    },
    /// Tries both servers' routes with made-up requests, against what they say of themselves.
    Http(http::Options),
    /// Fuzzes the parsers of foreign bytes, all of them or those named.
    Fuzz(fuzz::Options),
    /// Kills clients, servers and broker at random while messages flow, and counts what is lost, doubled or out of order.
    Torture(torture::Options),
    /// Runs what takes too long for each change.
    Soak(soak::Options),
    /// Measures against peers in the same run, and prints `ratio NAME VALUE` lines.
    Bench(bench::Options),
}

fn main() -> Result<ExitCode> {
    let task = Arguments::parse().task;
    let workspace = Workspace::find()?;
    match task {
        Task::Demo => testbed(&workspace, "demo").map(|never| match never {}),
        Task::Up => testbed(&workspace, "up").map(|never| match never {}),
        Task::Pictures => testbed(&workspace, "pictures").map(|never| match never {}),
        Task::Test { more } => test(&workspace, &more).map(|()| ExitCode::SUCCESS),
        Task::Ci => ci::run(&workspace),
        Task::Vectors { check, reader } => {
            let done = match (check, reader) {
                (true, _) => vectors::check(&workspace),
                (_, true) => interop::read_vectors(&workspace),
                _ => vectors::write(&workspace),
            };
            done.map(|()| ExitCode::SUCCESS)
        }
        Task::Http(options) => http::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Task::Fuzz(options) => fuzz::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Task::Torture(options) => torture::run(&workspace, &options).map(|never| match never {}),
        Task::Soak(options) => soak::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Task::Bench(options) => bench::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
    }
}

/// Builds the programs and becomes the testbed, so that Ctrl-C and the terminal are its own.
fn testbed(workspace: &Workspace, task: &str) -> Result<Infallible> {
    workspace.run_cargo(build_programs)?;
    let program = workspace.program("kez-testbed");
    let error = Command::new(&program).arg(task).arg("--cli").arg(workspace.program("kez-chat")).exec();
    Err(error).with_context(|| format!("{} can't be started", program.display()))
}

/// Runs all tests; nats-server is fetched while they are built, once and not by each.
fn test(workspace: &Workspace, more: &[OsString]) -> Result<()> {
    workspace.run_cargo(build_programs)?;
    let mut fetch = ci::start_fetch(workspace)?;
    workspace.run_cargo(|command| {
        command.args(["test", "--workspace", "--no-run"]);
    })?;
    ensure!(fetch.wait(None)?.is_some_and(|status| status.success()), "there is no nats-server to test with");
    workspace.run_cargo(|command| {
        command.args(["test", "--workspace"]).args(more);
    })?;
    // Who names tests wants those.
    if more.is_empty() { interop::read_vectors(workspace) } else { Ok(()) }
}
