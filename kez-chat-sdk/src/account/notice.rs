//! What a person is told about their own sigchain.

use kez_core::sigchain::Head;
use serde::{Deserialize, Serialize};

use crate::event::Peer;

/// Something about one's own sigchain that the person should know.
///
/// ```
/// use kez_chat_sdk::{OwnChainNotice, sigchain::ForkProof};
///
/// /// Returns what shows anybody that the key signed two histories.
/// fn proof(notice: &OwnChainNotice) -> Option<ForkProof> {
///     match notice {
///         OwnChainNotice::Forked { proof, .. } => proof.parse().ok(),
///         _ => None,
///     }
/// }
/// assert!(proof(&OwnChainNotice::Overtaken { seq: 4 }).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OwnChainNotice {
    /// The sigchain server showed another event, signed with our key, in the place of one of ours. Somebody else has the
    /// key, or an installation was recovered while the server showed it an old history. Nothing more is published from
    /// here, and contacts who see both stop writing to us. Compare devices; if none of them signed it, make a new account.
    Forked {
        /// The place on the chain, from 1.
        seq: u64,
        /// Both events, as a [`ForkProof`](kez_core::sigchain::ForkProof) is written: anybody can check it.
        proof: String,
    },
    /// What was to be published from here was discarded, since another installation was faster to take its place. If that
    /// was not you, somebody else has the key.
    Overtaken {
        /// The place on the chain, from 1.
        seq: u64,
    },
    /// Files that a lost device had published are not here. The sigchain names them no more: whoever looks sees what this
    /// installation publishes, if anything. Publish them again.
    PublishedFilesLost {
        /// The version of the manifest that took the place of the lost one.
        version: u64,
    },
    /// A contact was shown another event of our sigchain than we have, or says so. Either they say what is not so, or the
    /// server shows them another history than us. It proves neither; compare heads with them on another way.
    HeadDisagreement {
        /// Who said so.
        said_by: Box<Peer>,
        /// The place on our chain, from 1.
        seq: u64,
        /// What they say stands there.
        said: Head,
        /// What stands there as we know it, if anything.
        known: Option<Head>,
    },
}
