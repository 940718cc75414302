//! What the audit looks for: whatever of a run is nobody else's business.

use std::path::Path;

use data_encoding::HEXLOWER;
use kez_chat_sdk::{
    handle::Policy,
    identity::SecretKey,
    mnemonic::Mnemonic,
    payload::{Address, Channel, Content, FileShare, Payload},
};
use sha2::{Digest, Sha512};

use super::scanner::{Secret, Value};
use crate::database;

/// A text that nobody writes by chance.
pub(super) fn marker() -> String {
    HEXLOWER.encode(&rand::random::<[u8; 24]>())
}

pub(super) fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Secret {
    Secret { name: name.into(), value: Value::Bytes(bytes.into()) }
}

/// Returns a person's key in all the shapes that it takes.
pub(super) fn of_key(owner: &str, key: &SecretKey) -> Vec<Secret> {
    let seed = key.expose_seed();
    let hash = Sha512::digest(seed);
    let mut x25519: [u8; 32] = hash[..32].try_into().unwrap();
    x25519[0] &= 0xf8;
    x25519[31] = x25519[31] & 0x7f | 0x40;
    let words = Mnemonic::of(key).expose_words().into_iter().map(str::to_owned).collect();
    vec![
        bytes(format!("{owner}'s seed"), *seed),
        // What signs: the scalar, and what its nonces are made of.
        bytes(format!("{owner}'s expanded key"), hash.to_vec()),
        bytes(format!("{owner}'s X25519 secret"), x25519),
        bytes(format!("{owner}'s database key"), database::key_of(key)),
        bytes(format!("{owner}'s backup key"), database::backup_key_of(key)),
        Secret { name: format!("{owner}'s words"), value: Value::Words(words) },
    ]
}

/// Returns what the message that offers a file says of it.
pub(super) fn of_share(share: &FileShare) -> Vec<Secret> {
    let [entry] = share.entries.as_slice() else { panic!("one file was shared") };
    let mut secrets = vec![
        bytes("the content key", *entry.key.expose_bytes()),
        bytes("the ticket's hash", entry.blob_hash),
        bytes("the file's own hash", entry.plain_hash),
    ];
    for address in share.addresses.iter() {
        let text = match address {
            Address::Ip(socket) => socket.to_string(),
            Address::Relay(url) => url,
        };
        secrets.push(bytes("the ticket's address", text));
    }
    secrets
}

/// Reads the offer that an account has taken out of its database.
pub(crate) fn share_in(database: &Path, key: &SecretKey) -> FileShare {
    let payload: Vec<u8> = database::open(database, key)
        .query_row("SELECT payload FROM messages WHERE kind = 2", [], |row| row.get(0))
        .unwrap();
    match Payload::decode(&payload, Channel::Inbox, Policy::Development).unwrap().content {
        Content::FileShare(share) => share,
        other => panic!("{other:?}"),
    }
}
