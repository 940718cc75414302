//! Signing whatever text there is, sound or not: the core itself refuses to.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};

/// Writes `header.payload.signature`.
pub fn sign(seed: &[u8; 32], header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(payload));
    let signature = SigningKey::from_bytes(seed).sign(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

/// Returns the three parts, decoded.
pub fn parts(jws: &str) -> [Vec<u8>; 3] {
    let parts: Vec<_> = jws.split('.').map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).collect();
    parts.try_into().unwrap()
}

/// Tells whether a key signed a message, by another road than the core's.
pub fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
    VerifyingKey::from_bytes(key).unwrap().verify(message, &signature).is_ok()
}
