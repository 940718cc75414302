//! Text and bytes as keys, ids and heads (`docs/PROTOCOL.md` §1).

use std::{fmt::Display, str::FromStr};

use kez_core::{
    broker::nkey::{self, Kind},
    identity::{PrimaryKey, Signature},
    payload::MessageId,
    sigchain::{Head, Install, Timestamp},
};

use super::input::{Seed, alice};

pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        as_text(text);
    }
    if let Some(bytes) = data.first_chunk::<32>() {
        as_bytes(bytes);
    }
}

fn as_text(text: &str) {
    let user = PrimaryKey::from_nkey(text);
    match nkey::decode(text) {
        Ok((kind, bytes)) => {
            assert_eq!(nkey::encode(kind, &bytes), text);
            assert!(text.starts_with(match kind {
                Kind::User => 'U',
                Kind::Account => 'A',
                Kind::Server => 'N',
                _ => 'X',
            }));
            let sound = kind == Kind::User && PrimaryKey::from_bytes(&bytes).is_ok();
            assert_eq!(user.is_ok(), sound);
        }
        Err(_) => assert!(user.is_err()),
    }
    if let Ok(key) = user {
        assert_eq!(key.to_nkey(), text);
    }
    if let Ok(key) = PrimaryKey::from_hex(text) {
        assert_eq!(key.to_hex(), text);
    }
    if let Ok(signature) = Signature::from_base64(text) {
        assert_eq!(signature.to_base64(), text);
    }
    reads_back::<PrimaryKey>(text);
    reads_back::<MessageId>(text);
    reads_back::<Install>(text);
    reads_back::<Head>(text);
    reads_back::<Timestamp>(text);
}

/// What can be read is written exactly so.
fn reads_back<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

fn as_bytes(bytes: &[u8; 32]) {
    for kind in [Kind::User, Kind::Account, Kind::Server, Kind::Curve] {
        assert_eq!(nkey::decode(&nkey::encode(kind, bytes)), Ok((kind, *bytes)));
    }
    let Ok(key) = PrimaryKey::from_bytes(bytes) else { return };
    assert_eq!(key.as_bytes(), bytes);
    assert_eq!(PrimaryKey::from_nkey(&key.to_nkey()), Ok(key));
    assert_eq!(key.to_string().parse(), Ok(key));
    // The same point with its sign bit turned is another sound key: no two texts are one person.
    let mut negated = *bytes;
    negated[31] ^= 0x80;
    assert!(PrimaryKey::from_bytes(&negated).is_ok_and(|other| other != key));
}

pub fn seeds() -> Vec<Seed> {
    let key = alice().primary();
    let mut torsion = [0xff; 32];
    (torsion[0], torsion[31]) = (0xec, 0x7f);
    vec![
        ("user", key.to_nkey().into()),
        ("account", nkey::encode(Kind::Account, &[7; 32]).into()),
        ("server", nkey::encode(Kind::Server, key.as_bytes()).into()),
        ("curve", nkey::encode(Kind::Curve, &[7; 32]).into()),
        ("lower-case", key.to_nkey().to_lowercase().into()),
        ("unsound-user", nkey::encode(Kind::User, &[0; 32]).into()),
        ("primary", key.to_string().into()),
        ("hex", key.to_hex().into()),
        ("message-id", MessageId([0x5a; 16]).to_string().into()),
        ("install", b"0011223344556677".to_vec()),
        ("timestamp", b"2026-11-23T00:00:00Z".to_vec()),
        ("signature", Signature::from_bytes([0x5a; 64]).to_base64().into()),
        ("key-bytes", key.as_bytes().to_vec()),
        ("order-two", torsion.to_vec()),
    ]
}
