//! Why a client is offline, as far as an application can tell a person or do something about it.

use std::error::Error as StdError;

use thiserror::Error;

/// Says why there is no connection. What is sent meanwhile waits, and nothing that others send is lost.
///
/// ```
/// use kez_chat_sdk::OfflineCause;
///
/// assert_eq!(OfflineCause::ConnectionLost.code(), "ConnectionLost");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OfflineCause {
    /// The home server does not answer.
    #[error("your home {home} does not answer ({detail}): check the network")]
    HomeUnreachable {
        /// The home.
        home: String,
        /// What happened.
        detail: String,
    },
    /// The home server answers, but not with what is needed.
    #[error("your home {home} is in trouble ({detail}): wait, or ask its operator")]
    HomeFailing {
        /// The home.
        home: String,
        /// What happened.
        detail: String,
    },
    /// The server at the home's address says that it is another home. Nothing was signed for it.
    #[error("the server at the address of your home {asked} says that it is {found}: ask the operator of {asked}")]
    WrongHome {
        /// Our home.
        asked: String,
        /// What the server calls itself.
        found: String,
    },
    /// An address may not be dialled.
    #[error("{url} is not dialled, since {why}: ask the operator of your home")]
    ForbiddenAddress {
        /// The address.
        url: String,
        /// The rule that it breaks.
        why: String,
    },
    /// A server could not show that it is the one it should be.
    #[error(
        "no secure connection to {host} ({detail}): check this device's clock and the network's sign-in page; \
         somebody may stand in between"
    )]
    TlsFailed {
        /// The server.
        host: String,
        /// What happened.
        detail: String,
    },
    /// The home answers, its broker does not.
    #[error("your home answers, but its broker {host} does not ({detail}): wait, or try another network")]
    BrokerUnreachable {
        /// The broker.
        host: String,
        /// What happened.
        detail: String,
    },
    /// The broker lets us not in, though the home says that the account is registered. The part that judges logins is
    /// down or slow; or the home's operator has blocked the account, which a home tells nobody.
    #[error(
        "your home knows the account, but its broker does not let it in: logins may be out of service, so wait; \
         if it stays so, ask the operator whether the account is blocked"
    )]
    LoginUnavailable,
    /// The broker does not let us in, and the home says why. It is tried again rarely.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There was a connection, and it broke.
    #[error("the connection to the broker was lost: check the network")]
    ConnectionLost,
    /// The broker denied what we listen to.
    #[error("the broker denied us what we listen to ({subject}): ask the operator of your home")]
    SubscriptionDenied {
        /// What we listen to.
        subject: String,
    },
    /// The broker denied a message under the route of today; the home is asked anew.
    #[error("the broker refused to take a message under today's route: your home is asked anew")]
    RouteDenied,
    /// The person has decided to leave for good, and a server that has to know can't be told yet.
    #[error(
        "you are leaving for good, and not everybody who has to know can be told yet ({detail}): it is tried again"
    )]
    StillLeaving {
        /// What happened.
        detail: String,
    },
    /// The account's database can't be used.
    #[error("{detail}")]
    StoreFailed {
        /// What happened, and what to do.
        detail: String,
    },
}

impl OfflineCause {
    /// Returns the cause's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::HomeUnreachable { .. } => "HomeUnreachable",
            Self::HomeFailing { .. } => "HomeFailing",
            Self::WrongHome { .. } => "WrongHome",
            Self::ForbiddenAddress { .. } => "ForbiddenAddress",
            Self::TlsFailed { .. } => "TlsFailed",
            Self::BrokerUnreachable { .. } => "BrokerUnreachable",
            Self::LoginUnavailable => "LoginUnavailable",
            Self::Refused(refusal) => refusal.code(),
            Self::ConnectionLost => "ConnectionLost",
            Self::SubscriptionDenied { .. } => "SubscriptionDenied",
            Self::RouteDenied => "RouteDenied",
            Self::StillLeaving { .. } => "StillLeaving",
            Self::StoreFailed { .. } => "StoreFailed",
        }
    }
}

/// Says why a home refuses an account. Only its operator, or the owner, can change that.
///
/// ```
/// use kez_chat_sdk::{OfflineCause, Refusal};
///
/// let cause = OfflineCause::Refused(Refusal::Retired);
/// assert_eq!(cause.code(), "Retired");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The home knows neither the key nor the handle.
    #[error("your home says that this account is not registered there: ask its operator what became of it")]
    NotRegistered,
    /// The account was given up.
    #[error("your home says that this account has retired: register another one")]
    Retired,
    /// The home gives the handle to another key.
    #[error("your home says that your handle belongs to another key: ask its operator, and warn your contacts")]
    HandleOfAnother,
}

impl Refusal {
    /// Returns the refusal's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotRegistered => "NotRegistered",
            Self::Retired => "Retired",
            Self::HandleOfAnother => "HandleOfAnother",
        }
    }
}

/// Writes an error with what it comes from, on one line.
pub(crate) fn with_sources(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        // Many errors say already what they come from.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = source.source();
    }
    text
}
