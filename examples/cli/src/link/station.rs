//! How to reach an owner, and the connection to it.

use std::{
    io, mem,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use kez_chat_sdk::KeyStore;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader, WriteHalf},
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::gone;
use crate::{
    api::{
        self, Call as _,
        account::{self, Hello},
        wire::{self, CallId, Frame},
    },
    failure::{Failure, Kind},
    owner::{self, Owner},
    seed,
};

/// How long an owner may take that begins or ends.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long an owner may take to say who it is: one that was stopped with Ctrl-Z never does.
const GREETING: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What lies between this process and its own part as the owner.
const PIPE_BYTES: usize = 1 << 16;

/// How to reach an owner, again and again.
pub(super) struct Way {
    pub(super) home: PathBuf,
    pub(super) key_store: Option<Arc<dyn KeyStore>>,
}

/// A connection to an owner.
pub(super) struct Station {
    /// The owner, if it is this process.
    pub(super) owner: Option<Arc<Owner>>,
    pub(super) says: account::Owner,
    writer: WriteHalf<Box<dyn Stream>>,
    pub(super) incoming: mpsc::Receiver<Vec<u8>>,
    reading: JoinHandle<()>,
}

impl Drop for Station {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Way {
    /// Finds the owner, or becomes it. Whoever is just beginning or ending is waited for.
    pub(super) async fn reach(&mut self) -> Result<Station, Failure> {
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

    pub(super) async fn write(&mut self, frame: &Frame) {
        if let Ok(line) = frame.to_line() {
            // If it is gone, that shows where its answers are read.
            let _ = wire::write_line(&mut self.writer, &line).await;
        }
    }
}

fn silent() -> Failure {
    let what = "the process that owns this home does not answer";
    Failure::new(Kind::Account, "OwnerUnreachable", what, "let it go on, or end it; then run the command again")
}
