//! Keys, signatures, and the closed list of what a key signs (`docs/PROTOCOL.md` §1).
//!
//! One ed25519 key is a person: their KEZ primary, their NATS nkey and their Iroh endpoint id. Because it
//! serves three protocols, [`SecretKey::sign`] takes a [`Statement`] and nothing else: there is no way to
//! have it sign bytes that another party chose.

mod primary;
mod secret;
mod signature;
mod statement;

pub use primary::{KeyError, PrimaryKey};
pub use secret::{SecretKey, SharedSecret};
pub use signature::{Signature, SignatureError};
pub use statement::Statement;

pub(crate) use secret::{Ephemeral, WirePublicKey};
pub(crate) use statement::{EnvelopeParts, SigningInput};
