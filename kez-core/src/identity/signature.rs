//! Signatures and their text form.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use thiserror::Error;

use crate::error::Code;

/// Says why a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The text is not canonical, unpadded base64url (RFC 4648 §5).
    #[error("the signature is not canonical, unpadded base64url")]
    BadBase64,
    /// The signature is not 64 bytes, or the key did not make it over this message.
    #[error("the signature does not verify under this key")]
    BadSignature,
}

impl SignatureError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadBase64 => Code::BadBase64,
            Self::BadSignature => Code::BadSignature,
        }
    }
}

/// An ed25519 signature (RFC 8032): 64 bytes, 86 characters of base64url.
///
/// A `nostr:` claim carries a BIP-340 signature in the same form (§10).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes the 64 bytes; whether they verify is asked of the key.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Returns the 64 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 64] {
        self.0
    }

    /// Reads 86 characters of unpadded, canonical base64url.
    ///
    /// # Errors
    /// [`SignatureError::BadBase64`] for another form, [`SignatureError::BadSignature`] for another length.
    pub fn from_base64(text: &str) -> Result<Self, SignatureError> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| SignatureError::BadBase64)?;
        bytes.try_into().map(Self).map_err(|_| SignatureError::BadSignature)
    }

    /// Writes unpadded base64url.
    #[must_use]
    pub fn to_base64(self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    pub(super) fn from_dalek(signature: &ed25519_dalek::Signature) -> Self {
        Self(signature.to_bytes())
    }

    pub(super) fn to_dalek(self) -> ed25519_dalek::Signature {
        ed25519_dalek::Signature::from_bytes(&self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.to_base64())
    }
}
