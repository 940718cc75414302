//! The broker's side under load: what `cargo xtask bench broker` runs.
//!
//! Each part has a stack of its own. What is held against what is said in the parts.

#![expect(clippy::print_stderr, reason = "a part takes a minute or more, and stdout is for the figures")]

mod bare_callout;
mod client;
mod consumers;
mod logins;
mod people;
mod purge;
mod stream;
mod traffic;

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use kez_testbed::processes::{Processes, Programs};

#[derive(Args)]
pub(crate) struct Options {
    /// What is measured; all of it if nothing is named.
    parts: Vec<Part>,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Connects through the auth callout, by those of nkeys in nats-server's configuration.
    Logins,
    /// Inbox keeping at 5,000 messages a second, and as many as it keeps up with.
    Purge,
    /// What 20,000 inboxes cost that nobody uses.
    Consumers,
}

pub(crate) async fn measure(programs: &Programs, options: &Options) {
    let parts = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    let length = Duration::from_secs(options.seconds);
    for part in parts {
        let mut stack = Processes::start(programs).await.unwrap();
        match part {
            Part::Logins => logins::measure(&stack, length).await,
            Part::Purge => purge::measure(&mut stack, length).await,
            Part::Consumers => consumers::measure(&stack, length).await,
        }
        stack.shutdown().await.unwrap();
    }
}

/// Says what happens now, since a part takes its time.
fn progress(what: &str) {
    eprintln!("{what}");
}

/// Waits until something has happened, asking for it every 20 milliseconds.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
