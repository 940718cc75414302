//! One of the two clients: an application on the SDK that writes numbered messages, and keeps a ledger.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use kez_chat_sdk::{
    Client, Clock, Event, HomeUrl, KeyStore, KeyStoreError, MessageState, NewAccount, Order, PendingEvent,
    identity::{PrimaryKey, SecretKey},
    resolve_handle,
};
use kez_service::process::{self, LogFormat};
use tokio::time::sleep;

use crate::ledger::{Ledger, Mark, Record};

const LOG: &str = "warn,kez_torture=info,kez_chat_sdk=debug";
/// When a server is asked again that was away. No event tells that a process listens again.
const RETRY: Duration = Duration::from_millis(200);
/// Longer than any torture: nothing is lost in one, so no message may come out of its order.
const GAP_WAIT: Duration = Duration::from_hours(24);
/// An application takes its time with one message in so many, so that kills fall between seeing and handling it.
const SLOW_ONE_IN: u64 = 16;
/// How many events an application takes at once, at most.
const TOGETHER: usize = 16;
const SLOW: Duration = Duration::from_millis(40);

/// Who a client is, and where it keeps its things.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    #[arg(long)]
    pub(crate) folder: PathBuf,
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) home: String,
}

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// The other one's name.
    #[arg(long)]
    peer: String,
    /// How far the client's clock is off, in milliseconds.
    #[arg(long, allow_negative_numbers = true)]
    clock_ms: i64,
    /// How many messages it is to have sent in the end.
    #[arg(long)]
    messages: u64,
    /// When the first is due, in milliseconds since 1970 by the machine's clock.
    #[arg(long)]
    begin_ms: u64,
    /// When the last is due.
    #[arg(long)]
    end_ms: u64,
}

impl Place {
    /// Returns the path of the client's ledger.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    fn account(&self) -> PathBuf {
        self.folder.join("account")
    }

    fn key_store(&self) -> Arc<dyn KeyStore> {
        Arc::new(KeyFile(self.folder.join("seed")))
    }
}

/// Registers the account.
pub(crate) async fn prepare(place: &Place) -> Result<()> {
    process::init_logging(LogFormat::Pretty, LOG)?;
    let begun = NewAccount::begin(place.account(), place.key_store()).await?;
    let account = begun.with_backup_file(&place.folder.join("words.txt")).await?;
    let handle = resolve_handle(&place.name, Some(&HomeUrl::parse(&place.home)?))?;
    account.register(&handle, |step| tracing::info!("{step}")).await?;
    Ok(())
}

/// Writes and reads until it is killed or told to stop.
pub(crate) async fn run(options: &Options) -> Result<()> {
    process::init_logging(LogFormat::Pretty, LOG)?;
    tracing::info!(clock_ms = options.clock_ms, "started");
    let (ledger, before) = Ledger::open(&options.place.ledger())?;
    // Listens from the first poll on: whoever reads that we have started may ask us to stop.
    let mut stopped = pin!(process::stop_requested());
    let client = tokio::select! {
        biased;
        stopped = &mut stopped => return Ok(stopped?),
        client = open(options, &ledger) => client?,
    };
    let working = async {
        let peer = befriend(&client, &options.peer).await;
        tokio::try_join!(write(&client, peer, options, &ledger, &before), read(&client, peer, &ledger))
    };
    tokio::select! {
        ended = working => drop(ended?),
        stopped = stopped => stopped?,
    }
    client.shutdown().await;
    Ok(())
}

async fn open(options: &Options, ledger: &Ledger) -> Result<Client> {
    ledger.write(Record::Started)?;
    let clock_ms = options.clock_ms;
    let clock = Clock::from_fn(move || Clock::system().now_ms().saturating_add_signed(clock_ms));
    let client = Client::builder(options.place.account(), options.place.key_store());
    Ok(client.clock(clock).gap_wait(GAP_WAIT).open().await?)
}

/// Finds the other one's key, however often the servers have to be asked.
async fn befriend(client: &Client, name: &str) -> PrimaryKey {
    loop {
        if let Ok(contact) = client.contacts().find(name).await {
            return contact.primary;
        }
        if let Err(error) = client.contacts().add(name).await {
            tracing::info!(%error, "not added yet");
            sleep(RETRY).await;
        }
    }
}

/// Sends what is due, beginning after what an earlier process has sent, and evenly until the end. Who was away is behind
/// and sends without a pause.
async fn write(client: &Client, peer: PrimaryKey, options: &Options, ledger: &Ledger, before: &[Record]) -> Result<()> {
    let mut mark = next_mark(before);
    while mark.number <= options.messages {
        let time = options.end_ms.saturating_sub(options.begin_ms);
        let due_ms = options.begin_ms + time * (mark.number - 1) / options.messages;
        sleep(Duration::from_millis(due_ms.saturating_sub(Clock::system().now_ms()))).await;
        ledger.write(Record::Sending(mark))?;
        let id = client.conversation(peer).send_text(&mark.to_string()).await.context("a message was not accepted")?;
        ledger.write(Record::Sent(mark, id))?;
        mark = Mark { number: mark.number + 1, attempt: 1 };
    }
    Ok(())
}

/// Tells what comes after all that was begun.
fn next_mark(before: &[Record]) -> Mark {
    before.iter().fold(Mark { number: 1, attempt: 1 }, |next, record| match record {
        Record::Sending(mark) => Mark { attempt: mark.attempt + 1, ..*mark },
        Record::Sent(mark, _) => Mark { number: mark.number + 1, attempt: 1 },
        _ => next,
    })
}

/// Takes what happens, by turns alone and with others.
async fn read(client: &Client, peer: PrimaryKey, ledger: &Ledger) -> Result<()> {
    for most in [1, TOGETHER].into_iter().cycle() {
        let pending = client.next_events(most).await?;
        let mut shown = Vec::new();
        for PendingEvent { event, .. } in &pending {
            shown.extend(show(event, peer, ledger)?);
        }
        if shown.iter().any(|mark| mark.number.is_multiple_of(SLOW_ONE_IN)) {
            sleep(SLOW).await;
        }
        client.handled_all(&pending.iter().map(|event| event.id).collect::<Vec<_>>()).await?;
        for mark in shown {
            ledger.write(Record::Handled(mark))?;
        }
    }
    Ok(())
}

/// Notes what an event says; returns the message that it is.
fn show(event: &Event, peer: PrimaryKey, ledger: &Ledger) -> Result<Option<Mark>> {
    match event {
        Event::Message { from, text, order, .. } if from.primary == peer => {
            let mark: Mark = text.parse()?;
            if *order != Order::InOrder {
                ledger.write(Record::Marked(mark))?;
            }
            ledger.write(Record::Shown(mark))?;
            return Ok(Some(mark));
        }
        Event::MessageState { id, state: MessageState::Delivered | MessageState::Read, .. } => {
            ledger.write(Record::Arrived(*id))?;
        }
        Event::MessageState { .. } => {}
        // They added us before we did them, and wrote at once.
        Event::Request { from, .. } if from.primary == peer => {}
        other => bail!("nobody sends this here: {other:?}"),
    }
    Ok(None)
}

/// A seed in a file, as it is: a passphrase file takes a second at each start, on purpose.
struct KeyFile(PathBuf);

impl KeyStore for KeyFile {
    fn load(&self) -> Result<Option<SecretKey>, KeyStoreError> {
        match fs::read(&self.0) {
            Ok(seed) => match seed.try_into() {
                Ok(seed) => Ok(Some(SecretKey::from_seed(seed))),
                Err(seed) => Err(KeyStoreError::Damaged(format!("{} bytes", seed.len()))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(KeyStoreError::Unavailable(error.into())),
        }
    }

    fn save(&self, key: &SecretKey) -> Result<(), KeyStoreError> {
        let saved = File::create_new(&self.0).and_then(|mut file| file.write_all(key.expose_seed()));
        saved.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyStoreError::Occupied,
            _ => KeyStoreError::Unavailable(error.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use kez_chat_sdk::payload::MessageId;

    use super::*;

    #[test]
    fn what_was_cut_off_is_tried_again_under_another_attempt() {
        let mark = |number, attempt| Mark { number, attempt };
        let sent = |it| Record::Sent(it, MessageId([0; 16]));
        let cases: [(&[Record], Mark); 4] = [
            (&[Record::Started], mark(1, 1)),
            (&[Record::Sending(mark(1, 1)), sent(mark(1, 1)), Record::Shown(mark(9, 1))], mark(2, 1)),
            (&[Record::Sending(mark(1, 1)), Record::Started], mark(1, 2)),
            (&[Record::Sending(mark(1, 2)), sent(mark(1, 2)), Record::Sending(mark(2, 1))], mark(2, 2)),
        ];
        for (before, expected) in cases {
            assert_eq!(next_mark(before), expected, "{before:?}");
        }
    }
}
