//! The broker side: one task that connects, makes the streams ready, answers callouts, keeps the inboxes and takes away
//! what is left of people.
//!
//! A *session* lasts as long as both connections do (one in the AUTH account, one in the JS account). When either
//! breaks, the session ends and a new one begins from the start, with a back-off. A third one, in the system account, is
//! made when somebody has to be disconnected, and no session hangs on it.

mod back_off;
pub(crate) mod connect;
mod departures;
mod hints;
pub(crate) mod jetstream;
mod keeper;
mod kick;
pub(crate) mod logins;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectError, ServerAddr, SubscribeError};
use kez_core::identity::PrimaryKey;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::back_off::BackOff;
use self::departures::Departures;
pub(crate) use self::jetstream::{INBOX_PER_ROUTE, INBOX_TTL, JetStream, JsError, MAX_MESSAGE_BYTES};
use self::keeper::Keeper;
use self::kick::Kicker;
use self::logins::Logins;
use crate::callout::Callout;
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
    let mut departures = Departures::new(
        config.registry.clone(),
        Kicker::new(config.servers.clone(), config.secret.clone()),
        Arc::clone(&config.departed),
    );
    let mut back_off = BackOff::new();
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = Session::open(&config) => opened,
        };
        if let Ok(session) = &opened {
            tracing::info!(epoch = session.link.epoch, "the broker is connected; logins are answered");
            link.send_replace(Some(session.link.clone()));
            back_off = BackOff::new();
        }
        if let Some(first) = first.take() {
            // Nobody waits when the server's start was given up.
            let _ = first.send(());
        }
        let ended = match opened {
            Ok(session) => session.run(&config, &mut departures, &stop).await,
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
    admitted: mpsc::Receiver<PrimaryKey>,
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
        let epoch = js.reconcile_streams().await?;
        config.registry.keep_epoch(&epoch).await?;
        let keeper = Keeper::watch(js.clone(), &client, GROUP).await?;

        // Only now, so that nobody is let in before there is a stream for them.
        let client = connect(ServerSecret::callout_user, "kez-chat-server logins").await?;
        let (sender, admitted) = mpsc::channel(LOGIN_HINTS);
        let logins = Logins::listen(client, GROUP, config.secret.xkey(), sender).await?;
        Ok(Self { link: Link { js, epoch }, logins, keeper, admitted, lost })
    }

    async fn run(
        self,
        config: &Config,
        departures: &mut Departures,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let Self { link, logins, keeper, admitted, lost } = self;
        tokio::select! {
            () = lost.cancelled() => Err(SessionError::Lost),
            () = keeper.run(admitted) => Err(SessionError::Lost),
            () = departures.run(&link.js) => Err(SessionError::Lost),
            ended = logins.run(&config.callout, &link.js, stop) => ended,
        }
    }
}
