//! Who may fetch what, and who is doing so.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use iroh::{
    endpoint::{Connection, IncomingAddr, VarInt, WeakConnectionHandle},
    protocol::IncomingFilterOutcome,
};
use kez_core::identity::PrimaryKey;
use tokio_util::sync::CancellationToken;

/// Closes the oldest connection of a reader who has too many.
pub(super) const ERR_REPLACED: VarInt = VarInt::from_u32(409);
/// How many connections a reader has at a time. Ours makes do with one; what is left of those that a change of network cut
/// off counts too, until it is noticed.
const CONNECTIONS: usize = 4;

/// Who may fetch what.
#[derive(Debug, Default)]
pub(super) struct Readers(RwLock<HashMap<[u8; 32], Reader>>);

#[derive(Debug, Default)]
struct Reader {
    /// Ends when nothing is theirs any more.
    known: CancellationToken,
    /// What they may fetch, each with what ends when they may no longer.
    rights: HashMap<[u8; 32], CancellationToken>,
    /// Oldest first.
    connections: Vec<WeakConnectionHandle>,
}

impl Readers {
    pub(super) fn allow(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        let mut readers = self.write();
        let Reader { known, rights, .. } = readers.entry(*reader.as_bytes()).or_default();
        rights.entry(blob_hash).or_insert_with(|| known.child_token());
    }

    /// Takes a right back, and ends what makes use of it.
    pub(super) fn revoke(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        let mut readers = self.write();
        let Some(known) = readers.get_mut(reader.as_bytes()) else {
            return;
        };
        if let Some(right) = known.rights.remove(&blob_hash) {
            right.cancel();
        }
        if known.rights.is_empty()
            && let Some(stranger) = readers.remove(reader.as_bytes())
        {
            stranger.known.cancel();
        }
    }

    /// Judges who knocks. A relay says who that is before the handshake, and reaches anybody by their id alone: a stranger
    /// whom it brings would learn from any answer that we are there. Who comes to an address of ours knew it.
    pub(super) fn admit(&self, from: &IncomingAddr) -> IncomingFilterOutcome {
        match from {
            IncomingAddr::Relay { endpoint_id, .. } if !self.read().contains_key(endpoint_id.as_bytes()) => {
                IncomingFilterOutcome::Ignore
            }
            _ => IncomingFilterOutcome::Accept,
        }
    }

    /// Takes a connection of a known reader, and returns what ends when it has to. A reader who has too many loses the
    /// oldest: the newest is the one that they use.
    pub(super) fn welcome(&self, connection: &Connection) -> Option<CancellationToken> {
        let mut readers = self.write();
        let reader = readers.get_mut(connection.remote_id().as_bytes())?;
        let open = |handle: &WeakConnectionHandle| handle.upgrade().filter(|open| open.close_reason().is_none());
        reader.connections.retain(|handle| open(handle).is_some());
        if reader.connections.len() >= CONNECTIONS
            && let Some(oldest) = open(&reader.connections.remove(0))
        {
            oldest.close(ERR_REPLACED, b"too many connections");
        }
        reader.connections.push(connection.weak_handle());
        Some(reader.known.clone())
    }

    /// Closes every connection.
    pub(super) fn dismiss(&self) {
        let readers = self.read();
        for connection in
            readers.values().flat_map(|reader| &reader.connections).filter_map(WeakConnectionHandle::upgrade)
        {
            connection.close(0u32.into(), b"leaving");
        }
    }

    /// Returns a reader's right to a blob: what ends when it does.
    pub(super) fn right(&self, reader: &[u8; 32], blob_hash: &[u8; 32]) -> Option<CancellationToken> {
        self.read().get(reader)?.rights.get(blob_hash).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<[u8; 32], Reader>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<[u8; 32], Reader>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
