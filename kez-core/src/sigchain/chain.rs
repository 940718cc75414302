//! A chain, event by event.

use super::{ChainError, Event, MAX_CHAIN_EVENTS, Op, Pin, State, Timestamp, Tip, Walk};
use crate::{
    handle::Policy,
    identity::{PrimaryKey, SecretKey},
};

/// A person's chain as far as it was walked.
///
/// [`Chain::walk`] reads it from a sigchain server's pages, [`Chain::pin`] keeps where it ended, and [`Chain::resume`]
/// goes on from there without walking again.
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
    /// The walked events from the pin on, the last one at the tip.
    events: Vec<Event>,
}

impl Chain {
    /// Takes a person's chain before its first event.
    #[must_use]
    pub fn new(primary: PrimaryKey, policy: Policy) -> Self {
        Self { primary, policy, tip: Tip::empty(), state: State::default(), events: Vec::new() }
    }

    /// Goes on from where an earlier walk ended.
    #[must_use]
    pub fn resume(pin: Pin) -> Self {
        let Pin { event, state, policy } = pin;
        let shared_version = state.shared_files().map(|shared| shared.version);
        let tip = Tip::from_parts(event.seq(), Some(event.head()), state.is_retired(), shared_version);
        Self { primary: *event.primary(), policy, tip, state, events: vec![event] }
    }

    /// Returns what is kept of the walk so far; `None` if there was no event yet.
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        let event = self.events.last()?.clone();
        Some(Pin { event, state: self.state.clone(), policy: self.policy })
    }

    /// Begins to read on from a sigchain server, from the chain's last event or its start.
    pub fn walk(&mut self) -> Walk<'_> {
        Walk::new(self)
    }

    /// Walks one event further. On an error the chain is what it was before.
    ///
    /// # Errors
    /// [`ChainError`], the first failed check of §13's order; [`ChainError::Fork`] for a second event at a place
    /// that was walked already, [`ChainError::UnknownOp`] for an operation that may not be stepped over.
    pub fn push(&mut self, jws: &str) -> Result<&Event, ChainError> {
        self.push_parsed(Event::parse(jws, &self.primary, self.policy)?)
    }

    pub(super) fn push_parsed(&mut self, event: Event) -> Result<&Event, ChainError> {
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
    /// [`ChainError::WrongPrimary`] with another's key; otherwise the check that readers' walks would fail at, also of an
    /// operation that they would not know or would take for another one.
    pub fn sign_next(&mut self, key: &SecretKey, op: Op, ts: &Timestamp) -> Result<&Event, ChainError> {
        if key.primary() != self.primary {
            return Err(ChainError::WrongPrimary);
        }
        if self.tip.seq() == MAX_CHAIN_EVENTS {
            return Err(ChainError::TooLong);
        }
        let signed = Event::sign(key, self.tip.seq() + 1, self.tip.head(), ts, op);
        // An operation built by hand may hold what no reader would take: read it back as they will.
        let event = Event::parse(signed.jws(), &self.primary, self.policy)?;
        if event.op().is_ok() && event.op() != signed.op() {
            return Err(ChainError::BadEvent { member: "type" });
        }
        self.push_parsed(event)
    }

    fn append(&mut self, event: Event, tip: Tip) -> &Event {
        if let Ok(op) = event.op() {
            self.state.apply(op);
        }
        self.tip = tip;
        self.events.push(event);
        &self.events[self.events.len() - 1]
    }

    /// Makes room for so many more events.
    pub(super) fn reserve(&mut self, events: usize) {
        self.events.reserve(events);
    }

    pub(super) fn policy(&self) -> Policy {
        self.policy
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

    /// Returns the walked events, oldest first: all from the first one on, or from the pin on in a resumed chain.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the walked event at a place counted from 1; `None` before the pin of a resumed chain.
    #[must_use]
    pub fn at(&self, seq: u64) -> Option<&Event> {
        let first = self.events.first()?.seq();
        self.events.get(usize::try_from(seq.checked_sub(first)?).ok()?)
    }
}
