//! The way to whoever owns the home: this process, if none was there before it, or the one that was. A command can't tell
//! them apart, and goes on when the other one ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    marker::PhantomData,
    mem,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use kez_chat_sdk::{KeyStore, new_message_id};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader, WriteHalf},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        self, Call,
        account::{self, Hello},
        event::{Notification, Subscribe},
        files::{Progress, ShareFiles},
        talk::Send,
        wire::{self, CallId, Frame},
    },
    failure::{Failure, Kind},
    owner::{self, Owner},
    seed,
};

/// How long an owner may take that begins or ends.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the owner may take to note what is cancelled at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long an owner may take to say who it is: one that was stopped with Ctrl-Z never does.
const GREETING: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What lies between this process and its own part as the owner.
const PIPE_BYTES: usize = 1 << 16;

/// The way to the owner of a home.
#[derive(Debug)]
pub(crate) struct Link {
    wishes: mpsc::UnboundedSender<Wish>,
    notifications: mpsc::UnboundedReceiver<Notification>,
    /// Who answered first, and whose home it is.
    pub(crate) owner: account::Owner,
    is_ours: Arc<AtomicBool>,
    last_call: AtomicI64,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

/// What a command wants.
enum Wish {
    Call(Pending),
    Cancel(i64),
    Stay,
}

/// A call that is not answered yet: it is made again if the owner ends.
struct Pending {
    method: String,
    params: Value,
    number: i64,
    answer: oneshot::Sender<Result<Value, Failure>>,
    progress: mpsc::UnboundedSender<Progress>,
}

impl Link {
    /// Finds the owner of a home, or becomes it.
    pub(crate) async fn reach(home: PathBuf) -> Result<Self, Failure> {
        let mut way = Way { home, key_store: None };
        let station = way.reach().await?;
        let (wishes, wanted) = mpsc::unbounded_channel();
        let (teller, notifications) = mpsc::unbounded_channel();
        let is_ours = Arc::new(AtomicBool::new(station.owner.is_some()));
        let owner = station.says.clone();
        let closing = CancellationToken::new();
        let work = Work {
            way,
            station,
            wanted,
            teller,
            is_ours: Arc::clone(&is_ours),
            closing: closing.clone(),
            calls: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            subscription: None,
            stays: false,
        };
        Ok(Self {
            wishes,
            notifications,
            owner,
            is_ours,
            last_call: AtomicI64::new(0),
            closing,
            task: tokio::spawn(work.run()),
        })
    }

    /// Returns the own home's name, for showing its handles bare.
    pub(crate) fn own_home(&self) -> &str {
        self.owner.account.handle.split_once('@').map_or("", |(_, home)| home)
    }

    /// Tells whether this process owns the home.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours.load(Ordering::Relaxed)
    }

    /// Says that this process goes on until it is stopped, so that others may rely on it.
    pub(crate) fn stay(&self) {
        let _ = self.wishes.send(Wish::Stay);
    }

    /// Makes a call and waits for its answer. Dropping it cancels the call.
    pub(crate) async fn call<C: Call>(&self, call: C) -> Result<C::Answer, Failure> {
        self.begin(call)?.answer().await
    }

    /// Makes a call. Dropping it cancels the call.
    pub(crate) fn begin<C: Call>(&self, call: C) -> Result<Calling<C::Answer>, Failure> {
        let params = serde_json::to_value(call).map_err(io::Error::from)?;
        Ok(self.begin_raw(C::METHOD.to_owned(), params))
    }

    /// Makes a call that another program has written.
    pub(crate) fn begin_raw<T>(&self, method: String, mut params: Value) -> Calling<T> {
        name_once(&method, &mut params);
        let number = self.last_call.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, its_answer) = oneshot::channel();
        let (progress, its_progress) = mpsc::unbounded_channel();
        // Without anybody who takes it, the answer's sender is dropped, and that is the answer.
        let _ = self.wishes.send(Wish::Call(Pending { method, params, number, answer, progress }));
        Calling {
            number,
            answer: its_answer,
            progress: its_progress,
            wishes: self.wishes.clone(),
            is_over: false,
            kind: PhantomData,
        }
    }

    /// Waits for what the owner tells by itself; nothing comes any more if it returns nothing. It may be dropped and called
    /// again.
    pub(crate) async fn next(&mut self) -> Option<Notification> {
        self.notifications.recv().await
    }

    /// Leaves the owner, or closes the account in order.
    pub(crate) async fn close(self) {
        self.closing.cancel();
        drop(self.wishes);
        let _ = self.task.await;
    }
}

/// Names what must not happen twice, for the call may have to be made again to the next owner.
fn name_once(method: &str, params: &mut Value) {
    let member = match method {
        Send::METHOD => "id",
        ShareFiles::METHOD => "name",
        _ => return,
    };
    if let Some(params) = params.as_object_mut() {
        let name = params.entry(member).or_insert(Value::Null);
        if name.is_null() {
            *name = new_message_id().to_string().into();
        }
    }
}

/// A call that is under way; dropped before its answer, it is cancelled.
pub(crate) struct Calling<T> {
    number: i64,
    answer: oneshot::Receiver<Result<Value, Failure>>,
    progress: mpsc::UnboundedReceiver<Progress>,
    wishes: mpsc::UnboundedSender<Wish>,
    is_over: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Calling<T> {
    /// Waits until it has come further, or is answered, which happens once. It may be dropped and called again.
    pub(crate) async fn next(&mut self) -> Heard<T> {
        let answered = tokio::select! {
            biased;
            Some(progress) = self.progress.recv() => return Heard::Progress(progress),
            answered = &mut self.answer => answered,
        };
        self.is_over = true;
        Heard::Answer(answered.unwrap_or_else(|_| Err(gone())).and_then(|answer| {
            serde_json::from_value(answer).map_err(|error| {
                let what = format!("the process that owns this home gave another answer than expected ({error})");
                Failure::new(Kind::Other, "OtherVersion", what, "stop it, and run the command again")
            })
        }))
    }

    /// Waits for the answer.
    pub(crate) async fn answer(mut self) -> Result<T, Failure> {
        loop {
            if let Heard::Answer(answer) = self.next().await {
                return answer;
            }
        }
    }
}

/// What is heard of a call.
pub(crate) enum Heard<T> {
    Progress(Progress),
    Answer(Result<T, Failure>),
}

impl<T> Drop for Calling<T> {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.wishes.send(Wish::Cancel(self.number));
        }
    }
}

fn gone() -> Failure {
    Failure::new(Kind::Other, "OwnerGone", "the process that owns this home has ended", "run the command again")
}

fn silent() -> Failure {
    let what = "the process that owns this home does not answer";
    Failure::new(Kind::Account, "OwnerUnreachable", what, "let it go on, or end it; then run the command again")
}

/// How to reach an owner, again and again.
struct Way {
    home: PathBuf,
    key_store: Option<Arc<dyn KeyStore>>,
}

/// A connection to an owner.
struct Station {
    /// The owner, if it is this process.
    owner: Option<Arc<Owner>>,
    says: account::Owner,
    writer: WriteHalf<Box<dyn Stream>>,
    incoming: mpsc::Receiver<Vec<u8>>,
    reading: JoinHandle<()>,
}

impl Drop for Station {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + std::marker::Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + std::marker::Send + Unpin> Stream for T {}

impl Way {
    /// Finds the owner, or becomes it. Whoever is just beginning or ending is waited for.
    async fn reach(&mut self) -> Result<Station, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let failure = match owner::reach(&self.home).await {
                Ok(stream) => match Station::enter(None, Box::new(stream)).await {
                    Ok(station) => return Ok(station),
                    Err(failure) if failure.code == "OwnerGone" => failure,
                    Err(failure) => return Err(failure),
                },
                Err(error) if is_nobody(&error) => match self.own().await {
                    Ok(station) => return Ok(station),
                    Err(failure) if failure.code == "HomeOwned" => failure,
                    Err(failure) => return Err(failure),
                },
                Err(error) => {
                    let what = format!("the process that owns this home can't be reached: {error}");
                    return Err(Failure::new(Kind::Account, "OwnerUnreachable", what, "stop it, or use another home"));
                }
            };
            if Instant::now() > until {
                return Err(failure);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn own(&mut self) -> Result<Station, Failure> {
        let key_store = match &self.key_store {
            Some(key_store) => Arc::clone(key_store),
            None => {
                let key_store = seed::key_store(&self.home, false).await?;
                Arc::clone(self.key_store.insert(key_store))
            }
        };
        let owner = Owner::open(&self.home, key_store).await?;
        let (here, there) = tokio::io::duplex(PIPE_BYTES);
        owner.attach(there);
        Station::enter(Some(owner), Box::new(here)).await
    }
}

/// Tells whether there is no owner who listens.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

impl Station {
    /// Asks who answers.
    async fn enter(owner: Option<Arc<Owner>>, stream: Box<dyn Stream>) -> Result<Self, Failure> {
        let (reader, mut writer) = tokio::io::split(stream);
        let (sender, mut incoming) = mpsc::channel(1);
        let reading = tokio::spawn(async move {
            let (mut reader, mut line) = (BufReader::new(reader), Vec::new());
            // The owner is the same person's, and its answers are as long as they have to be: a page of long messages has
            // more than a call may.
            while reader.read_until(b'\n', &mut line).await.is_ok() && line.ends_with(b"\n") {
                if sender.send(mem::take(&mut line)).await.is_err() {
                    return;
                }
            }
        });
        let hello = Frame::call(CallId::Number(0), Hello::METHOD, json!({}));
        wire::write_line(&mut writer, &hello.to_line()?).await.map_err(|_| gone())?;
        let Ok(said) = timeout(GREETING, incoming.recv()).await else { return Err(silent()) };
        let Some(line) = said else { return Err(gone()) };
        let answer = Frame::parse(&line)?;
        let says = match (answer.result, answer.error) {
            (Some(result), _) => serde_json::from_value::<account::Owner>(result).ok(),
            (None, Some(error)) => return Err(error.into()),
            (None, None) => None,
        };
        match says.filter(|says| says.api_version == api::VERSION) {
            Some(says) => Ok(Self { owner, says, writer, incoming, reading }),
            None => {
                let what = "the process that owns this home is another version of kez-chat";
                Err(Failure::new(Kind::Account, "OtherVersion", what, "stop it, and run the command again"))
            }
        }
    }

    async fn write(&mut self, frame: &Frame) {
        if let Ok(line) = frame.to_line() {
            // If it is gone, that shows where its answers are read.
            let _ = wire::write_line(&mut self.writer, &line).await;
        }
    }
}

/// What goes on between a command and the owner.
struct Work {
    way: Way,
    station: Station,
    wanted: mpsc::UnboundedReceiver<Wish>,
    teller: mpsc::UnboundedSender<Notification>,
    is_ours: Arc<AtomicBool>,
    closing: CancellationToken,
    calls: BTreeMap<i64, Under>,
    cancelled: BTreeSet<i64>,
    subscription: Option<Value>,
    stays: bool,
}

/// A call that is under way.
struct Under {
    method: String,
    params: Value,
    answer: oneshot::Sender<Result<Value, Failure>>,
    progress: mpsc::UnboundedSender<Progress>,
}

impl Work {
    async fn run(mut self) {
        let closing = self.closing.clone();
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                Some(wish) = self.wanted.recv() => self.take(wish).await,
                read = self.station.incoming.recv() => match read {
                    Some(line) => self.hear(&line),
                    None => {
                        self.tell_of_end();
                        let reached = tokio::select! {
                            () = closing.cancelled() => break,
                            reached = self.reach_again() => reached,
                        };
                        if let Err(failure) = reached {
                            self.fail(&failure);
                            break;
                        }
                    }
                },
            }
        }
        let _ = timeout(LAST_WORDS, self.say_last_words()).await;
        if let Some(owner) = self.station.owner.take() {
            owner.finish().await;
        }
    }

    /// Says what was cancelled last, and waits until the owner knows.
    async fn say_last_words(&mut self) {
        while let Ok(wish) = self.wanted.try_recv() {
            self.take(wish).await;
        }
        while !self.cancelled.is_empty()
            && let Some(line) = self.station.incoming.recv().await
        {
            self.hear(&line);
        }
    }

    async fn take(&mut self, wish: Wish) {
        match wish {
            Wish::Call(Pending { method, params, number, answer, progress }) => {
                if method == Subscribe::METHOD {
                    self.subscription = Some(params.clone());
                }
                self.station.write(&Frame::call(CallId::Number(number), &method, params.clone())).await;
                self.calls.insert(number, Under { method, params, answer, progress });
            }
            Wish::Cancel(call) => {
                if self.calls.remove(&call).is_some() {
                    self.cancelled.insert(call);
                    self.station.write(&Frame::notification("cancel", json!({ "call": call }))).await;
                }
            }
            Wish::Stay => {
                self.stays = true;
                if let Some(owner) = &self.station.owner {
                    owner.stay();
                }
            }
        }
    }

    /// Takes an answer, or what is told.
    fn hear(&mut self, line: &[u8]) {
        let frame = match Frame::parse(line) {
            Ok(frame) => frame,
            Err(failure) => return tracing::warn!(%failure, "the owner wrote something that is no line of ours"),
        };
        if let Some(CallId::Number(call)) = frame.id {
            // One that was cancelled is answered too, by what came of it or by that.
            self.cancelled.remove(&call);
            if let Some(under) = self.calls.remove(&call) {
                let outcome = match frame.error {
                    Some(error) => Err(error.into()),
                    None => Ok(frame.result.unwrap_or_default()),
                };
                let _ = under.answer.send(outcome);
            }
            return;
        }
        let told = json!({ "method": frame.method, "params": frame.params });
        match serde_json::from_value(told) {
            Ok(Notification::Progress(at)) => {
                if let CallId::Number(call) = at.call
                    && let Some(under) = self.calls.get(&call)
                {
                    let _ = under.progress.send(at.progress);
                }
            }
            Ok(notification) => drop(self.teller.send(notification)),
            Err(error) => tracing::warn!(%error, "the owner tells something that this version does not know"),
        }
    }

    /// Says that there is no owner for the moment.
    fn tell_of_end(&self) {
        let why = Some("the process that owned this home has ended".to_owned());
        let state = "connecting".to_owned();
        let _ = self.teller.send(Notification::Connection(api::event::Connection { state, why }));
    }

    /// Finds the next owner, or becomes it, and asks again for what was not answered.
    async fn reach_again(&mut self) -> Result<(), Failure> {
        if let Some(owner) = self.station.owner.take() {
            // Our own part has ended: nothing but an end of the account does that.
            owner.finish().await;
            return Err(gone());
        }
        self.cancelled.clear();
        self.station = self.way.reach().await?;
        self.is_ours.store(self.station.owner.is_some(), Ordering::Relaxed);
        if let (Some(owner), true) = (&self.station.owner, self.stays) {
            owner.stay();
        }
        if let Some(params) = &self.subscription {
            let subscribe = Frame { id: None, ..Frame::notification(Subscribe::METHOD, params.clone()) };
            self.station.write(&subscribe).await;
        }
        // What was handled is told to whoever gave it; the next owner gives anew what is not handled.
        let handled = api::event::Handled::METHOD;
        for (call, under) in mem::take(&mut self.calls) {
            if under.method == handled {
                let _ = under.answer.send(Ok(json!({})));
                continue;
            }
            self.station.write(&Frame::call(CallId::Number(call), &under.method, under.params.clone())).await;
            self.calls.insert(call, under);
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure) {
        for under in mem::take(&mut self.calls).into_values() {
            let Failure { kind, code, what, advice } = failure;
            let _ = under.answer.send(Err(Failure::new(*kind, code, what.clone(), advice.clone())));
        }
    }
}
