//! Envelopes made a second time, step by step as §6 says, so that each step can go wrong.

use curve25519_dalek::MontgomeryPoint;
use kez_core::identity::PrimaryKey;

use super::keys::{ALICE, BOB, primary, sha256, sign};
use crate::corpus::targets::notation::{aead, clamp, hkdf, hkdf_expand, x25519_secret};

/// What goes into an envelope, sound or not.
pub(in super::super) struct Envelope {
    pub(in super::super) sender: [u8; 32],
    pub(in super::super) recipient: PrimaryKey,
    /// The scalar of the one-time key.
    pub(in super::super) scalar: [u8; 32],
    /// The sender's key as the header names it.
    pub(in super::super) named: [u8; 32],
    /// The recipient that the signature names.
    pub(in super::super) signed_for: PrimaryKey,
    /// What makes the signature.
    pub(in super::super) sign: fn([u8; 32], &[u8]) -> [u8; 64],
    /// The body's plaintext, padding included.
    pub(in super::super) padded: Vec<u8>,
    /// Whether the body is sealed under another key than the one committed to.
    pub(in super::super) other_body_key: bool,
    /// Whether the signature covers another commitment.
    pub(in super::super) other_commitment: bool,
}

impl Envelope {
    /// Returns what Alice seals for Bob.
    pub(in super::super) fn new(payload: &[u8], random: &[u8; 32]) -> Self {
        let recipient = primary(BOB);
        let info = [b"kez/eph/1", recipient.as_bytes().as_slice(), &sha256(payload)].concat();
        let scalar = clamp(hkdf(random, &x25519_secret(&ALICE), &info));
        Self {
            sender: ALICE,
            recipient,
            scalar,
            named: *primary(ALICE).as_bytes(),
            signed_for: recipient,
            sign,
            padded: pad(payload, 256),
            other_body_key: false,
            other_commitment: false,
        }
    }

    pub(in super::super) fn seal(&self) -> Vec<u8> {
        let recipient_x = self.recipient.to_x25519();
        let one_time = MontgomeryPoint::mul_base_clamped(self.scalar).to_bytes();
        let es = MontgomeryPoint(recipient_x).mul_clamped(self.scalar).to_bytes();
        let ss = MontgomeryPoint(recipient_x).mul_clamped(x25519_secret(&self.sender)).to_bytes();
        let salt = [b"kez/envelope/1".as_slice(), &[1], &one_time, &recipient_x].concat();
        let header_key = hkdf(&salt, &es, b"header");
        let info = [b"message", self.named.as_slice(), self.recipient.as_bytes()].concat();
        let message_key = hkdf(&salt, &[es, ss].concat(), &info);
        let mut body_key = hkdf_expand(&message_key, b"body");
        let mut commitment = hkdf_expand(&message_key, b"commit");
        body_key[0] ^= u8::from(self.other_body_key);
        commitment[0] ^= u8::from(self.other_commitment);

        let prefix = [&[1, 1, 0, 0, 0, 0], one_time.as_slice()].concat();
        let body = aead(&body_key, &self.padded, &prefix);
        let body_hash = sha256(&body);
        let signed = [
            b"kez/envelope/1\0".as_slice(),
            &[1, 0, 0, 0, 0],
            self.signed_for.as_bytes(),
            &one_time,
            &commitment,
            &body_hash,
        ];
        let header = [self.named.as_slice(), &(self.sign)(self.sender, &signed.concat())].concat();
        let header = aead(&header_key, &header, &[prefix.as_slice(), &body_hash].concat());
        [prefix, header, body].concat()
    }
}

/// Appends the mark, and zeros up to a length.
pub(in super::super) fn pad(payload: &[u8], len: usize) -> Vec<u8> {
    let mut padded = [payload, &[0x80]].concat();
    padded.resize(len, 0);
    padded
}
