//! The servers that a client speaks to over HTTP, and the rules for dialling them.

mod guard;
mod home;
mod home_url;
mod roots;
mod sigchain;

use std::{io, time::Duration};

use serde::Deserialize;
use thiserror::Error;

pub(crate) use guard::{Http, check_broker_url, host_of};
pub(crate) use home::{EndpointHint, HomeClient, Info, Membership, RegisterOutcome};
pub use home_url::{HomeUrl, HomeUrlError};
pub(crate) use roots::is_about_tls;
pub use roots::{Roots, RootsError};
pub(crate) use sigchain::{AppendOutcome, SigchainClient, WalkError};

/// How long one HTTP exchange may take, from connecting to the last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the system may take to find a name's addresses.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 24 << 20;

/// Says why a server could not be asked, or did not answer as the protocol says.
///
/// ```
/// use kez_chat_sdk::NetError;
///
/// let error = NetError::WrongHome { asked: "kez.lat".into(), found: "evil.example".into() };
/// assert_eq!(error.code(), "WrongHome");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetError {
    /// The address may not be dialled.
    #[error("{url} is not dialled: {why}; ask whoever gave you the address")]
    Forbidden {
        /// The address.
        url: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The server's name has no address, as far as is known here.
    #[error("the address of {host} can't be found ({source}); check the network and try again")]
    NoAddress {
        /// The server.
        host: String,
        /// What happened.
        source: io::Error,
    },
    /// Nobody answered.
    #[error("{host} does not answer ({source}); check the network and try again")]
    Unreachable {
        /// The server.
        host: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The server refused, and said why.
    #[error("{host} refused: {detail}; try again later, or ask its operator")]
    Refused {
        /// The server.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The stable code of the problem body (RFC 9457), or empty.
        code: String,
        /// What it said.
        detail: String,
    },
    /// The server's answer is not what the protocol says.
    #[error("{host} gave an answer that makes no sense ({what}); it may not be a kez server, or a newer one")]
    BadAnswer {
        /// The server.
        host: String,
        /// What is wrong with it.
        what: String,
    },
    /// The server says that it is another home than the one that was asked for.
    #[error("asked for the home {asked}, but the server there says that it is {found}; nothing was signed for it")]
    WrongHome {
        /// The home that was asked for.
        asked: String,
        /// What the server calls itself.
        found: String,
    },
}

impl NetError {
    /// Returns the error's stable name: the server's own code where it gave one.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Forbidden { .. } => "Forbidden",
            Self::NoAddress { .. } | Self::Unreachable { .. } => "Unreachable",
            Self::Refused { code, .. } if !code.is_empty() => code,
            Self::Refused { .. } => "Refused",
            Self::BadAnswer { .. } => "BadAnswer",
            Self::WrongHome { .. } => "WrongHome",
        }
    }

    /// Tells whether the server answered that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Tells whether the server answered that there was such a thing, and is no more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { status: 410, .. })
    }
}

/// The members of a problem body that we read (RFC 9457).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    title: String,
    detail: String,
}
