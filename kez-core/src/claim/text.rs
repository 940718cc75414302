//! The form that every claim has, whatever its scheme.

use std::{fmt, str::FromStr};

use super::ClaimError;

const MAX_SUBJECT_CHARS: usize = 255;

/// A claim's text: a scheme `[a-z][a-z0-9]*`, a colon, and 1 to 255 characters of 21–7E (§4).
///
/// Chains carry any of them, also of schemes that nobody knows yet; [`Claim::parse`](super::Claim::parse) asks
/// whether one makes sense.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimText(String);

impl ClaimText {
    /// Returns the whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Splits at the first colon, into the scheme and what is claimed.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or_default()
    }
}

impl FromStr for ClaimText {
    type Err = ClaimError;

    fn from_str(text: &str) -> Result<Self, ClaimError> {
        let sound = text.split_once(':').is_some_and(|(scheme, subject)| {
            scheme.starts_with(|first: char| first.is_ascii_lowercase())
                && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && (1..=MAX_SUBJECT_CHARS).contains(&subject.len())
                && subject.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let expected = "a scheme, a colon and at most 255 printable characters, as in dns:kez.lat";
        if sound { Ok(Self(text.to_owned())) } else { Err(ClaimError::BadClaim { claim: text.to_owned(), expected }) }
    }
}

impl fmt::Display for ClaimText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClaimText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimText({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn any_scheme_is_a_claim() {
        let long = format!("z:{}", "~".repeat(255));
        for good in ["dns:kez.lat", "a:!", "a0:b:c:d", "later1:Any/Thing~", long.as_str()] {
            let text: ClaimText = good.parse().unwrap();
            assert_eq!(text.to_string(), good);
            assert_eq!(text.parts(), good.split_once(':').unwrap());
        }
    }

    #[test]
    fn what_is_no_claim_is_refused() {
        let long = format!("z:{}", "~".repeat(256));
        for bad in
            ["", ":", "dns", "dns:", ":x", "0a:x", "Dns:x", "d-s:x", "dns:a b", "dns:a\0", "dns:é", "dns:a\n", &long]
        {
            assert_eq!(bad.parse::<ClaimText>().unwrap_err().code(), Code::BadClaim, "{bad:?}");
        }
    }
}
