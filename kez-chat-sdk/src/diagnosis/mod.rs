//! What works of an account and what does not, for a person who wonders why nothing comes.

mod checks;
mod fault;

use std::{fmt, time::Duration};

use kez_core::handle::Home;

pub(crate) use self::checks::diagnose;
#[cfg(feature = "files")]
pub(crate) use self::checks::look;
pub use self::fault::Fault;
#[cfg(feature = "files")]
use crate::files::TransferPath;
use crate::net::{HomeUrl, Roots};

/// A part of what an account needs.
///
/// ```
/// use kez_chat_sdk::Part;
///
/// assert_eq!(Part::Sigchain.name(), "sigchain");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The home server, which names itself as it should.
    Home,
    /// This device's clock, against the home's.
    Clock,
    /// The server of our own sigchain, which has all of it.
    Sigchain,
    /// The connection to the home's broker.
    Broker,
    /// The relay through which our endpoint is reached, if any is used.
    Relay,
    /// A contact, as their sigchain and their home show them.
    Contact,
    /// The way to the contact's endpoint, which files take.
    Path,
}

impl Part {
    /// Returns the part's stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Clock => "clock",
            Self::Sigchain => "sigchain",
            Self::Broker => "broker",
            Self::Relay => "relay",
            Self::Contact => "contact",
            Self::Path => "path",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was [found](crate::Client::diagnose) of each part.
#[derive(Debug)]
#[non_exhaustive]
pub struct Diagnosis {
    /// In the order in which one part needs the other: what is to be mended first stands first.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Looks at a home, and at this device's clock against the home's, without an account: for who has none, or can't open it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let stage = Stage::set().await;
    /// # let url = stage.home_url();
    /// use kez_chat_sdk::{Diagnosis, HomeUrl, Roots};
    ///
    /// let diagnosis = Diagnosis::of_home(&HomeUrl::parse(&url)?, &Roots::system()).await;
    /// assert!(diagnosis.works());
    /// # stage.strike().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn of_home(server: &HomeUrl, roots: &Roots) -> Self {
        checks::look_at_home(server, roots).await
    }

    /// Tells whether all of it works.
    #[must_use]
    pub fn works(&self) -> bool {
        self.findings.iter().all(|finding| finding.outcome.is_ok())
    }

    /// Returns what was found of a part, if it was looked at.
    #[must_use]
    pub fn of(&self, part: Part) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.part == part)
    }
}

/// What was found of a part.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finding {
    /// Of which.
    pub part: Part,
    /// What was seen, or what is wrong and what to do.
    pub outcome: Result<Seen, Fault>,
}

/// What was seen of a part that works.
///
/// ```
/// use kez_chat_sdk::Seen;
///
/// assert_eq!(Seen::Clock { ahead_s: -3 }.to_string(), "3 s behind your home's");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// The home answers.
    Home {
        /// Which.
        home: Home,
        /// How long that took.
        took: Duration,
    },
    /// This device's clock is near enough to the home's.
    Clock {
        /// By how many seconds it is ahead.
        ahead_s: i64,
    },
    /// The sigchain's server has all of it.
    Sigchain {
        /// How many events.
        events: u64,
    },
    /// Messages flow.
    Broker,
    /// Our endpoint is at a relay.
    #[cfg(feature = "files")]
    Relay {
        /// Which.
        url: String,
    },
    /// A contact's sigchain is sound, and they can be written to.
    Contact {
        /// How many of its events were walked.
        events: u64,
    },
    /// A contact's endpoint answers.
    #[cfg(feature = "files")]
    Reached {
        /// How it is reached, as far as could be seen.
        over: Option<TransferPath>,
    },
    /// A contact is there, and says that they serve no files at present: there is no endpoint to reach.
    #[cfg(feature = "files")]
    NoEndpoint,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home { home, took } => write!(f, "{home} answers, in {} ms", took.as_millis()),
            Self::Clock { ahead_s: 0 } => f.write_str("the same as your home's"),
            Self::Clock { ahead_s } => Off(*ahead_s).fmt(f),
            Self::Sigchain { events } => write!(f, "its server has all {events} events"),
            Self::Broker => f.write_str("connected"),
            #[cfg(feature = "files")]
            Self::Relay { url } => write!(f, "reached at {url}"),
            Self::Contact { events } => write!(f, "their sigchain of {events} events is sound"),
            #[cfg(feature = "files")]
            Self::Reached { over } => f.write_str(match over {
                Some(TransferPath::Direct) => "their device answers, directly",
                Some(TransferPath::Relay) => "their device answers, through a relay",
                None => "their device answers",
            }),
            #[cfg(feature = "files")]
            Self::NoEndpoint => f.write_str("they are there, and serve no files at present"),
        }
    }
}

/// By how many seconds a clock is off.
#[derive(Clone, Copy)]
struct Off(i64);

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 < 0 { "behind" } else { "ahead of" };
        write!(f, "{} s {side} your home's", self.0.unsigned_abs())
    }
}
