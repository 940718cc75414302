//! Who may fetch what, and who is doing so.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use iroh::{
    endpoint::{Connection, IncomingAddr, VarInt, WeakConnectionHandle},
    protocol::IncomingFilterOutcome,
};
use kez_core::identity::PrimaryKey;
use tokio_util::sync::CancellationToken;

use crate::store::Audience;

/// Closes the oldest connection of a reader who has too many.
pub(super) const ERR_REPLACED: VarInt = VarInt::from_u32(409);
/// How many connections a reader has at a time. Ours makes do with one; what is left of those that a change of network cut
/// off counts too, until it is noticed.
const CONNECTIONS: usize = 4;

/// Who may fetch what.
#[derive(Debug, Default)]
pub(super) struct Readers(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    rights: Rights,
    /// Who is connected, or was when somebody last came.
    present: HashMap<[u8; 32], Present>,
}

/// What was shared and what is published are two reasons to serve a blob; either is enough.
#[derive(Debug, Default)]
struct Rights {
    /// What was shared with each reader.
    shared: HashMap<[u8; 32], HashSet<[u8; 32]>>,
    /// Whom each published blob is for.
    published: HashMap<[u8; 32], Audience>,
    /// How many published blobs name each reader.
    named: HashMap<[u8; 32], usize>,
    /// How many are for anybody.
    public: usize,
    /// Who gets nothing, whatever is said elsewhere.
    shut_out: HashSet<[u8; 32]>,
}

#[derive(Debug, Default)]
struct Present {
    /// Ends when nothing is theirs any more.
    known: CancellationToken,
    /// What they have asked for, each with what ends when they may no longer.
    in_use: HashMap<[u8; 32], CancellationToken>,
    /// Oldest first.
    connections: Vec<WeakConnectionHandle>,
}

impl Readers {
    pub(super) fn allow(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        self.write().rights.shared.entry(*reader.as_bytes()).or_default().insert(blob_hash);
    }

    /// Takes a right back that [`Readers::allow`] gave, and ends what makes use of it.
    pub(super) fn revoke(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        self.change(|rights| {
            if let Some(blobs) = rights.shared.get_mut(reader.as_bytes()) {
                blobs.remove(&blob_hash);
                if blobs.is_empty() {
                    rights.shared.remove(reader.as_bytes());
                }
            }
        });
    }

    /// Sets whom a published blob is for, and ends what others do with it.
    pub(super) fn set_audience(&self, blob_hash: [u8; 32], audience: Audience) {
        self.change(|rights| rights.set_audience(blob_hash, audience));
    }

    /// Sets whom all published blobs are for, in place of what was.
    pub(super) fn set_audiences(&self, audiences: HashMap<[u8; 32], Audience>) {
        self.change(|rights| {
            let is_over = |blob: &&[u8; 32]| !audiences.contains_key(*blob);
            let over: Vec<_> = rights.published.keys().filter(is_over).copied().collect();
            let over = over.into_iter().map(|blob| (blob, Audience::default()));
            over.chain(audiences).for_each(|(blob, audience)| rights.set_audience(blob, audience));
        });
    }

    /// Ends whatever somebody may, until [`Readers::let_in`].
    pub(super) fn shut_out(&self, reader: PrimaryKey) {
        self.change(|rights| {
            rights.shut_out.insert(*reader.as_bytes());
        });
    }

    pub(super) fn let_in(&self, reader: PrimaryKey) {
        self.write().rights.shut_out.remove(reader.as_bytes());
    }

    /// Judges who knocks. A relay says who that is before the handshake, and reaches anybody by their id alone: a stranger
    /// whom it brings would learn from any answer that we are there. Who comes to an address of ours knew it. While
    /// something is public nobody is a stranger.
    pub(super) fn admit(&self, from: &IncomingAddr) -> IncomingFilterOutcome {
        match from {
            IncomingAddr::Relay { endpoint_id, .. } if !self.read().rights.knows(endpoint_id.as_bytes()) => {
                IncomingFilterOutcome::Ignore
            }
            _ => IncomingFilterOutcome::Accept,
        }
    }

    /// Takes a connection of a known reader, and returns what ends when it has to. A reader who has too many loses the
    /// oldest: the newest is the one that they use.
    pub(super) fn welcome(&self, connection: &Connection) -> Option<CancellationToken> {
        let State { rights, present } = &mut *self.write();
        let reader = connection.remote_id();
        if !rights.knows(reader.as_bytes()) {
            return None;
        }
        let open = |handle: &WeakConnectionHandle| handle.upgrade().filter(|open| open.close_reason().is_none());
        // While something is public there is no end to who may come, so that only who is here is remembered.
        present.retain(|_, present| {
            present.connections.retain(|handle| open(handle).is_some());
            !present.connections.is_empty()
        });
        let present = present.entry(*reader.as_bytes()).or_default();
        if present.connections.len() >= CONNECTIONS
            && let Some(oldest) = open(&present.connections.remove(0))
        {
            oldest.close(ERR_REPLACED, b"too many connections");
        }
        present.connections.push(connection.weak_handle());
        Some(present.known.clone())
    }

    /// Closes every connection.
    pub(super) fn dismiss(&self) {
        let state = self.read();
        let connections = state.present.values().flat_map(|present| &present.connections);
        for connection in connections.filter_map(WeakConnectionHandle::upgrade) {
            connection.close(0u32.into(), b"leaving");
        }
    }

    /// Returns a reader's right to a blob: what ends when it does.
    pub(super) fn right(&self, reader: &[u8; 32], blob_hash: &[u8; 32]) -> Option<CancellationToken> {
        let State { rights, present } = &mut *self.write();
        if !rights.permit(reader, blob_hash) {
            return None;
        }
        let Present { known, in_use, .. } = present.get_mut(reader)?;
        Some(in_use.entry(*blob_hash).or_insert_with(|| known.child_token()).clone())
    }

    /// Changes rights, and ends whatever they permit no longer.
    fn change(&self, change: impl FnOnce(&mut Rights)) {
        let State { rights, present } = &mut *self.write();
        change(rights);
        present.retain(|reader, present| {
            present.in_use.retain(|blob, right| {
                let is_permitted = rights.permit(reader, blob);
                if !is_permitted {
                    right.cancel();
                }
                is_permitted
            });
            let is_known = rights.knows(reader);
            if !is_known {
                present.known.cancel();
            }
            is_known
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rights {
    /// Tells whether somebody may fetch anything.
    fn knows(&self, reader: &[u8; 32]) -> bool {
        let is_known = self.public > 0 || self.shared.contains_key(reader) || self.named.contains_key(reader);
        is_known && !self.shut_out.contains(reader)
    }

    fn permit(&self, reader: &[u8; 32], blob_hash: &[u8; 32]) -> bool {
        let shared = self.shared.get(reader).is_some_and(|blobs| blobs.contains(blob_hash));
        let published = || self.published.get(blob_hash).is_some_and(|audience| audience.has(reader));
        (shared || published()) && !self.shut_out.contains(reader)
    }

    fn set_audience(&mut self, blob_hash: [u8; 32], audience: Audience) {
        self.public += usize::from(audience.anybody);
        for reader in &audience.readers {
            *self.named.entry(*reader).or_default() += 1;
        }
        let before = if audience == Audience::default() {
            self.published.remove(&blob_hash)
        } else {
            self.published.insert(blob_hash, audience)
        };
        let Some(before) = before else { return };
        self.public -= usize::from(before.anybody);
        for reader in &before.readers {
            if let Entry::Occupied(mut count) = self.named.entry(*reader) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}
