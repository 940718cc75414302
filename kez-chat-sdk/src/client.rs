//! The client: an open account.

use std::{path::PathBuf, sync::Arc, time::Duration};

use kez_core::{handle::Handle, identity::PrimaryKey, payload::MessageId};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    account::{
        self, Account,
        own_chain::{OwnStanding, Standing},
    },
    backup::{self, Backup, BackupError},
    config::{ClientBuilder, Config},
    contacts::Contacts,
    conversation::{Conversation, OutboxEntry},
    conversations::Conversations,
    diagnosis::{self, Diagnosis},
    event::{EventId, MessageState, PendingEvent},
    export::{self, Export, ExportError, ExportProgress},
    gossip::Gossip,
    home_dir::{HomeDir, HomeDirError},
    key_store::{KeyStore, KeyStoreError},
    link::{Connection, Link},
    net::{HomeClient, HomeUrl, Http, SigchainClient},
    peers::Peers,
    presence::{Presence, Presences},
    requests::Requests,
    retention::Retention,
    search::{self, Hit, Query, SearchError},
    session,
    shared::Shared,
    store::{Store, StoreError},
    sync::{self, SyncReport},
};

/// Says why a client could not be opened, or can't go on.
///
/// ```
/// use std::sync::Arc;
/// use kez_chat_sdk::{Client, Passphrase, PassphraseFile};
///
/// # #[tokio::main]
/// # async fn main() {
/// let key_store = PassphraseFile::new("nowhere/seed.age", Passphrase::new("correct horse".into()));
/// let error = Client::open("nowhere", Arc::new(key_store)).await.unwrap_err();
/// assert_eq!(error.code(), "NotRegistered");
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no complete account in this home directory.
    #[error("there is no account here yet; register one first")]
    NotRegistered,
    /// No message of ours has this name.
    #[error("there is no message {0} of yours; use the name that sending it gave")]
    NoSuchMessage(MessageId),
    /// The home directory can't be used.
    #[error(transparent)]
    HomeDir(#[from] HomeDirError),
    /// The key can't be had.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ClientError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotRegistered => "NotRegistered",
            Self::NoSuchMessage(_) => "NoSuchMessage",
            Self::HomeDir(error) => error.code(),
            Self::KeyStore(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// An open account: it connects in the background and keeps what it was told, online or not.
///
/// Clones share the account. It stays open until [`Client::shutdown`], or until the last clone is dropped.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let client = stage.client("alice").await;
/// # stage.echo("bob").await;
/// use std::time::Duration;
/// use kez_chat_sdk::{ConnectionState, MessageState};
///
/// client.connection().until(|state| *state == ConnectionState::Online).await;
/// let bob = client.contacts().add("@bob").await?.primary;
/// let id = client.conversation(bob).send_text("hello").await?;
/// let reached = client.wait_until(id, MessageState::Delivered, Duration::from_secs(30)).await?;
/// assert_eq!(reached, MessageState::Delivered);
/// assert!(client.outbox().await?.is_empty(), "nothing waits any more");
///
/// // Many events at a time, for who has much to do.
/// let events = client.next_events(100).await?;
/// for pending in &events {
///     println!("{:?}", pending.event);
/// }
/// client.handled_all(&events.iter().map(|pending| pending.id).collect::<Vec<_>>()).await?;
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    background: Arc<Background>,
}

/// The connection's task; it ends with the last client.
#[derive(Debug)]
struct Background {
    stop: CancellationToken,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Client {
    /// Opens the account in a home directory. It works offline and connects in the background.
    ///
    /// # Errors
    /// [`ClientError`]; `NotRegistered` until [`BackedUpAccount::register`](crate::BackedUpAccount::register) has
    /// succeeded.
    pub async fn open(home_dir: impl Into<PathBuf>, key_store: Arc<dyn KeyStore>) -> Result<Self, ClientError> {
        Self::builder(home_dir, key_store).open().await
    }

    /// Opens the account in a home directory with settings of one's own.
    pub fn builder(home_dir: impl Into<PathBuf>, key_store: Arc<dyn KeyStore>) -> ClientBuilder {
        ClientBuilder::new(home_dir.into(), key_store)
    }

    pub(crate) async fn open_with(
        path: PathBuf,
        key_store: Arc<dyn KeyStore>,
        config: Config,
    ) -> Result<Self, ClientError> {
        if !path.exists() {
            return Err(ClientError::NotRegistered);
        }
        let home_dir = HomeDir::own(path)?;
        let key = account::load_key(key_store).await?.ok_or(ClientError::NotRegistered)?;
        if !home_dir.database().exists() {
            return Err(ClientError::NotRegistered);
        }
        let store = Store::open(&home_dir.database(), &key).await?;
        let row = store.account().await?.ok_or(ClientError::NotRegistered)?;
        let (Some(handle), Some(base), true) = (row.handle, row.sigchain_base, row.published) else {
            return Err(ClientError::NotRegistered);
        };
        let policy = HomeUrl::of(handle.home().clone()).policy();
        let own_chain = store.own_chain(key.primary(), policy).await?;
        let own_handles = own_chain.state().past_handles().cloned().chain([handle.clone()]).collect();
        let standing = match Standing::of(own_chain.state(), row.install, row.leaving) {
            Standing::Here if store.move_under_way().await?.is_some() => Standing::Moving,
            standing => standing,
        };
        let stop = CancellationToken::new();
        let http = Http::new(policy, &config.roots);
        let shared = Arc::new(Shared {
            own_handles,
            peers: Peers::default(),
            sigchain_url: SigchainClient::chain_url(&base, &key.primary()),
            home: HomeClient::new(handle.home(), http.clone()),
            gossip: Gossip::default(),
            http,
            presences: Presences::open(&store).await?,
            link: Link::new(config.suspended),
            config,
            install: row.install,
            born_at_ms: row.born_at_ms,
            own: OwnStanding::new(standing),
            stop: stop.clone(),
            #[cfg(feature = "files")]
            node: crate::files::slot::NodeSlot::default(),
            #[cfg(feature = "files")]
            downloads: crate::files::downloads::awaited::Downloads::default(),
            key,
            handle,
            policy,
            store,
            home_dir,
        });
        let span = tracing::info_span!("account", handle = %shared.handle);
        let task = tokio::spawn(session::run(Arc::clone(&shared)).instrument(span));
        let background = Arc::new(Background { stop, task: std::sync::Mutex::new(Some(task)) });
        Ok(Self { shared, background })
    }

    /// Returns our key.
    #[must_use]
    pub fn primary(&self) -> PrimaryKey {
        self.shared.primary()
    }

    /// Returns our handle.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.shared.handle
    }

    /// Returns the full URL of our sigchain.
    #[must_use]
    pub fn sigchain_url(&self) -> &str {
        &self.shared.sigchain_url
    }

    /// Looks after the account itself: its backup, its sigchain, moving, and leaving for good.
    #[must_use]
    pub fn account(&self) -> Account<'_> {
        Account::new(&self.shared)
    }

    /// Looks at, and adds to, the people we know.
    #[must_use]
    pub fn contacts(&self) -> Contacts<'_> {
        Contacts::new(&self.shared)
    }

    /// Decides about strangers who wrote.
    #[must_use]
    pub fn requests(&self) -> Requests<'_> {
        Requests::new(&self.shared)
    }

    /// Speaks with a contact, or looks at what was said.
    #[must_use]
    pub fn conversation(&self, peer: PrimaryKey) -> Conversation<'_> {
        Conversation::new(&self.shared, peer)
    }

    /// Looks at all conversations.
    #[must_use]
    pub fn conversations(&self) -> Conversations<'_> {
        Conversations::new(&self.shared)
    }

    /// Tells and watches who is there.
    #[must_use]
    pub fn presence(&self) -> Presence<'_> {
        Presence::new(&self.shared)
    }

    /// Shares and fetches files.
    #[cfg(feature = "files")]
    #[must_use]
    pub fn files(&self) -> crate::Files<'_> {
        crate::Files::new(&self.shared)
    }

    /// Watches whether we are connected.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.shared.link.connection()
    }

    /// Leaves the broker, stops serving files, and stays away until [`resume`](Self::resume): for an application that is
    /// put into the background. Nothing of the connection is left when this returns, neither a socket nor a timer. What
    /// is sent meanwhile waits; what others send waits at the home.
    ///
    /// It takes a few seconds at most: what is owed to others is still sent. It may be dropped; the client is suspended
    /// all the same. A [visit](Self::sync_once) that is under way is waited for.
    pub async fn suspend(&self) {
        self.shared.link.set_suspended(true);
        self.shared.link.until_suspended().await;
    }

    /// Connects again after [`suspend`](Self::suspend), at once.
    pub fn resume(&self) {
        self.shared.link.set_suspended(false);
    }

    /// Makes the connection anew, at once: for when the system says that the network is back, or is another one. A
    /// connection that there is may belong to the old network; it is left. Does nothing to a suspended client.
    pub fn reconnect_now(&self) {
        self.shared.link.reconnect_now();
    }

    /// Visits the home once: connects, sends what is due, receives what waits, sends the receipts for it, and leaves, all
    /// `within` the time that the system grants. Phones let an application do so from time to time, or on a push message.
    ///
    /// The client is suspended before and after, so an application that is started for a visit opens it
    /// [suspended](ClientBuilder::suspended). Events are given out as always. On a client that is not suspended this
    /// waits until there is nothing to do, and leaves the connection as it is.
    ///
    /// A broker does not say when an inbox is empty. It is taken for empty when nothing has come for a second, or for as
    /// long as the login took, if that was longer. What the broker had handed to an earlier connection that broke comes
    /// again within half a minute, so perhaps not before the next visit.
    ///
    /// It may be dropped: the client is left suspended, and nothing is lost.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let stage = Stage::set().await;
    /// # stage.register("alice").await;
    /// use std::time::Duration;
    /// use kez_chat_sdk::{Client, SyncOutcome};
    ///
    /// # let key_store = key_store("alice");
    /// let client = Client::builder("alice", key_store).suspended().open().await?;
    /// let report = client.sync_once(Duration::from_secs(25)).await?;
    /// if report.outcome != SyncOutcome::Complete || report.queued > 0 {
    ///     // Ask the system for another moment later.
    /// #   panic!("{report:?}");
    /// }
    /// # client.shutdown().await;
    /// # stage.strike().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Store`]. That there is no connection is no error: the report says so.
    pub async fn sync_once(&self, within: Duration) -> Result<SyncReport, ClientError> {
        Ok(sync::once(&self.shared, within).await?)
    }

    /// Looks at what works and what does not, and at a contact if one is named: for a person who wonders why nothing comes.
    ///
    /// It takes 15 seconds at most, and changes nothing; but a client that is offline tries again at once. The servers are
    /// asked that the account needs, and the named contact's; their endpoint is called. Nobody else hears of it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let stage = Stage::set().await;
    /// # let client = stage.client("alice").await;
    /// use kez_chat_sdk::{Part, Seen};
    ///
    /// let diagnosis = client.diagnose(None).await;
    /// for finding in &diagnosis.findings {
    ///     match &finding.outcome {
    ///         Ok(seen) => println!("{}: {seen}", finding.part),
    ///         Err(fault) => println!("{}: {} ({fault})", finding.part, fault.code()),
    ///     }
    /// }
    /// assert!(diagnosis.works());
    /// let clock = diagnosis.of(Part::Clock).unwrap();
    /// assert!(matches!(clock.outcome, Ok(Seen::Clock { ahead_s: -1..=1 })));
    /// # client.shutdown().await;
    /// # stage.strike().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn diagnose(&self, contact: Option<PrimaryKey>) -> Diagnosis {
        diagnosis::diagnose(&self.shared, contact).await
    }

    /// Waits until a message of ours has come at least as far as `state`, or `timeout` is over; returns how far it
    /// came.
    ///
    /// # Errors
    /// [`ClientError::NoSuchMessage`] or [`ClientError::Store`].
    pub async fn wait_until(
        &self,
        id: MessageId,
        state: MessageState,
        timeout: Duration,
    ) -> Result<MessageState, ClientError> {
        let mut changes = self.shared.store.changes();
        let timeout = tokio::time::sleep(timeout);
        tokio::pin!(timeout);
        loop {
            changes.mark_unchanged();
            let reached = self.shared.store.message_state(self.primary(), id).await?;
            let reached = reached.ok_or(ClientError::NoSuchMessage(id))?;
            if reached >= state {
                return Ok(reached);
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = &mut timeout => return Ok(reached),
                () = self.shared.stop.cancelled() => return Err(StoreError::Closed.into()),
            }
        }
    }

    /// Lists what was accepted for sending and is not known to have arrived, in its order.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn outbox(&self) -> Result<Vec<OutboxEntry>, ClientError> {
        Ok(self.shared.store.undelivered(self.primary()).await?)
    }

    /// Writes a backup of contacts, conversations and choices to a new file (mode 0600), which only the account's key
    /// opens: [`recover_account_from`](crate::recover_account_from) needs it and the 24 words. The file gets its name when
    /// it is whole and on disk; nothing is overwritten.
    ///
    /// It holds one state of the account, however long it takes and whatever comes meanwhile. Nothing waits for it. A call
    /// that is dropped goes on to its end.
    ///
    /// Files that others offered can still be fetched after a recovery; those that we share are on this device alone.
    ///
    /// # Errors
    /// [`BackupError`](crate::BackupError).
    pub async fn backup_to(&self, path: impl Into<PathBuf>) -> Result<Backup, BackupError> {
        backup::write(&self.shared, path.into()).await
    }

    /// Writes everything that conversations show to a new file (mode 0600) that anybody can read, one JSON object a line, as
    /// `docs/EXPORT.md` says: contacts, and messages as they are now. Files are named, and no key is in it. The file gets its
    /// name when it is whole and on disk; nothing is overwritten.
    ///
    /// What is sent or comes meanwhile may be in it or not.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn export_to(
        &self,
        path: impl Into<PathBuf>,
        progress: impl FnMut(&ExportProgress),
    ) -> Result<Export, ExportError> {
        export::write(&self.shared, path.into(), progress).await
    }

    /// Finds messages by their words, the last that came or was written first.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let stage = Stage::set().await;
    /// # let client = stage.client("alice").await;
    /// use kez_chat_sdk::Query;
    ///
    /// client.conversation(client.primary()).send_text("Meet Bob at the Café de la Gare").await?;
    /// let hits = client.search(&Query::new("cafe gar")).await?;
    /// let snippet = &hits[0].snippet;
    /// assert_eq!(&snippet.text[snippet.matches[0].clone()], "Café");
    /// let next = client.search(&Query::new("cafe gar").before(&hits[0])).await?;
    /// assert!(next.is_empty(), "that was all");
    /// # client.shutdown().await;
    /// # stage.strike().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn search(&self, query: &Query) -> Result<Vec<Hit>, SearchError> {
        search::search(&self.shared, query).await
    }

    /// Returns how long messages are kept, where their conversation has no other rule.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn retention(&self) -> Result<Retention, ClientError> {
        Ok(self.shared.store.retention().await?)
    }

    /// Sets how long messages are kept, where their conversation has no [other
    /// rule](crate::Conversation::set_retention). What is older is erased soon after, and for good.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn set_retention(&self, retention: Retention) -> Result<(), ClientError> {
        Ok(self.shared.store.set_retention(retention).await?)
    }

    /// Waits for the next event. An event comes again after a restart until it is [handled](Client::handled);
    /// while the client is open each is given out once.
    ///
    /// It may be dropped and called again: nothing is lost.
    ///
    /// # Errors
    /// [`ClientError::Store`], also when the client was shut down meanwhile.
    pub async fn next_event(&self) -> Result<PendingEvent, ClientError> {
        loop {
            if let Some(event) = self.next_events(1).await?.pop() {
                return Ok(event);
            }
        }
    }

    /// Waits until there are events, and returns up to `max` of them in their order.
    ///
    /// # Errors
    /// As [`next_event`](Client::next_event).
    pub async fn next_events(&self, max: usize) -> Result<Vec<PendingEvent>, ClientError> {
        let mut changes = self.shared.store.changes();
        loop {
            changes.mark_unchanged();
            {
                let mut given = self.shared.link.given().await;
                let events = self.shared.store.events_after(*given, max.max(1)).await?;
                if let Some(last) = events.last() {
                    *given = last.id;
                    return Ok(events);
                }
            }
            tokio::select! {
                () = self.shared.stop.cancelled() => return Err(StoreError::Closed.into()),
                _ = changes.changed() => {}
            }
        }
    }

    /// Says that the application is done with an event: it will not come again.
    ///
    /// # Errors
    /// [`ClientError::Store`]; the event comes again.
    pub async fn handled(&self, id: EventId) -> Result<(), ClientError> {
        self.handled_all(&[id]).await
    }

    /// Says that the application is done with some events: all of them are forgotten, or none.
    ///
    /// # Errors
    /// As [`handled`](Client::handled).
    pub async fn handled_all(&self, ids: &[EventId]) -> Result<(), ClientError> {
        Ok(self.shared.store.forget_events(ids.to_vec()).await?)
    }

    /// Leaves the broker, stops serving files and closes the account.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        let task = self.background.task.lock().ok().and_then(|mut task| task.take());
        if let Some(task) = task {
            let _ = task.await;
        }
        self.shared.store.close().await;
    }
}
