//! Text as one event of Alice's chain (`docs/PROTOCOL.md` §4). What no one but her could sign stays shallow here;
//! `sigchain_walk` goes deeper.

use kez_core::{
    Code,
    handle::Policy,
    sigchain::{Event, MAX_EVENT_CHARS},
};
use sha2::{Digest as _, Sha256};

use super::{
    input::{Seed, alice, carol},
    jose,
};

const HEADER: &[u8] = br#"{"alg":"Ed25519","typ":"kez-event+jws"}"#;

pub fn run(data: &[u8]) {
    let Ok(jws) = std::str::from_utf8(data) else { return };
    let parse = |policy| Event::parse(jws, &alice().primary(), policy);
    let event = match parse(Policy::Production) {
        Ok(event) => event,
        Err(error) => {
            // The policy is asked in operations only, and those are judged later.
            assert_eq!(parse(Policy::Development).map(drop).unwrap_err(), error);
            if jws.len() > MAX_EVENT_CHARS {
                assert_eq!(error.code(), Code::TooLong);
            } else if jws.matches('.').count() != 2 {
                assert_eq!(error.code(), Code::BadJws);
            }
            return;
        }
    };
    assert_eq!(event.jws(), jws);
    let (input, _) = jws.rsplit_once('.').unwrap();
    assert_eq!(event.head().as_bytes()[..], Sha256::digest(input)[..]);
    assert_eq!(event.prev().is_none(), event.seq() == 1);
    let [header, payload, signature] = jose::parts(jws);
    assert_eq!(header, HEADER);
    assert!(jose::verifies(alice().primary().as_bytes(), input.as_bytes(), &signature));
    // serde_json sorts members and escapes as RFC 8785 does, for what events hold.
    let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(value.to_string().as_bytes(), payload);
    assert!(Event::parse(jws, &carol().primary(), Policy::Production).is_err());
}

pub fn seeds() -> Vec<Seed> {
    let payload = |seq: u64, op: &str| {
        let prev = if seq == 1 { "null".to_owned() } else { format!("\"{}\"", "5a".repeat(32)) };
        let primary = alice().primary();
        format!(r#"{{"op":{op},"prev":{prev},"primary":"{primary}","seq":{seq},"ts":"2026-11-23T00:00:00Z","v":1}}"#)
            .into_bytes()
    };
    let sign = |payload: &[u8]| jose::sign(&[1; 32], HEADER, payload);
    let first = sign(&payload(1, r#"{"handle":"alice@kez.lat","type":"set_handle"}"#));
    [
        ("second", sign(&payload(2, r#"{"type":"retire"}"#))),
        ("unknown-op", sign(&payload(1, r#"{"ignorable":true,"type":"add_device","x":[1,{"y":"é"}]}"#))),
        ("malformed-op", sign(&payload(1, r#"{"type":"add_claim"}"#))),
        ("not-canonical", sign(br#"{ "v":1}"#)),
        ("twice", sign(br#"{"v":1,"v":1}"#)),
        ("deep", sign("[".repeat(17).as_bytes())),
        ("other-header", jose::sign(&[1; 32], br#"{"alg":"none"}"#, &payload(1, r#"{"type":"retire"}"#))),
        ("other-signer", jose::sign(&[3; 32], HEADER, &payload(1, r#"{"type":"retire"}"#))),
        ("two-parts", first.rsplit_once('.').unwrap().0.to_owned()),
        ("padded", format!("{first}==")),
        ("first", first),
    ]
    .map(|(name, jws)| (name, jws.into_bytes()))
    .into()
}
