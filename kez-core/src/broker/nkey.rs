//! The text form of NATS keys: base32 of a kind, 32 bytes and a checksum (§1).

use crc::{CRC_16_XMODEM, Crc};
use data_encoding::BASE32_NOPAD;

use crate::identity::KeyError;

const CHECKSUM: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// What a NATS public key stands for; it decides the text's first letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A user, `U…`.
    User,
    /// An account, `A…`.
    Account,
    /// A nats-server, `N…`.
    Server,
    /// A curve key for sealed requests, `X…`.
    Curve,
}

impl Kind {
    const ALL: [Self; 4] = [Self::User, Self::Account, Self::Server, Self::Curve];

    fn prefix(self) -> u8 {
        match self {
            Self::User => 20 << 3,
            Self::Account => 0,
            Self::Server => 13 << 3,
            Self::Curve => 23 << 3,
        }
    }
}

/// Writes a key: 56 characters, base32 without padding, upper case.
#[must_use]
pub fn encode(kind: Kind, key: &[u8; 32]) -> String {
    let mut bytes = Vec::with_capacity(35);
    bytes.push(kind.prefix());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&CHECKSUM.checksum(&bytes).to_le_bytes());
    BASE32_NOPAD.encode(&bytes)
}

/// Reads a key of any kind. It is 32 bytes, not yet a sound ed25519 key.
///
/// # Errors
/// [`KeyError::BadText`] unless the text is exactly what [`encode`] writes.
pub fn decode(text: &str) -> Result<(Kind, [u8; 32]), KeyError> {
    let bad = KeyError::BadText { expected: "a NATS public key (56 characters of base32)" };
    let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| bad)?;
    let bytes: [u8; 35] = bytes.try_into().map_err(|_| bad)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.prefix() == bytes[0]).ok_or(bad)?;
    let mut key = [0; 32];
    key.copy_from_slice(&bytes[1..33]);
    if encode(kind, &key) == text { Ok((kind, key)) } else { Err(bad) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_text_is_a_key() {
        for (kind, letter) in [(Kind::User, 'U'), (Kind::Account, 'A'), (Kind::Server, 'N'), (Kind::Curve, 'X')] {
            let text = encode(kind, &[7; 32]);
            assert!(text.starts_with(letter) && text.len() == 56);
            assert_eq!(decode(&text), Ok((kind, [7; 32])));
            for bad in [text.to_lowercase(), text[..55].to_owned(), format!("{text}A"), text.replacen(letter, "S", 1)] {
                assert!(decode(&bad).is_err(), "{bad}");
            }
        }
    }
}
