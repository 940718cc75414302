//! Where a home server is dialled.

use kez_core::handle::{HandleError, Home, Policy};
use thiserror::Error;

/// Says why an address is no home server's.
///
/// ```
/// use kez_chat_sdk::{HomeUrl, HomeUrlError};
///
/// let error = HomeUrl::parse("https://kez.lat/path").unwrap_err();
/// assert!(matches!(error, HomeUrlError::NotAHome(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HomeUrlError {
    /// It names no home.
    #[error(transparent)]
    BadHome(#[from] HandleError),
    /// It is plain HTTP to another machine.
    #[error("{0} is not encrypted: use https:// (plain http is only for localhost)")]
    NotEncrypted(String),
    /// It says more than a scheme and a host.
    #[error("{0} has a path or another scheme: a home server is https://HOST, or http://localhost:PORT")]
    NotAHome(String),
}

/// The base URL of a home server: `https://HOST`, or `http://localhost[:PORT]`.
///
/// ```
/// use kez_chat_sdk::HomeUrl;
///
/// assert_eq!(HomeUrl::parse("kez.lat")?.base(), "https://kez.lat");
/// assert!(HomeUrl::parse("http://kez.lat").is_err(), "plain HTTP is for one's own machine");
/// # Ok::<(), kez_chat_sdk::HomeUrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeUrl {
    home: Home,
}

impl HomeUrl {
    /// Reads `https://kez.lat`, `kez.lat` or `http://localhost:8080`.
    ///
    /// # Errors
    /// [`HomeUrlError`].
    pub fn parse(text: &str) -> Result<Self, HomeUrlError> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let (scheme, host) = trimmed.split_once("://").unwrap_or(("", trimmed));
        if host.contains('/') || !matches!(scheme, "" | "http" | "https") {
            return Err(HomeUrlError::NotAHome(text.to_owned()));
        }
        let home = Home::parse(host, Policy::Production)?;
        match scheme {
            "http" if !home.is_localhost() => Err(HomeUrlError::NotEncrypted(text.to_owned())),
            "https" if home.is_localhost() => Err(HomeUrlError::NotAHome(text.to_owned())),
            _ => Ok(Self { home }),
        }
    }

    /// Returns where a home is dialled: its name says it.
    #[must_use]
    pub fn of(home: Home) -> Self {
        Self { home }
    }

    /// Returns the home that is found there.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Returns the base URL, without a slash at its end.
    #[must_use]
    pub fn base(&self) -> String {
        let scheme = if self.home.is_localhost() { "http" } else { "https" };
        format!("{scheme}://{}", self.home)
    }

    /// Returns the rules that hold with this home: relaxed ones on a developer's own machine only.
    pub(crate) fn policy(&self) -> Policy {
        if self.home.is_localhost() { Policy::Development } else { Policy::Production }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_only_for_localhost() {
        for (text, base) in [
            ("kez.lat", "https://kez.lat"),
            ("https://kez.lat/", "https://kez.lat"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("localhost:8080", "http://localhost:8080"),
        ] {
            assert_eq!(HomeUrl::parse(text).unwrap().base(), base);
        }
        for bad in [
            "http://kez.lat",
            "http://127.0.0.1:8080",
            "https://kez.lat/path",
            "ftp://kez.lat",
            "https://user@kez.lat",
            "",
            "https://localhost.evil.example:1",
            "https://localhost",
        ] {
            assert!(HomeUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
