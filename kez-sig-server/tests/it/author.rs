//! Events made from the published format alone, so that wrong ones can be made too.

use curve25519_dalek::{EdwardsPoint, Scalar};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

pub(crate) const HEADER: &str = r#"{"alg":"Ed25519","typ":"kez-event+jws"}"#;

/// Somebody with a key, who signs whatever a test asks for.
pub(crate) struct Author {
    secret: Scalar,
    public: [u8; 32],
}

impl Author {
    pub(crate) fn new(seed: u8) -> Self {
        let hash: [u8; 64] = Sha512::digest([seed; 32]).into();
        let mut half = [0; 32];
        half.copy_from_slice(&hash[..32]);
        let secret = Scalar::from_bytes_mod_order(curve25519_dalek::scalar::clamp_integer(half));
        let public = EdwardsPoint::mul_base(&secret).compress().to_bytes();
        Self { secret, public }
    }

    pub(crate) fn hex(&self) -> String {
        HEXLOWER.encode(&self.public)
    }

    pub(crate) fn text(&self) -> String {
        format!("ed25519:{}", self.hex())
    }

    /// Signs the event that does `op` in place `seq` after the event `prev`.
    pub(crate) fn event(&self, seq: u64, prev: Option<&str>, op: Value) -> String {
        self.sign(&self.payload(seq, prev, op))
    }

    /// Signs a chain of these operations, from its start.
    pub(crate) fn chain(&self, ops: impl IntoIterator<Item = Value>) -> Vec<String> {
        let mut events: Vec<String> = Vec::new();
        for op in ops {
            let prev = events.last().map(|last| head(last));
            events.push(self.event(events.len() as u64 + 1, prev.as_deref(), op));
        }
        events
    }

    /// An event's payload; serde_json keeps members sorted, which is RFC 8785's order for these.
    pub(crate) fn payload(&self, seq: u64, prev: Option<&str>, op: Value) -> Value {
        json!({ "op": op, "prev": prev, "primary": self.text(), "seq": seq, "ts": "2026-11-22T12:00:00Z", "v": 1 })
    }

    pub(crate) fn sign(&self, payload: &Value) -> String {
        self.sign_text(HEADER, &payload.to_string())
    }

    pub(crate) fn sign_text(&self, header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
        self.sign_input(&format!("{header}.{payload}"), "nonce")
    }

    /// Signs the same event once more; another `salt` makes another signature, as valid as the first (RFC 8032 §3.3).
    pub(crate) fn sign_again(&self, jws: &str, salt: &str) -> String {
        let (input, _) = jws.rsplit_once('.').unwrap();
        self.sign_input(input, salt)
    }

    fn sign_input(&self, input: &str, salt: &str) -> String {
        let nonce = scalar(&[salt.as_bytes(), &self.secret.to_bytes(), input.as_bytes()]);
        let r = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
        let s = nonce + scalar(&[&r, &self.public, input.as_bytes()]) * self.secret;
        format!("{input}.{}", BASE64URL_NOPAD.encode(&[r, s.to_bytes()].concat()))
    }
}

fn scalar(parts: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&Sha512::digest(parts.concat()).into())
}

/// The event's name: SHA-256 of its signing input, in hex.
pub(crate) fn head(jws: &str) -> String {
    let (input, _) = jws.rsplit_once('.').unwrap();
    HEXLOWER.encode(&Sha256::digest(input))
}

/// An operation that can be repeated for ever.
pub(crate) fn claim(n: u64) -> Value {
    json!({ "type": "add_claim", "claim": format!("dns:n{n}.example") })
}
