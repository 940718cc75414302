//! Where the attacks take place: the victims, the attacker, and somebody who sees what happens inside the broker.

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use data_encoding::BASE64URL_NOPAD;
use kez_chat_server::ServerSecret;
use kez_chat_server::operator::Operator;
use kez_core::broker::{AckScope, Day, Route, subject};
use kez_core::handle::{Home, Policy};
use kez_core::identity::PrimaryKey;
use kez_testbed::Testbed;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::raw::{Raw, members};
use crate::nats::Nats;
use crate::retiring::until_cleared;
use crate::support::{Person, get, json_of, retire, until};

pub(super) const DELIVER: &str = "deliver";
pub(super) const PRESENCE: &str = "presence";
pub(super) const REPLIES: &str = "replies";
/// What a message of the attacker holds wherever the attacker chose its content.
pub(super) const MARK: &str = "forged-by-mallory";

/// What Mallory sends to Alice in the way in which she may.
pub(super) const ALLOWED: &str = "allowed";

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Somebody with a connection of their own.
pub(super) struct Peer {
    pub(super) person: Person,
    pub(super) raw: Raw,
    pub(super) route: Route,
}

impl Peer {
    pub(super) fn hex(&self) -> String {
        self.person.primary.to_hex()
    }

    /// Returns a reply subject of theirs.
    pub(super) fn reply(&self, token: &str) -> String {
        format!("{}.{token}", subject::reply_prefix(&self.person.primary))
    }
}

/// What keeps the broker running.
enum Site {
    Hardened(Box<Testbed>),
    Open(Box<(Nats, Configs)>),
}

/// How the home sets up what it needs on the broker.
#[derive(Clone)]
pub(super) struct Configs {
    streams: Vec<Value>,
    /// Somebody's consumer, and whose.
    consumer: (String, Value),
}

pub(super) struct Arena {
    site: Site,
    pub(super) address: String,
    pub(super) home: Home,
    pub(super) alice: Peer,
    pub(super) bob: Peer,
    pub(super) mallory: Peer,
    /// Registered, and never there.
    pub(super) carol: Person,
    pub(super) blocked: Person,
    pub(super) retired: Person,
    /// Mallory's routes on other days.
    pub(super) yesterday: Route,
    pub(super) next_week: Route,
    pub(super) tomorrow: Route,
    /// The account that owns the streams.
    pub(super) operator: Client,
    /// The same account, listening.
    pub(super) tap: Raw,
    pub(super) acks: AckScope,
    /// How long a message may be on its way.
    pub(super) patience: Duration,
    /// How many attacks there have been.
    pub(super) round: usize,
    /// How many frames reached Alice's subjects and were none that a client takes.
    pub(super) refused_frames: usize,
    /// Where Mallory acknowledges the last message that she has sent to herself.
    pub(super) last_own_ack: Option<String>,
}

impl Arena {
    /// Has everybody registered, connected and listening at a home as it is delivered.
    pub(super) async fn hardened(testbed: Testbed) -> Self {
        let [alice, bob, mallory, carol, blocked, retired] =
            ["alice", "bob", "mallory", "carol", "blocked", "retired"].map(|name| (name, &testbed));
        let register = async |(name, testbed): (&str, &Testbed)| Person::registered(testbed, name).await;
        let [alice, bob, mallory] = [register(alice).await, register(bob).await, register(mallory).await];
        let [carol, blocked, retired] = [register(carol).await, register(blocked).await, register(retired).await];
        let operators = Operator::open(testbed.folder().join("registry.db")).await.unwrap();
        let entry = operators.find("blocked").await.unwrap();
        operators.set_blocked(&entry.handle, true).await.unwrap();
        retire(&testbed, &retired.retirement(testbed.domain(), "retired")).await.error_for_status().unwrap();

        let info = json_of(get(&testbed, "/v1/info").await).await;
        let server = info["server_keys"][0].as_str().unwrap().parse().unwrap();
        let people = People { alice, bob, mallory, carol, blocked, retired };
        let (home, url) = (testbed.domain().clone(), testbed.nats_url());
        let seed = testbed.secret().chat_server_seed().unwrap().to_string();
        let acks = AckScope::of_account("JS", None);
        let now_ms = info["now_ms"].as_u64().unwrap();
        let site = Site::Hardened(Box::new(testbed));
        let gone = people.retired.primary;
        let arena =
            Self::open(site, &url, home, people, (server, now_ms), Some(seed), acks, Duration::from_secs(10)).await;
        until_cleared(&arena.operator, &gone).await;
        arena
    }

    /// Does the same where anybody may do anything.
    pub(super) async fn unprotected(nats: Nats, configs: Configs) -> Self {
        let [alice, bob, mallory] = [Person::new(), Person::new(), Person::new()];
        let [carol, blocked, retired] = [Person::new(), Person::new(), Person::new()];
        let people = People { alice, bob, mallory, carol, blocked, retired };
        let server = ServerSecret::generate(&mut rand::rng()).server_keys()[0].primary();
        let home = Home::parse("localhost", Policy::Development).unwrap();
        let url = nats.url.clone();
        let acks = AckScope::of_account("$G", None);
        let site = Site::Open(Box::new((nats, configs)));
        // What was destroyed does not come: waiting is most of the time that this takes.
        let patience = Duration::from_millis(500);
        let arena = Self::open(site, &url, home, people, (server, 40 * DAY_MS), None, acks, patience).await;
        arena.repair().await;
        arena
    }

    #[expect(clippy::too_many_arguments, reason = "both kinds of arena differ in all of them")]
    async fn open(
        site: Site,
        url: &str,
        home: Home,
        people: People,
        (server, now_ms): (PrimaryKey, u64),
        seed: Option<String>,
        acks: AckScope,
        patience: Duration,
    ) -> Self {
        let address = url.strip_prefix("nats://").unwrap().to_owned();
        let options = seed.clone().map_or_else(ConnectOptions::new, ConnectOptions::with_nkey);
        let operator = options.connect(url).await.unwrap();
        let mut tap = Raw::dial(&address).await;
        let login = seed.map_or(json!({}), |seed| {
            let keys = KeyPair::from_seed(&seed).unwrap();
            json!({ "nkey": keys.public_key(), "sig": BASE64URL_NOPAD.encode(&keys.sign(&tap.nonce()).unwrap()) })
        });
        tap.connect(login).await.unwrap();
        for subject in ["$JS.ACK.>", "kez.inbox.>", "kez.presence.>"] {
            tap.subscribe(subject, subject).await;
        }
        let route = |person: &Person, at_ms| {
            Route::derive(&person.key.agree(&server), Day::from_unix_ms(at_ms), &person.primary, &server)
        };
        let People { alice, bob, mallory, carol, blocked, retired } = people;
        let [yesterday, tomorrow, next_week] =
            [now_ms - DAY_MS, now_ms + DAY_MS, now_ms + 7 * DAY_MS].map(|at_ms| route(&mallory, at_ms));
        let peer = async |person: Person| {
            let raw = log_in(&address, &home, &person).await;
            Peer { route: route(&person, now_ms), person, raw }
        };
        let (alice, bob, mallory) = (peer(alice).await, peer(bob).await, peer(mallory).await);
        Self {
            site,
            address,
            home,
            alice,
            bob,
            mallory,
            carol,
            blocked,
            retired,
            yesterday,
            next_week,
            tomorrow,
            operator,
            tap,
            acks,
            patience,
            round: 0,
            refused_frames: 0,
            last_own_ack: None,
        }
    }

    /// Returns the home, if there is one.
    pub(super) fn testbed(&self) -> Option<&Testbed> {
        match &self.site {
            Site::Hardened(testbed) => Some(testbed),
            Site::Open(_) => None,
        }
    }

    /// Makes good what an attack has done, as far as that is possible.
    pub(super) async fn recover(&mut self) {
        self.repair().await;
        self.last_own_ack = None;
        self.alice.raw.drain().await;
        self.reconnect_mallory().await;
    }

    /// Connects Mallory again, who may have been cut off and is deaf to what was said before.
    pub(super) async fn reconnect_mallory(&mut self) {
        // What she sent to herself and nobody can read would have her shut out now.
        let own = json!({ "filter": subject::inbox_filter(&self.mallory.person.primary) });
        self.api("STREAM.PURGE.KEZ_INBOX", own).await;
        self.mallory.raw = log_in(&self.address, &self.home, &self.mallory.person).await;
    }

    /// Asks JetStream in the name of the account that owns the streams.
    pub(super) async fn api(&self, verb: &str, request: Value) -> Value {
        let payload = if request.is_null() { String::new() } else { request.to_string() };
        match self.operator.request(format!("$JS.API.{verb}"), payload.into()).await {
            Ok(answer) => serde_json::from_slice(&answer.payload).unwrap(),
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    /// Reads how everything is set up.
    pub(super) async fn configs(&self) -> Configs {
        let mut streams = Vec::new();
        for stream in [subject::INBOX_STREAM, subject::PRESENCE_STREAM] {
            streams.push(self.api(&format!("STREAM.INFO.{stream}"), Value::Null).await["config"].take());
        }
        let owner = self.alice.hex();
        let consumer = self.api(&format!("CONSUMER.INFO.KEZ_INBOX.{owner}"), Value::Null).await["config"].take();
        Configs { streams, consumer: (owner, consumer) }
    }

    /// Sets up everything anew where an attack may have destroyed it.
    pub(super) async fn repair(&self) {
        let Site::Open(open) = &self.site else { return };
        let (_, configs) = open.as_ref();
        let names = self.api("STREAM.NAMES", Value::Null).await;
        for name in names["streams"].as_array().into_iter().flatten() {
            self.api(&format!("STREAM.DELETE.{}", name.as_str().unwrap()), Value::Null).await;
        }
        for config in &configs.streams {
            let create = format!("STREAM.CREATE.{}", config["name"].as_str().unwrap());
            // A store that goes and comes in the same moment may find its own folder in the way.
            until(async || self.api(&create, config.clone()).await["error"].is_null().then_some(())).await;
        }
        for owner in [self.alice.hex(), self.bob.hex(), self.mallory.hex(), self.carol.primary.to_hex()] {
            let config: Value =
                serde_json::from_str(&configs.consumer.1.to_string().replace(&configs.consumer.0, &owner)).unwrap();
            let request = json!({ "stream_name": "KEZ_INBOX", "config": config, "action": "" });
            let made = self.api(&format!("CONSUMER.CREATE.KEZ_INBOX.{owner}"), request).await;
            assert!(made["error"].is_null(), "{made}");
        }
    }

    pub(super) async fn close(self) {
        if let Site::Hardened(testbed) = self.site {
            testbed.shutdown().await.unwrap();
        }
    }
}

struct People {
    alice: Person,
    bob: Person,
    mallory: Person,
    carol: Person,
    blocked: Person,
    retired: Person,
}

/// Logs in as a client does, and listens where a client does.
pub(super) async fn log_in(address: &str, home: &Home, person: &Person) -> Raw {
    let mut raw = Raw::dial(address).await;
    // Where nobody has a key there is no nonce either.
    let nonce = Some(raw.nonce()).filter(|nonce| !nonce.is_empty()).unwrap_or(b"none".to_vec());
    raw.connect(members(&person.login(home, &nonce))).await.unwrap();
    raw.subscribe(&subject::deliver(&person.primary), DELIVER).await;
    raw.subscribe(&subject::presence_deliver(&person.primary), PRESENCE).await;
    raw.subscribe(&format!("{}.>", subject::reply_prefix(&person.primary)), REPLIES).await;
    raw
}
