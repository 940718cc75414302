//! The same arithmetic by AWS-LC, for the feature `aws-lc-rs`.
//!
//! Results are those of the portable way, bit by bit. Whatever the library refuses, or fails at, is `None`: the caller
//! then does it the portable way. Signatures are never verified here, for AWS-LC accepts others than §1 does.

use std::sync::Arc;

use aws_lc_rs::{
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
    signature::Ed25519KeyPair,
};
use zeroize::Zeroizing;

/// An X25519 secret. AWS-LC wipes what it frees.
#[derive(Clone)]
pub(super) struct X25519Secret(Arc<PrivateKey>);

impl X25519Secret {
    pub(super) fn new(scalar: &[u8; 32]) -> Option<Self> {
        PrivateKey::from_private_key(&X25519, scalar).ok().map(|key| Self(Arc::new(key)))
    }

    pub(super) fn public(&self) -> Option<[u8; 32]> {
        self.0.compute_public_key().ok()?.as_ref().try_into().ok()
    }

    /// `None` also for a result of zeros.
    pub(super) fn agree(&self, u: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        agree(&self.0, UnparsedPublicKey::new(&X25519, u), (), |shared| {
            shared.try_into().map(Zeroizing::new).or(Err(()))
        })
        .ok()
    }
}

/// An ed25519 key that signs.
#[derive(Clone)]
pub(super) struct SigningKey(Arc<Ed25519KeyPair>);

impl SigningKey {
    pub(super) fn new(seed: &[u8; 32], public: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_and_public_key(seed, public).ok().map(|key| Self(Arc::new(key)))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        self.0.try_sign(message).ok()?.as_ref().try_into().ok()
    }
}
