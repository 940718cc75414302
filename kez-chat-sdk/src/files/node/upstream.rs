//! The peers that we fetch from: one connection to each, which all fetches from them share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use iroh::endpoint::{Connection, ConnectionError, PathList, VarInt};
use iroh_blobs::{
    get::GetError,
    protocol::{ERR_INTERNAL, ERR_PERMISSION},
};
use kez_core::{identity::PrimaryKey, payload::Addresses};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit},
    time::{Instant, sleep, sleep_until},
};

use super::{Node, NodeError, caller::NOBODY, provider::ERR_GONE};
use crate::files::TransferPath;

/// How many requests are under way to a peer at a time, whatever is fetched from them. More would fill a longer pipe, and
/// hold more memory; a provider takes twice as many.
pub(super) const REQUESTS_AT_ONCE: usize = 8;
/// After how much silence a connection is not joined any more: the peer may be somewhere else by now.
const STUCK: Duration = Duration::from_secs(5);
/// How long a connection over which something small came is kept for what may come next: pictures are shown one by one.
const LINGER: Duration = Duration::from_secs(5);

/// The connections that are open. One lock for each peer, so that two fetches do not both connect.
#[derive(Debug, Default)]
pub(super) struct Upstreams(Mutex<HashMap<[u8; 32], Arc<AsyncMutex<Known>>>>);

#[derive(Debug, Default)]
struct Known {
    open: Weak<Upstream>,
    /// When they last could not be reached.
    missed: Option<Instant>,
}

impl Upstreams {
    fn of(&self, peer: PrimaryKey) -> Arc<AsyncMutex<Known>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(*peer.as_bytes()).or_default())
    }
}

/// A peer that we are connected to. The connection is closed when nobody needs it any more.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) peer: PrimaryKey,
    pub(super) connection: Connection,
    turns: Semaphore,
    /// When something last came from them, or was first asked of them.
    heard: Mutex<Instant>,
}

impl Node {
    /// Connects to a peer, unless we are. They have so long to answer.
    pub(super) async fn upstream(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        within: Duration,
    ) -> Result<Arc<Upstream>, NodeError> {
        let (asked, known) = (Instant::now(), self.upstreams.of(peer));
        let mut known = known.lock().await;
        if let Some(open) = known.open.upgrade().filter(|open| !open.is_of_no_use()) {
            return Ok(open);
        }
        if known.missed.is_some_and(|missed| missed >= asked) {
            // They are away for all who waited for the same answer, not for one after the other.
            return Err(NodeError::Unreachable { peer: Box::new(peer), source: NOBODY.into() });
        }
        match self.caller().call(peer, addresses, within).await {
            Ok(connection) => {
                let (turns, heard) = (Semaphore::new(REQUESTS_AT_ONCE), Mutex::new(Instant::now()));
                let upstream = Arc::new(Upstream { peer, connection, turns, heard });
                known.open = Arc::downgrade(&upstream);
                Ok(upstream)
            }
            Err(error) => {
                known.missed = Some(Instant::now());
                Err(error)
            }
        }
    }
}

impl Upstream {
    /// Tells whether another connection is better made.
    fn is_of_no_use(&self) -> bool {
        let is_asked = self.turns.available_permits() < REQUESTS_AT_ONCE;
        self.connection.close_reason().is_some() || is_asked && self.heard().elapsed() > STUCK
    }

    fn heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may be made of the peer; it may as long as the result is held.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        let turn = self.turns.acquire().await.ok();
        self.hear();
        turn
    }

    /// Notes that something came.
    pub(super) fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits until nothing has come for so long, on the whole connection: a fetch that waits for the turn of another one
    /// is not stalled.
    pub(super) async fn silence(&self, bound: Duration) -> NodeError {
        loop {
            let until = self.heard() + bound;
            if until <= Instant::now() {
                let source = format!("nothing came for {} seconds", bound.as_secs()).into();
                return NodeError::Interrupted { peer: Box::new(self.peer), source };
            }
            sleep_until(until).await;
        }
    }

    /// Keeps the connection for a moment. It ends with the node, too.
    pub(super) fn linger(self: Arc<Self>) {
        tokio::spawn(async move {
            tokio::select! {
                _ = self.connection.closed() => {}
                () = sleep(LINGER) => {}
            }
        });
    }

    /// Closes a connection over which nothing comes any more, so that the next fetch makes another one.
    pub(super) fn give_up(&self) {
        self.connection.close(0u32.into(), b"stalled");
    }

    /// Tells from the code with which the peer ended the stream or the connection whose fault a failed request was.
    pub(super) fn failure(&self, error: GetError) -> NodeError {
        let reason = self.connection.close_reason();
        let code = error.iroh_error_code().or_else(|| reason.as_ref().and_then(close_code));
        let peer = Box::new(self.peer);
        match code {
            Some(ERR_PERMISSION) => NodeError::NotPermitted { peer },
            Some(ERR_GONE) => NodeError::Gone { peer },
            Some(ERR_INTERNAL) => NodeError::PeerFault { peer, source: error.into() },
            _ if reason.is_some() => NodeError::Interrupted { peer, source: error.into() },
            // The connection is well, but what came over it is not the blob.
            _ => NodeError::PeerFault { peer, source: error.into() },
        }
    }

    /// Says that the peer sent what they should not have.
    pub(super) fn at_fault(&self, what: &'static str) -> NodeError {
        NodeError::PeerFault { peer: Box::new(self.peer), source: what.into() }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.connection.close(0u32.into(), b"done");
    }
}

/// Tells over what a connection goes at present.
pub(super) fn path_of(paths: &PathList<'_>) -> Option<TransferPath> {
    // None is selected yet in a connection's first moments.
    let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
    Some(if path.is_relay() { TransferPath::Relay } else { TransferPath::Direct })
}

fn close_code(reason: &ConnectionError) -> Option<VarInt> {
    match reason {
        ConnectionError::ApplicationClosed(close) => Some(close.error_code),
        _ => None,
    }
}
