//! What ours are held against: async-nats used directly, on the same home, stream and consumer.
//!
//! Who is protected seals with kez-core, and keeps one durable row before publishing and one before acknowledging, and so
//! loses nothing either. There are no receipts, no contacts, no conversations, no events that wait for an application, and
//! nothing is ever sent twice. Who is not protected publishes, takes and acknowledges bytes, and that is all.

mod rows;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, UNIX_EPOCH},
};

use async_nats::{
    Auth, AuthError, ConnectOptions, Subject, Subscriber,
    jetstream::{self, context::PublishErrorKind, message::PublishMessage},
};
use data_encoding::HEXLOWER;
use futures::StreamExt as _;
use kez_core::{
    broker::{Day, LoginNonce, Route, subject},
    envelope::{self, Peer},
    handle::{Handle, Home, Policy},
    identity::{PrimaryKey, SecretKey, Statement},
    payload::{Channel, Content, MessageId, Payload},
    sigchain::Install,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    agent::{Arrival, Teller},
    control::now_ns,
    person::Person,
};
use rows::{Row, Rows};

/// How many messages may wait for the broker's acknowledgement: as many as a consumer may be given without one of its own.
const IN_FLIGHT: usize = 256;
/// When a message is tried again that the inbox has no room for, which is so until the home has purged.
const RETRY: Duration = Duration::from_millis(20);
/// How long what is not sealed has to be, so that the broker has as much to carry.
const BARE_BYTES: usize = 470;

/// What keeps messages from others, and from being lost.
pub(crate) struct Protection(Rows);

impl Protection {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(Rows::open(&folder.join("harness.db")))
    }
}

pub(crate) struct Harness {
    shared: Arc<Shared>,
    outbox: mpsc::UnboundedSender<Vec<u8>>,
}

struct Shared {
    person: Person,
    protection: Option<Protection>,
    server: PrimaryKey,
    nats: async_nats::Client,
    teller: Teller,
    friend: OnceLock<Friend>,
}

/// The other one of the pair.
struct Friend {
    peer: Peer,
    handle: Handle,
}

impl Harness {
    /// Logs in and listens.
    pub(crate) async fn connect(
        person: Person,
        protection: Option<Protection>,
        nats_url: &str,
        server_key: &str,
        teller: Teller,
    ) -> Self {
        let (key, home) = (person.key.clone(), person.handle.home().clone());
        let options = ConnectOptions::with_auth_callback(move |nonce| {
            let answer = login(&key, &home, &nonce);
            async move { answer }
        });
        let own = person.key.primary();
        let nats = options.custom_inbox_prefix(subject::reply_prefix(&own)).connect(nats_url).await.unwrap();
        let frames = nats.subscribe(subject::deliver(&own)).await.unwrap();
        nats.flush().await.unwrap();
        let server = server_key.parse().unwrap();
        let shared = Arc::new(Shared { person, protection, server, nats, teller, friend: OnceLock::new() });
        let (outbox, queue) = mpsc::unbounded_channel();
        tokio::spawn(publish(Arc::clone(&shared), queue));
        let (kept, taken) = mpsc::unbounded_channel();
        tokio::spawn(receive(Arc::clone(&shared), frames, kept));
        tokio::spawn(acknowledge(Arc::clone(&shared), taken));
        Self { shared, outbox }
    }

    pub(crate) fn meet(&self, handle: &str, primary: &str) {
        let handle = Handle::from_qualified(handle, Policy::Development).unwrap();
        let peer = Peer::new(&self.shared.person.key, primary.parse().unwrap());
        self.shared.friend.get_or_init(|| Friend { peer, handle });
    }

    /// Accepts a text; if it is to be durable, it is so when this returns.
    pub(crate) async fn send(&self, text: String) {
        let message = match &self.shared.protection {
            None => {
                let mut message = text.into_bytes();
                message.resize(BARE_BYTES, b'x');
                message
            }
            Some(Protection(rows)) => {
                let payload = self.shared.payload(text);
                let bytes = payload.encode().unwrap().to_vec();
                let author = *self.shared.person.key.primary().as_bytes();
                rows.keep(Row { author, id: payload.id.0, payload: bytes.clone() }).await.unwrap();
                bytes
            }
        };
        self.outbox.send(message).unwrap();
    }
}

impl Shared {
    /// Writes what our clients would write.
    fn payload(&self, text: String) -> Payload {
        let sent_at_ms = now_ms();
        // As ours are named, for they make the table's index cheaper: by the time first.
        let mut id = [0; 16];
        id[..6].copy_from_slice(&sent_at_ms.to_be_bytes()[2..]);
        id[6..].copy_from_slice(&rand::random::<[u8; 10]>());
        Payload {
            id: MessageId(id),
            install: Install::from_bytes([0; 8]),
            seq: 1,
            sent_at_ms,
            from: Some(self.person.handle.clone()),
            to: Some(self.friend.get().unwrap().handle.clone()),
            content: Content::Text(text),
            own_head: None,
            peer_head: None,
            reply_to: None,
        }
    }

    fn seal(&self, message: Vec<u8>) -> Vec<u8> {
        match &self.protection {
            None => message,
            Some(_) => {
                let peer = &self.friend.get().unwrap().peer;
                envelope::seal(&self.person.key, peer, &message, &rand::random()).unwrap()
            }
        }
    }

    /// Opens what came in, and has it kept if it is to be.
    fn open(&self, wire: &[u8]) -> (String, Option<oneshot::Receiver<()>>) {
        let Some(Protection(rows)) = &self.protection else {
            return (String::from_utf8(wire.to_vec()).unwrap(), None);
        };
        let known = |_: &[u8; 32]| self.friend.get().map(|friend| friend.peer.clone());
        let opened = envelope::open(&self.person.key, wire, known).unwrap();
        let payload = Payload::decode(&opened.payload, Channel::Inbox, Policy::Development).unwrap();
        let Content::Text(text) = payload.content else { panic!("nothing but texts is sent") };
        let author = *opened.sender.key().as_bytes();
        (text, Some(rows.keep(Row { author, id: payload.id.0, payload: opened.payload.to_vec() })))
    }
}

/// Publishes what is queued, [`IN_FLIGHT`] at a time.
async fn publish(shared: Arc<Shared>, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    let context = jetstream::new(shared.nats.clone());
    let window = Arc::new(Semaphore::new(IN_FLIGHT));
    let (own, server) = (&shared.person.key, &shared.server);
    let lane = own.agree(server);
    while let Some(message) = queue.recv().await {
        let permit = Arc::clone(&window).acquire_owned().await.unwrap();
        let route = Route::derive(&lane, Day::from_unix_ms(now_ms()), &own.primary(), server);
        let subject = subject::inbox_publish(shared.friend.get().unwrap().peer.key(), &route);
        let id = HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let message = PublishMessage::build().payload(shared.seal(message).into()).message_id(id);
        let mut acknowledgement = context.send_publish(subject.clone(), message.clone()).await.unwrap();
        let (context, shared) = (context.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            while let Err(error) = acknowledgement.await {
                // Nothing else is refused that way here.
                assert_eq!(error.kind(), PublishErrorKind::Other, "{error}");
                tokio::time::sleep(RETRY).await;
                acknowledgement = context.send_publish(subject.clone(), message.clone()).await.unwrap();
            }
            shared.teller.confirmed.send_modify(|confirmed| *confirmed += 1);
            drop(permit);
        });
    }
}

/// A message that came in, and is acknowledged when it is kept.
struct Taken {
    text: String,
    kept: Option<oneshot::Receiver<()>>,
    reply: Subject,
}

async fn receive(shared: Arc<Shared>, mut frames: Subscriber, out: mpsc::UnboundedSender<Taken>) {
    while let Some(frame) = frames.next().await {
        let (text, kept) = shared.open(&frame.payload);
        out.send(Taken { text, kept, reply: frame.reply.unwrap() }).unwrap();
    }
}

async fn acknowledge(shared: Arc<Shared>, mut taken: mpsc::UnboundedReceiver<Taken>) {
    while let Some(Taken { text, kept, reply }) = taken.recv().await {
        if let Some(kept) = kept {
            kept.await.unwrap();
        }
        let given_ns = now_ns();
        shared.nats.publish(reply, "+ACK".into()).await.unwrap();
        let _ = shared.teller.arrivals.send(Arrival { text, given_ns });
    }
}

fn login(key: &SecretKey, domain: &Home, nonce: &[u8]) -> Result<Auth, AuthError> {
    let nonce = LoginNonce::parse(std::str::from_utf8(nonce).map_err(AuthError::new)?).map_err(AuthError::new)?;
    let mut auth = Auth::new();
    auth.nkey = Some(key.primary().to_nkey());
    auth.signature = Some(key.sign(&Statement::NatsLogin { domain, nonce: &nonce }).to_bytes().to_vec());
    Ok(auth)
}

fn now_ms() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}
