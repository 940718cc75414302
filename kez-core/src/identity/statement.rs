//! The closed list of what a primary key signs (`docs/PROTOCOL.md` §1).
//!
//! Every statement begins with a context of its own that ends in a zero byte, except a sigchain event, whose
//! constant protected header is its separator. TLS (Iroh) and the relay's challenges, which the seed signs
//! outside this crate, begin with 64 spaces or are at most 32 bytes long; no statement is or does either.

use sha2::{Digest, Sha256};

use super::PrimaryKey;
use crate::{
    broker::LoginNonce,
    handle::{Handle, Home},
    sigchain::JWS_HEADER,
};

const REGISTER: &[u8] = b"kez/register/1\0";
const RETIRE: &[u8] = b"kez/retire/1\0";
const NATS_LOGIN: &[u8] = b"kez/nats/1\0";
const ENVELOPE: &[u8] = b"kez/envelope/1\0";

/// One thing that a primary key signs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Statement<'a> {
    /// "This handle is mine", to the handle's home (§3).
    Register {
        /// The handle that is asked for.
        handle: &'a Handle,
        /// The key that asks.
        primary: &'a PrimaryKey,
    },
    /// "This handle is given up for good", to the handle's home (§3).
    Retire {
        /// The handle that is given up.
        handle: &'a Handle,
        /// The key that holds it.
        primary: &'a PrimaryKey,
    },
    /// A broker login, bound to the home's name so that no other broker can relay it (§5).
    NatsLogin {
        /// The home whose broker is logged in to.
        domain: &'a Home,
        /// The broker's nonce; it is hashed, so it can't choose what is signed.
        nonce: &'a LoginNonce,
    },
    /// A sealed message (§6); only [`crate::envelope`] makes one.
    Envelope(&'a EnvelopeParts<'a>),
    /// A sigchain event (§4); only [`crate::sigchain`] makes one.
    Event(&'a SigningInput),
}

impl Statement<'_> {
    /// Returns the exact bytes that are signed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Register { handle, primary } => naming(REGISTER, handle, primary),
            Self::Retire { handle, primary } => naming(RETIRE, handle, primary),
            Self::NatsLogin { domain, nonce } => {
                let bound = Sha256::new()
                    .chain_update(domain.to_string())
                    .chain_update([0])
                    .chain_update(nonce.as_str())
                    .finalize();
                [NATS_LOGIN, &bound].concat()
            }
            Self::Envelope(parts) => [
                ENVELOPE,
                &[parts.suite],
                &parts.key_id,
                parts.recipient,
                parts.ephemeral,
                parts.commitment,
                parts.body_hash,
            ]
            .concat(),
            Self::Event(input) => input.0.as_bytes().to_vec(),
        }
    }
}

/// Joins a context, a handle and a key, each closed by a zero byte that neither can contain.
fn naming(context: &[u8], handle: &Handle, primary: &PrimaryKey) -> Vec<u8> {
    [context, handle.to_string().as_bytes(), b"\0", primary.to_string().as_bytes(), b"\0"].concat()
}

/// What the signature of an envelope covers, in order (§6).
#[derive(Debug)]
pub struct EnvelopeParts<'a> {
    pub(crate) suite: u8,
    pub(crate) key_id: [u8; 4],
    pub(crate) recipient: &'a [u8; 32],
    pub(crate) ephemeral: &'a [u8; 32],
    pub(crate) commitment: &'a [u8; 32],
    pub(crate) body_hash: &'a [u8; 32],
}

/// A JWS signing input (RFC 7515 §5.1) that begins with the one header of sigchain events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningInput(String);

impl SigningInput {
    /// Joins the constant header and an encoded payload.
    pub(crate) fn new(payload_base64: &str) -> Self {
        Self(format!("{JWS_HEADER}.{payload_base64}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{handle::Policy, identity::SecretKey};

    /// Whatever the inputs, statements of two kinds differ, and none can be taken for what TLS 1.3 or a relay
    /// has the same key sign.
    #[test]
    fn contexts_are_disjoint() {
        let primary = SecretKey::from_seed([1; 32]).primary();
        let home = Home::parse("kez.lat", Policy::Production).unwrap();
        let handle = Handle::parse("al", Some(&home), Policy::Production).unwrap();
        let nonce = LoginNonce::parse("n").unwrap();
        let (a, b, c, d) = ([0; 32], [0; 32], [0; 32], [0; 32]);
        let parts =
            EnvelopeParts { suite: 1, key_id: [0; 4], recipient: &a, ephemeral: &b, commitment: &c, body_hash: &d };
        let input = SigningInput::new("e30");
        let statements = [
            Statement::Register { handle: &handle, primary: &primary },
            Statement::Retire { handle: &handle, primary: &primary },
            Statement::NatsLogin { domain: &home, nonce: &nonce },
            Statement::Envelope(&parts),
            Statement::Event(&input),
        ]
        .map(|statement| statement.to_bytes());

        let contexts = [REGISTER, RETIRE, NATS_LOGIN, ENVELOPE, JWS_HEADER.as_bytes()];
        for (bytes, own) in statements.iter().zip(contexts) {
            assert!(bytes.starts_with(own));
            assert!(bytes.len() >= 33, "a relay's challenge is at most 32 bytes");
            assert!(!bytes.starts_with(&[b' '; 64]), "TLS 1.3 pads with 64 spaces (RFC 8446 §4.4.3)");
        }
        // Prefix-free contexts: no statement of one kind can begin like another kind.
        for (i, one) in contexts.iter().enumerate() {
            for other in contexts.iter().skip(i + 1) {
                assert!(!one.starts_with(other) && !other.starts_with(one));
            }
        }
        assert_eq!(statements[3].len(), 148);
    }

    #[test]
    fn a_login_is_bound_to_home_and_nonce() {
        let key = SecretKey::from_seed([1; 32]);
        let homes = ["kez.lat", "evil.example"].map(|text| Home::parse(text, Policy::Production).unwrap());
        let nonces = ["abc", "abd"].map(|text| LoginNonce::parse(text).unwrap());
        let signature = key.sign(&Statement::NatsLogin { domain: &homes[0], nonce: &nonces[0] });
        for (i, domain) in homes.iter().enumerate() {
            for (j, nonce) in nonces.iter().enumerate() {
                let verdict = key.primary().verify(&Statement::NatsLogin { domain, nonce }, &signature);
                assert_eq!(verdict.is_ok(), i == 0 && j == 0);
            }
        }
    }
}
