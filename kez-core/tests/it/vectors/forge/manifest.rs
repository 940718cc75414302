//! Manifests made a second time, step by step as §9 says, so that each step can go wrong.

use hmac::{Hmac, KeyInit, Mac};
use kez_core::identity::PrimaryKey;
use sha2::Sha256;

use curve25519_dalek::MontgomeryPoint;

use super::keys::{ALICE, primary};
use crate::corpus::targets::notation::{aead, hkdf, x25519_secret};

pub(in super::super) const SALT: [u8; 32] = [4; 32];
pub(in super::super) const ENTRY_KEY: [u8; 32] = [6; 32];

/// A manifest's head, each part as the bytes that stand for it.
#[derive(Clone)]
pub(in super::super) struct Head {
    pub(in super::super) magic: &'static [u8],
    pub(in super::super) format: u8,
    pub(in super::super) owner: [u8; 32],
    pub(in super::super) version: u64,
    pub(in super::super) count: u32,
}

impl Head {
    /// Returns the head of a manifest of Alice's.
    pub(in super::super) fn new(count: u32) -> Self {
        Self { magic: b"KEZM", format: 1, owner: *primary(ALICE).as_bytes(), version: 1, count }
    }

    pub(in super::super) fn bytes(&self) -> Vec<u8> {
        let Self { magic, format, owner, version, count } = self;
        [magic, &[*format][..], owner, &version.to_le_bytes(), &SALT, &count.to_le_bytes()].concat()
    }
}

/// Binds what is sealed to its place.
pub(in super::super) fn place(version: u64, id: [u8; 16]) -> Vec<u8> {
    [primary(ALICE).as_bytes().as_slice(), &version.to_le_bytes(), &id].concat()
}

fn salt() -> Vec<u8> {
    [b"kez/manifest/1".as_slice(), &SALT].concat()
}

/// Returns a reader's pair: tag and wrapped key.
pub(in super::super) fn pair(reader: &PrimaryKey, id: [u8; 16], entry_key: &[u8; 32], place: &[u8]) -> Vec<u8> {
    let shared = MontgomeryPoint(reader.to_x25519()).mul_clamped(x25519_secret(&ALICE)).to_bytes();
    let info = [b"reader", primary(ALICE).as_bytes().as_slice(), reader.as_bytes()].concat();
    let reader_key = hkdf(&salt(), &shared, &info);
    let mac = |purpose: &[u8]| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&reader_key).unwrap();
        mac.update(&[purpose, &id].concat());
        mac.finalize().into_bytes().into()
    };
    [&mac(b"tag")[..16], &aead(&mac(b"wrap"), entry_key, place)].concat()
}

/// Seals an entry's details.
pub(in super::super) fn details(id: [u8; 16], padded: &[u8], place: &[u8], flags: u8) -> Vec<u8> {
    let key = hkdf(&salt(), &ENTRY_KEY, &[b"details".as_slice(), &id].concat());
    aead(&key, padded, &[place, &[flags]].concat())
}

/// Joins an entry for readers.
pub(in super::super) fn entry(id: [u8; 16], pairs: &[Vec<u8>], sealed: &[u8]) -> Vec<u8> {
    let count = u16::try_from(pairs.len()).unwrap().to_le_bytes();
    [&id[..], &[0], &count, &pairs.concat(), &length(sealed), sealed].concat()
}

/// Joins an entry for everyone.
pub(in super::super) fn public_entry(id: [u8; 16], sealed: &[u8]) -> Vec<u8> {
    [&id[..], &[1], &ENTRY_KEY, &length(sealed), sealed].concat()
}

fn length(sealed: &[u8]) -> [u8; 4] {
    u32::try_from(sealed.len()).unwrap().to_le_bytes()
}
