//! Walking from event to event.

use super::{ChainError, Event, Head, MAX_CHAIN_EVENTS, Op, State, Timestamp};
use crate::{
    handle::Policy,
    identity::{PrimaryKey, SecretKey},
};

/// What must be known of a chain to judge its next event. Small enough for a row of a server's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tip {
    seq: u64,
    head: Option<Head>,
    retired: bool,
    shared_version: Option<u64>,
}

impl Tip {
    /// Returns the tip of a chain without events.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Puts a stored tip together again.
    #[must_use]
    pub fn from_parts(seq: u64, head: Option<Head>, retired: bool, shared_version: Option<u64>) -> Self {
        Self { seq, head, retired, shared_version }
    }

    /// Returns the last event's place; 0 for an empty chain.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the last event's name.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Tells whether the chain ended with a `retire`.
    #[must_use]
    pub fn retired(&self) -> bool {
        self.retired
    }

    /// Returns the highest `version` of a `set_shared_files` so far.
    #[must_use]
    pub fn shared_version(&self) -> Option<u64> {
        self.shared_version
    }

    /// Checks that an event follows, and returns the tip after it. A well-formed unknown operation follows too:
    /// whether a reader may step over it is the reader's question.
    ///
    /// # Errors
    /// [`ChainError`]: `Gap`, `WrongPrev`, `Retired`, then whatever is wrong with the operation.
    pub fn check_next(&self, event: &Event) -> Result<Self, ChainError> {
        let expected = self.seq + 1;
        if event.seq() != expected {
            return Err(ChainError::Gap { expected, found: event.seq() });
        }
        if event.prev() != self.head {
            return Err(ChainError::WrongPrev { seq: event.seq(), head: self.head });
        }
        if self.retired {
            return Err(ChainError::Retired);
        }
        let op = event.op().map_err(Clone::clone)?;
        let mut next = Self { seq: event.seq(), head: Some(event.head()), ..self.clone() };
        match op {
            Op::SetSharedFiles { version, .. } => {
                if self.shared_version.is_some_and(|before| *version <= before) {
                    return Err(ChainError::BadEvent { member: "version" });
                }
                next.shared_version = Some(*version);
            }
            Op::Retire => next.retired = true,
            _ => {}
        }
        Ok(next)
    }
}

/// A person's chain as far as it was walked.
///
/// ```
/// use kez_core::{
///     handle::{Handle, Policy},
///     identity::SecretKey,
///     sigchain::{Chain, Op, Timestamp},
/// };
///
/// let key = SecretKey::from_seed([7; 32]);
/// let mut own = Chain::new(key.primary(), Policy::Production);
/// let handle = Handle::from_qualified("al@kez.lat", Policy::Production)?;
/// let event = own.sign_next(&key, Op::SetHandle(Some(handle.clone())), &Timestamp::from_unix_ms(0))?;
///
/// let mut seen = Chain::new(key.primary(), Policy::Production);
/// seen.push(event.jws())?;
/// assert_eq!(seen.state().handle(), Some(&handle));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chain {
    primary: PrimaryKey,
    policy: Policy,
    tip: Tip,
    state: State,
    events: Vec<Event>,
}

impl Chain {
    /// Begins a walk at the start of a person's chain.
    #[must_use]
    pub fn new(primary: PrimaryKey, policy: Policy) -> Self {
        Self { primary, policy, tip: Tip::empty(), state: State::default(), events: Vec::new() }
    }

    /// Walks one event further. On an error the chain is what it was before.
    ///
    /// # Errors
    /// [`ChainError`], the first failed check of §13's order; [`ChainError::Fork`] for a second event at a place
    /// that was walked already, [`ChainError::UnknownOp`] for an operation that may not be stepped over.
    pub fn push(&mut self, jws: &str) -> Result<&Event, ChainError> {
        let event = Event::parse(jws, &self.primary, self.policy)?;
        if self.at(event.seq()).is_some_and(|walked| walked.head() != event.head()) {
            return Err(ChainError::Fork { seq: event.seq() });
        }
        let tip = self.tip.check_next(&event)?;
        match event.op() {
            Ok(Op::Unknown { kind, ignorable: false }) => {
                Err(ChainError::UnknownOp { seq: event.seq(), kind: kind.clone() })
            }
            _ => Ok(self.append(event, tip)),
        }
    }

    /// Signs the next event of one's own chain and walks to it.
    ///
    /// Store it before it is sent: two events at one place are a fork that no one can undo (§4).
    ///
    /// # Errors
    /// [`ChainError::WrongPrimary`] with another's key; otherwise the check that the new event would fail.
    pub fn sign_next(&mut self, key: &SecretKey, op: Op, ts: &Timestamp) -> Result<&Event, ChainError> {
        if key.primary() != self.primary {
            return Err(ChainError::WrongPrimary);
        }
        if self.tip.seq == MAX_CHAIN_EVENTS {
            return Err(ChainError::TooLong);
        }
        let event = Event::sign(key, self.tip.seq + 1, self.tip.head, ts, op);
        // An operation built by hand may hold what no reader would take: read it back as they will.
        let event = Event::parse(event.jws(), &self.primary, self.policy)?;
        let tip = self.tip.check_next(&event)?;
        Ok(self.append(event, tip))
    }

    fn append(&mut self, event: Event, tip: Tip) -> &Event {
        if let Ok(op) = event.op() {
            self.state.apply(op);
        }
        self.tip = tip;
        self.events.push(event);
        &self.events[self.events.len() - 1]
    }

    /// Returns the chain's owner.
    #[must_use]
    pub fn primary(&self) -> &PrimaryKey {
        &self.primary
    }

    /// Returns what the chain says.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns where the chain ends.
    #[must_use]
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Returns the walked events, oldest first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the walked event at a place counted from 1.
    #[must_use]
    pub fn at(&self, seq: u64) -> Option<&Event> {
        self.events.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }
}
