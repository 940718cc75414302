//! Keys as rows hold them.

use std::fmt;

use data_encoding::HEXLOWER;
use kez_core::identity::{KeyError, PrimaryKey};
use serde::{Serialize, Serializer};

/// A person's key as it was written at registration, when it was checked. To show or compare it takes no second check,
/// which would cost more than all else of a look-up; to compute with it does, by [`to_primary`](Self::to_primary).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct StoredKey([u8; 32]);

impl StoredKey {
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks the key, for who computes with it.
    ///
    /// # Errors
    /// [`KeyError`] if the row was not written by a home server.
    pub fn to_primary(&self) -> Result<PrimaryKey, KeyError> {
        PrimaryKey::from_bytes(&self.0)
    }

    /// Writes the key as 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl From<PrimaryKey> for StoredKey {
    fn from(primary: PrimaryKey) -> Self {
        Self(*primary.as_bytes())
    }
}

impl fmt::Display for StoredKey {
    /// Writes the text form of PROTOCOL.md §1, as [`PrimaryKey`] does.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ed25519:{}", self.to_hex())
    }
}

impl Serialize for StoredKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::key;
    use super::*;

    #[test]
    fn a_stored_key_reads_like_the_key_and_is_checked_by_who_computes_with_it() {
        let stored = StoredKey::from(key(1));
        assert_eq!(stored.to_string(), key(1).to_string());
        assert_eq!(stored.to_hex(), key(1).to_hex());
        assert_eq!(stored.to_primary(), Ok(key(1)));
        assert_eq!(StoredKey([0xff; 32]).to_primary(), Err(KeyError::BadKey));
    }
}
