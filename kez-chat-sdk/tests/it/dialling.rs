//! Which brokers a client dials: those that its own home lists, and no other.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_nats::ConnectOptions;
use kez_chat_sdk::{ConnectionState, MessageState};
use kez_testbed::Testbed;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    front::Front,
    people::{PATIENCE, Person, handle_at, next, online, text_of, two_friends, until},
};

/// A broker advertises others to its clients, as the nodes of a cluster do: here one that nobody should dial.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_another_broker_advertises_is_never_dialled() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let trap = Trap::set().await;
    let mut advertiser = Advertiser::start(address_of(&testbed.nats_url()), trap.address).await;
    // Listed more than once, the only listed broker is tried as often: what a client dials next is random.
    let urls = json!(vec![advertiser.url(); 4]);
    let front = Front::before(&mut testbed, move |_, info| info["nats"]["urls"] = urls.clone()).await;

    let a = alice.open().await;
    online(&a).await;
    // Where else could it go, when that broker is gone?
    for _ in 0..3 {
        let asked = front.asked();
        advertiser.cut();
        until(&a, |state| matches!(state, ConnectionState::Offline { .. })).await;
        front.until_asked(asked + 1).await;
        advertiser.resume().await;
        online(&a).await;
    }
    let id = a.conversation(b.primary()).send_text("by the listed one").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "by the listed one");
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(trap.dialled(), 0);
    a.shutdown().await;

    // A client that believes its broker does go there.
    let seed = testbed.secret().chat_server_seed().unwrap().to_string();
    let credulous = ConnectOptions::with_nkey(seed).connect(advertiser.url()).await.unwrap();
    advertiser.cut();
    trap.until_dialled().await;
    drop(credulous);
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_on_a_contacts_chain_is_never_dialled() {
    let mut testbed = Testbed::start().await.unwrap();
    let trap = Trap::set().await;
    let lying = Arc::new(AtomicBool::new(true));
    let (lie, elsewhere) = (Arc::clone(&lying), json!([trap.url()]));
    let front = Front::before(&mut testbed, move |_, info| {
        if lie.load(Ordering::SeqCst) {
            info["nats"]["urls"] = elsewhere.clone();
        }
    })
    .await;
    // Bob publishes what his home said when he registered.
    let (alice, bob) = (Person::new(), Person::new());
    bob.backed_up().await.register(&handle_at(&testbed, "bob"), |_| {}).await.unwrap();
    lying.store(false, Ordering::SeqCst);

    let a = alice.register(&testbed, "alice").await;
    let contact = a.contacts().add("@bob").await.unwrap();
    assert_eq!(contact.broker_url, Some(trap.url()));
    online(&a).await;
    let id = a.conversation(contact.primary).send_text("hello").await.unwrap();
    assert_eq!(a.wait_until(id, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);
    let b = bob.open().await;
    b.contacts().add("@alice").await.unwrap();
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(trap.dialled(), 0);
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

fn address_of(nats_url: &str) -> SocketAddr {
    nats_url.strip_prefix("nats://").unwrap().parse().unwrap()
}

/// Counts who dials it, and hangs up.
pub(crate) struct Trap {
    address: SocketAddr,
    dialled: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Trap {
    pub(crate) async fn set() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, dialled) = watch::channel(0);
        let task = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.send_modify(|count| *count += 1);
            }
        });
        Self { address, dialled, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn dialled(&self) -> usize {
        *self.dialled.borrow()
    }

    pub(crate) async fn until_dialled(&self) {
        let mut dialled = self.dialled.clone();
        tokio::time::timeout(PATIENCE, dialled.wait_for(|count| *count > 0)).await.expect("nobody dials").unwrap();
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The real broker, except that its INFO names one more that clients may dial.
///
/// A single nats-server names none, and a cluster names its own nodes only.
struct Advertiser {
    address: SocketAddr,
    broker: SocketAddr,
    advertised: SocketAddr,
    task: JoinHandle<()>,
}

impl Advertiser {
    async fn start(broker: SocketAddr, advertised: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(Self::serve(listener, broker, advertised));
        Self { address, broker, advertised, task }
    }

    fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Ends all connections and takes no more.
    fn cut(&mut self) {
        self.task.abort();
    }

    async fn resume(&mut self) {
        let _ = (&mut self.task).await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.task = tokio::spawn(Self::serve(listener, self.broker, self.advertised));
    }

    async fn serve(listener: TcpListener, broker: SocketAddr, advertised: SocketAddr) {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(Self::hand_on(client, broker, advertised));
        }
    }

    async fn hand_on(mut client: TcpStream, broker: SocketAddr, advertised: SocketAddr) -> Option<()> {
        let mut server = BufReader::new(TcpStream::connect(broker).await.ok()?);
        let mut line = String::new();
        server.read_line(&mut line).await.ok()?;
        let mut info: Value = serde_json::from_str(line.strip_prefix("INFO ")?).ok()?;
        info["connect_urls"] = json!([advertised.to_string()]);
        client.write_all(format!("INFO {info}\r\n").as_bytes()).await.ok()?;
        copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
    }
}

impl Drop for Advertiser {
    fn drop(&mut self) {
        self.task.abort();
    }
}
