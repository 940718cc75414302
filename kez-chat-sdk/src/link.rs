//! What the connection and the rest of a client tell each other.

use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::Instant,
};

use kez_core::identity::PrimaryKey;

use crate::{event::EventId, inbox::Gaps, sightings::Sightings};

/// Whether the client is connected to its home's broker.
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
        cause: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// A later installation has the account. This one makes no more connections; what it has can be read.
    SignedInElsewhere,
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
            Self::SignedInElsewhere => f.write_str("signed in elsewhere"),
            Self::Retired => f.write_str("retired"),
            Self::Closed => f.write_str("closed"),
            Self::Offline { cause, retry_in } => {
                write!(f, "offline ({cause}); next try in {} s", retry_in.as_secs().max(1))
            }
        }
    }
}

/// What the connection and the rest of the client tell each other.
#[derive(Debug)]
pub(crate) struct Link {
    connection: watch::Sender<ConnectionState>,
    /// The home's clock less ours, in milliseconds.
    clock_offset_ms: AtomicI64,
    /// How many messages in a row the broker has denied.
    denials: AtomicU32,
    given: Mutex<EventId>,
    gaps: Mutex<Gaps>,
    sightings: Sightings,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            connection: watch::Sender::new(ConnectionState::Connecting),
            clock_offset_ms: AtomicI64::new(0),
            denials: AtomicU32::new(0),
            given: Mutex::new(EventId::default()),
            gaps: Mutex::default(),
            sightings: Sightings::default(),
        }
    }
}

impl Link {
    pub(crate) fn set_connection(&self, state: ConnectionState) {
        self.connection.send_replace(state);
    }

    pub(crate) fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.subscribe()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_homes_clock_is_taken_halfway_through_the_exchange() {
        const HOUR: u64 = 3_600_000;
        let link = Link::default();
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
