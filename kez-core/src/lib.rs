//! The kez-chat protocol without I/O: no sockets, no clock, no randomness of its own.
//!
//! Everything that two implementations must agree on to the byte lives here; time and randomness come in
//! as parameters. `docs/PROTOCOL.md` is the specification, and its section numbers are cited throughout.
//!
//! Read it in the order of a message's life: [`identity`] holds the keys and the short list of statements
//! that a key signs, [`handle`] the names, [`sigchain`] the signed history that ties a name to a place,
//! [`claim`] who the person also is elsewhere, [`payload`] what a message says, [`envelope`] how it is sealed,
//! [`broker`] where it goes, and [`filecrypt`] how the bytes of a shared file are protected.
//!
//! The feature `aws-lc-rs`, off by default, has AWS-LC do X25519 and sign. It changes no result, only how soon it is
//! there (`benches/RESULTS.md`).

mod aead;
pub mod broker;
pub mod claim;
mod codec;
pub mod contact_uri;
pub mod envelope;
pub mod error;
pub mod filecrypt;
pub mod handle;
pub mod identity;
mod kdf;
pub mod manifest;
pub mod mnemonic;
pub mod payload;
pub mod safety;
pub mod sigchain;

pub use codec::CodecError;
pub use error::Code;
pub use rand_core;
