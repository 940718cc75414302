//! What no sound implementation makes: odd keys, odd signatures, and structures signed or sealed over faults.

pub(super) mod chain;
pub(super) mod envelope;
pub(super) mod keys;
pub(super) mod manifest;

use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, aead::Aead};

/// Seals one segment of a file, at any place.
pub(super) fn segment(key: &[u8; 32], index: u32, last: bool, plain: &[u8]) -> Vec<u8> {
    let mut nonce = Nonce::default();
    nonce[7..11].copy_from_slice(&index.to_be_bytes());
    nonce[11] = u8::from(last);
    ChaCha20Poly1305::new(key.into()).encrypt(&nonce, plain).unwrap()
}
