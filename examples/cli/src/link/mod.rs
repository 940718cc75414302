//! The way to whoever owns the home: this process, if none was there before it, or the one that was. A command can't tell
//! them apart, and goes on when the other one ends.

mod station;
mod work;

use std::{
    io,
    marker::PhantomData,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use kez_chat_sdk::new_message_id;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{station::Way, work::Work};
use crate::{
    api::{
        Call, account,
        event::Notification,
        files::{Progress, ShareFiles},
        talk::Send,
    },
    failure::{Failure, Kind},
};

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
        let work = Work::new(way, station, wanted, teller, Arc::clone(&is_ours), closing.clone());
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
