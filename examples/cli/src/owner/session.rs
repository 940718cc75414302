//! One process that speaks to the owner, or the owner's own command: its calls, and what it is told.

use std::{sync::Arc, time::Duration};

use kez_chat_sdk::{Connection, ConnectionState, PresenceWatch, identity::PrimaryKey};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, WriteHalf},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use super::{LAST_ANSWERS, Owner, hub::Listening};
use crate::{
    api::{
        self, Call as _, Done, Request,
        event::{CallProgress, Handled, Notification, PendingEvent, Subscribe},
        files::Progress,
        people::Presence,
        under_way::UnderWay,
        wire::{self, CallId, Frame, Read},
    },
    calls::{self, Step},
    failure::{Failure, Kind},
};

/// How many lines wait for a reader that is slow.
const WAITING_LINES: usize = 64;
/// How many calls may be under way at once.
const MOST_CALLS: usize = 256;
/// How long whoever goes has for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Answers one process until it goes, or the owner closes.
pub(super) async fn run(owner: Arc<Owner>, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
    let (reader, writer) = tokio::io::split(stream);
    let (lines, waiting) = mpsc::channel(WAITING_LINES);
    let mut tasks = JoinSet::new();
    tasks.spawn(write(writer, waiting));
    let (sender, mut incoming) = mpsc::channel(1);
    let reading = tokio::spawn(read(reader, sender));
    let closing = owner.closing.clone();
    let mut session = Session { owner, lines, running: UnderWay::default(), subscription: None };
    loop {
        tokio::select! {
            () = closing.cancelled() => break,
            read = incoming.recv() => match read {
                Some(read) => session.take(read).await,
                None => break,
            },
            Some(()) = session.running.ended() => {}
            news = news(&mut session.subscription) => session.tell(news).await,
        }
    }
    reading.abort();
    if closing.is_cancelled() {
        let _ = timeout(LAST_ANSWERS, session.running.all_ended()).await;
    }
    // Whoever has ended without a word did not cancel anything: a download goes on, here or with the next owner.
    session.running.let_go();
    drop(session);
    let _ = timeout(LAST_LINES, tasks.join_next()).await;
}

/// Hands on what comes in, until it ends.
async fn read(reader: impl AsyncRead + Unpin, incoming: mpsc::Sender<Read>) {
    let mut reader = BufReader::new(reader);
    while let Ok(Some(read)) = wire::read_line(&mut reader).await {
        if incoming.send(read).await.is_err() {
            return;
        }
    }
}

/// Writes what is to be told, until nobody reads it.
async fn write(mut writer: WriteHalf<impl AsyncWrite>, mut waiting: mpsc::Receiver<String>) {
    while let Some(line) = waiting.recv().await {
        if wire::write_line(&mut writer, &line).await.is_err() {
            return;
        }
    }
}

struct Session {
    owner: Arc<Owner>,
    lines: mpsc::Sender<String>,
    running: UnderWay,
    subscription: Option<Subscription>,
}

/// What a process has asked to be told.
struct Subscription {
    events: Listening,
    presence: PresenceWatch,
    connection: Connection,
    is_connection_told: bool,
}

impl Session {
    /// Takes a line: calls are begun in their order, and what takes long goes on beside the next ones.
    async fn take(&mut self, read: Read) {
        let (id, method, params) = match wire::call_in(read) {
            Ok(call) => call,
            Err(failure) => return self.answer(None, Err(failure)).await,
        };
        if method == wire::CANCEL {
            return self.cancel(params).await;
        }
        // A notification is a call that is not answered (JSON-RPC 2.0, section 4.1).
        let outcome = match Request::parse(&method, params) {
            Ok(request) => self.begin(id.as_ref(), request).await,
            Err(failure) => Some(Err(failure)),
        };
        if let (Some(outcome), Some(id)) = (outcome, id) {
            self.answer(Some(id), outcome).await;
        }
    }

    /// Begins a call, and returns its outcome if that is all.
    async fn begin(&mut self, id: Option<&CallId>, request: Request) -> Option<Result<Value, Failure>> {
        match request {
            Request::Subscribe(call) => return Some(self.subscribe(call).await),
            Request::Handled(call) => return Some(self.handled(&call).await),
            _ => {}
        }
        if let Some(id) = id
            && (self.running.has(id) || self.running.len() >= MOST_CALLS)
        {
            return Some(Err(wire::too_many_calls()));
        }
        let report = Report { id: id.cloned(), lines: self.lines.clone() };
        match calls::begin(&self.owner, request, report).await {
            Step::Done(outcome) => Some(outcome),
            Step::Later(rest) => {
                let (name, lines) = (id.cloned(), self.lines.clone());
                self.running.begin(id.cloned(), async move {
                    let outcome = rest.await;
                    if name.is_some() {
                        send(&lines, &Frame::answer(name, outcome)).await;
                    }
                });
                None
            }
        }
    }

    /// Ends a call that its caller does not wait for any more.
    async fn cancel(&mut self, params: Option<Value>) {
        if let Some(id) = wire::cancelled(params)
            && self.running.cancel(&id)
        {
            self.answer(Some(id), Err(wire::was_cancelled())).await;
        }
    }

    async fn subscribe(&mut self, call: Subscribe) -> Result<Value, Failure> {
        let client = &self.owner.client;
        let about = match call.with {
            Some(with) => Some(client.contacts().find(&with).await?.primary.to_string()),
            None => None,
        };
        self.subscription = Some(Subscription {
            events: self.owner.hub.listen(about),
            presence: client.presence().watch(),
            connection: client.connection(),
            is_connection_told: false,
        });
        calls::value(&Done {})
    }

    async fn handled(&mut self, call: &Handled) -> Result<Value, Failure> {
        let Some(subscription) = &self.subscription else {
            let what = format!("{} goes with {} only", Handled::METHOD, Subscribe::METHOD);
            return Err(Failure::new(Kind::Usage, "NotSubscribed", what, "subscribe first"));
        };
        let over = subscription.events.handled(&call.events);
        self.owner.forget(&over).await?;
        calls::value(&Done {})
    }

    async fn tell(&self, news: News) {
        let told = match news {
            News::Event(event) => Notification::Event(event),
            News::Presence(who) => Notification::Presence(presence_of(&self.owner, who).await),
            News::Connection(state) => Notification::Connection(state.into()),
        };
        send_notification(&self.lines, &told).await;
    }

    async fn answer(&self, id: Option<CallId>, outcome: Result<Value, Failure>) {
        send(&self.lines, &Frame::answer(id, outcome)).await;
    }
}

/// What is to be told.
enum News {
    Event(PendingEvent),
    Presence(PrimaryKey),
    Connection(ConnectionState),
}

/// Waits for what is to be told. It may be dropped and called again.
async fn news(subscription: &mut Option<Subscription>) -> News {
    let Some(subscription) = subscription else { return std::future::pending().await };
    if !std::mem::replace(&mut subscription.is_connection_told, true) {
        return News::Connection(subscription.connection.current());
    }
    tokio::select! {
        event = subscription.events.next() => News::Event(event),
        Some((who, _)) = subscription.presence.changed() => News::Presence(who),
        Some(state) = subscription.connection.changed() => News::Connection(state),
    }
}

async fn presence_of(owner: &Owner, who: PrimaryKey) -> Presence {
    let contact = owner.client.contacts().find(&who.to_string()).await.ok();
    let peer = contact.as_ref().map_or_else(|| api::Peer { primary: who.to_string(), handle: None }, Into::into);
    calls::people::presence(&owner.client, who, peer)
}

/// Tells a caller how far its call has come.
#[derive(Debug)]
pub(crate) struct Report {
    id: Option<CallId>,
    lines: mpsc::Sender<String>,
}

impl Report {
    pub(crate) async fn progress(&self, progress: Progress) {
        if let Some(call) = self.id.clone() {
            send_notification(&self.lines, &Notification::Progress(CallProgress { call, progress })).await;
        }
    }
}

async fn send_notification(lines: &mpsc::Sender<String>, told: &Notification) {
    match told.to_frame() {
        Ok(frame) => send(lines, &frame).await,
        Err(failure) => tracing::warn!(%failure, "a notification can't be written"),
    }
}

async fn send(lines: &mpsc::Sender<String>, frame: &Frame) {
    match frame.to_line() {
        // Nobody reads any more: the session is about to end.
        Ok(line) => drop(lines.send(line).await),
        Err(failure) => tracing::warn!(%failure, "a line can't be written"),
    }
}
