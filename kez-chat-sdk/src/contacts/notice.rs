//! What a person is told about a contact.

use kez_core::sigchain::Head;
use serde::{Deserialize, Serialize};

/// Something about a contact that the person should know.
///
/// ```
/// use kez_chat_sdk::{Notice, sigchain::Head};
///
/// let said = Head::from_bytes([7; 32]);
/// let notice = Notice::HeadDisagreement { seq: 4, said, known: None };
/// assert_eq!(serde_json::to_value(&notice)?["notice"], "head_disagreement");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
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
