//! X25519 (RFC 7748): what a secret agrees on with others (`docs/PROTOCOL.md` §1).
//!
//! Multiplying a point in its Edwards form is faster than climbing the Montgomery ladder and has the same result,
//! so that is done wherever the other key has such a form. All of it takes a time that no secret decides.

use std::fmt;

use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

#[cfg(feature = "aws-lc-rs")]
use super::aws_lc;

/// An X25519 secret, in its clamped form.
#[derive(Clone)]
pub(crate) struct X25519Secret {
    scalar: Zeroizing<[u8; 32]>,
    /// The same secret; `None` if the library refused it, which then is done without.
    #[cfg(feature = "aws-lc-rs")]
    fast: Option<aws_lc::X25519Secret>,
}

impl X25519Secret {
    /// Takes 32 secret bytes and clamps them (RFC 7748 §5, `decodeScalar25519`).
    pub(crate) fn new(mut bytes: Zeroizing<[u8; 32]>) -> Self {
        bytes[0] &= 0b1111_1000;
        bytes[31] &= 0b0111_1111;
        bytes[31] |= 0b0100_0000;
        Self {
            #[cfg(feature = "aws-lc-rs")]
            fast: aws_lc::X25519Secret::new(&bytes),
            scalar: bytes,
        }
    }

    /// Shows the clamped scalar to the envelope's derivation of its one-time key.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.scalar
    }

    /// Returns the public half.
    pub(crate) fn public(&self) -> [u8; 32] {
        #[cfg(feature = "aws-lc-rs")]
        if let Some(public) = self.fast.as_ref().and_then(aws_lc::X25519Secret::public) {
            return public;
        }
        self.portable_public()
    }

    /// Agrees on a secret with the holder of another key.
    pub(crate) fn agree(&self, other: &X25519Public) -> SharedSecret {
        #[cfg(feature = "aws-lc-rs")]
        if let Some(shared) = self.fast.as_ref().and_then(|fast| fast.agree(&other.u)) {
            return SharedSecret(shared);
        }
        self.portable_agree(other)
    }

    fn portable_public(&self) -> [u8; 32] {
        EdwardsPoint::mul_base_clamped(*self.scalar).to_montgomery().to_bytes()
    }

    fn portable_agree(&self, other: &X25519Public) -> SharedSecret {
        let u = MontgomeryPoint(other.u);
        // Either of the two points with this u will do: they are each other's negatives, and so are their multiples.
        let shared = match other.point.or_else(|| u.to_edwards(0)) {
            Some(point) => point.mul_clamped(*self.scalar).to_montgomery(),
            // Half of all u belong to no point of the curve but to one of its twist, which has the ladder only.
            None => u.mul_clamped(*self.scalar),
        };
        SharedSecret(Zeroizing::new(shared.to_bytes()))
    }
}

/// An X25519 public key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct X25519Public {
    u: [u8; 32],
    /// Its Edwards form, where that is known already.
    point: Option<EdwardsPoint>,
}

impl X25519Public {
    /// Takes what came over the wire: `None` unless bit 255 is clear and the value below p (§1).
    pub(crate) fn from_wire(bytes: &[u8; 32]) -> Option<Self> {
        // p = 2^255 − 19, little-endian: ed ff … ff 7f.
        let high = bytes[31] == 0x7f && bytes[1..31].iter().all(|&byte| byte == 0xff);
        let canonical = bytes[31] < 0x80 && !(high && bytes[0] >= 0xed);
        canonical.then_some(Self { u: *bytes, point: None })
    }

    /// Takes an ed25519 key's point.
    pub(super) fn from_point(point: EdwardsPoint) -> Self {
        Self { u: point.to_montgomery().to_bytes(), point: Some(point) }
    }

    /// Returns the key's 32 bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.u
    }
}

/// What two keys agree on: 32 bytes that only their holders can compute.
#[derive(Clone)]
pub struct SharedSecret(Zeroizing<[u8; 32]>);

impl SharedSecret {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells whether it is all zeros, which is what keys of small order agree on with everybody.
    pub(crate) fn is_zero(&self) -> bool {
        self.0.ct_eq(&[0; 32]).into()
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every canonical u of small order, of the curve and of its twist: 0, 1, p − 1 and the two of order 8.
    const SMALL_ORDER: [[u8; 32]; 5] = {
        let mut u = [[0; 32]; 5];
        u[1][0] = 1;
        u[2] = [0xff; 32];
        (u[2][0], u[2][31]) = (0xec, 0x7f);
        u[3] = [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
            0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ];
        u[4] = [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
            0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ];
        u
    };

    fn secret(bytes: [u8; 32]) -> X25519Secret {
        X25519Secret::new(Zeroizing::new(bytes))
    }

    fn wire(u: [u8; 32]) -> X25519Public {
        X25519Public::from_wire(&u).unwrap()
    }

    /// Holds a secret's work against x25519-dalek's, which climbs the ladder for every point.
    fn agrees_as_specified(bytes: [u8; 32], other: &X25519Public) {
        let secret = secret(bytes);
        let shared = x25519_dalek::x25519(bytes, other.u);
        assert_eq!(secret.agree(other).as_bytes(), &shared, "{other:02x?}");
        assert_eq!(secret.portable_agree(other).as_bytes(), &shared, "{other:02x?}");
        assert_eq!(secret.agree(other).is_zero(), shared == [0; 32]);
        let public = x25519_dalek::x25519(bytes, x25519_dalek::X25519_BASEPOINT_BYTES);
        assert_eq!((secret.public(), secret.portable_public()), (public, public));
        #[cfg(feature = "aws-lc-rs")]
        {
            let fast = secret.fast.unwrap();
            assert_eq!(fast.public(), Some(public));
            assert_eq!(fast.agree(&other.u).map(|shared| *shared), (shared != [0; 32]).then_some(shared));
        }
    }

    #[test]
    fn small_orders_agree_on_zeros() {
        for u in SMALL_ORDER {
            agrees_as_specified([0x5a; 32], &wire(u));
            assert!(secret([0x5a; 32]).agree(&wire(u)).is_zero(), "{u:02x?}");
        }
    }

    #[test]
    fn edges_agree_as_specified() {
        for scalar in [[0; 32], [0xff; 32], [1; 32]] {
            // u = 2 is on the twist, u = 9 on the curve; then as far below p.
            for low in [2, 3, 4, 5, 9] {
                let mut u = [0; 32];
                u[0] = low;
                agrees_as_specified(scalar, &wire(u));
                u = [0xff; 32];
                (u[0], u[31]) = (0xed - low, 0x7f);
                agrees_as_specified(scalar, &wire(u));
            }
        }
    }

    #[test]
    fn wire_keys_have_one_form() {
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0xed, 0x7f);
        assert!(X25519Public::from_wire(&p).is_none());
        p[0] = 0xec;
        assert!(X25519Public::from_wire(&p).is_some());
        p[31] = 0xff;
        assert!(X25519Public::from_wire(&p).is_none());
    }

    /// Otherwise the tests here would say nothing about one of the two ways.
    #[test]
    fn some_keys_are_on_the_curve_and_some_on_its_twist() {
        let on_curve = |low| {
            let mut u = [0; 32];
            u[0] = low;
            MontgomeryPoint(u).to_edwards(0).is_some()
        };
        assert!(on_curve(9) && !on_curve(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_point_of_curve_and_twist_agrees_as_specified(bytes: [u8; 32], mut u: [u8; 32]) {
            u[31] &= 0x7f;
            agrees_as_specified(bytes, &wire(u));
        }

        /// A point of right order with one of small order added, in either sign.
        #[test]
        fn torsion_does_not_matter(bytes: [u8; 32], of: [u8; 32], torsion in 0usize..8, negative: bool) {
            let mut point = EdwardsPoint::mul_base_clamped(of) + curve25519_dalek::constants::EIGHT_TORSION[torsion];
            if negative {
                point = -point;
            }
            let public = X25519Public::from_point(point);
            agrees_as_specified(bytes, &public);
            agrees_as_specified(bytes, &wire(*public.as_bytes()));
        }
    }
}
