//! The command `kez-torture`: two clients write to each other while everything is killed again and again, and what both
//! applications saw is held against what was promised.
//!
//! The director (`run`) draws a plan from a seed, starts the stack and both clients as processes of their own, and
//! carries the plan out. Each client keeps a ledger of what its application did and saw, which survives `kill -9`; the
//! judge reads nothing but the ledgers.

mod client;
mod director;
mod home;
mod judge;
mod ledger;
mod plan;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use kez_service::process;
use tokio::runtime::Runtime;

/// Kills clients, servers and broker at random while messages flow, and counts what is lost, doubled or out of order.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs a whole torture.
    Run(director::Options),
    /// Registers a client and adds the other one; a process of the torture.
    #[command(hide = true)]
    Prepare(client::Place),
    /// Writes and reads as one of the two; a process of the torture.
    #[command(hide = true)]
    Client(client::Options),
    /// Serves the home under a clock of its own; a process of the torture.
    #[command(hide = true)]
    Serve(home::Options),
}

fn main() -> ExitCode {
    match start(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => process::failed(error.as_ref()),
    }
}

fn start(task: Task) -> Result<ExitCode> {
    Runtime::new().context("no threads could be started")?.block_on(async {
        match task {
            Task::Run(options) => director::run(&options).await,
            Task::Prepare(place) => client::prepare(&place).await.map(|()| ExitCode::SUCCESS),
            Task::Client(options) => client::run(&options).await.map(|()| ExitCode::SUCCESS),
            Task::Serve(options) => home::serve(options).await.map(|()| ExitCode::SUCCESS),
        }
    })
}

/// Prints a line; a reader that went away does not matter to what runs here.
fn print(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
