//! The operations of a sigchain.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    ChainError,
    json::{Object, Value},
};
use crate::{
    broker::subject,
    claim::ClaimText,
    handle::{Handle, Home, Policy},
    identity::{PrimaryKey, Signature},
};

const MAX_URL_CHARS: usize = 1024;

/// One installation of a person's client: 8 random bytes, 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Install([u8; 8]);

impl Install {
    /// Takes the 8 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Returns the 8 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Install({self})")
    }
}

impl FromStr for Install {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        hex(text).map(Self).ok_or(ChainError::BadEvent { member: "install" })
    }
}

impl Serialize for Install {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Install {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What one event does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// "My messages go to this broker." The inbox subject follows from the key and is not repeated here.
    AddNatsEndpoint {
        /// The home whose broker it is.
        home: Home,
        /// The broker's URL: `tls://` or `wss://`, and `nats://` or `ws://` in development.
        url: String,
    },
    /// "My files are served by this installation", under the person's own key as endpoint id.
    AddIrohEndpoint {
        /// The installation.
        install: Install,
        /// An `https://` relay, off by default: it lets anyone see whether the person is online.
        relay_url: Option<String>,
    },
    /// Takes back every NATS endpoint of this URL.
    RemoveNatsEndpoint {
        /// The URL as it was added.
        url: String,
    },
    /// Takes back every Iroh endpoint of this installation.
    RemoveIrohEndpoint {
        /// The installation as it was added.
        install: Install,
    },
    /// Names the person's handle, or none.
    SetHandle(Option<Handle>),
    /// Points at the manifest of shared files, or at none.
    SetSharedFiles {
        /// BLAKE3 of the manifest blob.
        manifest: Option<[u8; 32]>,
        /// A counter that only rises.
        version: u64,
    },
    /// Claims another identity, such as `github:chris` (§10).
    AddClaim {
        /// The claim.
        claim: ClaimText,
        /// Where its proof lies, for schemes that need to be told.
        at: Option<String>,
        /// The proof itself, for schemes that carry it here.
        sig: Option<Signature>,
    },
    /// Takes a claim back.
    RemoveClaim {
        /// The claim as it was added.
        claim: ClaimText,
    },
    /// Ends the chain for good.
    Retire,
    /// An operation of a later version. Readers may step over it only if it says that it is ignorable.
    Unknown {
        /// Its `type`.
        kind: String,
        /// Whether it has `"ignorable": true`.
        ignorable: bool,
    },
}

impl Op {
    /// Reads a well-formed `op` object. Unknown members are named before malformed ones.
    pub(super) fn parse(op: &Object<'_>, primary: &PrimaryKey, policy: Policy) -> Result<Self, ChainError> {
        let members = Members::new(op);
        let kind = members.text("type")?;
        let protocol = match kind {
            "add_endpoint" | "remove_endpoint" => Some(members.text("protocol")?),
            _ => None,
        };
        match (kind, protocol) {
            ("add_endpoint", Some("nats")) => {
                members.only(&["home", "url", "inbox"])?;
                let home = Home::parse(members.text("home")?, policy)
                    .ok()
                    .filter(|home| op_text(op, "home") == Some(&home.to_string()));
                let home = home.ok_or(ChainError::BadEvent { member: "home" })?;
                let url = members.url("url", nats_schemes(policy))?;
                if members.text("inbox")? != subject::inbox(primary) {
                    return Err(ChainError::BadEvent { member: "inbox" });
                }
                Ok(Self::AddNatsEndpoint { home, url })
            }
            ("add_endpoint", Some("iroh")) => {
                members.only(&["node_id", "install", "relay_url"])?;
                if members.text("node_id")? != primary.to_hex() {
                    return Err(ChainError::BadEvent { member: "node_id" });
                }
                let relay_url = members.optional("relay_url", |members, name| members.url(name, &["https"]))?;
                Ok(Self::AddIrohEndpoint { install: members.text("install")?.parse()?, relay_url })
            }
            ("remove_endpoint", Some("nats")) => {
                members.only(&["url"])?;
                Ok(Self::RemoveNatsEndpoint { url: members.url("url", nats_schemes(policy))? })
            }
            ("remove_endpoint", Some("iroh")) => {
                members.only(&["install"])?;
                Ok(Self::RemoveIrohEndpoint { install: members.text("install")?.parse()? })
            }
            ("set_handle", _) => {
                members.only(&["handle"])?;
                let handle = members.nullable("handle", |text| Handle::from_qualified(text, policy).ok())?;
                Ok(Self::SetHandle(handle))
            }
            ("set_shared_files", _) => {
                members.only(&["manifest", "version"])?;
                let manifest = members.nullable("manifest", hex)?;
                Ok(Self::SetSharedFiles { manifest, version: members.integer("version")? })
            }
            ("add_claim", _) => {
                members.only(&["claim", "at", "sig"])?;
                let at = members.optional("at", |members, name| members.url(name, &["https"]))?;
                let sig = members.optional("sig", |members, name| {
                    Signature::from_base64(members.text(name)?).map_err(|_| ChainError::BadEvent { member: name })
                })?;
                Ok(Self::AddClaim { claim: members.claim()?, at, sig })
            }
            ("remove_claim", _) => {
                members.only(&["claim"])?;
                Ok(Self::RemoveClaim { claim: members.claim()? })
            }
            ("retire", _) => {
                members.only(&[])?;
                Ok(Self::Retire)
            }
            _ => Ok(Self::unknown(op)),
        }
    }

    /// Takes an operation that this version does not read.
    pub(super) fn unknown(op: &Object<'_>) -> Self {
        Self::Unknown {
            kind: op_text(op, "type").unwrap_or_default().to_owned(),
            ignorable: op.get("ignorable") == Some(&Value::Bool(true)),
        }
    }

    /// Writes the `op` object of an event of `primary`.
    pub(super) fn to_object(&self, primary: &PrimaryKey) -> Object<'_> {
        let written = |text: String| Some(Value::from(text));
        let members: Vec<(&'static str, Option<Value<'_>>)> = match self {
            Self::AddNatsEndpoint { home, url } => vec![
                ("type", Some("add_endpoint".into())),
                ("protocol", Some("nats".into())),
                ("home", written(home.to_string())),
                ("url", Some(url.as_str().into())),
                ("inbox", written(subject::inbox(primary))),
            ],
            Self::AddIrohEndpoint { install, relay_url } => vec![
                ("type", Some("add_endpoint".into())),
                ("protocol", Some("iroh".into())),
                ("node_id", written(primary.to_hex())),
                ("install", written(install.to_string())),
                ("relay_url", relay_url.as_deref().map(Value::from)),
            ],
            Self::RemoveNatsEndpoint { url } => vec![
                ("type", Some("remove_endpoint".into())),
                ("protocol", Some("nats".into())),
                ("url", Some(url.as_str().into())),
            ],
            Self::RemoveIrohEndpoint { install } => vec![
                ("type", Some("remove_endpoint".into())),
                ("protocol", Some("iroh".into())),
                ("install", written(install.to_string())),
            ],
            Self::SetHandle(handle) => {
                let handle = handle.as_ref().map_or(Value::Null, |handle| handle.to_string().into());
                vec![("type", Some("set_handle".into())), ("handle", Some(handle))]
            }
            Self::SetSharedFiles { manifest, version } => vec![
                ("type", Some("set_shared_files".into())),
                ("manifest", Some(manifest.map_or(Value::Null, |hash| HEXLOWER.encode(&hash).into()))),
                ("version", Some(Value::Integer(*version))),
            ],
            Self::AddClaim { claim, at, sig } => vec![
                ("type", Some("add_claim".into())),
                ("claim", Some(claim.as_str().into())),
                ("at", at.as_deref().map(Value::from)),
                ("sig", sig.and_then(|sig| written(sig.to_base64()))),
            ],
            Self::RemoveClaim { claim } => {
                vec![("type", Some("remove_claim".into())), ("claim", Some(claim.as_str().into()))]
            }
            Self::Retire => vec![("type", Some("retire".into()))],
            Self::Unknown { kind, ignorable } => {
                vec![("type", Some(kind.as_str().into())), ("ignorable", ignorable.then_some(Value::Bool(true)))]
            }
        };
        members.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
    }
}

/// Reads the members of an `op`, naming the one at fault.
struct Members<'a>(&'a Object<'a>);

impl<'a> Members<'a> {
    fn new(op: &'a Object<'a>) -> Self {
        Self(op)
    }

    /// Refuses members besides `type`, `protocol` where the operation has one, and `names`.
    fn only(&self, names: &[&str]) -> Result<(), ChainError> {
        let endpoint = op_text(self.0, "type").is_some_and(|kind| kind.ends_with("_endpoint"));
        let known = |name: &str| name == "type" || (endpoint && name == "protocol") || names.contains(&name);
        self.0.keys().find(|name| !known(name)).map_or(Ok(()), |name| Err(ChainError::UnknownMember(name.to_string())))
    }

    fn text(&self, member: &'static str) -> Result<&'a str, ChainError> {
        op_text(self.0, member).ok_or(ChainError::BadEvent { member })
    }

    fn integer(&self, member: &'static str) -> Result<u64, ChainError> {
        match self.0.get(member) {
            Some(Value::Integer(value)) => Ok(*value),
            _ => Err(ChainError::BadEvent { member }),
        }
    }

    fn url(&self, member: &'static str, schemes: &[&str]) -> Result<String, ChainError> {
        let url = self.text(member)?;
        let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)?.strip_prefix("://"));
        let sound = rest.is_some_and(|rest| !rest.is_empty())
            && url.len() <= MAX_URL_CHARS
            && url.bytes().all(|byte| byte.is_ascii_graphic());
        if sound { Ok(url.to_owned()) } else { Err(ChainError::BadEvent { member }) }
    }

    fn claim(&self) -> Result<ClaimText, ChainError> {
        self.text("claim")?.parse().map_err(|_| ChainError::BadEvent { member: "claim" })
    }

    fn optional<T>(
        &self,
        member: &'static str,
        read: impl FnOnce(&Self, &'static str) -> Result<T, ChainError>,
    ) -> Result<Option<T>, ChainError> {
        if self.0.contains_key(member) { read(self, member).map(Some) } else { Ok(None) }
    }

    fn nullable<T>(&self, member: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, ChainError> {
        match self.0.get(member) {
            Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => read(text).map(Some).ok_or(ChainError::BadEvent { member }),
            _ => Err(ChainError::BadEvent { member }),
        }
    }
}

fn op_text<'a>(op: &'a Object<'_>, member: &str) -> Option<&'a str> {
    match op.get(member) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn nats_schemes(policy: Policy) -> &'static [&'static str] {
    match policy {
        Policy::Production => &["tls", "wss"],
        Policy::Development => &["tls", "wss", "nats", "ws"],
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
