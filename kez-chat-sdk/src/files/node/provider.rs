//! The side that serves blobs: to those they were shared with, and nothing else (`docs/PROTOCOL.md` §9).

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use iroh::{
    endpoint::{Connection, IncomingAddr, RecvStream, SendStream, VarInt},
    protocol::{AcceptError, IncomingFilterOutcome, ProtocolHandler},
};
use iroh_blobs::{
    api::Store,
    protocol::{ERR_INTERNAL, ERR_PERMISSION, GetRequest, Request},
    provider::{StreamPair, events::EventSender, handle_get},
};
use kez_core::identity::PrimaryKey;
use tokio::task::JoinSet;

use crate::store::Audience;

/// Resets the stream of a permitted request for a blob that is not here: §9's `Gone`.
pub(super) const ERR_GONE: VarInt = VarInt::from_u32(410);

/// Who may fetch what.
#[derive(Debug, Default)]
pub(super) struct Readers(RwLock<Rights>);

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

impl Readers {
    pub(super) fn allow(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        self.write().shared.entry(*reader.as_bytes()).or_default().insert(blob_hash);
    }

    pub(super) fn revoke(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        let mut rights = self.write();
        if let Some(blobs) = rights.shared.get_mut(reader.as_bytes()) {
            blobs.remove(&blob_hash);
            if blobs.is_empty() {
                rights.shared.remove(reader.as_bytes());
            }
        }
    }

    pub(super) fn set_audience(&self, blob_hash: [u8; 32], audience: Audience) {
        self.write().set_audience(blob_hash, audience);
    }

    /// Takes the audiences of all published blobs, in place of those that there were.
    pub(super) fn set_audiences(&self, audiences: HashMap<[u8; 32], Audience>) {
        let mut rights = self.write();
        let over: Vec<_> = rights.published.keys().filter(|blob| !audiences.contains_key(*blob)).copied().collect();
        let over = over.into_iter().map(|blob| (blob, Audience::default()));
        over.chain(audiences).for_each(|(blob, audience)| rights.set_audience(blob, audience));
    }

    pub(super) fn shut_out(&self, reader: PrimaryKey) {
        self.write().shut_out.insert(*reader.as_bytes());
    }

    pub(super) fn let_in(&self, reader: PrimaryKey) {
        self.write().shut_out.remove(reader.as_bytes());
    }

    /// Judges who knocks. A relay says who that is before the handshake, and reaches anybody by their id alone: a stranger
    /// whom it brings would learn from any answer that we are there. Who comes to an address of ours knew it. While
    /// something is public nobody is a stranger.
    pub(super) fn admit(&self, from: &IncomingAddr) -> IncomingFilterOutcome {
        match from {
            IncomingAddr::Relay { endpoint_id, .. } if !self.is_known(endpoint_id.as_bytes()) => {
                IncomingFilterOutcome::Ignore
            }
            _ => IncomingFilterOutcome::Accept,
        }
    }

    fn is_known(&self, reader: &[u8; 32]) -> bool {
        let rights = self.read();
        let is_known = rights.public > 0 || rights.shared.contains_key(reader) || rights.named.contains_key(reader);
        is_known && !rights.shut_out.contains(reader)
    }

    fn may_read(&self, reader: &[u8; 32], blob_hash: &[u8; 32]) -> bool {
        let rights = self.read();
        let shared = rights.shared.get(reader).is_some_and(|blobs| blobs.contains(blob_hash));
        let published = || rights.published.get(blob_hash).is_some_and(|audience| audience.has(reader));
        (shared || published()) && !rights.shut_out.contains(reader)
    }

    fn read(&self) -> RwLockReadGuard<'_, Rights> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rights> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rights {
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

/// Reads requests itself instead of masking those of `iroh-blobs`' own handler, so that the code behind push,
/// get-many and observe is never reached, and the reader's id is the connection's.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    store: Store,
    readers: Arc<Readers>,
}

impl Provider {
    pub(super) fn new(store: Store, readers: Arc<Readers>) -> Self {
        Self { store, readers }
    }

    async fn answer(self, reader: [u8; 32], mut answer: SendStream, mut question: RecvStream) {
        let Ok((request, _)) = Request::read_async(&mut question).await else {
            return;
        };
        match self.judge(&reader, request).await {
            Ok(request) => {
                let streams = StreamPair::new(0, question, answer, EventSender::DEFAULT);
                if let Err(error) = handle_get(streams, self.store, request).await {
                    tracing::debug!(%error, "a file transfer to a reader ended early");
                }
            }
            Err(code) => {
                // Either fails only if the stream is over, and then nobody is left to tell.
                let _ = answer.reset(code);
                let _ = question.stop(code);
            }
        }
    }

    async fn judge(&self, reader: &[u8; 32], request: Request) -> Result<GetRequest, VarInt> {
        let Request::Get(request) = request else {
            return Err(ERR_PERMISSION);
        };
        // A request for more than the blob itself would read it as a list of further blobs to send.
        if !request.ranges.is_blob() || !self.readers.may_read(reader, request.hash.as_bytes()) {
            return Err(ERR_PERMISSION);
        }
        match self.store.blobs().has(request.hash).await {
            Ok(true) => Ok(request),
            Ok(false) => Err(ERR_GONE),
            Err(_) => Err(ERR_INTERNAL),
        }
    }
}

impl ProtocolHandler for Provider {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let reader = *connection.remote_id().as_bytes();
        if !self.readers.is_known(&reader) {
            connection.close(ERR_PERMISSION, b"permission");
            return Ok(());
        }
        // Dropped, and with it every answer, when the connection ends or the node does.
        let mut answers = JoinSet::new();
        loop {
            tokio::select! {
                accepted = connection.accept_bi() => match accepted {
                    Ok((answer, question)) => {
                        answers.spawn(self.clone().answer(reader, answer, question));
                    }
                    Err(_) => return Ok(()),
                },
                Some(_) = answers.join_next() => {}
            }
        }
    }

    async fn shutdown(&self) {
        if let Err(error) = self.store.shutdown().await {
            tracing::warn!(%error, "the file store did not close cleanly");
        }
    }
}
