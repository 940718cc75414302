//! The least that must be known of a chain to judge its next event.

use super::{ChainError, Event, Head, Op};

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
