//! Fetching: a blob is pulled from a peer, and verified as it comes.

use std::{error::Error, io, time::Duration};

use futures::StreamExt;
use iroh::{
    EndpointId,
    endpoint::{Connection, ConnectionError},
};
use iroh_blobs::{
    ALPN, Hash, HashAndFormat,
    api::remote::GetProgressItem,
    get::{GetError, request::get_verified_size},
    protocol::{ERR_INTERNAL, ERR_PERMISSION},
};
use kez_core::{
    filecrypt::{FileError, blob_len},
    identity::PrimaryKey,
    payload::{Addresses, FileEntry},
};
use tokio::{sync::Mutex, time::timeout};

use super::{Node, NodeError, addresses, plain_bytes, provider::ERR_GONE};

/// How long a connected peer may send nothing.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The way to a peer for all that is fetched from them: one connection, made when something is missing first, and anew
/// when it broke.
#[derive(Debug)]
pub(crate) struct Line {
    peer: PrimaryKey,
    addresses: Addresses,
    /// How long they may take to answer before they count as away.
    within: Duration,
    connection: Mutex<Option<Connection>>,
}

impl Node {
    /// Returns the way to a peer, who is called when something is missing first. They may take as long as `at_most` to
    /// answer, or what the settings say, before they count as away.
    pub(crate) fn line(&self, peer: PrimaryKey, addresses: Addresses, at_most: Duration) -> Line {
        let within = at_most.min(self.settings.connect_timeout);
        Line { peer, addresses, within, connection: Mutex::default() }
    }

    /// Brings what is missing of a blob here, if anything is. `progress` hears how many bytes of the file came. Dropping
    /// the future cancels; a later call goes on from where it was, as long as a [`Tag`](super::Tag) keeps the blob.
    ///
    /// # Errors
    /// Those of [`NodeError`] that are about the peer, `BadContent` and `Store`.
    pub(super) async fn bring(
        &self,
        line: &Line,
        entry: &FileEntry,
        progress: impl FnMut(u64) + Send,
    ) -> Result<(), NodeError> {
        if !self.has(entry.blob_hash).await? {
            let connection = self.connection(line).await?;
            let pulled = self.pull(line.peer, &connection, entry, progress).await?;
            tracing::debug!(pulled, "a blob is complete");
        }
        Ok(())
    }

    /// Hangs up, if anybody was called.
    pub(crate) async fn hang_up(&self, line: &Line) {
        if let Some(connection) = line.connection.lock().await.take() {
            connection.close(0u32.into(), b"done");
        }
    }

    pub(super) async fn connection(&self, line: &Line) -> Result<Connection, NodeError> {
        // Whoever comes second waits for the first one's connection.
        let mut kept = line.connection.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| connection.close_reason().is_none()) {
            return Ok(connection.clone());
        }
        let connection = self.connect_within(line.peer, &line.addresses, line.within).await?;
        Ok(kept.insert(connection).clone())
    }

    async fn connect_within(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        within: Duration,
    ) -> Result<Connection, NodeError> {
        let unreachable =
            |source: Box<dyn Error + Send + Sync>| NodeError::Unreachable { peer: Box::new(peer), source };
        let id = EndpointId::from_bytes(peer.as_bytes()).map_err(|error| unreachable(error.into()))?;
        let relays_used = !self.settings.relays.is_empty();
        let dialled = addresses::of_peer(id, addresses, relays_used, self.settings.loopback_allowed);
        if dialled.is_empty() {
            return Err(unreachable("no address of theirs is known that may be dialled".into()));
        }
        match timeout(within, self.endpoint().connect(dialled, ALPN)).await {
            Ok(connected) => connected.map_err(|error| unreachable(error.into())),
            Err(_) => Err(unreachable("nobody answers at their addresses".into())),
        }
    }

    /// Brings what is missing of a blob into the store and returns how many bytes that was.
    pub(super) async fn pull(
        &self,
        peer: PrimaryKey,
        connection: &Connection,
        entry: &FileEntry,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<u64, NodeError> {
        let stalled = || NodeError::Interrupted { peer: Box::new(peer), source: "they stopped sending".into() };
        let hash = Hash::from_bytes(entry.blob_hash);
        let expected = blob_len(entry.plain_len).map_err(|error| bad_content(entry, error))?;
        let size = timeout(STALL_TIMEOUT, get_verified_size(connection, &hash)).await.map_err(|_| stalled())?;
        let (found, _) = size.map_err(|error| peer_error(peer, connection, error))?;
        if found != expected {
            return Err(bad_content(entry, FileError::BadLength { expected, found }));
        }
        let local = self.store.remote().local(HashAndFormat::raw(hash)).await.map_err(NodeError::store)?;
        let here = local.local_bytes();
        progress(plain_bytes(here));
        let mut steps = Box::pin(self.store.remote().execute_get(connection.clone(), local.missing()).stream());
        loop {
            match timeout(STALL_TIMEOUT, steps.next()).await.map_err(|_| stalled())? {
                Some(GetProgressItem::Progress(pulled)) => progress(plain_bytes(here + pulled)),
                Some(GetProgressItem::Done(stats)) => return Ok(stats.payload_bytes_read),
                Some(GetProgressItem::Error(error)) => return Err(peer_error(peer, connection, error)),
                None => return Err(NodeError::store(io::Error::other("the transfer ended without a result"))),
            }
        }
    }
}

pub(super) fn bad_content(entry: &FileEntry, source: FileError) -> NodeError {
    NodeError::BadContent { path: entry.path.to_string(), source }
}

/// Tells from the code with which the peer ended the stream or the connection whose fault a failed transfer was.
fn peer_error(peer: PrimaryKey, connection: &Connection, error: GetError) -> NodeError {
    let close_code = || match connection.close_reason() {
        Some(ConnectionError::ApplicationClosed(close)) => Some(close.error_code),
        _ => None,
    };
    let code = error.iroh_error_code().or_else(close_code);
    let peer = Box::new(peer);
    match code {
        Some(ERR_PERMISSION) => NodeError::NotPermitted { peer },
        Some(ERR_GONE) => NodeError::Gone { peer },
        Some(ERR_INTERNAL) => NodeError::PeerFault { peer, source: error.into() },
        _ if is_ours(&error) => NodeError::store(error),
        _ if connection.close_reason().is_some() => NodeError::Interrupted { peer, source: error.into() },
        // The connection is well, but what came over it is not the blob.
        _ => NodeError::PeerFault { peer, source: error.into() },
    }
}

fn is_ours(error: &GetError) -> bool {
    matches!(error, GetError::LocalFailure { .. } | GetError::IrpcSend { .. }) || error.local_write().is_some()
}
