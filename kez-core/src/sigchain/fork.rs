//! Proofs that a key signed two histories.

use std::{fmt, str::FromStr};

use super::{ChainError, Event};
use crate::{handle::Policy, identity::PrimaryKey};

/// Two sound events of one key that claim the same place: a proof that anybody can check without the chain (§4).
///
/// As text it is the two compact JWS, a line each. Nobody but the key's holder can make one.
///
/// ```
/// use kez_core::{
///     handle::Policy,
///     identity::SecretKey,
///     sigchain::{Chain, ForkProof, Op, Timestamp},
/// };
///
/// let key = SecretKey::from_seed([7; 32]);
/// let (mut one, mut other) =
///     (Chain::new(key.primary(), Policy::Production), Chain::new(key.primary(), Policy::Production));
/// let first = one.sign_next(&key, Op::SetHandle(None), &Timestamp::from_unix_ms(0))?.jws().to_owned();
/// let second = other.sign_next(&key, Op::Retire, &Timestamp::from_unix_ms(0))?.jws().to_owned();
///
/// let proof: ForkProof = format!("{first}\n{second}").parse()?;
/// assert_eq!((proof.primary(), proof.seq()), (&key.primary(), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ForkProof {
    first: Event,
    second: Event,
}

impl ForkProof {
    /// Checks two events, each on its own as a walker does, then against each other. Their operations do not matter.
    ///
    /// # Errors
    /// [`ChainError`]: what is wrong with the first event, then with the second under the first one's key; then
    /// [`ChainError::NoFork`] if they stand at different places or are the same event.
    pub fn check(first: &str, second: &str) -> Result<Self, ChainError> {
        let primary = Event::named_primary(first)?;
        // What an operation may name does not matter, so neither does the policy.
        let parse = |jws| Event::parse(jws, &primary, Policy::Production);
        let (first, second) = (parse(first)?, parse(second)?);
        let forked = first.seq() == second.seq() && first.head() != second.head();
        if forked { Ok(Self { first, second }) } else { Err(ChainError::NoFork) }
    }

    /// Returns the key that signed both.
    #[must_use]
    pub fn primary(&self) -> &PrimaryKey {
        self.first.primary()
    }

    /// Returns the place that both claim.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.first.seq()
    }

    /// Returns both events: the one that was known before, and the one that contradicts it. Their operations were read
    /// under the production policy.
    #[must_use]
    pub fn events(&self) -> [&Event; 2] {
        [&self.first, &self.second]
    }
}

impl fmt::Display for ForkProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.first.jws(), self.second.jws())
    }
}

impl FromStr for ForkProof {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        let (first, second) = text.split_once('\n').ok_or(ChainError::BadJws)?;
        Self::check(first, second)
    }
}
