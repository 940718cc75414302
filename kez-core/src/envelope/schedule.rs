//! The key schedule of suite 1 (§6).

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    identity::{PrimaryKey, SecretKey, SharedSecret},
    kdf::{expand, hkdf},
};

/// The keys of one message's body, and the commitment that the signature covers.
pub(super) struct MessageKeys {
    pub(super) body: Zeroizing<[u8; 32]>,
    pub(super) commitment: Zeroizing<[u8; 32]>,
}

impl MessageKeys {
    pub(super) fn derive(
        suite: u8,
        one_time: &[u8; 32],
        recipient_x: &[u8; 32],
        es: &SharedSecret,
        ss: &SharedSecret,
        sender: &PrimaryKey,
        recipient: &PrimaryKey,
    ) -> Self {
        let mut secrets = Zeroizing::new([0; 64]);
        secrets[..32].copy_from_slice(es.as_bytes());
        secrets[32..].copy_from_slice(ss.as_bytes());
        let info = [b"message".as_slice(), sender.as_bytes(), recipient.as_bytes()];
        let message: Zeroizing<[u8; 32]> = hkdf(&salt(suite, one_time, recipient_x), &*secrets, &info);
        Self { body: expand(&message, b"body"), commitment: expand(&message, b"commit") }
    }
}

/// Derives the scalar of the one-time key, before clamping.
pub(super) fn ephemeral_scalar(
    random: &[u8; 32],
    own: &SecretKey,
    recipient: &PrimaryKey,
    payload: &[u8],
) -> Zeroizing<[u8; 32]> {
    hkdf(random, own.x25519().as_bytes(), &[b"kez/eph/1", recipient.as_bytes(), &sha256(payload)])
}

/// Derives the key of the header.
pub(super) fn header_key(
    suite: u8,
    one_time: &[u8; 32],
    recipient_x: &[u8; 32],
    es: &SharedSecret,
) -> Zeroizing<[u8; 32]> {
    hkdf(&salt(suite, one_time, recipient_x), es.as_bytes(), &[b"header"])
}

fn salt(suite: u8, one_time: &[u8; 32], recipient_x: &[u8; 32]) -> Vec<u8> {
    [b"kez/envelope/1".as_slice(), &[suite], one_time, recipient_x].concat()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
