//! The server's one secret, and everything that is derived from it.
//!
//! An operator keeps a single file with a single line. Each role takes its own key from it by HKDF-SHA256
//! (RFC 5869) with a label of its own, so that no two roles can ever share a key and nothing has to be copied
//! between files. While a secret is being rotated, a second line holds the previous one: its server key is
//! still announced and its routes are still granted, until every client has fetched `/v1/info` again.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use kez_core::broker::callout::IssuerKey;
use kez_core::identity::SecretKey;
use nkeys::{KeyPair, KeyPairType, XKey};
use rand::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

const PREFIX: &str = "kez-server-secret-1:";
const SALT: &[u8] = b"kez/server-secret/1";
/// Two lines of 84 characters and their line ends; anything longer is not a secret file.
const MAX_FILE_BYTES: u64 = 512;

/// What can be wrong with a secret file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file is not there or cannot be read.
    #[error("the secret file {path} can't be read; make one with `kez-chat-server keygen {path}`")]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("the secret file {path} has mode {mode:04o}, so others can get at it; run `chmod 600 {path}`")]
    TooOpen {
        /// The file asked for.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold one or two lines of the form that `keygen` writes.
    #[error(
        "the secret file {path} is not in the expected form: one line `{PREFIX}<64 hex digits>`, \
         while rotating a second one with the previous secret"
    )]
    Malformed {
        /// The file asked for.
        path: PathBuf,
    },
    /// A new secret file could not be written; an existing file is never overwritten.
    #[error("no secret was written to {path}; name a file that does not exist yet")]
    Write {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

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

    /// Reads a secret file.
    ///
    /// # Errors
    /// If the file cannot be read, is open to others than its owner, or is not in the form that
    /// [`create_file`](Self::create_file) writes.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let read = |source| SecretError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        check_mode(&file, path)?;
        // Reserved at once, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize + 1));
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(read)?;
        Self::from_text(&text).ok_or_else(|| SecretError::Malformed { path: path.to_owned() })
    }

    /// Writes a new secret file that only its owner can read (mode 0600).
    ///
    /// # Errors
    /// If the file exists already or cannot be written.
    pub fn create_file(&self, path: &Path) -> Result<(), SecretError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let text = self.to_text();
        options
            .open(path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .map_err(|source| SecretError::Write { path: path.to_owned(), source })
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

#[cfg(unix)]
fn check_mode(file: &File, path: &Path) -> Result<(), SecretError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata().map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SecretError::TooOpen { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_file: &File, _path: &Path) -> Result<(), SecretError> {
    // Windows keeps access lists, not modes; a file in the user's profile is theirs alone.
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn secret(byte: u8) -> ServerSecret {
        ServerSecret { current: Zeroizing::new([byte; 32]), previous: None }
    }

    #[test]
    fn file_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let made = ServerSecret::generate(&mut rand::rng());
        made.create_file(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), PREFIX.len() + 65);
        assert_eq!(ServerSecret::from_file(&path).unwrap().public_keys(), made.public_keys());
        assert!(matches!(made.create_file(&path), Err(SecretError::Write { .. })), "never overwritten");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[cfg(unix)]
    #[test]
    fn mode_is_checked() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        secret(1).create_file(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        for (mode, fine) in [(0o640, false), (0o604, false), (0o620, false), (0o400, true)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(ServerSecret::from_file(&path).is_ok(), fine, "{mode:o}");
        }
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
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", secret(0xab)), "ServerSecret { rotating: false, .. }");
    }
}
