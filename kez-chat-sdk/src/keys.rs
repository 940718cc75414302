//! Public keys that were checked before: the check is a multiplication on the curve, and a database names the same few
//! people again and again (`docs/PROTOCOL.md` §1 lets the result be cached).

use std::{
    num::NonZeroUsize,
    sync::{LazyLock, Mutex, PoisonError},
};

use data_encoding::HEXLOWER;
use kez_core::identity::{KeyError, PrimaryKey};
use lru::LruCache;
use serde::{Deserialize, Deserializer, de::Error as _};

/// How many keys are remembered; they are public, and the same for every account of a process.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);

static CHECKED: LazyLock<Mutex<LruCache<[u8; 32], PrimaryKey>>> =
    LazyLock::new(|| Mutex::new(LruCache::new(REMEMBERED)));

/// Returns the key with these bytes, checking it unless it was checked lately.
pub(crate) fn checked(bytes: &[u8; 32]) -> Result<PrimaryKey, KeyError> {
    let known = CHECKED.lock().unwrap_or_else(PoisonError::into_inner).get(bytes).copied();
    if let Some(key) = known {
        return Ok(key);
    }
    let key = PrimaryKey::from_bytes(bytes)?;
    CHECKED.lock().unwrap_or_else(PoisonError::into_inner).put(*bytes, key);
    Ok(key)
}

/// Reads a key in its text form; one that was checked lately is not checked again.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PrimaryKey, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = text.strip_prefix("ed25519:").and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok());
    match bytes.and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => checked(&bytes).map_err(D::Error::custom),
        None => Err(D::Error::custom("no key in its text form")),
    }
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;
    use crate::event::Peer;

    #[test]
    fn a_remembered_key_is_the_same_and_an_unsound_one_is_never_remembered() {
        let key = SecretKey::from_seed([3; 32]).primary();
        for _ in 0..2 {
            assert_eq!(checked(key.as_bytes()).unwrap(), key);
            assert!(checked(&[0xff; 32]).is_err());
            assert!(checked(&[0; 32]).is_err(), "a point of small order");
        }
    }

    #[test]
    fn a_peer_reads_as_it_was_written_and_nothing_else_does() {
        let peer = Peer { primary: SecretKey::from_seed([3; 32]).primary(), handle: None };
        let text = serde_json::to_string(&peer).unwrap();
        assert_eq!(serde_json::from_str::<Peer>(&text).unwrap(), peer);
        let hex = peer.primary.to_hex();
        for wrong in [hex.to_uppercase(), hex[2..].to_owned(), format!("{hex}00"), "ff".repeat(32), String::new()] {
            assert!(serde_json::from_str::<Peer>(&text.replace(&hex, &wrong)).is_err(), "{wrong}");
        }
    }
}
