//! One connection to the home's broker (`docs/PROTOCOL.md` §5).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Auth, AuthError, ConnectOptions, Event as NatsEvent, Subscriber};
use kez_core::{
    broker::{Day, LoginNonce, Route, subject},
    identity::{PrimaryKey, Statement},
};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{
    clock::now_ms,
    net::{Info, NetError, check_broker_url},
    shared::Shared,
    store::StoreError,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Connects and subscribes to our deliveries. What ends the connection later comes by `events`.
///
/// # Errors
/// [`SessionError`].
pub(crate) async fn connect(
    shared: &Arc<Shared>,
    events: mpsc::Sender<SessionError>,
) -> Result<(Session, Subscriber), SessionError> {
    let asked_at = now_ms();
    let info = shared.home.info().await?;
    shared.link.set_home_time(info.now_ms, asked_at);
    for url in &info.nats.urls {
        check_broker_url(url, shared.policy).await?;
    }
    if shared.store.note_epoch(&info.nats.epoch).await? {
        tracing::warn!("the home's inbox stream was made anew; unconfirmed messages are sent again");
    }

    let jwt = info.nats.jwt.clone();
    // Each connection begins with the home's info, so a session that lost its connection ends. The library would
    // reconnect by itself and take deliveries that nobody reads any more: it is not let in a second time.
    let was_connected = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&was_connected);
    // The connection's own task may outlive the session by a moment; it must not keep the account open.
    let signer = Arc::downgrade(shared);
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        let answer = match signer.upgrade() {
            Some(shared) if !is_over.load(Ordering::Relaxed) => login(&shared, &nonce, jwt.clone()),
            _ => Err(AuthError::new("the session is over")),
        };
        async move { answer }
    });
    let nats = options
        .name("kez-chat")
        .custom_inbox_prefix(subject::reply_prefix(&shared.primary()))
        .connection_timeout(CONNECT_TIMEOUT)
        // Every listed server is tried once.
        .max_reconnects(info.nats.urls.len())
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
