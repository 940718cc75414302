//! Safety numbers: what two people compare to know that nobody stands between them (`docs/PROTOCOL.md` §11).

use std::fmt;

use sha2::{Digest, Sha512};

use crate::identity::PrimaryKey;

const GROUPS: usize = 12;

/// Sixty digits that are the same for both of two people, and for no other pair.
///
/// ```
/// use kez_core::{identity::SecretKey, safety::SafetyNumber};
///
/// let (alice, bob) = (SecretKey::from_seed([1; 32]).primary(), SecretKey::from_seed([2; 32]).primary());
/// let number = SafetyNumber::of(&alice, &bob);
/// assert_eq!(number, SafetyNumber::of(&bob, &alice));
/// assert_eq!(number.to_string().split(' ').count(), 12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafetyNumber([u32; GROUPS]);

impl SafetyNumber {
    /// Computes the number of two keys, in either order.
    #[must_use]
    pub fn of(one: &PrimaryKey, other: &PrimaryKey) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        let hash = Sha512::new()
            .chain_update(b"kez/safety/1\0")
            .chain_update(low.as_bytes())
            .chain_update(high.as_bytes())
            .finalize();
        let mut groups = [0; GROUPS];
        for (group, five) in groups.iter_mut().zip(hash.chunks_exact(5)) {
            // Forty bits, big-endian, as five digits.
            let number = five.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
            *group = (number % 100_000) as u32;
        }
        Self(groups)
    }

    /// Returns the twelve groups, each below 100,000.
    #[must_use]
    pub fn groups(&self) -> [u32; GROUPS] {
        self.0
    }
}

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(f, "{blank}{group:05}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;

    #[test]
    fn the_pair_decides_the_number() {
        let key = |byte| SecretKey::from_seed([byte; 32]).primary();
        let number = SafetyNumber::of(&key(1), &key(2));
        assert_ne!(number, SafetyNumber::of(&key(1), &key(3)));
        let text = number.to_string();
        assert_eq!(text.len(), 12 * 5 + 11);
        assert!(text.split(' ').all(|group| group.len() == 5 && group.bytes().all(|byte| byte.is_ascii_digit())));
    }
}
