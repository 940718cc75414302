//! One of those who are measured, as a process: it does what it is told, and says how it went.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use rand::RngExt as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    control::{Order, Report, now_ns},
    harness::{Harness, Protection},
    kez::Kez,
    line::Line,
    person::Person,
};

/// How long a message's text is, of which the first part is when it was sent.
pub(crate) const TEXT_BYTES: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Our client.
    Kez,
    /// async-nats, with sealing and a durable row on each side.
    Harness,
    /// async-nats alone: publish, deliver, acknowledge.
    Raw,
}

#[derive(Args)]
pub(crate) struct Options {
    kind: Kind,
    /// The folder that the account is kept in; it is registered if there is none.
    folder: PathBuf,
    /// The name to register.
    name: String,
    home_url: String,
    /// The home's key, which routes are agreed with.
    server_key: String,
    nats_url: String,
    /// Where orders come from.
    control: SocketAddr,
}

/// What happens to a client meanwhile.
pub(crate) struct Happenings {
    pub(crate) arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// Counts the messages that are known to have arrived.
    pub(crate) confirmed: watch::Receiver<usize>,
}

/// The other end of [`Happenings`].
#[derive(Clone)]
pub(crate) struct Teller {
    pub(crate) arrivals: mpsc::UnboundedSender<Arrival>,
    pub(crate) confirmed: watch::Sender<usize>,
}

impl Teller {
    fn new() -> (Self, Happenings) {
        let ((arrivals, arrived), (confirmed, watched)) = (mpsc::unbounded_channel(), watch::channel(0));
        (Self { arrivals, confirmed }, Happenings { arrivals: arrived, confirmed: watched })
    }
}

/// A message that the application was given, and is done with.
pub(crate) struct Arrival {
    pub(crate) text: String,
    pub(crate) given_ns: u64,
}

enum Client {
    Kez(Box<Kez>),
    Harness(Harness),
}

impl Client {
    async fn meet(&self, handle: &str, primary: &str) {
        match self {
            Self::Kez(kez) => kez.meet(handle).await,
            Self::Harness(harness) => harness.meet(handle, primary),
        }
    }

    /// Sends what names this moment.
    async fn send(&self) {
        let text = format!("{:x<TEXT_BYTES$}", format!("{:020}", now_ns()));
        match self {
            Self::Kez(kez) => kez.send(&text).await,
            Self::Harness(harness) => harness.send(text).await,
        }
    }
}

/// Does as it is told, until nobody is there any more.
pub(crate) async fn serve(options: Options) {
    let mut control = Line::connect(options.control).await;
    let person = Person::find_or_register(&options.folder, &options.name, &options.home_url).await;
    let (teller, mut happenings) = Teller::new();
    let start = Instant::now();
    let (handle, primary) = (person.handle.to_string(), person.key.primary().to_string());
    let client = match options.kind {
        Kind::Kez => Client::Kez(Box::new(Kez::open(&person, teller).await)),
        Kind::Harness | Kind::Raw => {
            let protection = (options.kind == Kind::Harness).then(|| Protection::new(&options.folder));
            let harness = Harness::connect(person, protection, &options.nats_url, &options.server_key, teller);
            Client::Harness(harness.await)
        }
    };
    control.say(&Report::Online { handle, primary, opening: start.elapsed() }).await;
    let client = Arc::new(client);
    while let Some(order) = control.hear().await {
        let report = match order {
            Order::Meet { handle, primary } => {
                client.meet(&handle, &primary).await;
                Report::Met
            }
            Order::Send { count, callers } => {
                happenings.sent(count, async || send_at_once(&client, count, callers).await).await
            }
            Order::SendSlowly { count, apart } => {
                happenings.sent(count, async || send_slowly(&client, count, apart).await).await
            }
            Order::Take { count } => happenings.taken(count).await,
        };
        control.say(&report).await;
    }
    if let Some(Client::Kez(kez)) = Arc::into_inner(client) {
        kez.close().await;
    }
}

async fn send_at_once(client: &Arc<Client>, count: usize, callers: usize) {
    let taken = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (client, taken) = (Arc::clone(client), Arc::clone(&taken));
        running.spawn(async move {
            while taken.fetch_add(1, Relaxed) < count {
                client.send().await;
            }
        });
    }
    running.join_all().await;
}

async fn send_slowly(client: &Client, count: usize, apart: Duration) {
    for _ in 0..count {
        // Not in step with anything that happens ten times a second.
        tokio::time::sleep(apart.mul_f64(rand::rng().random_range(0.5..1.5))).await;
        client.send().await;
    }
}

impl Happenings {
    async fn sent(&mut self, count: usize, send: impl AsyncFnOnce()) -> Report {
        let due = *self.confirmed.borrow() + count;
        let began_ns = now_ns();
        send().await;
        self.confirmed.wait_for(|confirmed| *confirmed >= due).await.unwrap();
        Report::Sent { began_ns, ended_ns: now_ns() }
    }

    async fn taken(&mut self, count: usize) -> Report {
        let mut took = Vec::with_capacity(count);
        while took.len() < count {
            let Arrival { text, given_ns } = self.arrivals.recv().await.unwrap();
            let sent_ns: u64 = text[..20].parse().unwrap();
            took.push(Duration::from_nanos(given_ns.saturating_sub(sent_ns)));
        }
        Report::Taken { ended_ns: now_ns(), took }
    }
}
