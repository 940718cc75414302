//! What the connection and the rest of a client tell each other.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    time::Duration,
};

use kez_core::identity::PrimaryKey;
use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::Instant,
};

use crate::{event::EventId, inbox::Gaps, offline::OfflineCause, sightings::Sightings};

/// Whether the client is connected to its home's broker.
///
/// ```
/// use kez_chat_sdk::ConnectionState;
///
/// assert_eq!(ConnectionState::Online.to_string(), "online");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// A connection is being made.
    Connecting,
    /// Messages flow.
    Online,
    /// There is no connection; what is sent waits.
    Offline {
        /// Why.
        cause: OfflineCause,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The application has [suspended](crate::Client::suspend) the client; what is sent waits.
    Suspended,
    /// A later installation has the account. This one makes no more connections; what it has can be read.
    SignedInElsewhere,
    /// The account has moved to another home. This client makes no more connections: shut it down and open the account
    /// anew.
    Moved,
    /// The person has left for good. No more connections are made; what is here can be read.
    Retired,
    /// The client was shut down.
    Closed,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Online => f.write_str("online"),
            Self::Suspended => f.write_str("suspended"),
            Self::SignedInElsewhere => f.write_str("signed in elsewhere"),
            Self::Moved => f.write_str("moved to another home"),
            Self::Retired => f.write_str("retired"),
            Self::Closed => f.write_str("closed"),
            Self::Offline { cause, retry_in } => {
                write!(f, "offline ({cause}); next try in {} s", retry_in.as_secs().max(1))
            }
        }
    }
}

/// Watches a client's connection. States that follow each other fast may be skipped, the last one never is.
#[derive(Clone, Debug)]
pub struct Connection(watch::Receiver<ConnectionState>);

impl Connection {
    /// Returns the state now.
    #[must_use]
    pub fn current(&self) -> ConnectionState {
        self.0.borrow().clone()
    }

    /// Waits until the state has changed since this watch was made, or since it last told of a change; returns the new
    /// one. `None` once the client is closed and that was told.
    ///
    /// It may be dropped and called again: no change is lost.
    pub async fn changed(&mut self) -> Option<ConnectionState> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }

    /// Waits for a state, which may be the one that it is in now, and returns it. `None` if the client closes before.
    pub async fn until(&mut self, wanted: impl Fn(&ConnectionState) -> bool) -> Option<ConnectionState> {
        self.0.wait_for(wanted).await.ok().map(|state| state.clone())
    }
}

/// What the application wants of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    suspended: bool,
    /// How many want a connection although the client is suspended.
    visits: u32,
    /// Rises when a new connection is wanted at once.
    tries: u64,
}

impl Wish {
    /// Tells whether there should be a connection.
    pub(crate) fn is_connection(self) -> bool {
        !self.suspended || self.visits > 0
    }

    /// Tells whether the application is in the foreground.
    pub(crate) fn is_foreground(self) -> bool {
        !self.suspended
    }

    /// Tells whether the connection that `earlier` asked for, if any, will do.
    fn is_met_by(self, earlier: Self) -> bool {
        match (self.is_connection(), earlier.is_connection()) {
            (true, true) => self.tries == earlier.tries,
            (now, before) => now == before,
        }
    }
}

/// What went through the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Frames that were taken since the client was opened.
    pub(crate) received: usize,
    /// Messages that the broker took since the client was opened.
    pub(crate) sent: usize,
    /// Whether more is to be sent on this connection, other than what rests because the broker refused it.
    pub(crate) is_sending: bool,
    /// How many the broker still had for us when it sent the last frame of this connection.
    pub(crate) behind: u64,
    /// After how long without a frame there are no more, as far as can be known.
    pub(crate) quiet_after: Duration,
    /// When this connection began to take frames.
    pub(crate) began: Option<Instant>,
}

/// What the connection and the rest of the client tell each other.
#[derive(Debug)]
pub(crate) struct Link {
    connection: watch::Sender<ConnectionState>,
    wish: watch::Sender<Wish>,
    traffic: watch::Sender<Traffic>,
    /// The home's clock less ours, in milliseconds.
    clock_offset_ms: AtomicI64,
    /// Whether the home has told its time since the client was opened.
    knows_home_time: AtomicBool,
    /// How many messages in a row the broker has denied.
    denials: AtomicU32,
    given: Mutex<EventId>,
    gaps: Mutex<Gaps>,
    sightings: Sightings,
}

impl Link {
    /// Makes the link of a client that connects at once, or waits until it is asked to.
    pub(crate) fn new(suspended: bool) -> Self {
        let state = if suspended { ConnectionState::Suspended } else { ConnectionState::Connecting };
        Self {
            connection: watch::Sender::new(state),
            wish: watch::Sender::new(Wish { suspended, ..Wish::default() }),
            traffic: watch::Sender::default(),
            clock_offset_ms: AtomicI64::new(0),
            knows_home_time: AtomicBool::new(false),
            denials: AtomicU32::new(0),
            given: Mutex::new(EventId::default()),
            gaps: Mutex::default(),
            sightings: Sightings::default(),
        }
    }

    pub(crate) fn set_connection(&self, state: ConnectionState) {
        self.connection.send_replace(state);
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection(self.connection.subscribe())
    }

    pub(crate) fn wish(&self) -> Wish {
        *self.wish.borrow()
    }

    pub(crate) fn wishes(&self) -> watch::Receiver<Wish> {
        self.wish.subscribe()
    }

    pub(crate) fn set_suspended(&self, suspended: bool) {
        self.wish.send_modify(|wish| wish.suspended = suspended);
    }

    /// Waits until nothing of a connection is left, or it is wanted again after all.
    pub(crate) async fn until_suspended(&self) {
        let left = |state: &ConnectionState| {
            !matches!(state, ConnectionState::Connecting | ConnectionState::Online | ConnectionState::Offline { .. })
        };
        let (mut connection, mut wish) = (self.connection(), self.wish.subscribe());
        tokio::select! {
            _ = connection.until(left) => {}
            _ = wish.wait_for(|wish| !wish.suspended) => {}
        }
    }

    /// Asks for a new connection, now.
    pub(crate) fn reconnect_now(&self) {
        self.wish.send_modify(|wish| wish.tries += 1);
    }

    /// Asks for a connection for as long as the value lives, and for an attempt at once where the next one is due later.
    pub(crate) fn visit(&self) -> Visit<'_> {
        let waits = matches!(*self.connection.borrow(), ConnectionState::Offline { .. });
        self.wish.send_modify(|wish| {
            wish.visits += 1;
            wish.tries += u64::from(waits);
        });
        Visit(self)
    }

    /// Waits until what was wished for `earlier` is not what is wished for any more.
    pub(crate) async fn other_wish(&self, earlier: Wish) {
        let _ = self.wish.subscribe().wait_for(|wish| !wish.is_met_by(earlier)).await;
    }

    pub(crate) fn traffic(&self) -> watch::Receiver<Traffic> {
        self.traffic.subscribe()
    }

    pub(crate) fn count(&self, note: impl FnOnce(&mut Traffic)) {
        self.traffic.send_modify(note);
    }

    /// Tells whether what is queued goes to the broker at once.
    pub(crate) fn is_online(&self) -> bool {
        *self.connection.borrow() == ConnectionState::Online
    }

    /// Notes the home's clock, which it told when asked at `asked_at_ms` by ours; the answer took as long as `took`. It
    /// was read on the way there or back: halfway errs by half of it at most.
    pub(crate) fn set_home_time(&self, home_ms: u64, asked_at_ms: u64, took: Duration) {
        let half = u64::try_from(took.as_millis() / 2).unwrap_or(u64::MAX);
        let offset = home_ms.wrapping_sub(asked_at_ms.saturating_add(half)).cast_signed();
        self.clock_offset_ms.store(offset, Ordering::Relaxed);
        self.knows_home_time.store(true, Ordering::Relaxed);
    }

    pub(crate) fn knows_home_time(&self) -> bool {
        self.knows_home_time.load(Ordering::Relaxed)
    }

    pub(crate) fn to_home_time(&self, local_ms: u64) -> u64 {
        local_ms.saturating_add_signed(self.clock_offset_ms.load(Ordering::Relaxed))
    }

    /// Counts a denial, and returns how many there were since the broker last took a message.
    pub(crate) fn count_denial(&self) -> u32 {
        self.denials.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn forget_denials(&self) {
        self.denials.store(0, Ordering::Relaxed);
    }

    /// Returns how long messages have waited for earlier ones; the session that receives holds it.
    pub(crate) async fn gaps(&self) -> MutexGuard<'_, Gaps> {
        self.gaps.lock().await
    }

    /// Notes that somebody is there. Tells whether they have been for so long that what they have not confirmed is lost.
    pub(crate) fn saw(&self, who: &PrimaryKey, now: Instant) -> bool {
        self.sightings.note(who, now)
    }

    /// Returns the last event that was given out since the client was opened; whoever holds it gives out the next.
    pub(crate) async fn given(&self) -> MutexGuard<'_, EventId> {
        self.given.lock().await
    }
}

/// A wish for a connection, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Visit<'a>(&'a Link);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.wish.send_modify(|wish| wish.visits -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_left_only_for_another_wish() {
        let link = Link::new(false);
        let first = link.wish();
        assert!(first.is_connection() && link.wish().is_met_by(first));
        drop(link.visit());
        assert!(link.wish().is_met_by(first), "who visits an open client changes nothing");
        link.reconnect_now();
        assert!(!link.wish().is_met_by(first));

        link.set_suspended(true);
        let suspended = link.wish();
        assert!(!suspended.is_connection());
        link.reconnect_now();
        assert!(link.wish().is_met_by(suspended), "the network is back, and still nobody wants it");
        let visit = link.visit();
        let visited = link.wish();
        assert!(visited.is_connection() && !visited.is_met_by(suspended));
        let other = link.visit();
        assert!(link.wish().is_met_by(visited));
        drop(visit);
        assert!(link.wish().is_connection(), "the other one is still there");
        drop(other);
        assert!(!link.wish().is_connection());
    }

    #[test]
    fn the_homes_clock_is_taken_halfway_through_the_exchange() {
        const HOUR: u64 = 3_600_000;
        let link = Link::new(false);
        assert_eq!(link.to_home_time(7), 7, "ours will do until the home was asked");
        for home_ms in [100 * HOUR, 95 * HOUR, 105 * HOUR] {
            link.set_home_time(home_ms, 100 * HOUR, Duration::from_millis(300));
            assert_eq!(link.to_home_time(100 * HOUR + 150), home_ms);
            assert_eq!(link.to_home_time(101 * HOUR + 150), home_ms + HOUR);
        }
        link.set_home_time(0, HOUR, Duration::ZERO);
        assert_eq!(link.to_home_time(0), 0, "there is no time before 1970");
    }
}
