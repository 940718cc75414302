//! Handles and the homes that they name (`docs/PROTOCOL.md` §2).

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::error::Code;

/// Names that no home gives away: they would let their holder speak for the home or its operator.
///
/// The list is part of the protocol (§2); an operator may reserve more.
pub const RESERVED_NAMES: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "api",
    "billing",
    "bot",
    "channel",
    "everyone",
    "help",
    "here",
    "home",
    "hostmaster",
    "info",
    "kez",
    "kez-chat",
    "mail",
    "me",
    "mod",
    "moderator",
    "nats",
    "no-reply",
    "nobody",
    "noreply",
    "null",
    "official",
    "operator",
    "postmaster",
    "root",
    "security",
    "server",
    "sig",
    "staff",
    "support",
    "system",
    "undefined",
    "unknown",
    "webmaster",
    "www",
    "you",
];

/// Says whether the rules for the open network hold, or the relaxed ones of a developer's own machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Encrypted transports only, public addresses only, ports only after `localhost`.
    #[default]
    Production,
    /// Also plain `http`, `ws` and `nats`, loopback and private targets, and ports after any home.
    Development,
}

/// Says why a handle or a home was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandleError {
    /// The part before the `@` is not a name.
    #[error("{0:?} is no name: use 2 to 32 of a-z 0-9 _ -, beginning and ending with a letter or digit")]
    BadName(String),
    /// The part after the `@` is not a home.
    #[error("{0:?} is no home: use a domain name such as kez.lat (a port only after localhost)")]
    BadHome(String),
    /// The handle names no home and none was given to complete it.
    #[error("{0:?} does not say which home it belongs to: write name@home")]
    NoHome(String),
    /// The name is one of [`RESERVED_NAMES`].
    #[error("{0:?} is reserved at every home; choose another name")]
    Reserved(String),
}

impl HandleError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadName(_) | Self::BadHome(_) | Self::NoHome(_) => Code::BadHandle,
            Self::Reserved(_) => Code::ReservedHandle,
        }
    }
}

/// The host that keeps a handle: DNS labels in lower case, with a port where the rules allow one.
///
/// ```
/// use kez_core::handle::{Home, Policy};
///
/// assert_eq!(Home::parse("KEZ.lat", Policy::Production)?.to_string(), "kez.lat");
/// assert!(Home::parse("10.0.0.1", Policy::Production).is_err());
/// # Ok::<(), kez_core::handle::HandleError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Home {
    host: String,
    port: Option<u16>,
}

impl Home {
    /// Reads a home as a person types it; ASCII upper case becomes lower case.
    ///
    /// # Errors
    /// [`HandleError::BadHome`] if it is no domain name, is an IP address, or has a port that `policy` refuses.
    pub fn parse(input: &str, policy: Policy) -> Result<Self, HandleError> {
        let text = input.to_ascii_lowercase();
        let bad = || HandleError::BadHome(input.to_owned());
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port).ok_or_else(bad)?)),
            None => (text.as_str(), None),
        };
        let sound = is_domain(host) && (port.is_none() || host == "localhost" || policy == Policy::Development);
        if sound { Ok(Self { host: host.to_owned(), port }) } else { Err(bad()) }
    }

    /// Returns the host without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, if the home names one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Tells whether the home is this very machine, where plain HTTP is fine.
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        self.host == "localhost"
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Home({self})")
    }
}

/// A person's name at a home, always qualified: `tudisco@kez.lat`.
///
/// ```
/// use kez_core::handle::{Handle, Home, Policy};
///
/// let home = Home::parse("kez.lat", Policy::Production)?;
/// let handle = Handle::parse("@Tudisco", Some(&home), Policy::Production)?;
/// assert_eq!(handle.to_string(), "tudisco@kez.lat");
/// assert_eq!(handle.display_for(&home), "@tudisco");
/// # Ok::<(), kez_core::handle::HandleError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    name: String,
    home: Home,
}

impl Handle {
    /// Reads a handle as a person types it: `@name`, `name`, `name@home` or `@name@home`.
    ///
    /// # Errors
    /// [`HandleError`] if a part does not have its form, or no home is named and none is given.
    pub fn parse(input: &str, default_home: Option<&Home>, policy: Policy) -> Result<Self, HandleError> {
        let text = input.strip_prefix('@').unwrap_or(input);
        let (name, home) = match text.split_once('@') {
            Some((name, home)) => (name, Home::parse(home, policy)?),
            None => (text, default_home.cloned().ok_or_else(|| HandleError::NoHome(input.to_owned()))?),
        };
        let name = name.to_ascii_lowercase();
        if is_name(&name) { Ok(Self { name, home }) } else { Err(HandleError::BadName(name)) }
    }

    /// Reads the stored form, `name@home`, and no other spelling of it.
    ///
    /// # Errors
    /// [`HandleError`] if the text is not exactly what `Display` writes.
    pub fn from_qualified(text: &str, policy: Policy) -> Result<Self, HandleError> {
        let handle = Self::parse(text, None, policy)?;
        if handle.to_string() == text { Ok(handle) } else { Err(HandleError::BadName(text.to_owned())) }
    }

    /// Returns the part before the `@`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the home.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Writes the handle for a reader: bare (`@name`) when the home is the reader's own, else `@name@home`.
    #[must_use]
    pub fn display_for(&self, own: &Home) -> String {
        if self.home == *own { format!("@{}", self.name) } else { format!("@{self}") }
    }

    /// Checks that a home may give the handle away. A reserved one is well formed all the same: chains and payloads
    /// that carry it are valid.
    ///
    /// # Errors
    /// [`HandleError::Reserved`] if the name is one of [`RESERVED_NAMES`].
    pub fn check_free(&self) -> Result<(), HandleError> {
        if RESERVED_NAMES.contains(&self.name.as_str()) {
            Err(HandleError::Reserved(self.name.clone()))
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.home)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

fn is_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    (2..=32).contains(&bytes.len())
        && bytes.iter().all(|&byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        && edge(bytes.first())
        && edge(bytes.last())
}

/// Tells whether a lower-case text is a domain name that can't be taken for an IP address.
fn is_domain(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let all_digits = last.bytes().all(|byte| byte.is_ascii_digit());
    let hex_number = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    host.len() <= 253 && host.split('.').all(is_label) && !all_digits && !hex_number
}

fn parse_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if plain { u16::from_str(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(text: &str) -> Result<Home, HandleError> {
        Home::parse(text, Policy::Production)
    }

    #[test]
    fn every_spelling_is_stored_as_one() {
        let own = home("kez.lat").unwrap();
        for input in ["@Tudisco", "tudisco", "tudisco@kez.lat", "@TUDISCO@KEZ.lat"] {
            let handle = Handle::parse(input, Some(&own), Policy::Production).unwrap();
            assert_eq!(handle.to_string(), "tudisco@kez.lat");
        }
        assert!(Handle::parse("tudisco", None, Policy::Production).is_err());
    }

    #[test]
    fn the_stored_form_is_the_only_one_on_the_wire() {
        assert!(Handle::from_qualified("al@kez.lat", Policy::Production).is_ok());
        for text in ["@al@kez.lat", "Al@kez.lat", "al", "al@", "@kez.lat", "al@kez@lat", "al@kez.lat.", ""] {
            assert!(Handle::from_qualified(text, Policy::Production).is_err(), "{text}");
        }
    }

    #[test]
    fn look_alikes_and_odd_names_are_refused() {
        let own = home("kez.lat").unwrap();
        let long = "a".repeat(33);
        for name in
            ["a", "-ab", "ab-", "_ab", "ab_", "a b", "аlice", "alice\u{200b}", "al.ice", "ſam", "K\u{212a}", &long]
        {
            assert!(Handle::parse(name, Some(&own), Policy::Production).is_err(), "{name:?}");
        }
        assert!(Handle::parse(&"a".repeat(32), Some(&own), Policy::Production).is_ok());
    }

    #[test]
    fn homes_are_domains_and_never_addresses() {
        for good in ["kez.lat", "localhost", "localhost:8080", "a-b.example", "1.2.3.example", "xn--bcher-kva.example"]
        {
            assert_eq!(home(good).unwrap().to_string(), good);
        }
        let long = format!("{}.{}", "a".repeat(63), "b.".repeat(95) + "c");
        assert!(long.len() > 253);
        for bad in [
            "",
            ".",
            "kez..lat",
            "kez.lat.",
            "-kez.lat",
            "kez-.lat",
            "10.0.0.1",
            "1.0x7f",
            "0x7f",
            "0x",
            "kez_lat.io",
            "kez.lat:80",
            "localhost:0",
            "localhost:080",
            "localhost:65536",
            "localhost:",
            "[::1]",
            "::1",
            "bücher.example",
            &long,
        ] {
            assert!(home(bad).is_err(), "{bad}");
        }
        assert!(Home::parse("kez.lat:80", Policy::Development).is_ok());
    }

    #[test]
    fn reserved_names_are_names_in_order() {
        assert!(RESERVED_NAMES.iter().all(|name| is_name(name)));
        assert!(RESERVED_NAMES.is_sorted());
    }

    #[test]
    fn reserved_names_are_not_given_away() {
        let free = |text: &str| {
            let handle = Handle::parse(text, None, Policy::Production).unwrap();
            handle.check_free().map_err(|error| error.code())
        };
        for name in RESERVED_NAMES {
            assert_eq!(free(&format!("{name}@kez.lat")), Err(Code::ReservedHandle), "{name}");
        }
        assert_eq!(free("Admin@any.example"), Err(Code::ReservedHandle), "at every home, in any case");
        for name in ["alice", "admin1", "kez-chat2", "administrato"] {
            assert_eq!(free(&format!("{name}@kez.lat")), Ok(()), "{name}");
        }
    }
}
