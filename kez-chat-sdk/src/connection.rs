//! One connection to the home's broker (`docs/PROTOCOL.md` §5).

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Auth, AuthError, ConnectOptions, Event as NatsEvent, ServerError, Subscriber};
use kez_core::{
    broker::{Day, LoginNonce, Route, subject},
    identity::{PrimaryKey, SecretKey, Statement},
};
use thiserror::Error;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    account::{AccountError, own_chain},
    denial::{Denial, UnderWay},
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
    RouteDenied,
    #[error("the broker denied us what we listen to: {subject}")]
    SubscriptionDenied { subject: String },
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One connection, and what the home said when it was made.
pub(crate) struct Session {
    pub(crate) nats: async_nats::Client,
    /// The messages that are being sent.
    pub(crate) under_way: Arc<UnderWay>,
    info: Info,
}

impl Session {
    /// Returns the subject under which a message to `recipient` is published now.
    pub(crate) fn inbox_subject(&self, shared: &Shared, recipient: &PrimaryKey) -> Option<String> {
        Some(inbox_subject(&shared.key, self.info.server_keys.first()?, recipient, shared.home_now_ms()))
    }

    /// Returns the brokers that the home names.
    pub(crate) fn brokers(&self) -> &[String] {
        &self.info.nats.urls
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
    let (asked_at, asked) = (shared.now_ms(), Instant::now());
    let info = shared.home.info().await?;
    shared.link.set_home_time(info.now_ms, asked_at, asked.elapsed());
    for url in &info.nats.urls {
        check_broker_url(url, shared.policy).await?;
    }
    if shared.store.note_epoch(&info.nats.epoch).await? {
        tracing::warn!("the home's inbox stream was made anew; unconfirmed messages are sent again");
    }
    own_chain::before_session(shared, &info.nats.urls).await?;

    let jwt = info.nats.jwt.clone();
    // Each connection begins with the home's info, so a session that lost its connection ends. The library would
    // reconnect by itself and take deliveries that nobody reads any more: it is not let in a second time.
    let was_connected = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&was_connected);
    let under_way = Arc::new(UnderWay::default());
    let denials = Arc::clone(&under_way);
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
            if let Some(error) = judge(&event, &denials) {
                let _ = events.try_send(error);
            }
            future::ready(())
        })
        .connect(info.nats.urls.clone())
        .await?;
    was_connected.store(true, Ordering::Relaxed);
    let deliveries = nats.subscribe(subject::deliver(&shared.primary())).await?;
    Ok((Session { nats, under_way, info }, deliveries))
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

/// Tells whether an event of the connection ends the session. A denial is handed to the message that caused it.
fn judge(event: &NatsEvent, under_way: &UnderWay) -> Option<SessionError> {
    let error = match event {
        NatsEvent::Disconnected | NatsEvent::Closed => return Some(SessionError::Lost),
        NatsEvent::ServerError(error) => error,
        _ => return None,
    };
    let denial = match error {
        ServerError::Other(text) => Denial::parse(text),
        _ => None,
    };
    match denial {
        Some(Denial::Publish(subject)) if under_way.deny(subject) => {}
        Some(Denial::Publish(subject)) => {
            // A message whose acknowledgement was denied comes again, and a send that was given up is tried again.
            tracing::warn!(subject, "the broker denied what no message waits for");
        }
        Some(Denial::Subscribe(subject)) => {
            return Some(SessionError::SubscriptionDenied { subject: subject.to_owned() });
        }
        None => tracing::warn!(%error, "the broker reported an error"),
    }
    None
}

/// Returns where a message is published at a moment of the home's clock: the route changes each day.
fn inbox_subject(key: &SecretKey, server: &PrimaryKey, recipient: &PrimaryKey, home_now_ms: u64) -> String {
    let day = Day::from_unix_ms(home_now_ms);
    subject::inbox_publish(recipient, &Route::derive(&key.agree(server), day, &key.primary(), server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_a_session_ends_it() {
        let refused =
            |text: &str| judge(&NatsEvent::ServerError(ServerError::Other(text.into())), &UnderWay::default());
        let listening = refused(r#"Permissions Violation for Subscription to "kez.deliver.aa""#);
        assert!(matches!(listening, Some(SessionError::SubscriptionDenied { subject }) if subject == "kez.deliver.aa"));
        assert!(refused(r#"Permissions Violation for Publish to "$JS.ACK.KEZ_INBOX.aa.1.2.3.4.5""#).is_none());
        assert!(refused("Permissions Violation for something new").is_none());
        assert!(matches!(judge(&NatsEvent::Disconnected, &UnderWay::default()), Some(SessionError::Lost)));
        assert!(matches!(judge(&NatsEvent::Closed, &UnderWay::default()), Some(SessionError::Lost)));
    }

    /// The example of `docs/PROTOCOL.md` §5: Alice to Bob, on 2026-11-23 and the day after.
    #[test]
    fn the_route_changes_at_the_homes_midnight() {
        let [alice, bob, server] = [1, 2, 3].map(|byte| SecretKey::from_seed([byte; 32]));
        let subject = |now_ms| inbox_subject(&alice, &server.primary(), &bob.primary(), now_ms);
        let midnight = 1_795_478_400_000;
        let to_bob = format!("kez.inbox.{}", bob.primary().to_hex());
        assert_eq!(subject(midnight - 1), format!("{to_bob}.dec79aabf0d45579cbbe0083cca18bb5"));
        assert_eq!(subject(midnight), format!("{to_bob}.432c36d33850f69a16d82464ad99ca21"));
    }
}
