//! What the connection and the rest of a client tell each other.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard, watch};

use crate::event::EventId;

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
    /// The client was shut down.
    Closed,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Online => f.write_str("online"),
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
    given: Mutex<EventId>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            connection: watch::Sender::new(ConnectionState::Connecting),
            clock_offset_ms: AtomicI64::new(0),
            given: Mutex::new(EventId::default()),
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

    /// Notes the home's clock, as it was when ours showed `local_ms`.
    pub(crate) fn set_home_time(&self, home_ms: u64, local_ms: u64) {
        let offset = home_ms.wrapping_sub(local_ms).cast_signed();
        self.clock_offset_ms.store(offset, Ordering::Relaxed);
    }

    pub(crate) fn to_home_time(&self, local_ms: u64) -> u64 {
        local_ms.saturating_add_signed(self.clock_offset_ms.load(Ordering::Relaxed))
    }

    /// Returns the last event that was given out since the client was opened; whoever holds it gives out the next.
    pub(crate) async fn given(&self) -> MutexGuard<'_, EventId> {
        self.given.lock().await
    }
}
