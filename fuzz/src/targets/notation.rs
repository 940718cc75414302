//! The primitives of PROTOCOL.md's notation, put together a second time: what is forged here and in the core's vectors is
//! made with these and not with the core's own.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256, Sha512};

pub fn hkdf(salt: &[u8], ikm: &[u8], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), ikm).expand(info, &mut out).unwrap();
    out
}

pub fn hkdf_expand(key: &[u8; 32], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    Hkdf::<Sha256>::from_prk(key).unwrap().expand(info, &mut out).unwrap();
    out
}

pub fn aead(key: &[u8; 32], msg: &[u8], aad: &[u8]) -> Vec<u8> {
    ChaCha20Poly1305::new(key.into()).encrypt(&Nonce::default(), Payload { msg, aad }).unwrap()
}

pub fn clamp(mut scalar: [u8; 32]) -> [u8; 32] {
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
    scalar
}

/// Returns the X25519 secret of a seed (§1), clamped, for it is also hashed.
pub fn x25519_secret(seed: &[u8; 32]) -> [u8; 32] {
    let mut scalar = [0; 32];
    scalar.copy_from_slice(&Sha512::digest(seed)[..32]);
    clamp(scalar)
}
