//! What can be wrong with a payload.

use thiserror::Error;

use crate::{codec::CodecError, error::Code, filecrypt::FileError, handle::HandleError};

/// Says why a payload was refused, or could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The payload begins with another version.
    #[error("the message has version {0}; this is version 1: update the application")]
    BadVersion(u8),
    /// The bytes are not the structure of a payload.
    #[error("the message's bytes are malformed: {0}")]
    Codec(#[from] CodecError),
    /// A field holds what it may not.
    #[error("the message's field {field:?} holds what it may not")]
    BadField {
        /// The field's name in §7.
        field: &'static str,
    },
    /// `from` or `to` is no qualified handle.
    #[error("the message names a handle that is none: {0}")]
    BadHandle(#[from] HandleError),
    /// A kind came by the channel of the others.
    #[error("a message of kind {kind} does not belong on the channel that it came by")]
    WrongChannel {
        /// The message's kind.
        kind: u64,
    },
    /// A shared file's path is not one.
    #[error(
        "the shared path {0:?} is not allowed: it must be relative, without \"..\", control or invisible characters"
    )]
    BadPath(String),
    /// A text, or a file, is above its limit.
    #[error("the message's {field} is too large; send long texts as a file")]
    TooLarge {
        /// What is too large.
        field: &'static str,
    },
    /// The message names somebody else as its recipient.
    #[error("the message was written to {to}, which is not you")]
    Misaddressed {
        /// The recipient that it names.
        to: String,
    },
}

impl PayloadError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadVersion(_) => Code::BadVersion,
            Self::Codec(error) => error.code_or(Code::BadPayload),
            Self::BadField { .. } => Code::BadPayload,
            Self::BadHandle(error) => error.code(),
            Self::WrongChannel { .. } => Code::WrongChannel,
            Self::BadPath(_) => Code::BadPath,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Misaddressed { .. } => Code::Misaddressed,
        }
    }
}

impl From<FileError> for PayloadError {
    fn from(_: FileError) -> Self {
        Self::TooLarge { field: "file" }
    }
}
