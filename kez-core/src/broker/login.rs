//! Broker logins, bound to the home so that a hostile broker can't relay them.

use thiserror::Error;

use crate::{
    error::Code,
    handle::Home,
    identity::{KeyError, PrimaryKey, Signature, SignatureError, Statement},
};

/// Says why a login was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The broker's nonce is absent, empty or too long.
    #[error("the broker's nonce is missing or not 1 to 64 bytes long; its configuration needs an nkey user")]
    BadNonce,
    /// The client gave no nkey.
    #[error("the client gave no nkey")]
    NoKey,
    /// The client's nkey is no sound user key.
    #[error("the client's nkey is refused: {0}")]
    BadKey(#[from] KeyError),
    /// The client gave no signature.
    #[error("the client gave no signature")]
    NoSignature,
    /// The signature is not the key's, over this home's name and this connection's nonce.
    #[error("the client's signature does not fit this home and this connection: {0}")]
    BadSignature(#[from] SignatureError),
}

impl LoginError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadNonce => Code::BadNonce,
            Self::NoKey => Code::BadKeyText,
            Self::BadKey(error) => error.code(),
            Self::NoSignature => Code::BadSignature,
            Self::BadSignature(error) => error.code(),
        }
    }
}

/// A broker's nonce: 1 to 64 bytes of UTF-8, as INFO's `nonce` decodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginNonce(String);

impl LoginNonce {
    /// Checks a nonce.
    ///
    /// # Errors
    /// [`LoginError::BadNonce`].
    pub fn parse(text: &str) -> Result<Self, LoginError> {
        if (1..=64).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(LoginError::BadNonce) }
    }

    /// Returns the nonce.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks what a client presented on connecting. All three parts must be there: nats-server itself does not check
/// the signature of a key that it does not know.
pub(super) fn check(
    domain: &Home,
    nkey: Option<&str>,
    signature: Option<&str>,
    nonce: Option<&str>,
) -> Result<PrimaryKey, LoginError> {
    let primary = PrimaryKey::from_nkey(nkey.ok_or(LoginError::NoKey)?)?;
    let nonce = LoginNonce::parse(nonce.unwrap_or_default())?;
    let signature = Signature::from_base64(signature.ok_or(LoginError::NoSignature)?)?;
    primary.verify(&Statement::NatsLogin { domain, nonce: &nonce }, &signature)?;
    Ok(primary)
}
