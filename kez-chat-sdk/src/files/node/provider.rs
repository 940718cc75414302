//! The side that serves blobs: to those they were shared with, and nothing else (`docs/PROTOCOL.md` §9).

use std::{
    io::{self, ErrorKind},
    sync::Arc,
};

use bytes::Bytes;
use iroh::{
    endpoint::{Connection, RecvStream, SendStream, VarInt},
    protocol::{AcceptError, ProtocolHandler},
};
use iroh_blobs::{
    api::Store,
    protocol::{ERR_INTERNAL, ERR_PERMISSION, GetRequest, Request},
    provider::{StreamPair, events::EventSender, handle_get},
    util,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{readers::Readers, uploads::UploadLimit};

/// Resets the stream of a permitted request for a blob that is not here: §9's `Gone`.
pub(super) const ERR_GONE: VarInt = VarInt::from_u32(410);
/// How many requests a connection has under way at a time; a peer who has more waits before sending them.
pub(super) const REQUESTS: u32 = 16;

/// Reads requests itself instead of masking those of `iroh-blobs`' own handler, so that the code behind push,
/// get-many and observe is never reached, and the reader's id is the connection's.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    store: Store,
    readers: Arc<Readers>,
    uploads: UploadLimit,
}

impl Provider {
    pub(super) fn new(store: Store, readers: Arc<Readers>, uploads: UploadLimit) -> Self {
        Self { store, readers, uploads }
    }

    async fn answer(self, reader: [u8; 32], mut answer: SendStream, mut question: RecvStream) {
        let Ok((request, _)) = Request::read_async(&mut question).await else {
            return;
        };
        let (request, right) = match self.judge(&reader, request).await {
            Ok(permitted) => permitted,
            Err(code) => {
                // Either fails only if the stream is over, and then nobody is left to tell.
                let _ = answer.reset(code);
                let _ = question.stop(code);
                return;
            }
        };
        let mut outgoing = Outgoing { stream: answer, right, uploads: self.uploads };
        let streams = StreamPair::new(0, question, &mut outgoing, EventSender::DEFAULT);
        match handle_get(streams, self.store, request).await {
            Ok(()) => outgoing.see_off().await,
            Err(error) => tracing::debug!(%error, "a file transfer to a reader ended early"),
        }
    }

    async fn judge(&self, reader: &[u8; 32], request: Request) -> Result<(GetRequest, CancellationToken), VarInt> {
        let Request::Get(request) = request else {
            return Err(ERR_PERMISSION);
        };
        // A request for more than the blob itself would read it as a list of further blobs to send.
        if !request.ranges.is_blob() {
            return Err(ERR_PERMISSION);
        }
        let right = self.readers.right(reader, request.hash.as_bytes()).ok_or(ERR_PERMISSION)?;
        match self.store.blobs().has(request.hash).await {
            Ok(true) => Ok((request, right)),
            Ok(false) => Err(ERR_GONE),
            Err(_) => Err(ERR_INTERNAL),
        }
    }
}

impl ProtocolHandler for Provider {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let Some(known) = self.readers.welcome(&connection) else {
            connection.close(ERR_PERMISSION, b"permission");
            return Ok(());
        };
        let reader = *connection.remote_id().as_bytes();
        // Dropped, and with it every answer, when the connection ends or the node does.
        let mut answers = JoinSet::new();
        loop {
            tokio::select! {
                () = known.cancelled() => {
                    connection.close(ERR_PERMISSION, b"permission");
                    return Ok(());
                }
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
        // First, since what a closed store can't read would pass for damaged.
        self.readers.dismiss();
        if let Err(error) = self.store.shutdown().await {
            tracing::warn!(%error, "the file store did not close cleanly");
        }
    }
}

/// The way of a blob to its reader. It keeps to the limit of all uploads, and is cut when the right to it ends.
#[derive(Debug)]
struct Outgoing {
    stream: SendStream,
    right: CancellationToken,
    uploads: UploadLimit,
}

impl Outgoing {
    /// Stays until the last byte has arrived: what is on its way can still be taken back.
    async fn see_off(mut self) {
        // Either fails only if the stream is over.
        let _ = self.stream.finish();
        tokio::select! {
            _ = self.stream.stopped() => {}
            () = self.right.cancelled() => {
                let _ = self.stream.reset(ERR_PERMISSION);
            }
        }
    }
}

impl util::SendStream for Outgoing {
    async fn send_bytes(&mut self, bytes: Bytes) -> io::Result<()> {
        let Self { stream, right, uploads } = self;
        let send = async {
            uploads.take(bytes.len()).await;
            util::SendStream::send_bytes(stream, bytes).await
        };
        right.run_until_cancelled(send).await.unwrap_or_else(|| Err(ErrorKind::PermissionDenied.into()))
    }

    async fn send(&mut self, hashes: &[u8]) -> io::Result<()> {
        let send = util::SendStream::send(&mut self.stream, hashes);
        self.right.run_until_cancelled(send).await.unwrap_or_else(|| Err(ErrorKind::PermissionDenied.into()))
    }

    async fn sync(&mut self) -> io::Result<()> {
        util::SendStream::sync(&mut self.stream).await
    }

    fn reset(&mut self, code: VarInt) -> io::Result<()> {
        let code = if self.right.is_cancelled() { ERR_PERMISSION } else { code };
        Ok(self.stream.reset(code)?)
    }

    async fn stopped(&mut self) -> io::Result<Option<VarInt>> {
        util::SendStream::stopped(&mut self.stream).await
    }

    fn id(&self) -> u64 {
        self.stream.id().index()
    }
}
