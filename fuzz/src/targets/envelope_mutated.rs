//! Envelopes with one thing wrong inside, signed and encrypted as if all were well: an attacker who has a sound key of
//! their own can make each of them. The maker below is written from `docs/PROTOCOL.md` §6, not from the core.

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey};
use kez_core::{
    Code,
    envelope::{self, MAX_WIRE_BYTES, MIN_WIRE_BYTES, Peer},
    identity::SecretKey,
};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use super::{
    input::{Input, Seed, alice, bob, carol},
    notation::{aead, hkdf, hkdf_expand, x25519_secret},
};

/// The order of the ed25519 group, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// u-coordinates of small order in their canonical form (RFC 7748 §6.1): 0, 1, two of order 8, and p − 1.
const SMALL_ORDER: [[u8; 32]; 5] = {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    [
        [0; 32],
        one,
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
            0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
            0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ],
        minus_one,
    ]
};

static RECIPIENT_X: LazyLock<[u8; 32]> =
    LazyLock::new(|| x25519(x25519_secret(bob().expose_seed()), X25519_BASEPOINT_BYTES));

/// What goes into an envelope, each part free to be wrong.
struct Maker {
    version: u8,
    suite: u8,
    key_id: [u8; 4],
    /// The one-time secret, and its public half as it is written.
    secret: [u8; 32],
    one_time: [u8; 32],
    /// Who agrees and signs, and whom the header names.
    signer: SecretKey,
    sender: [u8; 32],
    /// What the signature covers beside what the wire shows.
    signed_recipient: [u8; 32],
    signed_suite: u8,
    commitment_mask: u8,
    hash_mask: u8,
    /// What becomes of the signature.
    signature: fn(&mut [u8; 64], u8),
    header_key_mask: u8,
    header_aad_mask: u8,
    body_key_mask: u8,
    body_aad_mask: u8,
    padded: Vec<u8>,
    parameter: u8,
}

impl Maker {
    /// Everything as §6 has it, from Alice to Bob.
    fn sound(payload: &[u8], random: &[u8; 32]) -> Self {
        let recipient = *bob().primary().as_bytes();
        let info = [b"kez/eph/1".as_slice(), &recipient, &Sha256::digest(payload)].concat();
        let secret = hkdf(random, &x25519_secret(alice().expose_seed()), &info);
        Self {
            version: 1,
            suite: 1,
            key_id: [0; 4],
            secret,
            one_time: x25519(secret, X25519_BASEPOINT_BYTES),
            signer: alice(),
            sender: *alice().primary().as_bytes(),
            signed_recipient: recipient,
            signed_suite: 1,
            commitment_mask: 0,
            hash_mask: 0,
            signature: |_, _| (),
            header_key_mask: 0,
            header_aad_mask: 0,
            body_key_mask: 0,
            body_aad_mask: 0,
            padded: pad(payload).unwrap(),
            parameter: 0,
        }
    }

    fn make(&self) -> Vec<u8> {
        let recipient_x = *RECIPIENT_X;
        let es = x25519(self.secret, recipient_x);
        let ss = x25519(x25519_secret(self.signer.expose_seed()), recipient_x);
        let salt = [b"kez/envelope/1".as_slice(), &[self.suite], &self.one_time, &recipient_x].concat();
        let mut k1 = hkdf(&salt, &es, b"header");
        let info = [b"message".as_slice(), &self.sender, bob().primary().as_bytes()].concat();
        let mk = hkdf(&salt, &[es, ss].concat(), &info);
        let (mut k2, mut kc) = (hkdf_expand(&mk, b"body"), hkdf_expand(&mk, b"commit"));
        k1[0] ^= self.header_key_mask;
        k2[0] ^= self.body_key_mask;
        kc[0] ^= self.commitment_mask;

        let prefix = [&[self.version, self.suite], self.key_id.as_slice(), &self.one_time].concat();
        let mut body_aad = prefix.clone();
        body_aad[9] ^= self.body_aad_mask;
        let body = aead(&k2, &self.padded, &body_aad);
        let body_hash = Sha256::digest(&body);
        let mut signed_hash = body_hash;
        signed_hash[0] ^= self.hash_mask;
        let statement = [
            b"kez/envelope/1\0".as_slice(),
            &[self.signed_suite],
            &self.key_id,
            &self.signed_recipient,
            &self.one_time,
            &kc,
            &signed_hash,
        ]
        .concat();
        let mut signature = SigningKey::from_bytes(self.signer.expose_seed()).sign(&statement).to_bytes();
        (self.signature)(&mut signature, self.parameter);
        let mut header_aad = [prefix.as_slice(), &body_hash].concat();
        header_aad[9] ^= self.header_aad_mask;
        let header = aead(&k1, &[self.sender.as_slice(), &signature].concat(), &header_aad);
        [prefix, header, body].concat()
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (fault, parameter) = (input.byte() % 23, input.byte());
    // A mask or number that makes a difference.
    let other = parameter | 1;
    let random = [input.byte(); 32];
    let changes = input.take(40);
    let payload = input.rest();
    let payload = &payload[..payload.len().min(8192)];
    let mut maker = Maker { parameter, ..Maker::sound(payload, &random) };

    let expected = match fault {
        0 => {
            let peer = Peer::new(&alice(), bob().primary());
            assert!(envelope::seal(&alice(), &peer, payload, &random).unwrap() == maker.make(), "sealed otherwise");
            Ok(payload.to_vec())
        }
        1 => {
            // Any change of the wire as such.
            let sound = maker.make();
            let mut wire = sound.clone();
            Input::new(changes).mutate(&mut wire);
            match envelope::open(&bob(), &wire, |_| None) {
                Ok(opened) => assert_eq!((wire, &*opened.payload), (sound, &payload.to_vec())),
                Err(_) => assert_ne!(wire, sound),
            }
            return;
        }
        2 => {
            // Padding of the sender's choosing; the one of its length is sound.
            let mut padded = maker.padded.clone();
            padded.resize(padded.len() + 16 * usize::from(parameter % 128), 0);
            if parameter >= 128 {
                Input::new(changes).mutate(&mut padded);
            }
            let content = padded.iter().rposition(|&byte| byte != 0).filter(|&end| padded[end] == 0x80);
            let content = content.map(|end| padded[..end].to_vec());
            let sound = content.clone().filter(|content| pad(content).as_ref() == Some(&padded));
            let length_fits = (MIN_WIRE_BYTES..=MAX_WIRE_BYTES).contains(&(166 + padded.len()));
            maker.padded = padded;
            if length_fits { sound.ok_or(Code::BadPadding) } else { Err(Code::BadLength) }
        }
        3 => {
            maker.version ^= other;
            Err(Code::BadVersion)
        }
        4 => {
            maker.suite ^= other;
            Err(Code::UnknownSuite)
        }
        5 => {
            maker.key_id[usize::from(parameter % 4)] ^= other;
            Err(Code::UnknownKeyId)
        }
        6 => {
            maker.one_time[31] |= 0x80;
            Err(Code::BadKey)
        }
        7 => {
            maker.one_time = SMALL_ORDER[usize::from(parameter) % SMALL_ORDER.len()];
            Err(Code::ZeroSecret)
        }
        8 => {
            // Another one-time key than the one that was agreed with.
            maker.one_time = x25519(hkdf(&random, &[parameter], b""), X25519_BASEPOINT_BYTES);
            Err(Code::BadHeader)
        }
        9 => {
            maker.header_key_mask = other;
            Err(Code::BadHeader)
        }
        10 => {
            maker.header_aad_mask = other;
            Err(Code::BadHeader)
        }
        11 => {
            maker.signer = carol();
            Err(Code::BadSignature)
        }
        12 => {
            maker.sender = *carol().primary().as_bytes();
            Err(Code::BadSignature)
        }
        13 => {
            // An envelope that was meant for somebody else, handed on.
            maker.signed_recipient = *carol().primary().as_bytes();
            Err(Code::BadSignature)
        }
        14 => {
            maker.signed_suite ^= other;
            Err(Code::BadSignature)
        }
        15 => {
            maker.commitment_mask = other;
            Err(Code::BadSignature)
        }
        16 => {
            maker.hash_mask = other;
            Err(Code::BadSignature)
        }
        17 => {
            maker.signature = |signature, parameter| signature[usize::from(parameter) / 4] ^= 1 << (parameter % 8);
            Err(Code::BadSignature)
        }
        18 => {
            // The same signature with S + L, where it still is below 2^256.
            maker.signature = |signature, _| {
                let mut carry = 0;
                for (byte, order) in signature[32..].iter_mut().zip(L) {
                    let sum = u16::from(*byte) + u16::from(order) + carry;
                    (*byte, carry) = (sum as u8, sum >> 8);
                }
            };
            Err(Code::BadSignature)
        }
        19 => {
            // Small-order R and S = 0: what a lax verifier takes from a small-order key.
            maker.signature = |signature, parameter| {
                signature.fill(0);
                signature[0] = parameter % 2;
            };
            Err(Code::BadSignature)
        }
        20 => {
            maker.body_key_mask = other;
            Err(Code::BadBody)
        }
        21 => {
            maker.body_aad_mask = other;
            Err(Code::BadBody)
        }
        _ => {
            // A sender's key of any bytes, most of them none.
            maker.sender = Input::new(changes).array();
            match kez_core::identity::PrimaryKey::from_bytes(&maker.sender) {
                Ok(key) if key == alice().primary() => Ok(payload.to_vec()),
                Ok(_) => Err(Code::BadSignature),
                Err(_) => Err(Code::BadKey),
            }
        }
    };
    let opened = envelope::open(&bob(), &maker.make(), |_| None);
    assert_eq!(opened.map(|opened| opened.payload.to_vec()).map_err(|error| error.code()), expected, "fault {fault}");
}

/// Pads by the formula of §6; `None` above the largest size.
fn pad(payload: &[u8]) -> Option<Vec<u8>> {
    let len = payload.len() + 1;
    let padded = match len {
        0..256 => 256,
        _ => {
            let e = len.ilog2();
            len.next_multiple_of(1 << (e - (e.ilog2() + 1)))
        }
    };
    let mut out = [payload, b"\x80"].concat();
    out.resize(padded, 0);
    (padded <= MAX_WIRE_BYTES - 166).then_some(out)
}

pub fn seeds() -> Vec<Seed> {
    const NAMES: [&str; 23] = [
        "sound",
        "wire",
        "padding",
        "version",
        "suite",
        "key-id",
        "not-canonical",
        "small-order",
        "other-one-time",
        "header-key",
        "header-aad",
        "other-signer",
        "other-sender",
        "forwarded",
        "signed-suite",
        "commitment",
        "body-hash",
        "signature-bit",
        "s-plus-l",
        "small-order-r",
        "body-key",
        "body-aad",
        "no-key",
    ];
    let seed = |fault: usize| [&[fault as u8, 3, 9], [0x11; 40].as_slice(), b"hello"].concat();
    NAMES.into_iter().enumerate().map(|(fault, name)| (name, seed(fault))).collect()
}
