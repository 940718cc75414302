//! Secret keys, and the two agreements that they take part in.

use std::fmt;

use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use ed25519_dalek::{Signer, SigningKey};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{PrimaryKey, Signature, Statement};

/// A person's secret: the 32-byte seed of their ed25519 key, and what follows from it.
///
/// It is wiped from memory on drop and never printed.
#[derive(Clone)]
pub struct SecretKey {
    signing: SigningKey,
    /// The clamped X25519 scalar, `clamp(SHA-512(seed)[0..32])`.
    scalar: Zeroizing<[u8; 32]>,
    primary: PrimaryKey,
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
        Sha512::new().chain_update(seed).finalize_into((&mut *hash).into());
        seed.zeroize();
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(&hash[..32]);
        clamp(&mut scalar);
        let primary = PrimaryKey::from_verifying(signing.verifying_key());
        Self { signing, scalar, primary }
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
        Signature::from_dalek(&self.signing.sign(&statement.to_bytes()))
    }

    /// Agrees on a secret with the holder of another key: X25519 of the two.
    ///
    /// It is the same for both, for ever; callers may cache it for each contact.
    #[must_use]
    pub fn agree(&self, other: &PrimaryKey) -> SharedSecret {
        // The point is torsion-free and not the identity, so the result cannot be all zero.
        SharedSecret::new(other.to_point().mul_clamped(*self.scalar).to_montgomery())
    }

    /// Agrees with a one-time key that came over the wire; `None` for an all-zero result.
    pub(crate) fn agree_with_wire(&self, other: &WirePublicKey) -> Option<SharedSecret> {
        let shared = SharedSecret(Zeroizing::new(x25519_dalek::x25519(*self.scalar, other.0)));
        let zero = bool::from(shared.0.ct_eq(&[0; 32]));
        (!zero).then_some(shared)
    }

    /// Shows the X25519 scalar to the envelope's derivation of its one-time key.
    pub(crate) fn scalar(&self) -> &[u8; 32] {
        &self.scalar
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {}, redacted)", self.primary)
    }
}

/// What two keys agree on: 32 bytes that only their holders can compute.
#[derive(Clone)]
pub struct SharedSecret(Zeroizing<[u8; 32]>);

impl SharedSecret {
    fn new(point: MontgomeryPoint) -> Self {
        Self(Zeroizing::new(point.to_bytes()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(redacted)")
    }
}

/// A sender's one-time X25519 key for one message.
pub(crate) struct Ephemeral(Zeroizing<[u8; 32]>);

impl Ephemeral {
    pub(crate) fn new(mut bytes: Zeroizing<[u8; 32]>) -> Self {
        clamp(&mut bytes);
        Self(bytes)
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        EdwardsPoint::mul_base_clamped(*self.0).to_montgomery().to_bytes()
    }

    pub(crate) fn agree(&self, other: &PrimaryKey) -> SharedSecret {
        SharedSecret::new(other.to_point().mul_clamped(*self.0).to_montgomery())
    }
}

/// An X25519 public key as it came over the wire: bit 255 clear and below p (§1).
pub(crate) struct WirePublicKey([u8; 32]);

impl WirePublicKey {
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        // p = 2^255 − 19, little-endian: ed ff … ff 7f.
        let high = bytes[31] == 0x7f && bytes[1..31].iter().all(|&byte| byte == 0xff);
        let canonical = bytes[31] < 0x80 && !(high && bytes[0] >= 0xed);
        canonical.then_some(Self(*bytes))
    }
}

/// RFC 7748 §5, `decodeScalar25519`.
fn clamp(scalar: &mut [u8; 32]) {
    scalar[0] &= 0b1111_1000;
    scalar[31] &= 0b0111_1111;
    scalar[31] |= 0b0100_0000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_mutual_and_is_x25519() {
        let (a, b) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let ab = a.agree(&b.primary());
        assert_eq!(ab.as_bytes(), b.agree(&a.primary()).as_bytes());
        assert_eq!(*ab.as_bytes(), x25519_dalek::x25519(*a.scalar(), b.primary().to_x25519()));
        let own = x25519_dalek::x25519(*a.scalar(), x25519_dalek::X25519_BASEPOINT_BYTES);
        assert_eq!(a.primary().to_x25519(), own);
    }

    #[test]
    fn wire_keys_have_one_form() {
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0xed, 0x7f);
        assert!(WirePublicKey::from_bytes(&p).is_none());
        p[0] = 0xec;
        assert!(WirePublicKey::from_bytes(&p).is_some());
        p[31] = 0xff;
        assert!(WirePublicKey::from_bytes(&p).is_none());
        let zero = WirePublicKey::from_bytes(&[0; 32]).unwrap();
        assert!(SecretKey::from_seed([1; 32]).agree_with_wire(&zero).is_none());
    }

    #[test]
    fn nothing_secret_is_printed() {
        let key = SecretKey::from_seed([0xa7; 32]);
        let shared = key.agree(&SecretKey::from_seed([3; 32]).primary());
        let printed = format!("{key:?} {shared:?}");
        assert!(!printed.contains("a7a7") && !printed.contains("167") && printed.contains("redacted"));
    }
}
