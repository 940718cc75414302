//! What can be wrong with a claim or its proof.

use thiserror::Error;

use crate::{error::Code, identity::SignatureError};

/// Says why a claim, or a proof of it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The text is no claim, or not one of its scheme.
    #[error("{claim:?} is no claim: expected {expected}")]
    BadClaim {
        /// The text.
        claim: String,
        /// The form that was expected.
        expected: &'static str,
    },
    /// A claim that needs to say where its proof lies does not, or names a place that is not the claimed user's.
    #[error("the proof of {claim} has to lie at {expected}, not at {at:?}")]
    BadAt {
        /// The claim.
        claim: String,
        /// Where it says that the proof lies.
        at: Option<String>,
        /// The form that was expected.
        expected: String,
    },
    /// A claim of this scheme is not proved in this way.
    #[error("a claim such as {claim} is not proved by {way}")]
    OtherProof {
        /// The claim.
        claim: String,
        /// The way that was tried.
        way: &'static str,
    },
    /// The line, or every line that was looked at, is no proof text.
    #[error("there is no proof text here, which is a line kez1:<claim>:<64 hex digits of the key>:<signature>")]
    NoProofText,
    /// The proof text is for another claim or another key.
    #[error("the proof is for another claim or another key than {claim} and this person's")]
    WrongSubject {
        /// The claim that it does not prove.
        claim: String,
    },
    /// The gist belongs to somebody else than the claimed user.
    #[error("the gist belongs to {owner:?}, not to the claimed user {user:?}")]
    WrongOwner {
        /// The claimed user.
        user: String,
        /// The owner that GitHub names.
        owner: String,
    },
    /// The signature is not there, or not the right one.
    #[error("the claim's signature is refused: {0}")]
    BadSignature(#[from] SignatureError),
    /// What was entered is no nostr secret key. It is not repeated here.
    #[error("this is no nostr secret key (nsec1…); copy it whole")]
    BadNostrSecret,
    /// The nostr secret key belongs to another npub than the claimed one.
    #[error("this nostr secret key belongs to another npub than the one in {claim}")]
    OtherNostrKey {
        /// The claim that was to be proved.
        claim: String,
    },
}

impl ClaimError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadClaim { .. } | Self::BadAt { .. } | Self::OtherProof { .. } | Self::NoProofText => Code::BadClaim,
            Self::WrongSubject { .. } | Self::WrongOwner { .. } | Self::OtherNostrKey { .. } => Code::WrongSubject,
            Self::BadSignature(error) => error.code(),
            Self::BadNostrSecret => Code::BadKey,
        }
    }

    /// Returns how many of §10's checks a proof text got through before this one.
    pub(super) fn depth(&self) -> u8 {
        match self {
            Self::BadSignature(SignatureError::BadSignature) => 3,
            Self::BadSignature(SignatureError::BadBase64) => 2,
            Self::WrongSubject { .. } => 1,
            _ => 0,
        }
    }
}
