//! Contact URIs: all that is needed to find and verify somebody, in a line of text or a QR code, also while their
//! home is down (`docs/PROTOCOL.md` §3).

use std::fmt;

use thiserror::Error;

use crate::{
    error::Code,
    handle::{Handle, Policy},
    identity::{KeyError, PrimaryKey},
};

const SCHEME: &str = "kez:";
const MAX_BASE_CHARS: usize = 1024;

/// Says why a contact URI was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UriError {
    /// The text is not `kez:ed25519:<hex>?h=…&sig=…`.
    #[error("this is no contact URI: {0}; copy it whole")]
    BadUri(&'static str),
    /// The text is well formed, but its key is not sound.
    #[error("the contact URI holds an unsound key; do not use it")]
    BadKey,
}

impl UriError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadUri(_) => Code::BadUri,
            Self::BadKey => Code::BadKey,
        }
    }
}

/// A person's key, the handle that they go by, and where their sigchain is.
///
/// ```
/// use kez_core::{contact_uri::ContactUri, handle::Policy, identity::SecretKey};
///
/// let key = SecretKey::from_seed([7; 32]).primary();
/// let text = format!("kez:{key}?h=al@kez.lat&sig=https://sig.kez.lat");
/// let contact = ContactUri::parse(&text, Policy::Production)?;
/// assert_eq!(contact.primary, key);
/// assert_eq!(contact.to_string(), text);
/// # Ok::<(), kez_core::contact_uri::UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactUri {
    /// Their key.
    pub primary: PrimaryKey,
    /// Their handle, if they have one. It is a hint: home and chain decide.
    pub handle: Option<Handle>,
    /// The base URL of the server that has their sigchain.
    pub sigchain_base: String,
}

impl ContactUri {
    /// Reads a contact URI. Members that a later version added are skipped.
    ///
    /// # Errors
    /// [`UriError::BadUri`], or [`UriError::BadKey`] for a well-formed key that is not sound.
    pub fn parse(text: &str, policy: Policy) -> Result<Self, UriError> {
        let bad = UriError::BadUri;
        let rest = text.strip_prefix(SCHEME).ok_or(bad("it does not begin with kez:"))?;
        let (key, query) = rest.split_once('?').ok_or(bad("it has no members"))?;
        let primary: Result<PrimaryKey, KeyError> = key.parse();
        if matches!(primary, Err(KeyError::BadText { .. })) {
            return Err(bad("its key is not ed25519: and 64 hex digits"));
        }
        let mut members = query.split('&').map(|member| {
            let (name, value) = member.split_once('=').ok_or(bad("a member has no value"))?;
            Ok((name, decode(value).ok_or(bad("a value is not in its percent-encoded form"))?))
        });
        let mut expect = |wanted: &str| match members.next() {
            Some(Ok((name, value))) if name == wanted => Ok(value),
            Some(Err(error)) => Err(error),
            _ => Err(bad("its first two members are not h and sig")),
        };
        let (handle, sigchain_base) = (expect("h")?, expect("sig")?);
        for member in members {
            let (name, _) = member?;
            if name.is_empty() || matches!(name, "h" | "sig") || decode(name).is_none() {
                return Err(bad("a further member has no name, or a name that is taken"));
            }
        }
        let handle = match handle.as_str() {
            "" => None,
            text => Some(Handle::from_qualified(text, policy).map_err(|_| bad("its handle is none"))?),
        };
        if !is_base(&sigchain_base, policy) {
            return Err(bad("its sigchain server is not the https base URL of one"));
        }
        let primary = primary.map_err(|_| UriError::BadKey)?;
        Ok(Self { primary, handle, sigchain_base })
    }
}

impl fmt::Display for ContactUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handle = self.handle.as_ref().map(Handle::to_string).unwrap_or_default();
        write!(f, "{SCHEME}{}?h={}&sig={}", self.primary, encode(&handle), encode(&self.sigchain_base))
    }
}

/// Tells whether a text is the base URL of a sigchain server: `https` (`http` in development), a host, no user
/// information, no slash, query or fragment at its end.
fn is_base(text: &str, policy: Policy) -> bool {
    let schemes: &[&str] = match policy {
        Policy::Production => &["https://"],
        Policy::Development => &["https://", "http://"],
    };
    let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    plain && text.len() <= MAX_BASE_CHARS && !authority.is_empty() && !authority.contains('@') && !rest.ends_with('/')
}

fn is_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'@')
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unescaped(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Undoes [`encode`]; `None` for any other spelling.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let (hex, after) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok().filter(|decoded| encode(decoded) == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::SecretKey;

    fn key() -> PrimaryKey {
        SecretKey::from_seed([7; 32]).primary()
    }

    fn code(text: &str) -> Result<(), Code> {
        ContactUri::parse(text, Policy::Production).map(drop).map_err(|error| error.code())
    }

    #[test]
    fn one_spelling_reads_back() {
        let key = key();
        for text in [
            format!("kez:{key}?h=al@kez.lat&sig=https://sig.kez.lat"),
            format!("kez:{key}?h=&sig=https://sig.kez.lat:8443/base"),
            format!("kez:{key}?h=&sig=https://sig.kez.lat/%25"),
        ] {
            assert_eq!(ContactUri::parse(&text, Policy::Production).unwrap().to_string(), text);
        }
        let extended = format!("kez:{key}?h=&sig=https://sig.kez.lat&later=&other=a%20b");
        assert!(code(&extended).is_ok());
        assert!(ContactUri::parse(&format!("kez:{key}?h=&sig=http://localhost:7878"), Policy::Development).is_ok());
    }

    #[test]
    fn other_spellings_are_refused() {
        let key = key();
        for text in [
            String::new(),
            "kez:".into(),
            format!("kez:{key}"),
            format!("KEZ:{key}?h=&sig=https://s"),
            format!("kez:{key}?sig=https://s&h="),
            format!("kez:{key}?h=&sig="),
            format!("kez:{key}?h="),
            format!("kez:{key}?h=al&sig=https://s"),
            format!("kez:{key}?h=Al@kez.lat&sig=https://s"),
            format!("kez:{key}?h=%61l@kez.lat&sig=https://s"),
            format!("kez:{key}?h=&sig=http://s"),
            format!("kez:{key}?h=&sig=https://s/"),
            format!("kez:{key}?h=&sig=https://u@s"),
            format!("kez:{key}?h=&sig=https://u%3Ap@s"),
            format!("kez:{key}?h=&sig=https://s%3Fq"),
            format!("kez:{key}?h=&sig=https://s%3fq"),
            format!("kez:{key}?h=&sig=https://s%23"),
            format!("kez:{key}?h=&sig=https://s%zz"),
            format!("kez:{key}?h=&sig=https://s&h=again"),
            format!("kez:{key}?h=&sig=https://{}", "s".repeat(1017)),
            format!("kez:{key}?h=&sig=https://s&=x"),
            format!("kez:{key}?h=&sig=https://s&x"),
            format!("kez:{key}?h=&sig=https://s&"),
            format!("kez:{}?h=&sig=https://s", key.to_string().to_uppercase()),
        ] {
            assert_eq!(code(&text), Err(Code::BadUri), "{text}");
        }
        assert_eq!(code(&format!("kez:ed25519:{}?h=&sig=https://s", "00".repeat(32))), Err(Code::BadKey));
    }

    proptest! {
        #[test]
        fn encoding_reads_back(text in ".{0,60}") {
            prop_assert_eq!(decode(&encode(&text)), Some(text));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "kez:.{0,120}") {
            let _ = ContactUri::parse(&text, Policy::Development);
        }
    }
}
