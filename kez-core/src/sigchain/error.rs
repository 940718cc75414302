//! What can be wrong with an event or a chain.

use thiserror::Error;

use super::Head;
use crate::{error::Code, identity::SignatureError};

/// Says why an event, or the chain that it stands in, was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The event is above 16,384 characters, or stands beyond the 100,000th place.
    #[error("the event or the chain is longer than the protocol allows")]
    TooLong,
    /// A walk has read as much as one walk reads. Nothing is wrong: the next one goes on from the pin.
    #[error("the chain is longer than what is read at a time; walk again to go on")]
    WalkTooLong,
    /// The event is not three parts joined by dots.
    #[error("the event is no compact JWS (three parts joined by dots)")]
    BadJws,
    /// The protected header is not the one that events have.
    #[error("the event's protected header is not the one that sigchain events have")]
    BadJwsHeader,
    /// The payload or the signature is not canonical, unpadded base64url.
    #[error("a part of the event is not canonical, unpadded base64url")]
    BadBase64,
    /// The chain's owner did not sign this event.
    #[error("the event's signature does not verify under the chain's key")]
    BadSignature,
    /// The payload is not JSON, or not the subset that events use.
    #[error("the event's payload is not the JSON that events use: {0}")]
    BadJson(String),
    /// The payload is JSON, but not in its RFC 8785 form.
    #[error("the event's payload is not in canonical form (RFC 8785)")]
    NotCanonicalJson,
    /// The event has a member that the protocol does not know.
    #[error("the event has an unknown member {0:?}")]
    UnknownMember(String),
    /// A member is missing or does not have its form.
    #[error("the event's member {member:?} is missing or malformed")]
    BadEvent {
        /// The member's name.
        member: &'static str,
    },
    /// The event belongs to another person's chain.
    #[error("the event belongs to another key's chain")]
    WrongPrimary,
    /// Another event stands at this place already: the owner's key signed two histories.
    #[error("the chain is forked at event {seq}: its owner's key signed two different events for that place")]
    Fork {
        /// The place that two events claim.
        seq: u64,
    },
    /// Two events that are no fork: one event twice, or events of different places.
    #[error("the two events prove no fork: they are the same event, or stand at different places")]
    NoFork,
    /// The event does not stand at the place after the last one.
    #[error("event {found} cannot follow: event {expected} is next")]
    Gap {
        /// The place after the chain's last event.
        expected: u64,
        /// The place that the event claims.
        found: u64,
    },
    /// The event names another predecessor.
    #[error("event {seq} does not follow from the chain's last event {head:?}")]
    WrongPrev {
        /// The event's place.
        seq: u64,
        /// The chain's head before it.
        head: Option<Head>,
    },
    /// Nothing may follow a `retire`.
    #[error("the chain ended with its owner's retirement; nothing may follow")]
    Retired,
    /// The event is an operation that this version does not know and may not skip.
    #[error("event {seq} is an operation ({kind:?}) that this version does not know; update the application")]
    UnknownOp {
        /// The event's place.
        seq: u64,
        /// The operation's `type`.
        kind: String,
    },
    /// The server's chain ends before the one that was seen earlier.
    #[error("the server shows a chain that ends at event {found}, but event {pinned} was seen before")]
    Rollback {
        /// The place of the last event that was seen.
        pinned: u64,
        /// The place where the server's chain ends.
        found: u64,
    },
}

impl ChainError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLong | Self::WalkTooLong => Code::TooLong,
            Self::BadJws => Code::BadJws,
            Self::BadJwsHeader => Code::BadJwsHeader,
            Self::BadBase64 => Code::BadBase64,
            Self::BadSignature => Code::BadSignature,
            Self::BadJson(_) => Code::BadJson,
            Self::NotCanonicalJson => Code::NotCanonicalJson,
            Self::UnknownMember(_) => Code::UnknownMember,
            Self::BadEvent { .. } => Code::BadEvent,
            Self::WrongPrimary => Code::WrongPrimary,
            Self::Fork { .. } => Code::Fork,
            Self::Gap { .. } | Self::NoFork => Code::Gap,
            Self::WrongPrev { .. } => Code::WrongPrev,
            Self::Retired => Code::Retired,
            Self::UnknownOp { .. } => Code::UnknownOp,
            Self::Rollback { .. } => Code::Rollback,
        }
    }
}

impl From<SignatureError> for ChainError {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::BadBase64 => Self::BadBase64,
            SignatureError::BadSignature => Self::BadSignature,
        }
    }
}
