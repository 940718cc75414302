//! Secret keys.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

#[cfg(feature = "aws-lc-rs")]
use super::aws_lc;
use super::{
    PrimaryKey, Signature, Statement,
    x25519::{SharedSecret, X25519Public, X25519Secret},
};

/// A person's secret: the 32-byte seed of their ed25519 key, and what follows from it.
///
/// It is wiped from memory on drop and never printed.
#[derive(Clone)]
pub struct SecretKey {
    signing: SigningKey,
    /// The same key; `None` if the library refused it, which then is done without.
    #[cfg(feature = "aws-lc-rs")]
    fast_signing: Option<aws_lc::SigningKey>,
    /// `clamp(SHA-512(seed)[0..32])`.
    x25519: X25519Secret,
    primary: PrimaryKey,
    /// The public half of `x25519`.
    x25519_public: X25519Public,
}

impl SecretKey {
    /// Makes a fresh key from the given source of randomness.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_seed(*seed)
    }

    /// Takes a seed, as from a mnemonic or a key store.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(&seed);
        let mut hash = Zeroizing::new([0; 64]);
        Sha512::new().chain_update(seed.as_slice()).finalize_into((&mut *hash).into());
        seed.zeroize();
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(&hash[..32]);
        let primary = PrimaryKey::from_verifying(signing.verifying_key());
        Self {
            #[cfg(feature = "aws-lc-rs")]
            fast_signing: aws_lc::SigningKey::new(signing.as_bytes(), primary.as_bytes()),
            signing,
            x25519: X25519Secret::new(scalar),
            primary,
            x25519_public: primary.x25519(),
        }
    }

    /// Shows the seed to a key store, a mnemonic or Iroh's endpoint; keep no copy that is not zeroized.
    #[must_use]
    pub fn expose_seed(&self) -> &[u8; 32] {
        self.signing.as_bytes()
    }

    /// Returns the public half.
    #[must_use]
    pub fn primary(&self) -> PrimaryKey {
        self.primary
    }

    /// Signs one of the statements of §1. Nothing else can be signed.
    #[must_use]
    pub fn sign(&self, statement: &Statement<'_>) -> Signature {
        let message = statement.to_bytes();
        #[cfg(feature = "aws-lc-rs")]
        if let Some(signature) = self.fast_signing.as_ref().and_then(|key| key.sign(&message)) {
            return Signature::from_bytes(signature);
        }
        self.portable_sign(&message)
    }

    fn portable_sign(&self, message: &[u8]) -> Signature {
        Signature::from_dalek(&self.signing.sign(message))
    }

    /// Agrees on a secret with the holder of another key: X25519 of the two.
    ///
    /// It is the same for both, for ever; callers may cache it for each contact.
    #[must_use]
    pub fn agree(&self, other: &PrimaryKey) -> SharedSecret {
        // The point is torsion-free and not the identity, so the result cannot be all zero.
        self.x25519.agree(&other.x25519())
    }

    /// Returns the X25519 secret, for what envelopes are sealed and opened with.
    pub(crate) fn x25519(&self) -> &X25519Secret {
        &self.x25519
    }

    /// Returns the public half of [`Self::x25519`].
    pub(crate) fn x25519_public(&self) -> &X25519Public {
        &self.x25519_public
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {}, redacted)", self.primary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SigningInput;

    #[test]
    fn agreement_is_mutual_and_is_x25519() {
        let (a, b) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let ab = a.agree(&b.primary());
        assert_eq!(ab.as_bytes(), b.agree(&a.primary()).as_bytes());
        assert_eq!(*ab.as_bytes(), x25519_dalek::x25519(*a.x25519().as_bytes(), *b.x25519_public().as_bytes()));
        assert_eq!(*a.x25519_public().as_bytes(), a.x25519().public());
    }

    /// Whatever signs, the signature is the one that RFC 8032 determines.
    #[test]
    fn signatures_are_those_of_the_portable_way() {
        for seed in 0..64 {
            let key = SecretKey::from_seed([seed; 32]);
            let input = SigningInput::new(&"a".repeat(usize::from(seed) * 3));
            let statement = Statement::Event(&input);
            let signature = key.sign(&statement);
            assert_eq!(signature, key.portable_sign(&statement.to_bytes()));
            #[cfg(feature = "aws-lc-rs")]
            assert_eq!(key.fast_signing.as_ref().unwrap().sign(&statement.to_bytes()), Some(signature.to_bytes()));
            assert!(key.primary().verify(&statement, &signature).is_ok());
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let key = SecretKey::from_seed([0xa7; 32]);
        let shared = key.agree(&SecretKey::from_seed([3; 32]).primary());
        let printed = format!("{key:?}");
        assert!(!printed.contains("a7a7") && !printed.contains("167") && printed.contains("redacted"));
        assert_eq!(format!("{shared:?}"), "SharedSecret(redacted)");
    }
}
