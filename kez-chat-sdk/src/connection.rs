//! One connection to the home's broker (`docs/PROTOCOL.md` §5).

use std::{
    error::Error as StdError,
    future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Auth, AuthError, ConnectError, ConnectErrorKind, ConnectOptions, Event as NatsEvent, ServerError, Subscriber,
};
use kez_core::{
    broker::{Day, LoginNonce, Route, subject},
    handle::Home,
    identity::{PrimaryKey, SecretKey, Statement},
};
use rand::seq::SliceRandom;
use thiserror::Error;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    account::{AccountError, own_chain},
    denial::{Denial, UnderWay},
    net::{Info, Membership, NetError, check_broker_url, host_of, is_about_tls},
    offline::{OfflineCause, Refusal, with_sources},
    shared::Shared,
    store::StoreError,
};

/// How long dialling one broker may take, from finding its addresses to being let in. The library limits only the part
/// after the name was found, and for each address anew.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many of the brokers that a home lists are dialled.
const MAX_BROKERS: usize = 16;
/// No inbox is taken for empty sooner than this after the last frame, nor later than that.
const SHORTEST_QUIET: Duration = Duration::from_secs(1);
const LONGEST_QUIET: Duration = Duration::from_secs(10);

/// Why a session could not be made, or ended.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Home(#[from] NetError),
    #[error("the broker {host} can't be reached")]
    Broker { host: String, source: Box<dyn StdError + Send + Sync> },
    #[error("the broker refused us, and the home knows us")]
    LoginUnavailable(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the broker refused us, and so does the home")]
    Refused(#[source] Refusal),
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

impl SessionError {
    /// Returns what an application is told.
    pub(crate) fn cause(&self, home: &Home) -> OfflineCause {
        let home = home.to_string();
        match self {
            Self::Home(NetError::WrongHome { asked, found }) => {
                OfflineCause::WrongHome { asked: asked.clone(), found: found.clone() }
            }
            Self::Home(NetError::Forbidden { url, why }) => {
                OfflineCause::ForbiddenAddress { url: url.clone(), why: (*why).to_owned() }
            }
            Self::Home(NetError::Unreachable { host, source }) if is_about_tls(source) => {
                OfflineCause::TlsFailed { host: host.clone(), detail: with_sources(source) }
            }
            Self::Home(NetError::Unreachable { source, .. }) => {
                OfflineCause::HomeUnreachable { home, detail: with_sources(source) }
            }
            // Only a broker's name is looked up by itself.
            Self::Home(NetError::NoAddress { host, source }) => {
                OfflineCause::BrokerUnreachable { host: host.clone(), detail: source.to_string() }
            }
            Self::Home(error @ (NetError::Refused { .. } | NetError::BadAnswer { .. })) => {
                OfflineCause::HomeFailing { home, detail: with_sources(error) }
            }
            Self::Broker { host, source } => {
                let (host, detail) = (host.clone(), with_sources(&**source));
                if is_about_tls(&**source) {
                    OfflineCause::TlsFailed { host, detail }
                } else {
                    OfflineCause::BrokerUnreachable { host, detail }
                }
            }
            Self::LoginUnavailable(_) => OfflineCause::LoginUnavailable,
            Self::Refused(refusal) => OfflineCause::Refused(*refusal),
            Self::Subscribe(_) | Self::Lost => OfflineCause::ConnectionLost,
            Self::RouteDenied => OfflineCause::RouteDenied,
            Self::SubscriptionDenied { subject } => OfflineCause::SubscriptionDenied { subject: subject.clone() },
            Self::Account(error) => OfflineCause::StillLeaving { detail: with_sources(error) },
            Self::Store(error) => OfflineCause::StoreFailed { detail: with_sources(error) },
        }
    }
}

/// One connection, and what the home said when it was made.
pub(crate) struct Session {
    pub(crate) nats: async_nats::Client,
    /// The messages that are being sent.
    pub(crate) under_way: Arc<UnderWay>,
    /// After how long without a frame there are no more, as far as can be known.
    pub(crate) quiet_after: Duration,
    info: Info,
    /// Today's route, which all that we send to this home goes by.
    route: Mutex<Option<(Day, Route)>>,
}

impl Session {
    /// Returns the subject under which a message to `recipient` is published now.
    pub(crate) fn inbox_subject(&self, shared: &Shared, recipient: &PrimaryKey) -> Option<String> {
        Some(subject::inbox_publish(recipient, &self.route(shared)?))
    }

    /// Returns the subject under which a presence for `recipient` is published now.
    pub(crate) fn presence_subject(&self, shared: &Shared, recipient: &PrimaryKey) -> Option<String> {
        Some(subject::presence_publish(recipient, &self.route(shared)?))
    }

    fn route(&self, shared: &Shared) -> Option<Route> {
        let (day, server) = (Day::from_unix_ms(shared.home_now_ms()), self.info.server_keys.first()?);
        let mut routes = self.route.lock().unwrap_or_else(PoisonError::into_inner);
        Some(match *routes {
            Some((of_day, route)) if of_day == day => route,
            _ => routes.insert((day, route(&shared.key, server, day))).1,
        })
    }

    /// Returns the brokers that the home names.
    pub(crate) fn brokers(&self) -> &[String] {
        &self.info.nats.urls
    }

    pub(crate) fn streams(&self) -> &[String] {
        &self.info.nats.streams
    }
}

/// What the broker delivers to us.
pub(crate) struct Deliveries {
    pub(crate) inbox: Subscriber,
    pub(crate) presence: Subscriber,
}

/// Connects and subscribes to our deliveries. What ends the connection later comes by `events`.
///
/// # Errors
/// [`SessionError`].
pub(crate) async fn connect(
    shared: &Arc<Shared>,
    events: mpsc::Sender<SessionError>,
) -> Result<(Session, Deliveries), SessionError> {
    let (asked_at, asked) = (shared.now_ms(), Instant::now());
    let info = shared.home.info().await?;
    shared.link.set_home_time(info.now_ms, asked_at, asked.elapsed());
    if shared.store.note_epoch(&info.nats.epoch).await? {
        tracing::warn!("the home's inbox stream was made anew; unconfirmed messages are sent again");
    }
    own_chain::before_session(shared, &info.nats.urls).await?;

    let under_way = Arc::new(UnderWay::default());
    let begun = Instant::now();
    let nats = dial_any(shared, &info, &under_way, &events).await?;
    // A login takes several round trips, so this is longer than a frame that waits takes to come.
    let quiet_after = begun.elapsed().clamp(SHORTEST_QUIET, LONGEST_QUIET);
    let deliveries = Deliveries {
        presence: nats.subscribe(subject::presence_deliver(&shared.primary())).await?,
        inbox: nats.subscribe(subject::deliver(&shared.primary())).await?,
    };
    Ok((Session { nats, under_way, quiet_after, info, route: Mutex::default() }, deliveries))
}

/// Dials the listed brokers, each once and in no order, until one lets us in.
async fn dial_any(
    shared: &Arc<Shared>,
    info: &Info,
    under_way: &Arc<UnderWay>,
    events: &mpsc::Sender<SessionError>,
) -> Result<async_nats::Client, SessionError> {
    let mut urls: Vec<&str> = info.nats.urls.iter().map(String::as_str).collect();
    urls.shuffle(&mut rand::rng());
    let mut failed = SessionError::Lost;
    for url in urls.into_iter().take(MAX_BROKERS) {
        failed = match timeout(DIAL_TIMEOUT, dial(shared, url, info, under_way, events.clone())).await {
            Ok(Ok(nats)) => return Ok(nats),
            // All brokers of a home ask the same part of it who may come in.
            Ok(Err(SessionError::Broker { source, .. })) if is_refusal(&*source) => {
                return Err(why_refused(shared, source).await);
            }
            Ok(Err(error)) => error,
            Err(late) => SessionError::Broker { host: host_of(url), source: late.into() },
        };
        tracing::debug!(error = with_sources(&failed), "a broker of the home did not let us in");
    }
    Err(failed)
}

/// Dials one broker and logs in. What ends the connection later comes by `events`.
async fn dial(
    shared: &Arc<Shared>,
    url: &str,
    info: &Info,
    under_way: &Arc<UnderWay>,
    events: mpsc::Sender<SessionError>,
) -> Result<async_nats::Client, SessionError> {
    check_broker_url(url, shared.policy).await?;
    let jwt = info.nats.jwt.clone();
    // Each connection begins with the home's info, so a session that lost its connection ends. The library would
    // reconnect by itself and take deliveries that nobody reads any more: it is not let in a second time.
    let was_connected = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&was_connected);
    let denials = Arc::clone(under_way);
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
        .tls_client_config(shared.config.roots.client_config())
        .ping_interval(shared.config.keep_alive)
        .max_reconnects(1)
        .ignore_discovered_servers()
        .event_callback(move |event| {
            if let Some(error) = judge(&event, &denials) {
                let _ = events.try_send(error);
            }
            future::ready(())
        })
        .connect(url)
        .await
        .map_err(|source| SessionError::Broker { host: host_of(url), source: source.into() })?;
    was_connected.store(true, Ordering::Relaxed);
    Ok(nats)
}

/// Tells whether a broker answered a login and did not let us in. What it writes does not say why: a part of the home
/// that is down or slow reads like a refusal.
fn is_refusal(error: &(dyn StdError + 'static)) -> bool {
    let kind = error.downcast_ref::<ConnectError>().map(ConnectError::kind);
    kind == Some(ConnectErrorKind::AuthorizationViolation)
        || error.source().is_some_and(|source| source.is::<ServerError>())
}

/// Asks the home whether it was a refusal.
async fn why_refused(shared: &Shared, error: Box<dyn StdError + Send + Sync>) -> SessionError {
    let refusal = match shared.home.membership(&shared.primary(), &shared.handle).await {
        Ok(Membership::Registered) => return SessionError::LoginUnavailable(error),
        Ok(Membership::Retired) => Refusal::Retired,
        Ok(Membership::HandleOfAnother) => Refusal::HandleOfAnother,
        Ok(Membership::Unknown) => Refusal::NotRegistered,
        Err(unanswered) => return unanswered.into(),
    };
    SessionError::Refused(refusal)
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

/// Returns by which route our messages go on a day of the home's.
fn route(key: &SecretKey, server: &PrimaryKey, day: Day) -> Route {
    Route::derive(&key.agree(server), day, &key.primary(), server)
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
        let subject = |now_ms| {
            let route = route(&alice, &server.primary(), Day::from_unix_ms(now_ms));
            subject::inbox_publish(&bob.primary(), &route)
        };
        let midnight = 1_795_478_400_000;
        let to_bob = format!("kez.inbox.{}", bob.primary().to_hex());
        assert_eq!(subject(midnight - 1), format!("{to_bob}.dec79aabf0d45579cbbe0083cca18bb5"));
        assert_eq!(subject(midnight), format!("{to_bob}.432c36d33850f69a16d82464ad99ca21"));
    }
}
