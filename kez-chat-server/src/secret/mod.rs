//! The server's one secret, and everything that is derived from it.
//!
//! An operator keeps a single file with a single line. Each role takes its own key from it by HKDF-SHA256
//! (RFC 5869) with a label of its own, so that no two roles can ever share a key and nothing has to be copied
//! between files. While a secret is being rotated, a second line holds the previous one: its server key is
//! still announced and its routes are still granted, until every client has fetched `/v1/info` again.

mod file;

use std::fmt;

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use kez_core::broker::callout::IssuerKey;
use kez_core::identity::SecretKey;
use nkeys::{KeyPair, KeyPairType, XKey};
use rand::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

pub use self::file::SecretError;

const PREFIX: &str = "kez-server-secret-1:";
const SALT: &[u8] = b"kez/server-secret/1";
/// Readable, so that nobody takes it for random.
const DEVELOPMENT: [u8; 32] = *b"kez development: known to all!!!";
/// Two lines of 84 characters and their line ends; anything longer is not a secret file.
const MAX_FILE_BYTES: u64 = 512;

/// The public keys that `nats.conf` names, in NATS' own text forms.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PublicKeys {
    /// The account key `A…` that signs the callout's answers.
    pub issuer: String,
    /// The user `U…` of the AUTH account that answers callouts.
    pub callout_user: String,
    /// The user `U…` of the JS account that keeps the inboxes.
    pub chat_server: String,
    /// The user `U…` of the SYS account.
    pub sys_user: String,
    /// The curve key `X…` that callouts are encrypted to.
    pub xkey: String,
}

/// The server's secret: 32 random bytes, of which every key of the server is derived.
///
/// It is wiped when it goes out of scope and never shown by `Debug`.
#[derive(Clone)]
pub struct ServerSecret {
    current: Zeroizing<[u8; 32]>,
    previous: Option<Zeroizing<[u8; 32]>>,
}

/// A role's label under the secret. A label never changes: it decides the key.
#[derive(Clone, Copy)]
enum Role {
    Issuer,
    CalloutUser,
    ChatServer,
    SysUser,
    CalloutXkey,
    ServerKey,
    CheckProbe,
}

impl Role {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Issuer => b"nats/callout-issuer",
            Self::CalloutUser => b"nats/callout-user",
            Self::ChatServer => b"nats/chat-server",
            Self::SysUser => b"nats/sys-user",
            Self::CalloutXkey => b"nats/callout-xkey",
            Self::ServerKey => b"server-key",
            Self::CheckProbe => b"nats/check-probe",
        }
    }
}

impl ServerSecret {
    /// Makes a new secret.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut current = Zeroizing::new([0; 32]);
        rng.fill_bytes(current.as_mut_slice());
        Self { current, previous: None }
    }

    /// Returns the secret for work on one's own machine. It is public knowledge: whoever reads this code has every key
    /// of a server that uses it, so the server takes it on loopback addresses only.
    pub fn development() -> Self {
        Self { current: Zeroizing::new(DEVELOPMENT), previous: None }
    }

    /// Tells whether the secret, or the previous one that it still honours, is public knowledge.
    pub fn is_development(&self) -> bool {
        std::iter::once(&self.current).chain(&self.previous).any(|secret| **secret == DEVELOPMENT)
    }

    /// Tells whether a previous secret is still honoured.
    pub fn is_rotating(&self) -> bool {
        self.previous.is_some()
    }

    /// Tells the public keys that `nats.conf` needs.
    pub fn public_keys(&self) -> PublicKeys {
        PublicKeys {
            issuer: self.issuer().public(),
            callout_user: self.user_public(Role::CalloutUser),
            chat_server: self.user_public(Role::ChatServer),
            sys_user: self.user_public(Role::SysUser),
            xkey: self.xkey().public_key(),
        }
    }

    /// Derives the server's ed25519 keys of `/v1/info`'s `server_keys`, the current one first
    /// (`docs/PROTOCOL.md` §5).
    pub fn server_keys(&self) -> Vec<SecretKey> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .map(|secret| SecretKey::from_seed(*derive(secret, Role::ServerKey)))
            .collect()
    }

    /// Derives the NATS seed (`SU…`) of the user that keeps the inboxes, for an operator who wants to look at the
    /// streams with NATS' own tools.
    ///
    /// # Errors
    /// Never with a secret of the right length; the type is that of NATS' key library.
    pub fn chat_server_seed(&self) -> Result<Zeroizing<String>, nkeys::error::Error> {
        self.chat_server()?.seed().map(Zeroizing::new)
    }

    pub(crate) fn issuer(&self) -> IssuerKey {
        IssuerKey::from_seed(*derive(&self.current, Role::Issuer))
    }

    pub(crate) fn xkey(&self) -> XKey {
        XKey::new_from_raw(*derive(&self.current, Role::CalloutXkey))
    }

    pub(crate) fn callout_user(&self) -> Result<KeyPair, nkeys::error::Error> {
        KeyPair::new_from_raw(KeyPairType::User, *derive(&self.current, Role::CalloutUser))
    }

    pub(crate) fn chat_server(&self) -> Result<KeyPair, nkeys::error::Error> {
        KeyPair::new_from_raw(KeyPairType::User, *derive(&self.current, Role::ChatServer))
    }

    pub(crate) fn sys_user(&self) -> Result<KeyPair, nkeys::error::Error> {
        KeyPair::new_from_raw(KeyPairType::User, *derive(&self.current, Role::SysUser))
    }

    /// Tells the key (`U…`) that `check` presents, to see the callout at work. No account knows it, and it is registered
    /// nowhere.
    pub(crate) fn check_probe(&self) -> String {
        self.user_public(Role::CheckProbe)
    }

    fn user_public(&self, role: Role) -> String {
        SecretKey::from_seed(*derive(&self.current, role)).primary().to_nkey()
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(parse_line);
        let current = lines.next()??;
        let previous = match lines.next() {
            Some(line) => Some(line?),
            None => None,
        };
        lines.next().is_none().then_some(Self { current, previous })
    }

    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize));
        for secret in std::iter::once(&self.current).chain(&self.previous) {
            let mut digits = [0; 64];
            HEXLOWER.encode_mut(secret.as_slice(), &mut digits);
            text.push_str(PREFIX);
            text.extend(digits.iter().map(|&digit| char::from(digit)));
            text.push('\n');
            digits.zeroize();
        }
        text
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSecret").field("rotating", &self.previous.is_some()).finish_non_exhaustive()
    }
}

fn parse_line(line: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = line.strip_prefix(PREFIX)?;
    let mut secret = Zeroizing::new([0; 32]);
    (digits.len() == 64).then_some(())?;
    HEXLOWER.decode_mut(digits.as_bytes(), secret.as_mut_slice()).ok()?;
    Some(secret)
}

fn derive(secret: &[u8; 32], role: Role) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    if Hkdf::<Sha256>::new(Some(SALT), secret).expand(role.label(), key.as_mut_slice()).is_err() {
        // RFC 5869 allows 255 blocks of 32 bytes; this is one.
        unreachable!("one block is within HKDF's limit");
    }
    key
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn secret(byte: u8) -> ServerSecret {
        ServerSecret { current: Zeroizing::new([byte; 32]), previous: None }
    }

    #[test]
    fn malformed_texts_are_refused() {
        let good = secret(7).to_text();
        let line = good.trim_end();
        assert!(ServerSecret::from_text(&good).is_some());
        assert!(ServerSecret::from_text(line).is_some(), "the line end may be missing");
        let bad = [
            String::new(),
            "\n".into(),
            line[..line.len() - 1].to_owned(),
            format!("{line}0"),
            format!(" {line}"),
            line.to_uppercase(),
            line.replace("secret-1", "secret-2"),
            format!("{line}\n\n"),
            format!("{line}\n{line}\n{line}\n"),
        ];
        for text in bad {
            assert!(ServerSecret::from_text(&text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn every_role_has_its_own_key() {
        let keys = secret(9).public_keys();
        let server = secret(9).server_keys()[0].primary().to_nkey();
        let bodies: HashSet<_> = [&keys.callout_user, &keys.chat_server, &keys.sys_user, &server].into_iter().collect();
        assert_eq!(bodies.len(), 4);
        assert!(!bodies.contains(&secret(9).check_probe()));
        assert!(keys.issuer.starts_with('A') && keys.xkey.starts_with('X'));
        assert_eq!(secret(9).callout_user().unwrap().public_key(), keys.callout_user);
        assert_eq!(secret(9).chat_server().unwrap().public_key(), keys.chat_server);
        assert_eq!(secret(9).sys_user().unwrap().public_key(), keys.sys_user);
    }

    #[test]
    fn a_second_line_adds_the_previous_server_key_only() {
        let text = format!("{}{}", *secret(2).to_text(), *secret(1).to_text());
        let rotating = ServerSecret::from_text(&text).unwrap();
        assert_eq!(*rotating.to_text(), text);
        assert_eq!(rotating.public_keys(), secret(2).public_keys());
        let primaries: Vec<_> = rotating.server_keys().iter().map(SecretKey::primary).collect();
        assert_eq!(primaries, [secret(2).server_keys()[0].primary(), secret(1).server_keys()[0].primary()]);
    }

    #[test]
    fn the_development_secret_is_known_by_sight() {
        assert!(ServerSecret::development().is_development());
        assert!(!ServerSecret::generate(&mut rand::rng()).is_development());
        let text = format!("{}{}", *secret(1).to_text(), *ServerSecret::development().to_text());
        assert!(ServerSecret::from_text(&text).unwrap().is_development(), "as the previous one too");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", secret(0xab)), "ServerSecret { rotating: false, .. }");
    }
}
