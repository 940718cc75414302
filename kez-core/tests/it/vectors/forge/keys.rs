//! Keys and signatures that are almost right.

use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION, edwards::CompressedEdwardsY};
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use kez_core::identity::{PrimaryKey, SecretKey};
use sha2::{Digest, Sha256, Sha512};

pub(in super::super) const ALICE: [u8; 32] = [1; 32];
pub(in super::super) const BOB: [u8; 32] = [2; 32];
/// The home's server key.
pub(in super::super) const SERVER: [u8; 32] = [3; 32];
pub(in super::super) const CAROL: [u8; 32] = [4; 32];

pub(in super::super) fn primary(seed: [u8; 32]) -> PrimaryKey {
    SecretKey::from_seed(seed).primary()
}

pub(in super::super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

pub(in super::super) fn sha256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Signs any bytes: the core itself signs only its own statements.
pub(in super::super) fn sign(seed: [u8; 32], message: &[u8]) -> [u8; 64] {
    SigningKey::from_bytes(&seed).sign(message).to_bytes()
}

/// Returns a point of order eight.
pub(in super::super) fn torsion() -> EdwardsPoint {
    EIGHT_TORSION[1]
}

/// Returns a sound key with a point of order eight added to it.
pub(in super::super) fn mixed_order(seed: [u8; 32]) -> [u8; 32] {
    let point = CompressedEdwardsY(*primary(seed).as_bytes()).decompress().unwrap();
    (point + torsion()).compress().to_bytes()
}

/// Returns `p + low`, little-endian: an encoding that stands for `low` a second time.
pub(in super::super) fn p_plus(low: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed + low;
    bytes[31] = 0x7f;
    bytes
}

/// Ways to sign that a strict verifier refuses, though laxer ones take them or nearly do.
#[derive(Clone, Copy)]
pub(in super::super) enum Odd {
    /// S is written with the order of the group added.
    HighS,
    /// R is the identity; the equation holds as bytes.
    SmallR,
    /// R is the identity in an encoding that is not canonical; the equation holds for the points.
    NonCanonicalR,
    /// R has a point of order eight added; the equation holds after multiplying by the cofactor.
    TorsionR,
}

impl Odd {
    pub(in super::super) const ALL: [(Self, &'static str); 4] = [
        (Self::HighS, "S + L"),
        (Self::SmallR, "R of small order"),
        (Self::NonCanonicalR, "R not canonical"),
        (Self::TorsionR, "R with torsion"),
    ];
}

pub(in super::super) fn sign_oddly(seed: [u8; 32], message: &[u8], odd: Odd) -> [u8; 64] {
    let key = SigningKey::from_bytes(&seed);
    let a = key.to_scalar();
    let nonce = Scalar::from_bytes_mod_order_wide(&Sha512::digest([&seed, message].concat()).into());
    let (r, point) = match odd {
        Odd::HighS => return with_order_added(sign(seed, message)),
        Odd::SmallR => (Scalar::ZERO, CompressedEdwardsY::default().to_bytes()),
        Odd::NonCanonicalR => (Scalar::ZERO, p_plus(1)),
        Odd::TorsionR => (nonce, (EdwardsPoint::mul_base(&nonce) + torsion()).compress().to_bytes()),
    };
    let hash = Sha512::digest([&point, key.verifying_key().as_bytes(), message].concat());
    let s = r + Scalar::from_bytes_mod_order_wide(&hash.into()) * a;
    [point, s.to_bytes()].concat().try_into().unwrap()
}

fn with_order_added(mut signature: [u8; 64]) -> [u8; 64] {
    // L − 1 is what −1 is written as, so the carry begins with 1.
    let mut carry = 1;
    for (byte, order) in signature[32..].iter_mut().zip((-Scalar::ONE).to_bytes()) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    signature
}

/// Signs soundly, but not with the nonce of RFC 8032: a second signature over the same message.
pub(in super::super) fn sign_again(seed: [u8; 32], message: &[u8]) -> [u8; 64] {
    let key = SigningKey::from_bytes(&seed);
    let nonce = Scalar::from_bytes_mod_order_wide(&Sha512::digest([b"again", message].concat()).into());
    let point = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
    let hash = Sha512::digest([&point, key.verifying_key().as_bytes(), message].concat());
    let s = nonce + Scalar::from_bytes_mod_order_wide(&hash.into()) * key.to_scalar();
    [point, s.to_bytes()].concat().try_into().unwrap()
}
