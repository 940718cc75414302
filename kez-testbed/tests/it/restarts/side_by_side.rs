//! Two home servers on one registry and one broker: both serve, and either is enough.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_nats::Client;
use futures::{StreamExt as _, future::join_all};
use kez_core::broker::{check_inbox_frame, subject};
use kez_testbed::processes::{Processes, ServerProcess};
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

use super::{BOUND, Stream, home, load::publish, person::Person, programs};

/// So many log in at the same time, again and again.
const LINES: usize = 8;
/// What each of them does before anything happens, and after it has.
const LOGINS: u64 = 8;

const ADMITTED: &str = r#"kez_chat_logins_total{outcome="Admitted"}"#;

async fn admitted(server: &ServerProcess) -> u64 {
    home::metric(server.internal_address().unwrap(), ADMITTED).await
}

/// People who log in again and again.
struct Logins {
    people: Vec<Arc<Person>>,
    nats_url: String,
    /// How often each has got in.
    counts: Vec<watch::Sender<u64>>,
    failures: AtomicU64,
}

impl Logins {
    async fn new(stack: &Processes) -> Self {
        let people: Vec<_> = (0..LINES).map(|n| Person::new(format!("line{n}"))).collect();
        join_all(people.iter().map(|person| person.register(stack.chat.address()))).await;
        let counts = people.iter().map(|_| watch::channel(0).0).collect();
        Self { people, nats_url: stack.nats_url(), counts, failures: AtomicU64::new(0) }
    }

    /// Logs in again and again until it is dropped. Of two tries one has to succeed.
    async fn run(&self) {
        let lines = self.people.iter().zip(&self.counts).map(async |(person, count)| {
            loop {
                let (_, failures) = person.login(&self.nats_url, watch::channel(0).0).await;
                assert!(failures <= 1, "{}: a login failed {failures} times in a row", person.name);
                self.failures.fetch_add(failures.into(), Relaxed);
                count.send_modify(|count| *count += 1);
            }
        });
        join_all(lines).await;
    }

    /// Waits until everybody has got in some more times; returns how many logins that were.
    async fn go_on(&self) -> u64 {
        let then = self.total();
        let lines = self.counts.iter().map(async |count| {
            let then = *count.borrow();
            count.subscribe().wait_for(|now| *now >= then + LOGINS).await.unwrap();
        });
        timeout(BOUND, join_all(lines)).await.expect("nobody gets in any more");
        self.total() - then
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|count| *count.borrow()).sum()
    }

    /// Returns how many logins have failed since the last time.
    fn failed(&self) -> u64 {
        self.failures.swap(0, Relaxed)
    }
}

/// Two who write to each other.
struct Pair {
    alice: Arc<Person>,
    bob: Arc<Person>,
    alice_on: Client,
    bob_on: Client,
    stream: Stream,
    home: SocketAddr,
}

impl Pair {
    /// Registers one at each server.
    async fn new(stack: &Processes, first: &ServerProcess, second: &ServerProcess) -> Self {
        let (alice, bob) = (Person::new("alice"), Person::new("bob"));
        tokio::join!(alice.register(first.address()), bob.register(second.address()));
        alice.assert_registered(second.address()).await;
        bob.assert_registered(first.address()).await;
        let connect = async |person: &Arc<Person>| person.login(&stack.nats_url(), watch::channel(0).0).await.0;
        let (alice_on, bob_on) = tokio::join!(connect(&alice), connect(&bob));
        Self { alice, bob, alice_on, bob_on, stream: Stream::of(stack).await, home: second.address() }
    }

    /// Writes, reads and acknowledges, and waits until the inbox is purged behind that.
    async fn talk(&self) {
        let mut inbox = self.bob_on.subscribe(subject::deliver(&self.bob.primary)).await.unwrap();
        let info = home::read(self.home, "/v1/info").await;
        let server = info["server_keys"][0].as_str().unwrap().parse().unwrap();
        let route = self.alice.route(&server, info["now_ms"].as_u64().unwrap());
        let subject = subject::inbox_publish(&self.bob.primary, &route);
        for _ in 0..20 {
            let id = format!("{:032x}", rand::random::<u128>());
            publish(&self.alice_on, subject.clone(), &id).await;
            let frame = timeout(BOUND, inbox.next()).await.expect("nothing is delivered").unwrap();
            assert_eq!(frame.payload, id);
            let (owner, streams) = (&self.bob.primary, [subject::INBOX_STREAM]);
            let ack = check_inbox_frame(&frame.subject, frame.reply.as_deref(), owner, &streams).unwrap();
            self.bob_on.publish(ack.as_str().to_owned(), "+ACK".into()).await.unwrap();
        }
        let drained = self.stream.drains(Some(&self.bob.primary));
        timeout(BOUND, drained).await.expect("nobody purges what is acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_home_servers_share_the_logins_and_either_is_enough() {
    let mut stack = Processes::start(&programs()).await.unwrap();
    let mut second = stack.chat.beside().unwrap();
    second.start().await.unwrap();
    let logins = Logins::new(&stack).await;
    tokio::select! {
        () = logins.run() => unreachable!("they go on until the end"),
        () = story(&mut stack, &mut second, &logins) => {}
    }
    assert!(second.stop().await.unwrap().unwrap().success());
    stack.shutdown().await.unwrap();
}

async fn story(stack: &mut Processes, second: &mut ServerProcess, logins: &Logins) {
    // Both answer.
    let before = admitted(&stack.chat).await + admitted(second).await;
    let pair = Pair::new(stack, &stack.chat, second).await;
    let done = logins.go_on().await;
    pair.talk().await;
    let [by_first, by_second] = [admitted(&stack.chat).await, admitted(second).await];
    assert!(by_first > 0 && by_second > 0, "{by_first} and {by_second} logins");
    assert!(by_first + by_second >= before + done, "{by_first} and {by_second} of {done} logins");
    assert_eq!(logins.failed(), 0, "with both there, nobody is refused");

    // One is killed, and those who asked it ask once more.
    let address = stack.chat.address();
    stack.chat.kill().await.unwrap();
    let done = logins.go_on().await;
    assert!(admitted(second).await >= by_second + done, "{done} logins");
    assert!(logins.failed() <= LINES as u64);
    pair.talk().await;
    let newcomer = Person::new("newcomer");
    newcomer.register(second.address()).await;
    let (newcomer_on, failures) = newcomer.login(&stack.nats_url(), watch::channel(0).0).await;
    drop(newcomer_on);
    assert_eq!(failures, 0);
    let health: Value = home::read(second.address(), "/v1/healthz").await;
    assert_eq!(health["status"], "ok");

    // It comes back on the registry that the other has written to, and then the other goes in good order: nobody notices.
    stack.chat.start().await.unwrap();
    assert_eq!(stack.chat.address(), address);
    newcomer.assert_registered(address).await;
    logins.go_on().await;
    assert!(admitted(&stack.chat).await > 0, "it takes its share again");
    assert_eq!(logins.failed(), 0);
    assert!(second.stop().await.unwrap().unwrap().success());
    logins.go_on().await;
    assert_eq!(logins.failed(), 0, "a server that ends in good order answers whom it has been asked about");
    home::health_is(address, ("ok", "ok", "ok")).await;
    let late = Person::new("late");
    late.register(address).await;
    second.start().await.unwrap();
    late.assert_registered(second.address()).await;
}
