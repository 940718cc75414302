//! What goes on between a command and the owner, whoever that is.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Pending, Wish, gone,
    station::{Station, Way},
};
use crate::{
    api::{
        self, Call as _,
        event::{Notification, Subscribe},
        files::Progress,
        wire::{CallId, Frame},
    },
    failure::Failure,
};

/// How long the owner may take to note what is cancelled at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What goes on between a command and the owner.
pub(super) struct Work {
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
    pub(super) fn new(
        way: Way,
        station: Station,
        wanted: mpsc::UnboundedReceiver<Wish>,
        teller: mpsc::UnboundedSender<Notification>,
        is_ours: Arc<AtomicBool>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            way,
            station,
            wanted,
            teller,
            is_ours,
            closing,
            calls: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            subscription: None,
            stays: false,
        }
    }

    /// Carries what the command wants and what the owner says, until the command closes.
    pub(super) async fn run(mut self) {
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
