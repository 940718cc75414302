//! The side that serves blobs: to those they were shared with, and nothing else (`docs/PROTOCOL.md` §9).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
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

/// Resets the stream of a permitted request for a blob that is not here: §9's `Gone`.
pub(super) const ERR_GONE: VarInt = VarInt::from_u32(410);

/// Who may fetch what.
#[derive(Debug, Default)]
pub(super) struct Readers(RwLock<HashMap<[u8; 32], HashSet<[u8; 32]>>>);

impl Readers {
    pub(super) fn allow(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        let mut readers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        readers.entry(*reader.as_bytes()).or_default().insert(blob_hash);
    }

    pub(super) fn revoke(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        let mut readers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(blobs) = readers.get_mut(reader.as_bytes()) {
            blobs.remove(&blob_hash);
            if blobs.is_empty() {
                readers.remove(reader.as_bytes());
            }
        }
    }

    /// Judges who knocks. A relay says who that is before the handshake, and reaches anybody by their id alone: a stranger
    /// whom it brings would learn from any answer that we are there. Who comes to an address of ours knew it.
    pub(super) fn admit(&self, from: &IncomingAddr) -> IncomingFilterOutcome {
        match from {
            IncomingAddr::Relay { endpoint_id, .. } if !self.is_known(endpoint_id.as_bytes()) => {
                IncomingFilterOutcome::Ignore
            }
            _ => IncomingFilterOutcome::Accept,
        }
    }

    fn is_known(&self, reader: &[u8; 32]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(reader)
    }

    fn may_read(&self, reader: &[u8; 32], blob_hash: &[u8; 32]) -> bool {
        let readers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        readers.get(reader).is_some_and(|blobs| blobs.contains(blob_hash))
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
