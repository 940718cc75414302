//! Envelopes: how a message is sealed for one reader (`docs/PROTOCOL.md` §6, version 1, suite 1).
//!
//! The shape is that of the Noise pattern X: the broker sees neither content nor sender, the reader learns
//! who sealed it for them and nobody else, and each message has keys of its own.

mod padding;
mod schedule;

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    aead::{TAG_BYTES, open_once, seal_once},
    error::Code,
    identity::{
        EnvelopeParts, KeyError, PrimaryKey, SecretKey, SharedSecret, Signature, Statement, X25519Public, X25519Secret,
    },
};
use schedule::{MessageKeys, ephemeral_scalar, header_key, sha256};

pub use padding::MAX_PADDED_BYTES;

/// The shortest wire: 166 bytes around the smallest padded payload.
pub const MIN_WIRE_BYTES: usize = OVERHEAD_BYTES + padding::MIN_PADDED_BYTES;
/// The longest wire.
pub const MAX_WIRE_BYTES: usize = OVERHEAD_BYTES + MAX_PADDED_BYTES;

const VERSION: u8 = 1;
const SUITE: u8 = 1;
const KEY_ID: [u8; 4] = [0; 4];
const HEADER_BYTES: usize = 32 + 64 + TAG_BYTES;
/// Version, suite, key id and `E`, which the authenticated data of both parts begins with.
const PREFIX_BYTES: usize = 1 + 1 + 4 + 32;
const OVERHEAD_BYTES: usize = PREFIX_BYTES + HEADER_BYTES + TAG_BYTES;

/// Says why an envelope was refused, or could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The wire begins with another version.
    #[error("the envelope has version {0}; this is version 1: update the application")]
    BadVersion(u8),
    /// The wire names another suite.
    #[error("the envelope uses suite {0}, which this version does not know: update the application")]
    UnknownSuite(u8),
    /// The wire is shorter or longer than any envelope.
    #[error("the envelope is {0} bytes long, which no envelope is")]
    BadLength(usize),
    /// The wire was sealed for a key that is reserved for later.
    #[error("the envelope was sealed for key {0}, which this version does not have: update the application")]
    UnknownKeyId(u32),
    /// The one-time key is not canonical, or the sender's key is not sound.
    #[error("the envelope holds an unsound key")]
    BadKey,
    /// The one-time key is of small order.
    #[error("the envelope's one-time key agrees on nothing")]
    ZeroSecret,
    /// The header does not decrypt: the envelope is for somebody else, or was changed.
    #[error("the envelope's header does not decrypt: it is for somebody else, or was changed on its way")]
    BadHeader,
    /// The sender's signature does not verify.
    #[error("the envelope's signature is not its sender's")]
    BadSignature,
    /// The body does not decrypt.
    #[error("the envelope's body does not decrypt")]
    BadBody,
    /// The padding is not the one that the content's length calls for.
    #[error("the envelope's padding is not the one of its length")]
    BadPadding,
    /// The payload does not fit in an envelope.
    #[error("the message is too large for an envelope ({bytes} bytes); send it as a file")]
    TooLarge {
        /// The payload's length.
        bytes: usize,
    },
}

impl EnvelopeError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadVersion(_) => Code::BadVersion,
            Self::UnknownSuite(_) => Code::UnknownSuite,
            Self::BadLength(_) => Code::BadLength,
            Self::UnknownKeyId(_) => Code::UnknownKeyId,
            Self::BadKey => Code::BadKey,
            Self::ZeroSecret => Code::ZeroSecret,
            Self::BadHeader => Code::BadHeader,
            Self::BadSignature => Code::BadSignature,
            Self::BadBody => Code::BadBody,
            Self::BadPadding => Code::BadPadding,
            Self::TooLarge { .. } => Code::TooLarge,
        }
    }
}

impl From<KeyError> for EnvelopeError {
    fn from(_: KeyError) -> Self {
        Self::BadKey
    }
}

/// The other party of a conversation, with the long-term secret that both share, computed once.
#[derive(Clone, Debug)]
pub struct Peer {
    key: PrimaryKey,
    x25519: X25519Public,
    shared: SharedSecret,
}

impl Peer {
    /// Agrees with the holder of `key`. Cache it: it is most of an envelope's cost that need not be paid twice.
    #[must_use]
    pub fn new(own: &SecretKey, key: PrimaryKey) -> Self {
        let x25519 = key.x25519();
        Self { key, shared: own.x25519().agree(&x25519), x25519 }
    }

    /// Returns the peer's key.
    #[must_use]
    pub fn key(&self) -> &PrimaryKey {
        &self.key
    }
}

/// An envelope that was opened: who sealed it, and what they said. `Debug` does not show what.
pub struct Opened {
    /// Who signed it, ready for the caller's cache.
    pub sender: Peer,
    /// The payload's bytes, for [`crate::payload::Payload::decode`].
    pub payload: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened(from {}, {} bytes)", self.sender.key(), self.payload.len())
    }
}

/// Seals a payload from `own` for `recipient`.
///
/// `random` is 32 fresh random bytes. They are hedged with the sender's key, the recipient and the payload, so
/// that a broken source of randomness repeats a key only for the same message to the same reader.
///
/// # Errors
/// [`EnvelopeError::TooLarge`] if the payload does not fit.
pub fn seal(own: &SecretKey, recipient: &Peer, payload: &[u8], random: &[u8; 32]) -> Result<Vec<u8>, EnvelopeError> {
    let padded = padding::pad(payload).ok_or(EnvelopeError::TooLarge { bytes: payload.len() })?;
    let ephemeral = X25519Secret::new(ephemeral_scalar(random, own, &recipient.key, payload));
    let one_time = ephemeral.public();
    let es = ephemeral.agree(&recipient.x25519);
    let recipient_x = recipient.x25519.as_bytes();
    let keys =
        MessageKeys::derive(SUITE, &one_time, recipient_x, &es, &recipient.shared, &own.primary(), &recipient.key);

    let mut wire = Vec::with_capacity(OVERHEAD_BYTES + padded.len());
    wire.extend_from_slice(&[VERSION, SUITE]);
    wire.extend_from_slice(&KEY_ID);
    wire.extend_from_slice(&one_time);
    let body = seal_once(&keys.body, &padded, &wire);
    let body_hash = sha256(&body);
    let signature = own.sign(&Statement::Envelope(&EnvelopeParts {
        suite: SUITE,
        key_id: KEY_ID,
        recipient: recipient.key.as_bytes(),
        ephemeral: &one_time,
        commitment: &keys.commitment,
        body_hash: &body_hash,
    }));
    let header = [own.primary().as_bytes().as_slice(), &signature.to_bytes()].concat();
    let aad = [wire.as_slice(), &body_hash].concat();
    wire.extend(seal_once(&header_key(SUITE, &one_time, recipient_x, &es), &header, &aad));
    wire.extend(body);
    Ok(wire)
}

/// Opens an envelope that was sealed for `own`.
///
/// `known` may give back a [`Peer`] for a sender's 32 bytes from the caller's cache; with `None` the key is
/// checked and agreed with anew.
///
/// # Errors
/// [`EnvelopeError`], the first failed check in §6's order.
pub fn open(
    own: &SecretKey,
    wire: &[u8],
    known: impl FnOnce(&[u8; 32]) -> Option<Peer>,
) -> Result<Opened, EnvelopeError> {
    let &[version, suite, ..] = wire else { return Err(EnvelopeError::BadLength(wire.len())) };
    if version != VERSION {
        return Err(EnvelopeError::BadVersion(version));
    }
    if suite != SUITE {
        return Err(EnvelopeError::UnknownSuite(suite));
    }
    let length = EnvelopeError::BadLength(wire.len());
    if !(MIN_WIRE_BYTES..=MAX_WIRE_BYTES).contains(&wire.len()) {
        return Err(length);
    }
    let (prefix, rest) = wire.split_first_chunk::<PREFIX_BYTES>().ok_or(length)?;
    let (header, body) = rest.split_first_chunk::<HEADER_BYTES>().ok_or(length)?;
    let (key_id, one_time) = prefix[2..].split_first_chunk::<4>().ok_or(length)?;
    let one_time: &[u8; 32] = one_time.first_chunk().ok_or(length)?;
    if *key_id != KEY_ID {
        return Err(EnvelopeError::UnknownKeyId(u32::from_be_bytes(*key_id)));
    }

    let es = own.x25519().agree(&X25519Public::from_wire(one_time).ok_or(EnvelopeError::BadKey)?);
    if es.is_zero() {
        return Err(EnvelopeError::ZeroSecret);
    }
    let recipient = own.primary();
    let own_x = own.x25519_public().as_bytes();
    let body_hash = sha256(body);
    let aad = [prefix.as_slice(), &body_hash].concat();
    let header = open_once(&header_key(suite, one_time, own_x, &es), header, &aad).ok_or(EnvelopeError::BadHeader)?;
    let (sender, signature) = header.split_first_chunk::<32>().ok_or(EnvelopeError::BadHeader)?;
    let signature = Signature::from_bytes(*signature.first_chunk().ok_or(EnvelopeError::BadHeader)?);

    let sender = match known(sender).filter(|peer| peer.key.as_bytes() == sender) {
        Some(peer) => peer,
        None => Peer::new(own, PrimaryKey::from_bytes(sender)?),
    };
    let keys = MessageKeys::derive(suite, one_time, own_x, &es, &sender.shared, &sender.key, &recipient);
    let statement = Statement::Envelope(&EnvelopeParts {
        suite,
        key_id: *key_id,
        recipient: recipient.as_bytes(),
        ephemeral: one_time,
        commitment: &keys.commitment,
        body_hash: &body_hash,
    });
    sender.key.verify(&statement, &signature).map_err(|_| EnvelopeError::BadSignature)?;
    let mut payload = open_once(&keys.body, body, prefix).ok_or(EnvelopeError::BadBody)?;
    let len = padding::unpad(&payload).ok_or(EnvelopeError::BadPadding)?.len();
    payload.truncate(len);
    Ok(Opened { sender, payload })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_seed([byte; 32])
    }

    fn sealed(payload: &[u8]) -> Vec<u8> {
        seal(&key(1), &Peer::new(&key(1), key(2).primary()), payload, &[9; 32]).unwrap()
    }

    fn fault(wire: &[u8]) -> Code {
        open(&key(2), wire, |_| None).unwrap_err().code()
    }

    #[test]
    fn only_the_recipient_opens_it_and_learns_the_sender() {
        let wire = sealed(b"hello");
        let opened = open(&key(2), &wire, |_| None).unwrap();
        assert_eq!(&opened.payload[..], b"hello");
        assert_eq!(opened.sender.key(), &key(1).primary());
        assert_eq!(open(&key(3), &wire, |_| None).unwrap_err(), EnvelopeError::BadHeader);
        assert_eq!(open(&key(1), &wire, |_| None).unwrap_err(), EnvelopeError::BadHeader);
        assert_eq!(wire.len(), MIN_WIRE_BYTES);
        let sender = key(1).primary();
        assert!(!wire.windows(8).any(|window| sender.as_bytes().windows(8).any(|part| part == window)));
    }

    #[test]
    fn a_cached_peer_gives_the_same_result_and_a_wrong_one_is_not_believed() {
        let wire = sealed(b"hello");
        let right = Peer::new(&key(2), key(1).primary());
        let wrong = Peer::new(&key(2), key(3).primary());
        for peer in [right, wrong] {
            assert_eq!(&open(&key(2), &wire, |_| Some(peer)).unwrap().payload[..], b"hello");
        }
    }

    #[test]
    fn notes_to_self_work() {
        let own = key(1);
        let wire = seal(&own, &Peer::new(&own, own.primary()), b"note", &[3; 32]).unwrap();
        assert_eq!(&open(&own, &wire, |_| None).unwrap().payload[..], b"note");
    }

    #[test]
    fn checks_come_in_their_order() {
        let good = sealed(b"hello");
        let with = |index: usize, byte: u8| {
            let mut wire = good.clone();
            wire[index] = byte;
            wire
        };
        assert_eq!(fault(&[]), Code::BadLength);
        assert_eq!(fault(&[1]), Code::BadLength);
        assert_eq!(fault(&[2, 9]), Code::BadVersion);
        assert_eq!(fault(&[1, 9]), Code::UnknownSuite);
        assert_eq!(fault(&[1, 1]), Code::BadLength);
        assert_eq!(fault(&good[..MIN_WIRE_BYTES - 1]), Code::BadLength);
        assert_eq!(fault(&vec![1; MAX_WIRE_BYTES + 1]), Code::BadLength);
        assert_eq!(fault(&with(5, 1)), Code::UnknownKeyId);
        assert_eq!(fault(&with(37, 0xff)), Code::BadKey);
        let mut zero = good.clone();
        zero[6..38].fill(0);
        assert_eq!(fault(&zero), Code::ZeroSecret);
        assert_eq!(fault(&with(40, good[40] ^ 1)), Code::BadHeader);
        assert_eq!(fault(&with(good.len() - 1, good[good.len() - 1] ^ 1)), Code::BadHeader);
    }

    #[test]
    fn the_largest_payload_fits_and_one_more_byte_does_not() {
        let peer = Peer::new(&key(1), key(2).primary());
        let largest = vec![7; MAX_PADDED_BYTES - 1];
        let wire = seal(&key(1), &peer, &largest, &[0; 32]).unwrap();
        assert_eq!(wire.len(), MAX_WIRE_BYTES);
        assert_eq!(*open(&key(2), &wire, |_| None).unwrap().payload, largest);
        let larger = vec![7; MAX_PADDED_BYTES];
        assert_eq!(seal(&key(1), &peer, &larger, &[0; 32]), Err(EnvelopeError::TooLarge { bytes: MAX_PADDED_BYTES }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn open_undoes_seal(payload in proptest::collection::vec(any::<u8>(), 0..2000), random: [u8; 32]) {
            let wire = seal(&key(1), &Peer::new(&key(1), key(2).primary()), &payload, &random).unwrap();
            prop_assert_eq!(&*open(&key(2), &wire, |_| None).unwrap().payload, &payload);
        }

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0..MIN_WIRE_BYTES * 8) {
            let mut wire = sealed(b"hello");
            wire[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&key(2), &wire, |_| None).is_err());
        }
    }
}
