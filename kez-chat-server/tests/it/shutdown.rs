//! The end of a server in good order, while people log in.

use std::collections::HashSet;
use std::net::SocketAddr;

use async_nats::{Auth, Client, ConnectOptions, RequestErrorKind, Subscriber};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::SelectAll;
use hkdf::Hkdf;
use kez_chat_server::{Server, ServerSecret, Settings};
use kez_core::handle::{Home, Policy};
use nkeys::{KeyPair, KeyPairType};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::nats::{Nats, conf_of};
use crate::support::{PATIENCE, Person, http};

/// Those that come just before the end: more than the server judges at the same time, so that some wait their turn.
const BEFORE: usize = 300;
/// Those that come between the server's word that it leaves and the moment at which the broker takes it.
const BETWEEN: usize = 20;

const LOGINS: &str = "$SYS.REQ.USER.AUTH";

/// What lies between the server and its broker, and can hold back the server's leave.
struct Between {
    address: SocketAddr,
    /// Whether the end of a subscription to logins comes through.
    ends: watch::Sender<bool>,
    /// Whether the server has ended one.
    ended: watch::Receiver<bool>,
}

impl Between {
    async fn start(broker: &str) -> Self {
        let broker = broker.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ends, ends_pass) = watch::channel(true);
        let (ending, ended) = watch::channel(false);
        tokio::spawn(async move {
            // The server connects to JetStream first, and then for the logins.
            for n in 0.. {
                let (server, _) = listener.accept().await.unwrap();
                let broker = TcpStream::connect(&broker).await.unwrap();
                let ((from_server, to_server), (from_broker, to_broker)) = (server.into_split(), broker.into_split());
                let (is_first, ending) = (n == 0, ending.clone());
                let ends = move |bytes: &[u8]| {
                    let ends = !is_first && bytes.windows(6).any(|window| window == b"UNSUB ");
                    if ends {
                        ending.send_replace(true);
                    }
                    ends
                };
                tokio::spawn(pump(from_server, to_broker, ends_pass.clone(), ends));
                tokio::spawn(pump(from_broker, to_server, ends_pass.clone(), |_| false));
            }
        });
        Self { address, ends, ended }
    }
}

/// Passes on what comes; what `is_held` picks out, and all that follows, only while that is open.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut open: watch::Receiver<bool>,
    is_held: impl Fn(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        if is_held(bytes) && open.wait_for(|open| *open).await.is_err() {
            return;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Sees what the broker asks about logins, and what it is answered.
struct Watcher {
    client: Client,
    passing: SelectAll<Subscriber>,
    /// The subjects on which the broker waits for answers.
    asked: HashSet<String>,
    answered: HashSet<String>,
}

impl Watcher {
    /// Connects as the user of the AUTH account, whose key only the secret gives.
    async fn new(secret: &ServerSecret, nats: &Nats) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        secret.create_file(&file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let secret = HEXLOWER.decode(text.trim_end().rsplit_once(':').unwrap().1.as_bytes()).unwrap();
        let mut seed = [0; 32];
        Hkdf::<Sha256>::new(Some(b"kez/server-secret/1"), &secret).expand(b"nats/callout-user", &mut seed).unwrap();
        let sign = move |nonce: Vec<u8>| {
            let keys = KeyPair::new_from_raw(KeyPairType::User, seed).unwrap();
            let mut auth = Auth::new();
            auth.nkey = Some(keys.public_key());
            auth.signature = Some(keys.sign(&nonce).unwrap());
            std::future::ready(Ok(auth))
        };
        let client =
            ConnectOptions::with_auth_callback(sign).custom_inbox_prefix("_WATCHER").connect(&nats.url).await.unwrap();
        // Not `>`, nor the watcher's own inbox: a fence needs somebody who is not there.
        let mut passing = SelectAll::new();
        for subject in [LOGINS, "$SYS._INBOX.>", "_INBOX.>"] {
            passing.push(client.subscribe(subject).await.unwrap());
        }
        let watcher = Self { client, passing, asked: HashSet::new(), answered: HashSet::new() };
        watcher.fence().await;
        watcher
    }

    /// Waits until the broker has worked off what it was sent before.
    async fn fence(&self) {
        let error = self.client.request("nobody.is.here", "".into()).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::NoResponders);
    }

    /// Watches until it is so, or nothing has passed for long.
    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self)
            && let Ok(Some(message)) = tokio::time::timeout(PATIENCE, self.passing.next()).await
        {
            match message.reply {
                Some(reply) if message.subject.as_str() == LOGINS => self.asked.insert(reply.to_string()),
                _ => self.answered.insert(message.subject.to_string()),
            };
        }
    }

    /// Waits until so many logins have been asked about, and with the broker until it has told everybody of that.
    async fn sees(&mut self, count: usize) {
        self.until(|it| it.asked.len() == count).await;
        assert_eq!(self.asked.len(), count, "logins that were asked about");
        self.fence().await;
    }
}

/// Somebody who has been greeted and has not yet said who they are.
struct Greeted {
    stream: BufReader<TcpStream>,
    connect: String,
}

impl Greeted {
    async fn new(nats: &Nats, person: &Person, home: &Home) -> Self {
        let address = nats.url.strip_prefix("nats://").unwrap();
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let mut greeting = String::new();
        stream.read_line(&mut greeting).await.unwrap();
        let info: Value = serde_json::from_str(greeting.strip_prefix("INFO ").unwrap()).unwrap();
        let auth = person.login(home, info["nonce"].as_str().unwrap().as_bytes());
        let sig = BASE64URL_NOPAD.encode(&auth.signature.unwrap());
        let connect = json!({ "nkey": auth.nkey, "sig": sig, "verbose": false, "lang": "test", "version": "1" });
        Self { stream, connect: format!("CONNECT {connect}\r\nPING\r\n") }
    }

    async fn log_in(&mut self) {
        self.stream.write_all(self.connect.as_bytes()).await.unwrap();
    }

    /// Returns what the broker says to the login: `PONG` if it took it.
    async fn outcome(mut self) -> String {
        let mut line = String::from("INFO");
        // The broker introduces itself once more to who is logged in, and measures how far away they are.
        while line.starts_with("INFO") || line.starts_with("PING") {
            line.clear();
            tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("no answer").unwrap();
        }
        line.trim_end().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_in_flight_at_the_end_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let secret = ServerSecret::generate(&mut rand::rng());
    // The broker is not to give up first, however busy this machine is.
    let conf = conf_of(&secret, folder.path()).replace("  timeout: 2\n", "  timeout: 20\n");
    let nats = Nats::start(folder.path(), &conf).await;
    let between = Between::start(&nats.url).await;
    let bind = ([127, 0, 0, 1], 0).into();
    let nats_url = format!("nats://{}", between.address);
    let database = folder.path().join("handles.db");
    let mut settings = Settings::new(bind, &nats_url, "http://127.0.0.1:1", database, secret.clone());
    settings.policy = Policy::Development;
    // Of its own, so that it goes with the server: nothing is answered after the end.
    let runtime = Runtime::new().unwrap();
    let server = runtime.spawn(Server::bind(settings)).await.unwrap().unwrap();
    let home = server.domain().clone();
    let alice = Person::new();
    let registration = alice.registration(&home, "alice");
    let url = format!("http://{}/v1/register", server.local_addr());
    let registered = http().post(url).json(&registration).send().await.unwrap();
    assert_eq!(registered.status(), StatusCode::CREATED);

    let mut watcher = Watcher::new(&secret, &nats).await;
    let mut people = join_all((0..BEFORE + BETWEEN).map(|_| Greeted::new(&nats, &alice, &home))).await;
    let (before, after) = people.split_at_mut(BEFORE);
    join_all(before.iter_mut().map(Greeted::log_in)).await;
    watcher.sees(BEFORE).await;

    // All those are with the server, and now it is told to end.
    between.ends.send_replace(false);
    let end = runtime.spawn(server.shutdown());
    let mut ended = between.ended.clone();
    let leaving = ended.wait_for(|ended| *ended);
    tokio::time::timeout(PATIENCE, leaving).await.expect("the server goes on taking logins").unwrap();
    join_all(after.iter_mut().map(Greeted::log_in)).await;
    watcher.sees(BEFORE + BETWEEN).await;
    between.ends.send_replace(true);
    tokio::time::timeout(PATIENCE, end).await.expect("the server does not end").unwrap();
    runtime.shutdown_background();

    watcher.until(|it| it.asked.is_subset(&it.answered)).await;
    let silence = watcher.asked.difference(&watcher.answered).count();
    assert_eq!(silence, 0, "logins of {BEFORE} and {BETWEEN} that nobody has answered");
    // On a machine that is busy enough an answer may be a refusal, but not every one.
    let outcomes = join_all(people.into_iter().map(Greeted::outcome)).await;
    assert!(outcomes.iter().any(|outcome| outcome == "PONG"), "{outcomes:?}");
}
