//! The `ts` of an event: a hint for display, checked for its shape only.

use std::{fmt, str::FromStr};

use time::OffsetDateTime;

use super::ChainError;

/// A moment in UTC to the second, written `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(String);

impl Timestamp {
    /// Writes a moment given in milliseconds since 1970; a moment after the year 9999 becomes its last second.
    #[must_use]
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
        match OffsetDateTime::from_unix_timestamp(seconds) {
            Ok(at) => Self(format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                at.year(),
                u8::from(at.month()),
                at.day(),
                at.hour(),
                at.minute(),
                at.second()
            )),
            Err(_) => Self("9999-12-31T23:59:59Z".to_owned()),
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl FromStr for Timestamp {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        const SHAPE: &[u8; 20] = b"0000-00-00T00:00:00Z";
        let fits = text.len() == SHAPE.len()
            && text.bytes().zip(SHAPE).all(|(byte, &shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(ChainError::BadEvent { member: "ts" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape() {
        assert_eq!(Timestamp::from_unix_ms(1_795_396_313_999).as_str(), "2026-11-23T01:11:53Z");
        assert_eq!(Timestamp::from_unix_ms(u64::MAX).as_str(), "9999-12-31T23:59:59Z");
        assert!("2026-99-99T99:99:99Z".parse::<Timestamp>().is_ok());
        for bad in
            ["2026-11-23T01:11:53", "2026-11-23 01:11:53Z", "2026-11-23T01:11:53.0Z", "2026-11-23T01:11:5３Z", ""]
        {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
