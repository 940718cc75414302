//! Why a message was not accepted for sending.

use kez_core::{
    handle::Home,
    identity::PrimaryKey,
    payload::{MessageId, PayloadError},
};
use thiserror::Error;

use crate::{
    contacts::Trouble,
    store::{ContactRow, StoreError},
};

/// Says why a message was not accepted for sending.
///
/// ```
/// use kez_chat_sdk::{SendError, payload::MessageId};
///
/// fn is_worth_another_try(error: &SendError) -> bool {
///     matches!(error, SendError::Store(_) | SendError::NoInbox { .. })
/// }
/// assert!(!is_worth_another_try(&SendError::TooLate(MessageId([7; 16]))));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The recipient is not a contact.
    #[error("{0} is not a contact; add them first")]
    NotAContact(Box<PrimaryKey>),
    /// Sending to the contact has stopped until the person decides.
    #[error("sending to {to} has stopped: {trouble}")]
    Stopped {
        /// The contact.
        to: String,
        /// Why.
        trouble: Box<Trouble>,
    },
    /// Nobody but their home, or nobody but themselves, says that the contact's handle is theirs.
    #[error(
        "{to} is not known to be who they seem: home and sigchain do not agree on the handle; ask them on another way, then accept the contact as it is"
    )]
    OneSided {
        /// The contact.
        to: String,
    },
    /// The contact is blocked.
    #[error("{to} is blocked; unblock them first")]
    Blocked {
        /// The contact.
        to: String,
    },
    /// The contact has left for good.
    #[error("{to} has retired; nothing can be sent to them any more")]
    Retired {
        /// The contact.
        to: String,
    },
    /// The contact's messages go to another home's broker.
    #[error("{to} lives at another home ({home}); this version sends within one home only")]
    ForeignHome {
        /// The contact.
        to: String,
        /// Their home.
        home: String,
    },
    /// The contact's chain names no broker.
    #[error("{to} has published no inbox yet; try again later")]
    NoInbox {
        /// The contact.
        to: String,
    },
    /// The broker may have the message already.
    #[error("message {0} can't be taken back: it is on its way, or was sent")]
    TooLate(MessageId),
    /// The message does not wait for a receipt.
    #[error("message {0} needs no sending again: it is queued, has arrived, or is none of yours to them")]
    NothingToResend(MessageId),
    /// Something else of ours has the name under which it was to be sent, or had it.
    #[error("the name {0} is taken by something else of yours; make a new one")]
    NameTaken(MessageId),
    /// There is no such message in the conversation, or none that this can be done to.
    #[error("there is no message {id} here that {what}; only what the conversation shows can be referred to")]
    NoSuchMessage {
        /// The message's name.
        id: MessageId,
        /// What was to be done.
        what: &'static str,
    },
    /// A later installation has our account.
    #[error("this account was signed in elsewhere; write from there")]
    SignedInElsewhere,
    /// Our account has moved to another home than this client is at.
    #[error("you have moved to another home; close this client and open the account anew")]
    YouMoved,
    /// We have left for good.
    #[error("you have left this account for good; write from another one")]
    YouRetired,
    /// The message can't be written.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SendError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAContact(_) => "NotAContact",
            Self::Stopped { .. } => "Stopped",
            Self::OneSided { .. } => "OneSided",
            Self::Blocked { .. } => "Blocked",
            Self::Retired { .. } => "Retired",
            Self::ForeignHome { .. } => "ForeignHome",
            Self::NoInbox { .. } => "NoInbox",
            Self::TooLate(_) => "TooLate",
            Self::NothingToResend(_) => "NothingToResend",
            Self::NameTaken(_) => "NameTaken",
            Self::NoSuchMessage { .. } => "NoSuchMessage",
            Self::SignedInElsewhere => "SignedInElsewhere",
            Self::YouMoved => "YouMoved",
            Self::YouRetired => "YouRetired",
            Self::Payload(error) => error.code().as_str(),
            Self::Store(error) => error.code(),
        }
    }
}

/// Checks that what is sent to a contact can reach them and nobody else.
pub(crate) fn check_sendable(contact: ContactRow, own_home: &Home) -> Result<ContactRow, SendError> {
    let to = || contact.handle.as_ref().map_or_else(|| contact.owner.to_string(), |handle| format!("@{handle}"));
    if contact.blocked {
        return Err(SendError::Blocked { to: to() });
    }
    if let Some(trouble) = contact.trouble() {
        return Err(SendError::Stopped { to: to(), trouble: trouble.into() });
    }
    if contact.retired {
        return Err(SendError::Retired { to: to() });
    }
    if !contact.agreed && !contact.vouched {
        return Err(SendError::OneSided { to: to() });
    }
    match &contact.inbox_home {
        None => Err(SendError::NoInbox { to: to() }),
        Some(home) if home != own_home => Err(SendError::ForeignHome { to: to(), home: home.to_string() }),
        Some(_) => Ok(contact),
    }
}
