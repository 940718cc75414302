//! Keys, signatures, and the closed list of what a key signs (`docs/PROTOCOL.md` §1).
//!
//! One ed25519 key is a person: their KEZ primary, their NATS nkey and their Iroh endpoint id. Because it
//! serves three protocols, [`SecretKey::sign`] takes a [`Statement`] and nothing else: there is no way to
//! have it sign bytes that another party chose.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
mod primary;
mod secret;
mod signature;
mod statement;
mod x25519;

pub use primary::{KeyError, PrimaryKey};
pub use secret::SecretKey;
pub use signature::{Signature, SignatureError};
pub use statement::Statement;
pub use x25519::SharedSecret;

pub(crate) use statement::{EnvelopeParts, SigningInput};
pub(crate) use x25519::{X25519Public, X25519Secret};
