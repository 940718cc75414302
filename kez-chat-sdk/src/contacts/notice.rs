//! What can be wrong with a contact, and what the application hears of them.

use std::fmt;

use kez_core::{
    handle::Handle,
    identity::PrimaryKey,
    sigchain::{ChainError, Head},
};
use serde::{Deserialize, Serialize};

use super::Agreement;
use crate::{event::qualified, keys};

/// Why sending to a contact has stopped (`docs/PROTOCOL.md` §§3, 4). What they write still comes in.
///
/// ```
/// use kez_chat_sdk::Trouble;
///
/// fn ends_by_itself(trouble: &Trouble) -> bool {
///     !matches!(trouble, Trouble::KeyChanged { .. } | Trouble::Forked)
/// }
/// assert!(ends_by_itself(&Trouble::RolledBack));
/// assert_eq!(serde_json::to_value(Trouble::Forked)?["trouble"], "forked");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trouble {
    /// Their home gives another key for their handle. It ends by
    /// [`accept_new_key`](crate::Contacts::accept_new_key).
    KeyChanged {
        /// The key that the home gives.
        #[serde(deserialize_with = "keys::deserialize")]
        found: PrimaryKey,
    },
    /// Their key has signed two histories. It ends by [`accept_history`](crate::Contacts::accept_history).
    Forked,
    /// The sigchain server shows less than it did before. It ends when it shows all of it again.
    RolledBack,
    /// Something in their chain does not follow. It ends when the chain is found sound.
    ChainUnsound {
        /// The stable name of the fault.
        code: String,
    },
    /// Their chain says something that this version does not know. It ends with an update of the application.
    NeedsUpgrade,
}

impl Trouble {
    pub(crate) fn of(fault: &ChainError) -> Self {
        match fault {
            ChainError::Fork { .. } => Self::Forked,
            ChainError::Rollback { .. } => Self::RolledBack,
            ChainError::UnknownOp { .. } => Self::NeedsUpgrade,
            fault => Self::ChainUnsound { code: fault.code().as_str().to_owned() },
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyChanged { found } => write!(
                f,
                "their home gives another key ({found}) for their handle than before; ask them on another way which one is theirs"
            ),
            Self::Forked => f.write_str(
                "their key has signed two histories; compare the safety number, and ask them on another way where their sigchain ends",
            ),
            Self::RolledBack => {
                f.write_str("their sigchain server shows less than it did before; it is looked at again each day")
            }
            Self::ChainUnsound { code } => {
                write!(f, "their sigchain is not sound ({code}); it is looked at again each day")
            }
            Self::NeedsUpgrade => {
                f.write_str("their sigchain says something that this version does not know; update the application")
            }
        }
    }
}

/// What has changed about a contact. Each change is told once.
///
/// ```
/// use kez_chat_sdk::{Notice, Trouble};
///
/// let notice = serde_json::to_value(Notice::Stopped { trouble: Trouble::Forked })?;
/// assert_eq!((&notice["notice"], &notice["trouble"]), (&"stopped".into(), &"forked".into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// Something is wrong, and sending to them has stopped.
    Stopped {
        /// What is wrong.
        #[serde(flatten)]
        trouble: Trouble,
    },
    /// The trouble is over, and what waited for them goes out.
    SoundAgain,
    /// They go by another handle, or it is vouched for otherwise than before.
    HandleChanged {
        /// The handle before.
        #[serde(with = "qualified")]
        from: Option<Handle>,
        /// The handle now.
        #[serde(with = "qualified")]
        to: Option<Handle>,
        /// Who vouches for it.
        agreement: Agreement,
    },
    /// They have left for good.
    Retired,
    /// They wrote under a handle that is not known to be theirs. That alone changes nothing.
    HandleDiffers {
        /// The handle that the message names.
        #[serde(with = "qualified::one")]
        says: Handle,
    },
    /// They name another event of their sigchain than its server shows us. Either they say what is not so, or the server
    /// shows us another history than them. It proves neither; ask them on another way for the head that they see.
    HeadDisagreement {
        /// The place on their chain, from 1.
        seq: u64,
        /// What they say stands there.
        said: Head,
        /// What we were shown in that place, if anything.
        known: Option<Head>,
    },
}
