//! Routes: a sender's own lane into every inbox, which only they and the chat-server can compute.

use std::fmt;

use data_encoding::HEXLOWER;
use time::{Date, OffsetDateTime};

use crate::{
    identity::{PrimaryKey, SharedSecret},
    kdf::hkdf,
};

/// A day in UTC, by the home's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// Returns the day of a moment given in milliseconds since 1970; moments after the year 9999 share its last.
    #[must_use]
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
        Self(OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date))
    }

    /// Returns the day after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.next_day().unwrap_or(self.0))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), u8::from(self.0.month()), self.0.day())
    }
}

/// The last token of a subject that a sender publishes to: 16 bytes, 32 hex digits, new each day.
///
/// It gives each sender a quota at each inbox without their key in the frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route([u8; 16]);

impl Route {
    /// Takes the 16 bytes of a route that was derived earlier.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Derives the route of `sender` for a day from what they and the home's server key agree on.
    #[must_use]
    pub fn derive(shared: &SharedSecret, day: Day, sender: &PrimaryKey, server: &PrimaryKey) -> Self {
        let day = day.to_string();
        Self(*hkdf(b"kez/route/1", shared.as_bytes(), &[day.as_bytes(), sender.as_bytes(), server.as_bytes()]))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;

    #[test]
    fn sender_and_server_derive_the_same_route_and_nobody_else_does() {
        let (sender, server, other) =
            (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]), SecretKey::from_seed([3; 32]));
        let (a, s) = (sender.primary(), server.primary());
        let day = Day::from_unix_ms(1_795_398_713_000);
        let route = Route::derive(&sender.agree(&s), day, &a, &s);
        assert_eq!(route, Route::derive(&server.agree(&a), day, &a, &s));
        assert_ne!(route, Route::derive(&sender.agree(&s), day.next(), &a, &s));
        assert_ne!(route, Route::derive(&other.agree(&s), day, &a, &s));
        assert_eq!(route.to_string().len(), 32);
    }

    #[test]
    fn days() {
        assert_eq!(Day::from_unix_ms(1_795_398_713_000).to_string(), "2026-11-23");
        assert_eq!(Day::from_unix_ms(0).next().to_string(), "1970-01-02");
        let last = Day::from_unix_ms(u64::MAX);
        assert_eq!(last.next(), last);
    }
}
