//! Messages of two clients beside a harness over raw async-nats: what `cargo xtask bench messaging` runs.
//!
//! Everybody is a process of their own ([`agent`]) with an account at the same home: a pair of our clients ([`kez`]), a
//! pair that seals and keeps each message as ours do and does nothing else, and a pair that does not even that (both
//! [`harness`]). They take turns on one stack, see [`pair`]. `ratio` lines are ours by another's, `figure` lines what each
//! of them did.

#![expect(clippy::unwrap_used, reason = "a benchmark whose subject fails has nothing to report")]
#![expect(clippy::panic, reason = "the same")]
#![expect(clippy::print_stdout, reason = "the ratios are what this program is for")]
#![expect(clippy::print_stderr, reason = "a part takes a minute or more, and stdout is for the figures")]

mod agent;
mod client;
mod control;
mod harness;
mod keeping;
mod kez;
mod latency;
mod line;
mod pair;
mod person;
mod throughput;

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kez_testbed::Testbed;
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
    /// What is measured; all of it if nothing is named.
    parts: Vec<Part>,
    /// How long the rounds of each comparison take together, roughly, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Durable messages a second.
    Throughput,
    /// From the call that sends until the other's application is told, at a low rate.
    Latency,
    /// An idle client's memory, and how long it takes to be online.
    Client,
    /// A history of 100,000 messages: listed, paged, searched and backed up.
    Keeping,
}

fn main() {
    // What a client warns of would explain an odd figure.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .init();
    let work = async {
        match Arguments::parse().task {
            Task::Compare(options) => measure(&options).await,
            Task::Agent(options) => agent::serve(options).await,
        }
    };
    Runtime::new().unwrap().block_on(work);
}

async fn measure(options: &Options) {
    let parts = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    let length = Duration::from_secs(options.seconds);
    for part in parts {
        let testbed = Testbed::start().await.unwrap();
        match part {
            Part::Throughput => throughput::measure(&testbed, length).await,
            Part::Latency => latency::measure(&testbed, length).await,
            Part::Client => client::measure(&testbed).await,
            Part::Keeping => keeping::measure(&testbed).await,
        }
        testbed.shutdown().await.unwrap();
    }
}

/// Says what happens now, since a part takes its time.
fn progress(what: &str) {
    eprintln!("{what}");
}
