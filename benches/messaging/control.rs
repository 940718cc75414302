//! What an agent is told and what it answers.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What an agent is to do next; it answers when it is done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Gets to know somebody; whoever comes last is who is written to.
    Meet { handle: String, primary: String },
    /// Sends messages, so many callers at the same time, until all are known to have arrived.
    Send { count: usize, callers: usize },
    /// Sends messages one at a time and that far apart on average, until all are known to have arrived.
    SendSlowly { count: usize, apart: Duration },
    /// Takes what comes in until there were so many messages, and is done with them.
    Take { count: usize },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The agent is online; from opening the account it took so long.
    Online {
        handle: String,
        primary: String,
        opening: Duration,
    },
    Met,
    /// When the first message was handed over, and when the last one was known to have arrived.
    Sent {
        began_ns: u64,
        ended_ns: u64,
    },
    /// When the last message was done with, and how long each was on its way to the application.
    Taken {
        ended_ns: u64,
        took: Vec<Duration>,
    },
}

/// Returns nanoseconds since 1970: all agents are on one machine, and read the same clock.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap()
}
