//! Public primary keys and their text forms.

use std::{cmp::Ordering, fmt, hash, str::FromStr};

use curve25519_dalek::{edwards::CompressedEdwardsY, traits::IsIdentity};
use data_encoding::HEXLOWER;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::{Signature, SignatureError, Statement, X25519Public};
use crate::{
    broker::nkey::{self, Kind},
    error::Code,
};

const TEXT_PREFIX: &str = "ed25519:";

/// Says why a key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not `ed25519:` and 64 lower-case hex digits, nor the other form that was asked for.
    #[error("this is not the text of a key: expected {expected}")]
    BadText {
        /// The form that was expected.
        expected: &'static str,
    },
    /// The 32 bytes are no ed25519 key of prime order in its one encoding.
    #[error("this is no sound ed25519 key (not a canonical point of prime order); do not use it")]
    BadKey,
}

impl KeyError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadText { .. } => Code::BadKeyText,
            Self::BadKey => Code::BadKey,
        }
    }
}

/// A person's public key: always a canonical, torsion-free ed25519 point that is not the identity (§1).
///
/// Its text form, in `Display`, `FromStr` and serde, is `ed25519:<64 hex>`.
///
/// ```
/// use kez_core::identity::{PrimaryKey, SecretKey};
///
/// let primary = SecretKey::from_seed([7; 32]).primary();
/// let again: PrimaryKey = primary.to_string().parse()?;
/// assert_eq!(primary, again);
/// assert_eq!(PrimaryKey::from_nkey(&primary.to_nkey())?, primary);
/// # Ok::<(), kez_core::identity::KeyError>(())
/// ```
#[derive(Clone, Copy)]
pub struct PrimaryKey(VerifyingKey);

impl PrimaryKey {
    /// Checks 32 bytes and takes them as a key.
    ///
    /// # Errors
    /// [`KeyError::BadKey`] unless they are the one encoding of a point of prime order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let compressed = CompressedEdwardsY(*bytes);
        let point = compressed.decompress().ok_or(KeyError::BadKey)?;
        if point.compress() != compressed || point.is_identity() || !point.is_torsion_free() {
            return Err(KeyError::BadKey);
        }
        VerifyingKey::from_bytes(bytes).map(Self).map_err(|_| KeyError::BadKey)
    }

    /// Takes the public half of a secret key, which needs no check.
    pub(super) fn from_verifying(key: VerifyingKey) -> Self {
        Self(key)
    }

    /// Returns the key's 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Reads 64 lower-case hex digits, the form of subjects and of Iroh endpoint ids.
    ///
    /// # Errors
    /// [`KeyError`] if the text or the key is not sound.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        let bad = KeyError::BadText { expected: "64 lower-case hex digits" };
        if text.len() != 64 || HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_err() {
            return Err(bad);
        }
        Self::from_bytes(&bytes)
    }

    /// Tells whether a text is this key's, which is much sooner told than whether it is some sound key's.
    pub(crate) fn is_written(&self, text: &str) -> bool {
        let mut bytes = [0; 32];
        let hex = text.strip_prefix(TEXT_PREFIX).filter(|hex| hex.len() == 64);
        hex.is_some_and(|hex| HEXLOWER.decode_mut(hex.as_bytes(), &mut bytes).is_ok()) && bytes == *self.as_bytes()
    }

    /// Writes the key as 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(self.as_bytes())
    }

    /// Reads a NATS user nkey (`U…`, 56 characters).
    ///
    /// # Errors
    /// [`KeyError`] if the text is no user nkey or the key is not sound.
    pub fn from_nkey(text: &str) -> Result<Self, KeyError> {
        match nkey::decode(text)? {
            (Kind::User, bytes) => Self::from_bytes(&bytes),
            _ => Err(KeyError::BadText { expected: "a NATS user nkey (U…)" }),
        }
    }

    /// Writes the key as a NATS user nkey.
    #[must_use]
    pub fn to_nkey(&self) -> String {
        nkey::encode(Kind::User, self.as_bytes())
    }

    /// Checks a signature over a statement: S below L, canonical R, cofactorless (`verify_strict`).
    ///
    /// # Errors
    /// [`SignatureError::BadSignature`] if this key did not sign this statement.
    pub fn verify(&self, statement: &Statement<'_>, signature: &Signature) -> Result<(), SignatureError> {
        self.verify_bytes(&statement.to_bytes(), signature)
    }

    pub(crate) fn verify_bytes(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        self.0.verify_strict(message, &signature.to_dalek()).map_err(|_| SignatureError::BadSignature)
    }

    /// Returns the X25519 public key that belongs to this key: `u = (1+y)/(1−y)`, little-endian (§1).
    #[must_use]
    pub fn to_x25519(self) -> [u8; 32] {
        *self.x25519().as_bytes()
    }

    /// Returns the same key, ready for agreements. It takes a division, so keep it.
    pub(crate) fn x25519(self) -> X25519Public {
        X25519Public::from_point(self.0.to_edwards())
    }
}

impl fmt::Display for PrimaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TEXT_PREFIX}{}", self.to_hex())
    }
}

impl fmt::Debug for PrimaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrimaryKey({self})")
    }
}

impl FromStr for PrimaryKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = KeyError::BadText { expected: "ed25519: and 64 lower-case hex digits" };
        Self::from_hex(text.strip_prefix(TEXT_PREFIX).ok_or(bad)?).map_err(|error| match error {
            KeyError::BadText { .. } => bad,
            other => other,
        })
    }
}

impl PartialEq for PrimaryKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PrimaryKey {}

impl PartialOrd for PrimaryKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PrimaryKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl hash::Hash for PrimaryKey {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Serialize for PrimaryKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PrimaryKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;

    #[test]
    fn text_forms_are_exact() {
        let key = SecretKey::from_seed([1; 32]).primary();
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        for bad in [text.to_uppercase(), text.replace("ed25519:", ""), format!("{text} "), text[..71].to_owned()] {
            assert_eq!(bad.parse::<PrimaryKey>().unwrap_err().code(), Code::BadKeyText, "{bad}");
        }
        let nkey = key.to_nkey();
        assert!(nkey.starts_with('U') && nkey.len() == 56);
        assert_eq!(PrimaryKey::from_nkey(&nkey), Ok(key));
        let mut flipped = nkey.clone().into_bytes();
        flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
        assert!(PrimaryKey::from_nkey(std::str::from_utf8(&flipped).unwrap()).is_err());
    }

    #[test]
    fn unsound_points_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut non_canonical = [0xff; 32]; // y = p + 1, the identity written a second way
        non_canonical[0] = 0xee;
        non_canonical[31] = 0x7f;
        let order_eight = HEXLOWER
            .decode(b"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
            .unwrap()
            .try_into()
            .unwrap();
        // A sound key with a small-order point added to it: right order times eight.
        let mixed = (SecretKey::from_seed([9; 32]).primary().0.to_edwards()
            + CompressedEdwardsY(order_eight).decompress().unwrap())
        .compress()
        .to_bytes();
        for bad in [identity, non_canonical, order_eight, mixed, [0; 32], [2; 32]] {
            assert_eq!(PrimaryKey::from_bytes(&bad), Err(KeyError::BadKey), "{bad:02x?}");
        }
    }
}
