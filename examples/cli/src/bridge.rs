//! The API on standard input and output, for bots: each line is a call on the link, which outlives the owner of the home.

use serde_json::Value;
use tokio::{io::BufReader, sync::mpsc, task::JoinSet};

use crate::{
    api::{
        event::{CallProgress, Notification},
        under_way::UnderWay,
        wire::{self, CallId, Frame, Read},
    },
    failure::Failure,
    link::{Calling, Heard, Link},
};

/// Takes calls until standard input ends, and answers all of them.
pub(crate) async fn run(link: &mut Link) -> Result<(), Failure> {
    link.stay();
    let (sender, mut incoming) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut input = BufReader::new(tokio::io::stdin());
        while let Ok(Some(read)) = wire::read_line(&mut input).await {
            if sender.send(read).await.is_err() {
                return;
            }
        }
    });
    let (lines, mut waiting) = mpsc::channel::<Frame>(64);
    let mut bridge = Bridge { lines, calls: UnderWay::default() };
    let mut output = tokio::io::stdout();
    loop {
        tokio::select! {
            Some(frame) = waiting.recv() => wire::write_line(&mut output, &frame.to_line()?).await?,
            read = incoming.recv() => match read {
                Some(read) => {
                    if let Some(answer) = bridge.take(link, read) {
                        wire::write_line(&mut output, &answer.to_line()?).await?;
                    }
                }
                None => break,
            },
            Some(()) = bridge.calls.ended() => {}
            notification = link.next() => match notification {
                Some(told) => wire::write_line(&mut output, &told.to_frame()?.to_line()?).await?,
                // Every call says why.
                None => break,
            },
        }
    }
    let Bridge { lines, mut calls, .. } = bridge;
    drop(lines);
    while let Some(frame) = waiting.recv().await {
        wire::write_line(&mut output, &frame.to_line()?).await?;
    }
    calls.all_ended().await;
    Ok(())
}

struct Bridge {
    lines: mpsc::Sender<Frame>,
    calls: UnderWay,
}

impl Bridge {
    /// Begins the call that a line is, or returns the answer if it is none.
    fn take(&mut self, link: &Link, read: Read) -> Option<Frame> {
        let (id, method, params) = match wire::call_in(read) {
            Ok(call) => call,
            Err(failure) => return Some(Frame::answer(None, Err(failure))),
        };
        if method == wire::CANCEL {
            let id = wire::cancelled(params)?;
            return self.calls.cancel(&id).then(|| Frame::answer(Some(id), Err(wire::was_cancelled())));
        }
        if id.as_ref().is_some_and(|id| self.calls.has(id)) {
            return Some(Frame::answer(id, Err(wire::too_many_calls())));
        }
        let calling = link.begin_raw(method, params.unwrap_or_else(|| Value::Object(Default::default())));
        let lines = self.lines.clone();
        self.calls.begin(id.clone(), async move {
            match id {
                Some(id) => answer(lines, id, calling).await,
                None => drop::<Result<Value, Failure>>(calling.answer().await),
            }
        });
        None
    }
}

async fn answer(lines: mpsc::Sender<Frame>, call: CallId, mut calling: Calling<Value>) {
    loop {
        let frame = match calling.next().await {
            Heard::Progress(progress) => {
                Notification::Progress(CallProgress { call: call.clone(), progress }).to_frame()
            }
            Heard::Answer(outcome) => {
                let _ = lines.send(Frame::answer(Some(call), outcome)).await;
                return;
            }
        };
        match frame {
            Ok(frame) => drop(lines.send(frame).await),
            Err(failure) => tracing::warn!(%failure, "a notification can't be written"),
        }
    }
}
