//! The broker side: one task that connects, makes the streams ready, answers callouts, keeps inboxes and consumers, sweeps
//! out what is nobody's, stops who floods or breaks others' connections, and takes away what is left of people.
//!
//! A *session* lasts as long as both connections do (one in the AUTH account, one in the JS account). When either
//! breaks, the session ends and a new one begins from the start, with a back-off. A third one, in the system account, is
//! made when somebody has to be disconnected, and no session hangs on it.

mod back_off;
pub(crate) mod connect;
mod consumers;
mod departures;
mod floods;
mod hints;
pub(crate) mod jetstream;
mod keeper;
mod kick;
pub(crate) mod logins;
mod lookout;
mod meters;
mod sample;
mod sweep;
mod totals;
mod trouble;
mod unreadable;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectError, ServerAddr, SubscribeError};
use kez_core::identity::PrimaryKey;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::back_off::BackOff;
use self::consumers::Consumers;
use self::departures::Departures;
use self::floods::Floods;
pub(crate) use self::jetstream::{INBOX_PER_ROUTE, INBOX_TTL, JetStream, JsError, MAX_MESSAGE_BYTES, Reconciled};
use self::keeper::Keeper;
use self::kick::Kicker;
use self::logins::Logins;
use self::lookout::Lookout;
pub(crate) use self::meters::Meters;
use self::sweep::Sweep;
use self::unreadable::Unreadable;
use crate::callout::Callout;
use crate::clock::Clock;
use crate::registry::{Registry, RegistryError};
use crate::secret::ServerSecret;

/// Chat-servers side by side share the work through this queue group.
const GROUP: &str = "kez-chat-server";
/// Users who connected since the keeper last looked; more than that wait for their next acknowledgement.
const LOGIN_HINTS: usize = 4096;

/// Why a session did not come up, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("the broker can't be reached as {user}; check NATS_URL, and that nats.conf names this server's keys")]
    Connect { user: &'static str, source: ConnectError },
    #[error(transparent)]
    JetStream(#[from] JsError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("a subscription was not taken")]
    Subscribe(#[from] SubscribeError),
    #[error("the broker did not confirm the subscription to logins within {0:?}")]
    Unconfirmed(Duration),
    #[error("the connection to the broker broke")]
    Lost,
}

/// What a session needs.
pub(crate) struct Config {
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) secret: ServerSecret,
    pub(crate) stream_replicas: u8,
    pub(crate) callout: Arc<Callout>,
    pub(crate) registry: Registry,
    /// Wakes the broker side when somebody has left.
    pub(crate) departed: Arc<Notify>,
    /// 0: no flood is stopped.
    pub(crate) flood_limit_bytes: u64,
    pub(crate) sweep_every: Duration,
    pub(crate) leftovers_stay: Duration,
    pub(crate) clock: Clock,
    pub(crate) meters: Meters,
}

/// The broker while it is within reach.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) js: JetStream,
    /// When the inbox stream was made, in the broker's words.
    pub(crate) epoch: String,
}

/// The running broker side. Dropping it asks it to stop.
pub(crate) struct Broker {
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Broker {
    /// Starts, and returns when logins are answered or the first attempt failed; then it goes on trying.
    pub(crate) async fn start(config: Config) -> (Self, watch::Receiver<Option<Link>>) {
        let (link, receiver) = watch::channel(None);
        let (first, tried) = oneshot::channel();
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep_up(config, link, first, stop.clone()));
        // An error says that the task is gone, which its end reports.
        let _ = tried.await;
        (Self { stop: stop.drop_guard(), task }, receiver)
    }

    /// Answers what has come in, and disconnects; a broker that is stuck is waited for no longer than `grace`.
    pub(crate) async fn shutdown(mut self, grace: Duration) {
        drop(self.stop);
        match tokio::time::timeout(grace, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the broker side had failed"),
            Err(_) => {
                tracing::warn!(grace_ms = grace.as_millis(), "the broker did not let go, and was left");
                self.task.abort();
            }
        }
    }
}

async fn keep_up(
    config: Config,
    link: watch::Sender<Option<Link>>,
    first: oneshot::Sender<()>,
    stop: CancellationToken,
) {
    let mut first = Some(first);
    let kicker = Arc::new(Kicker::new(config.servers.clone(), config.secret.clone()));
    let mut departures = Departures::new(config.registry.clone(), Arc::clone(&kicker), Arc::clone(&config.departed));
    let mut back_off = BackOff::new();
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = Session::open(&config) => opened,
        };
        if let Ok(session) = &opened {
            tracing::info!(epoch = session.link.epoch, "the broker is connected; logins are answered");
            config.meters.sessions.inc();
            link.send_replace(Some(session.link.clone()));
            back_off = BackOff::new();
        }
        if let Some(first) = first.take() {
            // Nobody waits when the server's start was given up.
            let _ = first.send(());
        }
        let ended = match opened {
            Ok(session) => session.run(&config, &kicker, &mut departures, &stop).await,
            Err(error) => Err(error),
        };
        link.send_replace(None);
        let Err(error) = ended else { return };
        let delay = back_off.failed();
        tracing::warn!(
            error = &error as &dyn Error,
            retry_ms = delay.as_millis(),
            "the broker is away; nobody can log in or register"
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
    }
}

struct Session {
    link: Link,
    logins: Logins,
    keeper: Keeper,
    consumers: Consumers,
    hints: mpsc::Sender<PrimaryKey>,
    /// Whether the inbox stream is this registry's own, so that whom it does not know is nobody.
    is_own: bool,
    admitted: mpsc::Receiver<PrimaryKey>,
    back: mpsc::Receiver<PrimaryKey>,
    lost: CancellationToken,
}

impl Session {
    async fn open(config: &Config) -> Result<Self, SessionError> {
        let lost = CancellationToken::new();
        let connect = async |user, name: &'static str| {
            connect::connect(&config.servers, &config.secret, user, name, lost.clone())
                .await
                .map_err(|source| SessionError::Connect { user: name, source })
        };
        let client = connect(ServerSecret::chat_server, "kez-chat-server inboxes").await?;
        let js = JetStream::new(client.clone(), config.stream_replicas);
        let Reconciled { epoch, is_empty } = js.reconcile_streams().await?;
        let is_own = config.registry.keep_epoch(&epoch, is_empty).await?;
        if !is_own {
            tracing::warn!(
                "the inbox stream holds messages from before this registry knew it; inboxes that nobody here owns are \
                 left alone. If DB_PATH is the right file and those messages are nobody's, delete the stream KEZ_INBOX \
                 and start anew"
            );
        }
        let keeper = Keeper::watch(js.clone(), &client, GROUP, config.meters.clone()).await?;

        // Only now, so that nobody is let in before there is a stream for them.
        let client = connect(ServerSecret::callout_user, "kez-chat-server logins").await?;
        let (hints, admitted) = mpsc::channel(LOGIN_HINTS);
        let (told, back) = mpsc::channel(LOGIN_HINTS);
        let logins = Logins::listen(client, GROUP, config.secret.xkey(), [hints.clone(), told]).await?;
        let consumers = Consumers {
            js: js.clone(),
            registry: config.registry.clone(),
            may_clear: is_own,
            leftovers_stay: config.leftovers_stay,
            clock: config.clock.clone(),
            departed: Arc::clone(&config.departed),
            meters: config.meters.clone(),
        };
        Ok(Self { link: Link { js, epoch }, logins, keeper, consumers, hints, is_own, admitted, back, lost })
    }

    async fn run(
        self,
        config: &Config,
        kicker: &Arc<Kicker>,
        departures: &mut Departures,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let Self { link, logins, keeper, consumers, hints, is_own, admitted, back, lost } = self;
        let floods = Arc::new(Floods::new(config, link.js.clone(), Arc::clone(kicker)));
        let unreadable = Unreadable::new(link.js.clone(), Arc::clone(&floods));
        let lookout = Lookout::new(config, link.js.clone(), Arc::clone(&floods), is_own);
        let sweep = Sweep::new(config, link.js.clone(), floods, hints, is_own);
        tokio::select! {
            () = lost.cancelled() => Err(SessionError::Lost),
            () = keeper.run(admitted) => Err(SessionError::Lost),
            () = unreadable.run(back) => Err(SessionError::Lost),
            () = consumers.run() => Err(SessionError::Lost),
            () = departures.run(&link.js) => Err(SessionError::Lost),
            () = lookout.run() => Err(SessionError::Lost),
            () = sweep.run() => Err(SessionError::Lost),
            ended = logins.run(&config.callout, &link.js, stop) => ended,
        }
    }
}
