//! Reading a chain from a sigchain server, page by page.

use std::{num::NonZero, panic, thread};

use thiserror::Error;

use super::{Chain, ChainError, Event, ForkProof, MAX_WALK_BYTES};

/// How many events are checked before the next are looked at, so that a chain that breaks off early costs little.
const BATCH_EVENTS: usize = 2048;
/// Below this many events a second thread costs more than it brings.
const MIN_EVENTS_A_THREAD: usize = 32;

/// Reads a chain on from its last event, or its start: ask the server for what comes after [`Walk::after`], hand its page
/// to [`Walk::take`], and go on until that says [`Progress::Done`].
///
/// The chain holds whatever was sound, also when the walk is given up or stopped.
///
/// ```
/// use kez_core::{
///     handle::Policy,
///     identity::SecretKey,
///     sigchain::{Chain, Op, Progress, Timestamp},
/// };
///
/// let key = SecretKey::from_seed([7; 32]);
/// let mut own = Chain::new(key.primary(), Policy::Production);
/// let event = own.sign_next(&key, Op::SetHandle(None), &Timestamp::from_unix_ms(0))?.jws().to_owned();
///
/// let mut seen = Chain::new(key.primary(), Policy::Production);
/// let mut walk = seen.walk();
/// assert_eq!(walk.after(), 0);
/// assert_eq!(walk.take(&[event], 1)?, Progress::Done);
/// assert_eq!(seen.tip(), own.tip());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Walk<'a> {
    chain: &'a mut Chain,
    /// The place where the walk began, 0 for the start of a chain.
    pin: u64,
    /// Whether the server has yet to show the event at the pin.
    pin_unseen: bool,
    bytes_left: usize,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The server has more: ask on.
    More,
    /// This is the chain's end.
    Done,
    /// The page had nothing where there must have been something: the server counts as out of reach.
    Stalled,
}

/// Says where and why a walk ended before the chain's end. What was sound until there is in the chain.
#[derive(Clone, Debug, Error)]
#[error("{error}")]
pub struct Stopped {
    /// What is wrong.
    #[source]
    pub error: ChainError,
    /// The event that was refused; a rollback has none.
    pub refused: Option<String>,
    /// For a fork, both events.
    pub fork: Option<Box<ForkProof>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(chain: &'a mut Chain) -> Self {
        let pin = chain.tip().seq();
        Self { chain, pin, pin_unseen: pin > 0, bytes_left: MAX_WALK_BYTES }
    }

    /// Returns what the server is asked for: events after this place. At first that brings the pinned event again, so that
    /// a history that was changed or cut is noticed.
    #[must_use]
    pub fn after(&self) -> u64 {
        if self.pin_unseen { self.pin - 1 } else { self.chain.tip().seq() }
    }

    /// Takes a page: its events, and the place where the server's chain ends.
    ///
    /// # Errors
    /// [`Stopped`] with the code of the first event that does not follow: [`ChainError::Fork`] if it contradicts one that
    /// was walked, [`ChainError::Gap`] if the first page does not begin with the pinned event; [`ChainError::Rollback`] if
    /// the server's chain ends before it, [`ChainError::TooLong`] above 64 MiB.
    pub fn take<S: AsRef<str> + Sync>(&mut self, events: &[S], server_seq: u64) -> Result<Progress, Stopped> {
        if events.is_empty() {
            let error = ChainError::Rollback { pinned: self.pin, found: server_seq };
            return match (self.chain.tip().seq(), server_seq) {
                _ if server_seq < self.pin => Err(Stopped { error, refused: None, fork: None }),
                // Nobody has written on this chain yet.
                (0, 0) => Ok(Progress::Done),
                _ => Ok(Progress::Stalled),
            };
        }
        for batch in events.chunks(BATCH_EVENTS) {
            let affordable = batch.iter().take_while(|jws| self.afford(jws.as_ref())).count();
            let (batch, beyond) = batch.split_at(affordable);
            for (event, jws) in parse_all(batch, self.chain).into_iter().zip(batch) {
                self.step(event).map_err(|error| self.stopped(error, jws.as_ref()))?;
            }
            if let Some(jws) = beyond.first() {
                return Err(self.stopped(ChainError::TooLong, jws.as_ref()));
            }
        }
        Ok(if self.chain.tip().seq() < server_seq { Progress::More } else { Progress::Done })
    }

    fn afford(&mut self, jws: &str) -> bool {
        let left = self.bytes_left.checked_sub(jws.len());
        self.bytes_left = left.unwrap_or(0);
        left.is_some()
    }

    fn step(&mut self, event: Result<Event, ChainError>) -> Result<(), ChainError> {
        let event = event?;
        if !self.pin_unseen {
            return self.chain.push_parsed(event).map(drop);
        }
        if event.seq() != self.pin {
            return Err(ChainError::Gap { expected: self.pin, found: event.seq() });
        }
        if self.chain.tip().head() != Some(event.head()) {
            return Err(ChainError::Fork { seq: self.pin });
        }
        self.pin_unseen = false;
        Ok(())
    }

    fn stopped(&self, error: ChainError, jws: &str) -> Stopped {
        let fork = match error {
            ChainError::Fork { seq } => {
                self.chain.at(seq).and_then(|known| ForkProof::check(known.jws(), jws).ok()).map(Box::new)
            }
            _ => None,
        };
        Stopped { error, refused: Some(jws.to_owned()), fork }
    }
}

/// Checks what each event says of itself, on all processors: it is nearly all of a walk's work, and the order does not
/// matter for it.
fn parse_all<S: AsRef<str> + Sync>(events: &[S], chain: &Chain) -> Vec<Result<Event, ChainError>> {
    let parse = |part: &[S]| -> Vec<_> {
        part.iter().map(|jws| Event::parse(jws.as_ref(), chain.primary(), chain.policy())).collect()
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(events.len() / MIN_EVENTS_A_THREAD);
    if threads < 2 {
        return parse(events);
    }
    let (own, others) = events.split_at(events.len().div_ceil(threads));
    thread::scope(|scope| {
        let others: Vec<_> = others
            .chunks(events.len().div_ceil(threads))
            .map(|part| thread::Builder::new().spawn_scoped(scope, move || parse(part)).map_err(|_| part))
            .collect();
        let mut parsed = parse(own);
        for other in others {
            parsed.extend(match other.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(part)) => part,
                Ok(Err(panicked)) => panic::resume_unwind(panicked),
                // No thread could be had: it takes longer, that is all.
                Err(part) => parse(part),
            });
        }
        parsed
    })
}
