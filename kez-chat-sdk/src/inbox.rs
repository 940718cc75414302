//! Taking messages off the broker: every frame is disposed of durably, then acknowledged (`docs/PROTOCOL.md` §8).

mod gaps;

use std::collections::HashSet;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{Fuse, FusedFuture},
};
use kez_core::{
    Code,
    broker::check_inbox_frame,
    envelope,
    handle::{Handle, Policy},
    identity::{PrimaryKey, SecretKey},
    payload::{Channel, Payload},
};
use tokio::time::Instant;

pub(crate) use self::gaps::Gaps;
use crate::{
    connection::{Session, SessionError},
    peers::Peers,
    shared::Shared,
    store::{Frame, Incoming, Store, StoreError, Stored},
};

/// How many frames are stored together.
const BATCH: usize = 64;
/// How old a message may be to show that its sender is there now: as long as a presence holds.
const FRESH_MS: u64 = 150_000;
/// What has tried the quarantined frames when it says so.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Takes what comes in, for as long as the session lasts.
///
/// # Errors
/// If the connection ends, or what came could not be stored; then it stays with the broker.
pub(crate) async fn run(shared: &Shared, session: &Session, deliveries: Subscriber) -> Result<(), SessionError> {
    let mut batches = deliveries.ready_chunks(BATCH);
    let mut gaps = shared.link.gaps().await;
    gaps.resume(&shared.store).await?;
    // While some frames are written to the disk, the next ones are opened.
    let mut storing = Fuse::terminated();
    let mut opened: Option<Opened> = None;
    loop {
        if storing.is_terminated()
            && let Some(opened) = opened.take()
        {
            storing = store(shared, session, opened).boxed().fuse();
        }
        tokio::select! {
            biased;
            stored = &mut storing, if !storing.is_terminated() => {
                stored?;
                gaps.look(&shared.store).await?;
            }
            batch = batches.next(), if opened.is_none() => {
                opened = Some(open(shared, session, batch.ok_or(SessionError::Lost)?));
            }
            () = gaps.wait(shared.config.gap_wait) => gaps.pass(&shared.store, shared.config.gap_wait).await?,
        }
    }
}

/// Frames that were judged, and wait to be disposed of.
struct Opened {
    frames: Vec<Frame>,
    acks: Vec<String>,
    /// Whose messages show that they are there now.
    seen: HashSet<PrimaryKey>,
    /// How many more the broker had when it sent the last one.
    behind: Option<u64>,
    now_ms: u64,
}

/// Judges some frames. Whatever is wrong with one, it does not come again: an un-acked frame would be redelivered for
/// ever, and enough of them stop an inbox.
fn open(shared: &Shared, session: &Session, batch: Vec<Message>) -> Opened {
    let (own, now_ms) = (shared.primary(), shared.home_now_ms());
    let frames = Vec::with_capacity(batch.len());
    let mut opened = Opened { frames, acks: Vec::new(), seen: HashSet::new(), behind: None, now_ms };
    for message in batch {
        let reply = message.reply.as_ref().map(|reply| reply.as_str());
        match check_inbox_frame(&message.subject, reply, &own, session.streams()) {
            Ok(ack) => {
                opened.behind = Some(ack.behind());
                opened.acks.push(ack.as_str().to_owned());
            }
            Err(error) => {
                // Not a delivery of ours: somebody aimed another answer at our subject. There is nothing to acknowledge,
                // and they can do it as often as they like.
                tracing::debug!(%error, "ignored a frame");
                continue;
            }
        }
        let rules = Rules { key: &shared.key, policy: shared.policy, handles: &shared.own_handles };
        match rules.open(&shared.peers, message.payload) {
            Ok(incoming) => {
                if incoming.payload.sent_at_ms.abs_diff(now_ms) < FRESH_MS {
                    opened.seen.insert(incoming.author);
                }
                opened.frames.push(Frame::Message(incoming.into()));
            }
            Err((wire, code)) if needs_later_version(code) => {
                tracing::warn!(%code, "kept a message that this version can't read");
                opened.frames.push(Frame::Unread { wire, reason: code.to_string() });
            }
            Err((_, code)) => tracing::warn!(%code, "dropped a frame that is no message to us"),
        }
    }
    opened
}

/// Disposes of frames durably, then acknowledges them.
async fn store(shared: &Shared, session: &Session, opened: Opened) -> Result<(), SessionError> {
    let Opened { frames, acks, seen, behind, now_ms } = opened;
    if !frames.is_empty() {
        let stored = shared.store.receive(shared.primary(), frames, now_ms).await?;
        if stored.contains(&Stored::Dropped) {
            tracing::info!("dropped a message that is not ours to keep");
        }
    }
    shared.link.count(|traffic| {
        traffic.received += acks.len();
        traffic.behind = behind.unwrap_or(traffic.behind);
    });
    for ack in acks {
        // A lost acknowledgement brings the frame again, as a duplicate.
        let _ = session.nats.publish(ack, Bytes::from_static(b"+ACK")).await;
    }
    for author in seen {
        if shared.link.saw(&author, Instant::now()) {
            shared.store.resend_to(author, now_ms).await?;
        }
    }
    Ok(())
}

/// Tries the frames again that an earlier version could not read.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn retry_quarantined(shared: &Shared) -> Result<(), StoreError> {
    let rules = Rules { key: &shared.key, policy: shared.policy, handles: &shared.own_handles };
    rules.retry_quarantined(&shared.store, &shared.peers, shared.home_now_ms(), VERSION).await
}

/// By what a frame is judged.
struct Rules<'a> {
    key: &'a SecretKey,
    policy: Policy,
    /// Every handle that our own chain ever named.
    handles: &'a HashSet<Handle>,
}

impl Rules<'_> {
    fn open(&self, peers: &Peers, wire: Bytes) -> Result<Incoming, (Bytes, Code)> {
        match self.read(peers, &wire) {
            Ok((author, payload, bytes)) => {
                let misaddressed = payload.check_addressee(|to| self.handles.contains(to)).is_err();
                Ok(Incoming { author, payload, bytes, wire, misaddressed })
            }
            Err(code) => Err((wire, code)),
        }
    }

    fn read(&self, peers: &Peers, wire: &[u8]) -> Result<(PrimaryKey, Payload, zeroize::Zeroizing<Vec<u8>>), Code> {
        let opened = envelope::open(self.key, wire, |key| peers.known(key)).map_err(|error| error.code())?;
        let payload = Payload::decode(&opened.payload, Channel::Inbox, self.policy).map_err(|error| error.code())?;
        peers.keep(&opened.sender);
        Ok((*opened.sender.key(), payload, opened.payload))
    }

    async fn retry_quarantined(
        &self,
        store: &Store,
        peers: &Peers,
        now_ms: u64,
        version: &'static str,
    ) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let frames = store.quarantined(after, version).await?;
            let Some(last) = frames.last() else { return store.set_quarantine_tried(version).await };
            after = last.row;
            for frame in frames {
                match self.open(peers, frame.wire.into()) {
                    Ok(message) => store.leave_quarantine(frame.row, self.key.primary(), Some(message), now_ms).await?,
                    Err((_, code)) if needs_later_version(code) => {}
                    Err(_) => store.leave_quarantine(frame.row, self.key.primary(), None, now_ms).await?,
                }
            }
        }
    }
}

/// Tells whether a later version may read what this one can't.
fn needs_later_version(code: Code) -> bool {
    matches!(code, Code::BadVersion | Code::UnknownSuite | Code::UnknownKeyId)
}

#[cfg(test)]
mod tests {
    use kez_core::{
        envelope::Peer,
        payload::{Content, MessageId},
        sigchain::Install,
    };

    use super::*;
    use crate::event::{Event, EventId};

    /// As if an earlier version had put aside a frame that this one can read, another that it can't either, and one that
    /// turns out to be nothing.
    #[tokio::test]
    async fn an_upgrade_tries_again_what_was_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let [own, stranger] = [1, 2].map(|byte| SecretKey::from_seed([byte; 32]));
        let store = Store::open(&dir.path().join("kez.db"), &own).await.unwrap();
        store.begin_account(Install::from_bytes([1; 8])).await.unwrap();
        let payload = Payload {
            id: MessageId([7; 16]),
            install: Install::from_bytes([2; 8]),
            seq: 1,
            sent_at_ms: 5,
            from: None,
            to: None,
            content: Content::Text("from the future".into()),
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        let readable = envelope::seal(
            &stranger,
            &Peer::new(&stranger, own.primary()),
            &payload.encode().unwrap(),
            &rand::random(),
        );
        let wires = [readable.unwrap(), vec![9; 500], vec![1; 3]];
        let put_aside = wires.map(|wire| Frame::Unread { wire: wire.into(), reason: "UnknownSuite".into() });
        store.receive(own.primary(), put_aside.into(), 1).await.unwrap();

        let (handles, peers) = (HashSet::new(), Peers::default());
        let rules = Rules { key: &own, policy: Policy::Production, handles: &handles };
        for _ in 0..2 {
            rules.retry_quarantined(&store, &peers, 2, "next").await.unwrap();
            let events = store.events_after(EventId::default(), 9).await.unwrap();
            assert!(matches!(&events[..], [only] if matches!(only.event, Event::Request { .. })), "{events:?}");
        }
        assert!(store.quarantined(0, "next").await.unwrap().is_empty(), "this version has tried them");
        let left = store.quarantined(0, "the one after").await.unwrap();
        assert_eq!(left.iter().map(|frame| frame.wire[0]).collect::<Vec<_>>(), [9], "an unknown version is kept");
    }
}
