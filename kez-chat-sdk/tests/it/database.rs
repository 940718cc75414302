//! An account's database, opened from outside as `docs/PROTOCOL.md` §12 says.

use std::path::Path;

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use kez_chat_sdk::identity::SecretKey;
use rusqlite::Connection;
use sha2::Sha256;

pub(crate) fn open(database: &Path, key: &SecretKey) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.pragma_update(None, "key", format!("x'{}'", HEXLOWER.encode(&key_of(key)))).unwrap();
    connection
}

/// Derives the file's key.
pub(crate) fn key_of(key: &SecretKey) -> [u8; 32] {
    derive(key, b"kez/store/1")
}

/// Derives the key of backups.
#[cfg(feature = "files")]
pub(crate) fn backup_key_of(key: &SecretKey) -> [u8; 32] {
    derive(key, b"kez/backup/1")
}

fn derive(key: &SecretKey, context: &[u8]) -> [u8; 32] {
    let mut raw = [0; 32];
    Hkdf::<Sha256>::new(Some(context), key.expose_seed()).expand(&[], &mut raw).unwrap();
    raw
}
