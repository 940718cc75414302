//! Reading a chain from a sigchain server, page by page.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use thiserror::Error;

use super::{Chain, ChainError, Event, ForkProof, MAX_EVENT_CHARS, MAX_WALK_BYTES};

/// For how many events at most room is made at once.
const MAX_RESERVED_EVENTS: usize = 16_384;
/// How many events a thread parses at a time: few enough that a chain that breaks off early costs little, and so many that
/// handing them over does not show.
const EVENTS_A_PART: usize = 64;

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
#[error("the walk stopped before the chain's end")]
pub struct Stopped {
    /// What is wrong.
    #[source]
    pub error: ChainError,
    /// The event that was refused. There is none for a rollback, for a walk that read its fill, and for what is too long to
    /// be an event.
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
    /// the server's chain ends before it, [`ChainError::WalkTooLong`] above 64 MiB.
    pub fn take<S: AsRef<str> + Sync>(&mut self, events: &[S], server_seq: u64) -> Result<Progress, Stopped> {
        if events.is_empty() {
            let error = ChainError::Rollback { pinned: self.pin, found: server_seq };
            return match (self.chain.tip().seq(), server_seq) {
                _ if server_seq < self.pin => Err(self.stopped(error, None)),
                // Nobody has written on this chain yet.
                (0, 0) => Ok(Progress::Done),
                _ => Ok(Progress::Stalled),
            };
        }
        // Cut before anything is checked: a page may be as long as its server likes.
        let affordable = events.iter().take_while(|jws| self.afford(jws.as_ref())).count();
        let (events, beyond) = events.split_at(affordable);
        let (primary, policy) = (*self.chain.primary(), self.chain.policy());
        // For no more than a sound page brings, whatever a hostile one looks like.
        self.chain.reserve(events.len().min(MAX_RESERVED_EVENTS));
        let parse = |jws: &S| Event::parse(jws.as_ref(), &primary, policy);
        for_each_parsed(events, parse, |jws, event| {
            self.step(event).map_err(|error| self.stopped(error, Some(jws.as_ref())))
        })?;
        if !beyond.is_empty() {
            return Err(self.stopped(ChainError::WalkTooLong, None));
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

    fn stopped(&self, error: ChainError, refused: Option<&str>) -> Stopped {
        let refused = refused.filter(|jws| jws.len() <= MAX_EVENT_CHARS);
        let known = match error {
            ChainError::Fork { seq } => self.chain.at(seq),
            _ => None,
        };
        let fork = known.zip(refused).and_then(|(known, jws)| ForkProof::check(known.jws(), jws).ok());
        Stopped { error, refused: refused.map(str::to_owned), fork: fork.map(Box::new) }
    }
}

/// Parses events on all processors, which is nearly all of a walk's work, and has `take` go through them in their order,
/// up to the first that it refuses.
fn for_each_parsed<S: Sync, T: Send, E>(
    events: &[S],
    parse: impl Fn(&S) -> T + Sync,
    mut take: impl FnMut(&S, T) -> Result<(), E>,
) -> Result<(), E> {
    let parts: Vec<&[S]> = events.chunks(EVENTS_A_PART).collect();
    let next = AtomicUsize::new(0);
    // Whoever has time parses the next part that nobody has begun.
    let parse_next = || -> Option<(usize, Vec<T>)> {
        let at = next.fetch_add(1, Ordering::Relaxed);
        Some((at, parts.get(at)?.iter().map(&parse).collect()))
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(parts.len());
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 1..threads {
            let (send, parse_next) = (send.clone(), &parse_next);
            let work = move || while parse_next().is_some_and(|parsed| send.send(parsed).is_ok()) {};
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break; // It takes longer, that is all.
            }
        }
        drop(send);
        // Gone with this closure, whatever ends it, so that nobody parses what is not wanted any more.
        let receive = receive;
        let mut waiting = BTreeMap::new();
        for (at, part) in parts.iter().enumerate() {
            let parsed = loop {
                waiting.extend(receive.try_iter());
                if let Some(parsed) = waiting.remove(&at) {
                    break parsed;
                }
                match parse_next().or_else(|| receive.recv().ok()) {
                    Some((at, parsed)) => drop(waiting.insert(at, parsed)),
                    // Only a thread that panicked leaves its part undone; the scope passes that on.
                    None => return Ok(()),
                }
            };
            part.iter().zip(parsed).try_for_each(|(event, parsed)| take(event, parsed))?;
        }
        Ok(())
    })
}
