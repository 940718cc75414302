//! One file, shared and fetched, beside those who do the same: what `cargo xtask bench files` runs.
//!
//! Whoever shares and whoever fetches is a process of their own: two clients of ours or two endpoints with bare iroh-blobs
//! ([`agent`]), or the programs `sendme` and `croc` ([`programs`]). They take turns, see [`compare`]. `ratio` lines are ours by
//! another's, `figure` lines what each of them did.

#![expect(clippy::unwrap_used, reason = "a benchmark whose subject fails has nothing to report")]
#![expect(clippy::panic, reason = "the same")]
#![expect(clippy::print_stdout, reason = "the ratios are what this program is for")]
#![expect(clippy::print_stderr, reason = "a round takes long, and stdout is for the figures")]

mod agent;
mod compare;
mod croc;
mod kez;
#[path = "../messaging/line.rs"]
mod line;
#[expect(dead_code, reason = "the key is for who seals without a client")]
#[path = "../messaging/person.rs"]
mod person;
mod programs;
mod raw;
mod sendme;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// What cargo says to every benchmark.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Measures.
    Compare(Options),
    /// Is one of those who are measured, until nobody orders anything any more.
    Agent(agent::Options),
}

#[derive(Args)]
struct Options {
    /// How long the file is, in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    mib: u64,
    /// How often everybody has their turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The program `sendme`.
    #[arg(long)]
    sendme: Option<PathBuf>,
    /// The program `croc`.
    #[arg(long)]
    croc: Option<PathBuf>,
    /// Which program is not there, and why.
    #[arg(long)]
    missing: Vec<String>,
}

fn main() {
    // What a client warns of would explain an odd figure.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .init();
    let work = async {
        match Arguments::parse().task {
            Task::Compare(options) => compare::measure(&options).await,
            Task::Agent(options) => agent::serve(options).await,
        }
    };
    Runtime::new().unwrap().block_on(work);
}
