//! The closed list of what a primary key signs (`docs/PROTOCOL.md` §1).
//!
//! Every statement begins with a context of its own that ends in a zero byte, except a sigchain event, whose
//! constant protected header is its separator. TLS (Iroh) and the relay's challenges, which the seed signs
//! outside this crate, begin with 64 spaces or are at most 32 bytes long; no statement is or does either.

use std::{borrow::Cow, fmt};

use sha2::{Digest, Sha256};

use super::PrimaryKey;
use crate::{
    broker::LoginNonce,
    claim::ClaimText,
    handle::{Handle, Home},
    sigchain::JWS_HEADER,
};

const REGISTER: &[u8] = b"kez/register/1\0";
const RETIRE: &[u8] = b"kez/retire/1\0";
const NATS_LOGIN: &[u8] = b"kez/nats/1\0";
const ENVELOPE: &[u8] = b"kez/envelope/1\0";
const CLAIM: &[u8] = b"kez/claim/1\0";

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
    /// "I am also known as this", for anybody who looks the claim's proof up (§10).
    Claim {
        /// The claim.
        claim: &'a ClaimText,
        /// The key whose holder makes it.
        primary: &'a PrimaryKey,
    },
    /// A sigchain event (§4); only [`crate::sigchain`] makes one.
    Event(&'a SigningInput<'a>),
}

impl Statement<'_> {
    /// Returns the exact bytes that are signed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Register { handle, primary } => naming(REGISTER, &handle.to_string(), primary),
            Self::Retire { handle, primary } => naming(RETIRE, &handle.to_string(), primary),
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
            Self::Claim { claim, primary } => naming(CLAIM, claim.as_str(), primary),
            Self::Event(input) => input.0.as_bytes().to_vec(),
        }
    }
}

/// Joins a context, a handle or claim, and a key, each closed by a zero byte that neither can contain.
fn naming(context: &[u8], subject: &str, primary: &PrimaryKey) -> Vec<u8> {
    [context, subject.as_bytes(), b"\0", primary.to_string().as_bytes(), b"\0"].concat()
}

/// What the signature of an envelope covers, in order (§6). `Debug` does not show it.
pub struct EnvelopeParts<'a> {
    pub(crate) suite: u8,
    pub(crate) key_id: [u8; 4],
    pub(crate) recipient: &'a [u8; 32],
    pub(crate) ephemeral: &'a [u8; 32],
    pub(crate) commitment: &'a [u8; 32],
    pub(crate) body_hash: &'a [u8; 32],
}

impl fmt::Debug for EnvelopeParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvelopeParts(redacted)")
    }
}

/// A JWS signing input (RFC 7515 §5.1) that begins with the one header of sigchain events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningInput<'a>(Cow<'a, str>);

impl<'a> SigningInput<'a> {
    /// Joins the constant header and an encoded payload.
    pub(crate) fn new(payload_base64: &str) -> Self {
        Self(Cow::Owned(format!("{JWS_HEADER}.{payload_base64}")))
    }

    /// Takes what stands before a JWS' second dot, and returns the encoded payload beside it; `None` for another header.
    pub(crate) fn parse(text: &'a str) -> Option<(Self, &'a str)> {
        let payload = text.strip_prefix(JWS_HEADER)?.strip_prefix('.')?;
        Some((Self(Cow::Borrowed(text)), payload))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeSet};

    use data_encoding::BASE64URL_NOPAD;
    use proptest::{prelude::*, test_runner::TestRunner};

    use super::*;
    use crate::{
        handle::Policy,
        identity::SecretKey,
        sigchain::{Chain, Op, Timestamp},
    };

    /// Every context and prefix of §1's table that a KEZ statement begins with, by its row.
    const CONTEXTS: [(u8, &[u8]); 6] = [
        (1, REGISTER),
        (2, RETIRE),
        (3, NATS_LOGIN),
        (4, ENVELOPE),
        (5, CLAIM),
        (6, b"eyJhbGciOiJFZDI1NTE5IiwidHlwIjoia2V6LWV2ZW50K2p3cyJ9."),
    ];

    /// Writes what TLS 1.3 has a peer sign in CertificateVerify (RFC 8446 §4.4.3).
    fn certificate_verify(peer: &str, transcript_hash: &[u8]) -> Vec<u8> {
        [&[0x20; 64], format!("TLS 1.3, {peer} CertificateVerify").as_bytes(), b"\0", transcript_hash].concat()
    }

    /// Tells of which rows of §1's table a message can be, by what all messages of the row have in common.
    fn rows_of(message: &[u8]) -> Vec<u8> {
        let mut rows: Vec<u8> =
            CONTEXTS.iter().filter(|(_, context)| message.starts_with(context)).map(|(row, _)| *row).collect();
        rows.extend(message.starts_with(&[b' '; 64]).then_some(7));
        rows.extend(matches!(message.len(), 16 | 32).then_some(8));
        rows
    }

    /// Makes a message of any row of §1's table, out of any input that the row takes.
    fn any_message() -> impl Strategy<Value = (u8, Vec<u8>)> {
        let seed = any::<[u8; 32]>();
        let key = seed.prop_map(|seed| SecretKey::from_seed(seed).primary());
        let home = "[a-z][a-z0-9-]{0,20}[a-z](\\.[a-z]{1,8}){0,3}"
            .prop_map(|text| Home::parse(&text, Policy::Production).unwrap());
        let handle = ("[a-z0-9][a-z0-9_-]{0,30}[a-z0-9]", home.clone())
            .prop_map(|(name, home)| Handle::parse(&name, Some(&home), Policy::Production).unwrap());
        let nonce = "\\PC{1,16}".prop_map(|text| LoginNonce::parse(&text).unwrap());
        let claim = "[a-z][a-z0-9]{0,8}:[!-~]{1,255}".prop_map(|text| text.parse::<ClaimText>().unwrap());
        let part = any::<[u8; 32]>();
        let parts = (any::<u8>(), any::<[u8; 4]>(), part, part, part, part);
        let bytes = proptest::collection::vec(any::<u8>(), 0..300);
        let hash = prop_oneof![
            proptest::collection::vec(any::<u8>(), 32..=32),
            proptest::collection::vec(any::<u8>(), 48..=48)
        ];
        let challenge = prop_oneof![
            proptest::collection::vec(any::<u8>(), 16..=16),
            proptest::collection::vec(any::<u8>(), 32..=32)
        ];
        prop_oneof![
            (handle.clone(), key.clone()).prop_map(|(handle, primary)| {
                (1, Statement::Register { handle: &handle, primary: &primary }.to_bytes())
            }),
            (handle, key.clone()).prop_map(|(handle, primary)| {
                (2, Statement::Retire { handle: &handle, primary: &primary }.to_bytes())
            }),
            (home, nonce).prop_map(|(domain, nonce)| {
                (3, Statement::NatsLogin { domain: &domain, nonce: &nonce }.to_bytes())
            }),
            parts.prop_map(|(suite, key_id, recipient, ephemeral, commitment, body_hash)| {
                let parts = EnvelopeParts {
                    suite,
                    key_id,
                    recipient: &recipient,
                    ephemeral: &ephemeral,
                    commitment: &commitment,
                    body_hash: &body_hash,
                };
                (4, Statement::Envelope(&parts).to_bytes())
            }),
            (claim, key)
                .prop_map(|(claim, primary)| { (5, Statement::Claim { claim: &claim, primary: &primary }.to_bytes()) }),
            bytes.prop_map(|payload| {
                (6, Statement::Event(&SigningInput::new(&BASE64URL_NOPAD.encode(&payload))).to_bytes())
            }),
            ("client|server", hash).prop_map(|(peer, hash)| (7, certificate_verify(&peer, &hash))),
            challenge.prop_map(|challenge| (8, challenge)),
        ]
    }

    /// Whatever the inputs, messages of two rows of §1's table differ: no statement can be taken for another kind, nor
    /// for what TLS 1.3 or a relay has the same key sign.
    #[test]
    fn contexts_are_disjoint() {
        // Prefix-free: no message of one row can begin like another row's, whatever follows.
        for (row, context) in CONTEXTS {
            for (other, longer) in CONTEXTS {
                assert!(row == other || !longer.starts_with(context), "{row} {other}");
            }
            assert_eq!(context.starts_with(b"eyJ"), row == 6, "only an event begins like a JWS");
            assert!(row == 6 || context.ends_with(b"\0"));
            assert_ne!(context[0], b' ', "a CertificateVerify begins with spaces");
        }

        // The shortest message of each row is above a relay's challenge, and is as long as the table says.
        let primary = SecretKey::from_seed([1; 32]).primary();
        let home = Home::parse("a", Policy::Production).unwrap();
        let handle = Handle::parse("aa", Some(&home), Policy::Production).unwrap();
        let nonce = LoginNonce::parse("n").unwrap();
        let claim = "a:a".parse().unwrap();
        let none = [0; 32];
        let parts = EnvelopeParts {
            suite: 1,
            key_id: [0; 4],
            recipient: &none,
            ephemeral: &none,
            commitment: &none,
            body_hash: &none,
        };
        let shortest = [
            (1, 93, Statement::Register { handle: &handle, primary: &primary }.to_bytes()),
            (2, 91, Statement::Retire { handle: &handle, primary: &primary }.to_bytes()),
            (3, 43, Statement::NatsLogin { domain: &home, nonce: &nonce }.to_bytes()),
            (4, 148, Statement::Envelope(&parts).to_bytes()),
            (5, 89, Statement::Claim { claim: &claim, primary: &primary }.to_bytes()),
            (6, 53, Statement::Event(&SigningInput::new("")).to_bytes()),
            (7, 130, certificate_verify("client", &none)),
            (7, 130, certificate_verify("server", &none)),
        ];
        for (row, len, message) in shortest {
            assert_eq!((message.len(), rows_of(&message)), (len, vec![row]));
            assert!(message.len() >= 33, "a relay's challenge is at most 32 bytes");
        }

        // Any message is of its own row alone.
        let seen = RefCell::new(BTreeSet::new());
        let outcome = TestRunner::deterministic().run(&any_message(), |(row, message)| {
            seen.borrow_mut().insert(row);
            prop_assert_eq!(rows_of(&message), vec![row]);
            Ok(())
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(seen.into_inner(), (1..=8).collect(), "each row was tried");
    }

    #[test]
    fn every_event_begins_alike() {
        let key = SecretKey::from_seed([1; 32]);
        let mut chain = Chain::new(key.primary(), Policy::Production);
        let handle = Handle::from_qualified("al@kez.lat", Policy::Production).unwrap();
        let claim: ClaimText = "dns:kez.lat".parse().unwrap();
        let ops = [Op::SetHandle(Some(handle)), Op::AddClaim { claim, at: None, sig: None }, Op::Retire];
        for op in ops {
            let jws = chain.sign_next(&key, op, &Timestamp::from_unix_ms(0)).unwrap().jws().to_owned();
            assert!(jws.as_bytes().starts_with(CONTEXTS[5].1));
        }
    }

    #[test]
    fn a_claim_is_bound_to_its_text_and_key() {
        let primary = SecretKey::from_seed([1; 32]).primary();
        let claim = "dns:a".parse().unwrap();
        let expected = format!("kez/claim/1\0dns:a\0{primary}\0");
        assert_eq!(Statement::Claim { claim: &claim, primary: &primary }.to_bytes(), expected.as_bytes());
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
