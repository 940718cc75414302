//! What can be wrong with a part.

use std::time::Duration;

use kez_core::sigchain::ChainError;
use thiserror::Error;

use super::{Off, Part};
#[cfg(feature = "files")]
use crate::files::TransferError;
use crate::{
    contacts::ContactError, conversation::SendError, link::ConnectionState, net::NetError, offline::OfflineCause,
    store::StoreError,
};

/// Says what is wrong with a part, and what to do.
///
/// ```
/// use kez_chat_sdk::Fault;
///
/// let fault = Fault::ClockOff { ahead_s: 7_200 };
/// assert_eq!(fault.code(), "ClockOff");
/// assert_eq!(fault.to_string(), "this device's clock is 7200 s ahead of your home's; set it");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// It can't be looked at while another part does not work.
    #[error("it can't be looked at while this does not work: {needs}; see to that first")]
    NotSeen {
        /// Which.
        needs: Part,
    },
    /// Nothing was heard for as long as was waited.
    #[error("there was no answer within {} seconds; check the network, and try again", within.as_secs())]
    NoAnswer {
        /// How long that was.
        within: Duration,
    },
    /// This device's clock differs by more than ten minutes from the home's. What others see is reckoned by the home's;
    /// but certificates are judged by this one, and so is how long messages are kept.
    #[error("this device's clock is {}; set it", Off(*ahead_s))]
    ClockOff {
        /// By how many seconds it is ahead.
        ahead_s: i64,
    },
    /// A server could not be asked.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The server of our sigchain shows less of it than is known here. It gets again what it lacks.
    #[error(
        "your sigchain's server shows less than you have published ({source}); it gets the rest again within ten \
         minutes of a connection, so wait, or ask its operator"
    )]
    ChainLost {
        /// What was seen.
        source: ChainError,
    },
    /// The server of our sigchain shows another history than is known here, or one that is not sound.
    #[error(
        "your sigchain's server shows another history than this device knows ({source}); your key may be in use \
         elsewhere: ask its operator, and tell your contacts"
    )]
    OtherChain {
        /// What is wrong.
        source: ChainError,
    },
    /// There is no connection to the home, or to its broker.
    #[error(transparent)]
    Offline(#[from] OfflineCause),
    /// There is to be no connection.
    #[error("this client makes no connection: it is {state}; {}", advice(state))]
    NotConnecting {
        /// Why.
        state: ConnectionState,
    },
    /// The contact could not be looked at, or is not sound.
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// Nothing can be sent to the contact.
    #[error(transparent)]
    Unwritable(#[from] SendError),
    /// No relay takes us: only who reaches this device directly gets files from it.
    #[cfg(feature = "files")]
    #[error("no relay takes this device ({detail}); check the network, or ask your home's operator")]
    NoRelay {
        /// What happened.
        detail: String,
    },
    /// The contact's endpoint does not answer, and they don't show that they are there.
    #[cfg(feature = "files")]
    #[error("they are away, or don't show that they are there; messages and files wait for them")]
    Away {
        /// What came of calling it.
        error: Box<TransferError>,
    },
    /// The contact is there, and their endpoint does not answer.
    #[cfg(feature = "files")]
    #[error(
        "they are there, but their device does not answer; a network in between lets nothing through, or they share \
         nothing with you: try another network"
    )]
    NoWay {
        /// What came of calling it.
        error: Box<TransferError>,
    },
    /// This device can't be an endpoint.
    #[cfg(feature = "files")]
    #[error(transparent)]
    NoEndpoint(#[from] TransferError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault {
    /// Returns the fault's stable name.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NotSeen { .. } => "NotSeen",
            Self::NoAnswer { .. } => "NoAnswer",
            Self::ClockOff { .. } => "ClockOff",
            Self::Net(error) => error.code(),
            Self::ChainLost { source } | Self::OtherChain { source } => source.code().as_str(),
            Self::Offline(cause) => cause.code(),
            Self::NotConnecting { state } => match state {
                ConnectionState::Suspended => "Suspended",
                ConnectionState::SignedInElsewhere => "SignedInElsewhere",
                ConnectionState::Moved => "Moved",
                ConnectionState::Retired => "Retired",
                _ => "Closed",
            },
            Self::Contact(error) => error.code(),
            Self::Unwritable(error) => error.code(),
            #[cfg(feature = "files")]
            Self::NoRelay { .. } => "NoRelay",
            #[cfg(feature = "files")]
            Self::Away { .. } => "Away",
            #[cfg(feature = "files")]
            Self::NoWay { .. } => "NoWay",
            #[cfg(feature = "files")]
            Self::NoEndpoint(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// Says what to do where there is to be no connection.
fn advice(state: &ConnectionState) -> &'static str {
    match state {
        ConnectionState::Suspended => "resume it",
        ConnectionState::SignedInElsewhere => "go on at the other device, or recover the account here",
        ConnectionState::Retired => "make another account",
        _ => "open the account anew",
    }
}
