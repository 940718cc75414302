//! People who use all of it at the same time, and wait for nobody to tell them that a part is back.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_nats::{Client, Request};
use futures::{StreamExt as _, future::join_all};
use kez_core::{
    broker::{check_inbox_frame, subject},
    handle::{Handle, Policy},
    identity::PrimaryKey,
    sigchain::{Chain, Op, Timestamp},
};
use kez_testbed::{http, processes::Processes};
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{interval, sleep, timeout},
};

use super::{
    home::{RETRY, epoch, insist, read},
    ledger::Ledger,
    person::Person,
};

/// How often each of these does something, as long as nothing is in the way.
const A_MESSAGE: Duration = Duration::from_millis(20);
const A_NEWCOMER: Duration = Duration::from_millis(50);
const AN_EVENT: Duration = Duration::from_millis(50);
/// How long somebody waits for the broker's word that it has a message.
const PUB_ACK: Duration = Duration::from_secs(1);
/// How many write and read, how many registering people come at the same time, and how many chains grow.
const PEOPLE: usize = 6;
const DOORS: usize = 2;
const CHAINS: usize = 2;
/// How long a chain grows before another is begun; a page holds more.
const EVENTS_A_CHAIN: u64 = 200;

/// The servers, where they are whenever they are there, and the people.
pub(crate) struct Load {
    pub(crate) ledger: Ledger,
    /// Those who are there all the time.
    pub(crate) people: Vec<Arc<Person>>,
    home: SocketAddr,
    sig: SocketAddr,
    nats_url: String,
    server_key: PrimaryKey,
    /// To whom everybody writes.
    recipients: Mutex<Vec<PrimaryKey>>,
    newcomers: Mutex<Vec<Arc<Person>>>,
    /// Chains as far as they were acknowledged, in the order in which they were begun.
    chains: Mutex<Vec<(PrimaryKey, Vec<String>)>>,
}

/// Somebody who comes later than what is written to them.
pub(crate) struct Late {
    pub(crate) person: Arc<Person>,
    comes: watch::Sender<bool>,
}

impl Late {
    pub(crate) fn new(name: &str) -> Self {
        Self { person: Person::new(name), comes: watch::channel(false).0 }
    }

    pub(crate) fn comes(&self) {
        self.comes.send_replace(true);
    }
}

impl Load {
    /// Registers the people.
    pub(crate) async fn new(stack: &Processes, late: &[Late]) -> Self {
        let (home, sig) = (stack.chat.address(), stack.sig.address());
        let people: Vec<_> = (0..PEOPLE).map(|n| Person::new(format!("person{n}"))).collect();
        let all = people.iter().chain(late.iter().map(|late| &late.person));
        join_all(all.map(|person| person.register(home))).await;
        let server_key = read(home, "/v1/info").await["server_keys"][0].as_str().unwrap().parse().unwrap();
        let recipients = Mutex::new(people.iter().map(|person| person.primary).collect());
        let (ledger, newcomers, chains) = (Ledger::new(), Mutex::default(), Mutex::default());
        Self { ledger, people, home, sig, nats_url: stack.nats_url(), server_key, recipients, newcomers, chains }
    }

    /// Does it all, until it is dropped.
    pub(crate) async fn run(&self, late: &[Late]) {
        let people = join_all(self.people.iter().map(|person| self.live(person)));
        let late = join_all(late.iter().map(async |late| {
            late.comes.subscribe().wait_for(|comes| *comes).await.unwrap();
            let (client, _) = late.person.login(&self.nats_url, watch::channel(0).0).await;
            self.read(&late.person, &client).await;
        }));
        let newcomers = join_all((0..DOORS).map(|door| self.let_in(door)));
        let chains = join_all((0..CHAINS).map(|_| self.grow()));
        tokio::join!(people, late, newcomers, chains);
    }

    pub(crate) fn home(&self) -> SocketAddr {
        self.home
    }

    /// Chooses to whom everybody writes.
    pub(crate) fn write_to<'a>(&self, recipients: impl IntoIterator<Item = &'a Arc<Person>>) {
        *self.recipients.lock().unwrap() = recipients.into_iter().map(|person| person.primary).collect();
    }

    /// Checks that everybody whose registration was acknowledged is registered, and that all chains are what was
    /// acknowledged, with one event more at most.
    pub(crate) async fn check_what_was_acknowledged(&self) {
        let newcomers = self.newcomers.lock().unwrap().clone();
        for person in newcomers.iter().chain(&self.people) {
            person.assert_registered(self.home).await;
        }
        let chains = self.chains.lock().unwrap().clone();
        assert!(chains.len() >= CHAINS);
        for (place, (primary, acknowledged)) in chains.into_iter().enumerate() {
            let events = self.chain(&primary).await;
            assert!(events.starts_with(&acknowledged), "an acknowledged event is not in its place");
            // It may have grown meanwhile.
            let acknowledged = self.chains.lock().unwrap()[place].1.len();
            assert!(events.len() <= acknowledged + 1, "events that nobody sent");
        }
    }

    /// Writes and reads.
    async fn live(&self, person: &Arc<Person>) {
        let (connected, connections) = watch::channel(0);
        let (client, _) = person.login(&self.nats_url, connected).await;
        tokio::join!(self.read(person, &client), self.write(person, &client, connections));
    }

    /// Reads what is delivered, and acknowledges it.
    async fn read(&self, person: &Person, client: &Client) {
        let mut inbox = client.subscribe(subject::deliver(&person.primary)).await.unwrap();
        while let Some(frame) = inbox.next().await {
            let reply = frame.reply.as_deref();
            let ack = check_inbox_frame(&frame.subject, reply, &person.primary, &[subject::INBOX_STREAM]).unwrap();
            self.ledger.delivered(std::str::from_utf8(&frame.payload).unwrap(), &person.primary);
            client.publish(ack.as_str().to_owned(), "+ACK".into()).await.unwrap();
        }
        panic!("{} has lost the connection for good", person.name);
    }

    /// Writes to one after another, and keeps each message until it is read: when the inbox stream is another one,
    /// whatever was not read is sent again.
    async fn write(&self, person: &Person, client: &Client, mut connections: watch::Receiver<u64>) {
        let info = read(self.home, "/v1/info").await;
        let route = person.route(&self.server_key, info["now_ms"].as_u64().unwrap());
        let mut known_epoch = info["nats"]["epoch"].as_str().unwrap().to_owned();
        let send = async |id: String, to: PrimaryKey| {
            publish(client, subject::inbox_publish(&to, &route), &id).await;
            self.ledger.stored(&id);
        };
        let mut pace = interval(A_MESSAGE);
        loop {
            tokio::select! {
                _ = pace.tick() => {
                    let choice = self.recipients.lock().unwrap().choose(&mut rand::rng()).copied();
                    if let Some(to) = choice.filter(|to| *to != person.primary) {
                        send(self.ledger.keep(person.primary, to), to).await;
                    }
                }
                connected = connections.changed() => {
                    connected.unwrap();
                    let epoch = epoch(self.home).await;
                    if epoch != known_epoch {
                        known_epoch = epoch;
                        for (id, to) in self.ledger.unread_from(&person.primary) {
                            self.ledger.count(|counts| counts.sent_again += 1);
                            send(id, to).await;
                        }
                    }
                }
            }
        }
    }

    /// Registers one newcomer after another, who log in at once.
    async fn let_in(&self, door: usize) {
        let mut pace = interval(A_NEWCOMER);
        for n in 0.. {
            pace.tick().await;
            let person = Person::new(format!("newcomer{door}-{n}"));
            person.register(self.home).await;
            self.newcomers.lock().unwrap().push(Arc::clone(&person));
            self.ledger.count(|counts| counts.registered += 1);
            person.login(&self.nats_url, watch::channel(0).0).await;
            self.ledger.count(|counts| counts.logins += 1);
        }
    }

    /// Appends event after event to one chain after another, and reads each back.
    async fn grow(&self) {
        let mut pace = interval(AN_EVENT);
        loop {
            let person = Person::new("signer");
            let place = {
                let mut chains = self.chains.lock().unwrap();
                chains.push((person.primary, Vec::new()));
                chains.len() - 1
            };
            let mut chain = Chain::new(person.primary, Policy::Development);
            for n in 0..EVENTS_A_CHAIN {
                pace.tick().await;
                self.append(place, &person, &mut chain, n).await;
            }
        }
    }

    async fn append(&self, place: usize, person: &Person, chain: &mut Chain, n: u64) {
        let handle = Handle::from_qualified(&person.handle(), Policy::Development).unwrap();
        let event = chain.sign_next(person.key(), Op::SetHandle(Some(handle)), &Timestamp::from_unix_ms(n)).unwrap();
        let said = json!({ "seq": event.seq(), "head": event.head().to_string() });
        let jws = event.jws().to_owned();
        let path = format!("/v1/sigchains/ed25519/{}/events", person.primary.to_hex());
        let answer = insist(self.sig, &http::post(&path, "application/jose", jws.as_bytes())).await;
        assert!(matches!(answer.status, 200 | 201), "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), said);
        self.chains.lock().unwrap()[place].1.push(jws.clone());
        assert_eq!(self.chain(&person.primary).await.last(), Some(&jws));
        self.ledger.count(|counts| counts.appended += 1);
    }

    async fn chain(&self, primary: &PrimaryKey) -> Vec<String> {
        let path = format!("/v1/sigchains/ed25519/{}?limit=1000", primary.to_hex());
        let answer = insist(self.sig, &http::get(&path)).await;
        let page: Value = serde_json::from_slice(&answer.body).unwrap();
        let events = page["events"].as_array().unwrap();
        events.iter().map(|event| event.as_str().unwrap().to_owned()).collect()
    }
}

/// Publishes under the same id until the broker says that it has the message.
pub(crate) async fn publish(client: &Client, subject: String, id: &str) {
    loop {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let request = Request::new().payload(id.to_owned().into()).headers(headers).timeout(Some(PUB_ACK));
        let answer = timeout(2 * PUB_ACK, client.send_request(subject.clone(), request)).await;
        if let Ok(Ok(answer)) = answer {
            let said: Value = serde_json::from_slice(&answer.payload).unwrap();
            if said["error"].is_null() && said["stream"] == subject::INBOX_STREAM {
                return;
            }
        }
        sleep(RETRY).await;
    }
}
