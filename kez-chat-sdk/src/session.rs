//! The connection to the home's broker: one session after another, until the client closes (`docs/PROTOCOL.md` §5).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_nats::{Auth, AuthError, ConnectOptions, Event as NatsEvent, Subscriber};
use futures::StreamExt;
use kez_core::{
    broker::{Day, LoginNonce, Route, subject},
    identity::{PrimaryKey, Statement},
};
use thiserror::Error;
use tokio::{
    sync::{Mutex, MutexGuard, mpsc, watch},
    time::Instant,
};

use crate::{
    client::Shared,
    clock::now_ms,
    event::EventId,
    inbox,
    net::{Info, NetError, check_broker_url},
    outbox,
    store::StoreError,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client that closes may take to send its last receipts.
const LAST_WORDS: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// Longer than any session takes to end.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Whether the client is connected to its home's broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// A connection is being made.
    Connecting,
    /// Messages flow.
    Online,
    /// There is no connection; what is sent waits.
    Offline {
        /// Why.
        cause: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Online => f.write_str("online"),
            Self::Offline { cause, retry_in } => {
                write!(f, "offline ({cause}); next try in {} s", retry_in.as_secs().max(1))
            }
        }
    }
}

/// What the connection and the rest of the client tell each other.
#[derive(Debug)]
pub(crate) struct Link {
    connection: watch::Sender<ConnectionState>,
    /// The home's clock less ours, in milliseconds.
    clock_offset_ms: AtomicI64,
    given: Mutex<EventId>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            connection: watch::Sender::new(ConnectionState::Connecting),
            clock_offset_ms: AtomicI64::new(0),
            given: Mutex::new(EventId::default()),
        }
    }
}

impl Link {
    pub(crate) fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.subscribe()
    }

    pub(crate) fn to_home_time(&self, local_ms: u64) -> u64 {
        local_ms.saturating_add_signed(self.clock_offset_ms.load(Ordering::Relaxed))
    }

    /// Returns the last event that was given out since the client was opened; whoever holds it gives out the next.
    pub(crate) async fn given(&self) -> MutexGuard<'_, EventId> {
        self.given.lock().await
    }
}

/// Why a session could not be made, or ended.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Home(#[from] NetError),
    #[error("the broker can't be reached or refused us: {0}")]
    Connect(#[from] async_nats::ConnectError),
    #[error("the broker did not accept the subscription: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    #[error("the connection to the broker was lost")]
    Lost,
    #[error("the broker refused to take a message under today's route; asking the home anew")]
    RouteRefused,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One connection, and what the home said when it was made.
pub(crate) struct Session {
    pub(crate) nats: async_nats::Client,
    info: Info,
}

impl Session {
    /// Returns the subject under which a message to `recipient` is published now: the route changes each day.
    pub(crate) fn inbox_subject(&self, shared: &Shared, recipient: &PrimaryKey) -> Option<String> {
        let server = self.info.server_keys.first()?;
        let day = Day::from_unix_ms(shared.home_now_ms());
        let route = Route::derive(&shared.key.agree(server), day, &shared.primary(), server);
        Some(subject::inbox_publish(recipient, &route))
    }

    pub(crate) fn streams(&self) -> &[String] {
        &self.info.nats.streams
    }
}

/// Keeps a session going until the client closes.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut retry_in = FIRST_RETRY;
    loop {
        shared.link.connection.send_replace(ConnectionState::Connecting);
        let begun = Instant::now();
        let ended = one_session(&shared).await;
        if shared.stop.is_cancelled() {
            let closed = ConnectionState::Offline { cause: "the account was closed".into(), retry_in: Duration::MAX };
            shared.link.connection.send_replace(closed);
            return;
        }
        tracing::info!(cause = %ended, "offline");
        if begun.elapsed() > LAST_RETRY {
            retry_in = FIRST_RETRY;
        }
        let state = ConnectionState::Offline { cause: ended.to_string(), retry_in };
        shared.link.connection.send_replace(state);
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(retry_in) => {}
        }
        retry_in = (retry_in * 2).min(LAST_RETRY);
    }
}

/// Connects, and works until the connection ends.
async fn one_session(shared: &Arc<Shared>) -> SessionError {
    let (events, mut ended) = mpsc::channel(16);
    let connected = tokio::select! {
        connected = connect(shared, events) => connected,
        () = shared.stop.cancelled() => Err(SessionError::Lost),
    };
    let (session, mut deliveries) = match connected {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    shared.link.connection.send_replace(ConnectionState::Online);
    tracing::info!("online");

    let receiving = async {
        while let Some(frame) = deliveries.next().await {
            inbox::take(shared, &session, frame).await?;
        }
        Err::<(), _>(SessionError::Lost)
    };
    #[cfg(feature = "files")]
    crate::files::serve_in_background(shared);
    let end = tokio::select! {
        Err(error) = receiving => error,
        Err(error) = outbox::run(shared, &session) => error,
        Some(error) = ended.recv() => error,
        () = shared.stop.cancelled() => SessionError::Lost,
    };
    if shared.stop.is_cancelled() {
        // What is owed and what was acknowledged a moment ago still goes out.
        let _ = tokio::time::timeout(LAST_WORDS, outbox::last_words(shared, &session)).await;
    }
    end
}

async fn connect(
    shared: &Arc<Shared>,
    events: mpsc::Sender<SessionError>,
) -> Result<(Session, Subscriber), SessionError> {
    let asked_at = now_ms();
    let info = shared.home.info().await?;
    let offset =
        i64::try_from(info.now_ms).unwrap_or(i64::MAX).saturating_sub(i64::try_from(asked_at).unwrap_or(i64::MAX));
    shared.link.clock_offset_ms.store(offset, Ordering::Relaxed);
    for url in &info.nats.urls {
        check_broker_url(url, shared.policy).await?;
    }
    if shared.store.note_epoch(&info.nats.epoch).await? {
        tracing::warn!("the home's inbox stream was made anew; unconfirmed messages are sent again");
    }

    let jwt = info.nats.jwt.clone();
    let was_connected = Arc::new(AtomicBool::new(false));
    // The connection's own task may outlive the session by a moment; it must not keep the account open.
    let signer = Arc::downgrade(shared);
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        let answer = match signer.upgrade() {
            Some(shared) => login(&shared, &nonce, jwt.clone()),
            None => Err(AuthError::new("the account was closed")),
        };
        async move { answer }
    });
    let nats = options
        .name("kez-chat")
        .custom_inbox_prefix(subject::reply_prefix(&shared.primary()))
        .connection_timeout(CONNECT_TIMEOUT)
        // Every listed server is tried once. Each connection begins with the home's info, so a session that lost its
        // connection ends, and the library's own reconnecting never comes to pass.
        .max_reconnects(info.nats.urls.len())
        .reconnect_delay_callback({
            let was_connected = Arc::clone(&was_connected);
            move |_| if was_connected.load(Ordering::Relaxed) { NEVER } else { Duration::ZERO }
        })
        .ignore_discovered_servers()
        .event_callback(move |event| {
            let events = events.clone();
            async move {
                if let Some(error) = fatal(&event) {
                    let _ = events.try_send(error);
                }
            }
        })
        .connect(info.nats.urls.clone())
        .await?;
    was_connected.store(true, Ordering::Relaxed);
    let deliveries = nats.subscribe(subject::deliver(&shared.primary())).await?;
    // What failed on an earlier connection has a fair chance on this one.
    shared.store.try_all_now().await?;
    Ok((Session { nats, info }, deliveries))
}

/// Answers the broker's nonce with a signature bound to our home. A nonce that is missing or odd is refused.
fn login(shared: &Shared, nonce: &[u8], jwt: Option<String>) -> Result<Auth, AuthError> {
    let nonce = std::str::from_utf8(nonce).map_err(AuthError::new)?;
    let nonce = LoginNonce::parse(nonce).map_err(AuthError::new)?;
    let statement = Statement::NatsLogin { domain: shared.handle.home(), nonce: &nonce };
    let mut auth = Auth::new();
    auth.nkey = Some(shared.primary().to_nkey());
    auth.signature = Some(shared.key.sign(&statement).to_bytes().to_vec());
    auth.jwt = jwt;
    Ok(auth)
}

/// Tells whether an event of the connection ends the session.
fn fatal(event: &NatsEvent) -> Option<SessionError> {
    match event {
        NatsEvent::Disconnected | NatsEvent::Closed => Some(SessionError::Lost),
        NatsEvent::ServerError(error) if error.to_string().to_lowercase().contains("permissions violation") => {
            Some(SessionError::RouteRefused)
        }
        NatsEvent::ServerError(error) => {
            tracing::warn!(%error, "the broker reported an error");
            None
        }
        _ => None,
    }
}
