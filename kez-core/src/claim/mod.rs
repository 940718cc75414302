//! Claims: who a person also is elsewhere, and the proof of it (`docs/PROTOCOL.md` §10).
//!
//! A chain lists claims ([`ListedClaim`](crate::sigchain::ListedClaim)), which says nothing yet. [`Claim::parse`]
//! tells where the proof of one lies ([`ProofPlace`]); the caller fetches it under the rules of §3, without
//! following redirects, and hands what came to the method for that place.
//!
//! ```
//! use kez_core::{claim::{Claim, ClaimText, ProofPlace}, identity::SecretKey};
//!
//! let key = SecretKey::from_seed([7; 32]);
//! let text: ClaimText = "https:al.example".parse()?;
//! let file = format!("My keys:\r\n{}\r\n", Claim::prove(&text, &key)?);
//!
//! let claim = Claim::parse(&text, None)?;
//! let url = "https://al.example/.well-known/kez.txt".to_owned();
//! assert_eq!(claim.place(), &ProofPlace::File { url });
//! claim.verify_file(&key.primary(), file.as_bytes())?;
//! # Ok::<(), kez_core::claim::ClaimError>(())
//! ```

mod error;
mod nostr;
mod proof;
mod text;

pub use error::ClaimError;
pub use nostr::{NostrKey, NostrSecretKey};
pub use text::ClaimText;

use crate::handle::{Home, Policy};

const MAX_USER_CHARS: usize = 39;
const MAX_AT_CHARS: usize = 1024;
const GIST_BASE: &str = "https://gist.github.com/";

/// Where the proof of a claim lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofPlace {
    /// A TXT record, for [`Claim::verify_txt`].
    Txt {
        /// The DNS name that has it.
        name: String,
    },
    /// A text file, for [`Claim::verify_file`].
    File {
        /// Its URL. A redirect is not followed.
        url: String,
    },
    /// A gist, read through GitHub's API, for [`Claim::verify_gist`].
    Gist {
        /// The claimed user, in lower case.
        user: String,
        /// The gist's id, in lower-case hex.
        id: String,
    },
    /// The `sig` of the `add_claim` op itself, for [`Claim::verify_nostr`]. Without one the claim is unproved.
    Op {
        /// The claimed key.
        key: NostrKey,
    },
    /// Nobody knows: the claim's scheme is a later one's. It is shown unchecked.
    Unknown,
}

/// A claim that has the form of its scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    text: ClaimText,
    place: ProofPlace,
}

impl Claim {
    /// Reads a claim as a chain lists it. Only `github:` uses `at`, which says where the proof lies; other schemes
    /// ignore it.
    ///
    /// # Errors
    /// [`ClaimError::BadClaim`] or [`ClaimError::BadAt`] unless the text, and `at` where it is used, have the form of
    /// the scheme.
    pub fn parse(text: &ClaimText, at: Option<&str>) -> Result<Self, ClaimError> {
        let place = match Subject::of(text)? {
            Subject::Dns(domain) => ProofPlace::Txt { name: format!("_kez.{domain}") },
            Subject::Https(host) => ProofPlace::File { url: format!("https://{host}/.well-known/kez.txt") },
            Subject::Github(user) => match at.and_then(|at| gist_id(at, user)) {
                Some(id) => ProofPlace::Gist { user: user.to_owned(), id: id.to_owned() },
                None => {
                    let expected = format!("{GIST_BASE}{user}/<hex id>");
                    return Err(ClaimError::BadAt { claim: text.to_string(), at: at.map(str::to_owned), expected });
                }
            },
            Subject::Nostr(key) => ProofPlace::Op { key },
            Subject::Unknown => ProofPlace::Unknown,
        };
        Ok(Self { text: text.clone(), place })
    }

    /// Returns the claim's text.
    #[must_use]
    pub fn text(&self) -> &ClaimText {
        &self.text
    }

    /// Returns where the proof lies.
    #[must_use]
    pub fn place(&self) -> &ProofPlace {
        &self.place
    }
}

/// What a claim of each scheme claims.
enum Subject<'a> {
    Dns(&'a str),
    Https(&'a str),
    Github(&'a str),
    Nostr(NostrKey),
    Unknown,
}

impl<'a> Subject<'a> {
    /// Checks that the text has the form of its scheme.
    fn of(text: &'a ClaimText) -> Result<Self, ClaimError> {
        let (scheme, subject) = text.parts();
        let bad = |expected| ClaimError::BadClaim { claim: text.to_string(), expected };
        match scheme {
            "dns" if is_domain(subject) => Ok(Self::Dns(subject)),
            "dns" => Err(bad("dns: and a domain name in lower case, without port")),
            "https" if is_domain(subject) => Ok(Self::Https(subject)),
            "https" => Err(bad("https: and a host name in lower case, without port or path")),
            "github" if is_user(subject) => Ok(Self::Github(subject)),
            "github" => Err(bad("github: and 1 to 39 of a-z 0-9 -")),
            "nostr" => NostrKey::from_npub(subject).map(Self::Nostr).ok_or(bad("nostr: and an npub in lower case")),
            _ => Ok(Self::Unknown),
        }
    }
}

/// Tells whether a text is a home without a port, in the spelling that is stored (§2).
fn is_domain(text: &str) -> bool {
    Home::parse(text, Policy::Production).is_ok_and(|home| home.host() == text)
}

fn is_user(text: &str) -> bool {
    (1..=MAX_USER_CHARS).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Returns the id of the gist of `user` at a URL; `None` for any other URL.
fn gist_id<'a>(at: &'a str, user: &str) -> Option<&'a str> {
    let id = at.strip_prefix(GIST_BASE)?.strip_prefix(user)?.strip_prefix('/')?;
    let hex = !id.is_empty() && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (hex && at.len() <= MAX_AT_CHARS).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn parse(text: &str, at: Option<&str>) -> Result<ProofPlace, Code> {
        Claim::parse(&text.parse().unwrap(), at).map(|claim| claim.place).map_err(|error| error.code())
    }

    #[test]
    fn each_scheme_says_where_its_proof_lies() {
        let txt = |name: &str| Ok(ProofPlace::Txt { name: name.into() });
        assert_eq!(parse("dns:alice.example", None), txt("_kez.alice.example"));
        assert_eq!(parse("dns:xn--bcher-kva.example", Some("https://ignored")), txt("_kez.xn--bcher-kva.example"));
        let file = |url: &str| Ok(ProofPlace::File { url: url.into() });
        assert_eq!(parse("https:alice.example", None), file("https://alice.example/.well-known/kez.txt"));
        let gist = ProofPlace::Gist { user: "al-1ce".into(), id: "00ff".into() };
        assert_eq!(parse("github:al-1ce", Some("https://gist.github.com/al-1ce/00ff")), Ok(gist));
        let npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
        let Ok(ProofPlace::Op { key }) = parse(&format!("nostr:{npub}"), None) else { panic!("a nostr claim") };
        assert_eq!(key.to_npub(), npub);
        for later in ["mastodon:@al@kez.lat", "dns2:x", "githubx:A"] {
            assert_eq!(parse(later, Some("anything")), Ok(ProofPlace::Unknown));
        }
    }

    #[test]
    fn a_claim_has_the_form_of_its_scheme() {
        let domains =
            ["Alice.example", "alice.example.", "alice.example:443", "localhost:80", "10.0.0.1", "a_b.c", "a/b"];
        for domain in domains {
            for scheme in ["dns", "https"] {
                assert_eq!(parse(&format!("{scheme}:{domain}"), None), Err(Code::BadClaim), "{scheme}:{domain}");
            }
        }
        for user in ["Alice", "al_ice", "al.ice", &"a".repeat(40)] {
            let at = format!("https://gist.github.com/{user}/00ff");
            assert_eq!(parse(&format!("github:{user}"), Some(&at)), Err(Code::BadClaim), "{user}");
        }
        for npub in ["npub1", "NPUB10ELFCS4FR0L0R8AF98JLMGDH9C8TCXJVZ9QKW038JS35MP4DMA8QZVJPTG", "alice"] {
            assert_eq!(parse(&format!("nostr:{npub}"), None), Err(Code::BadClaim), "{npub}");
        }
    }

    #[test]
    fn a_gist_is_the_users_own() {
        let at = |at: Option<&str>| parse("github:alice", at).map(drop);
        let base = "https://gist.github.com/alice/";
        assert_eq!(at(Some(&format!("{base}{}", "a".repeat(1024 - base.len())))), Ok(()));
        assert_eq!(at(Some(&format!("{base}{}", "a".repeat(1025 - base.len())))), Err(Code::BadClaim));
        assert_eq!(at(None), Err(Code::BadClaim));
        for bad in [
            "",
            "https://gist.github.com/alice/",
            "https://gist.github.com/alice/00FF",
            "https://gist.github.com/alice/00fg",
            "https://gist.github.com/alice/00ff/",
            "https://gist.github.com/alice/00ff?x",
            "https://gist.github.com/alice/00ff#file-kez-txt",
            "https://gist.github.com/Alice/00ff",
            "https://gist.github.com/alice2/00ff",
            "https://gist.github.com/bob/00ff",
            "https://gist.github.com/00ff",
            "https://gist.github.com.evil.example/alice/00ff",
            "https://github.com/alice/00ff",
            "http://gist.github.com/alice/00ff",
        ] {
            assert_eq!(at(Some(bad)), Err(Code::BadClaim), "{bad}");
        }
    }
}
