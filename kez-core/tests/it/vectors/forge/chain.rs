//! Events over any payload, sound or not: the core signs only what readers take.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::keys::{ALICE, base64, primary, sha256, sign};

pub(in super::super) const HEADER: &str = r#"{"alg":"Ed25519","typ":"kez-event+jws"}"#;

/// Signs a payload under a header as Alice.
pub(in super::super) fn jws(header: &str, payload: &[u8]) -> String {
    let input = format!("{}.{}", base64(header), base64(payload));
    let signature = sign(ALICE, input.as_bytes());
    format!("{input}.{}", base64(signature))
}

/// Signs a payload as an event of Alice's.
pub(in super::super) fn event(payload: impl AsRef<[u8]>) -> String {
    jws(HEADER, payload.as_ref())
}

/// Returns the signing input of an event.
pub(in super::super) fn input(event: &str) -> &str {
    event.rsplit_once('.').unwrap().0
}

/// Returns the head of an event.
pub(in super::super) fn head(event: &str) -> String {
    HEXLOWER.encode(&sha256(input(event)))
}

/// Returns the payload that does `op` after `events`.
pub(in super::super) fn payload(events: &[String], op: Value) -> Value {
    json!({
        "op": op,
        "prev": events.last().map(|event| head(event)),
        "primary": primary(ALICE),
        "seq": events.len() + 1,
        "ts": "2026-11-23T00:00:00Z",
        "v": 1,
    })
}

/// Signs one operation after another.
pub(in super::super) fn events(ops: impl IntoIterator<Item = Value>) -> Vec<String> {
    let mut events = Vec::new();
    for op in ops {
        // Members come sorted out of serde_json and ASCII is written as itself: RFC 8785's form.
        let payload = payload(&events, op).to_string();
        events.push(event(payload));
    }
    events
}
