//! Messages whose numbers are not the next ones: they wait, and in the end are given out all the same.

use std::time::{Duration, Instant};

use kez_chat_sdk::{
    Client, Event, Order,
    broker::subject,
    envelope::{self, Peer},
    identity::{PrimaryKey, SecretKey},
    payload::{Content, MessageId, Payload},
    sigchain::Install,
};
use kez_testbed::Testbed;

use crate::{
    frames::route_of,
    front::now_ms,
    people::{next, online, two_friends},
    raw::Raw,
};

const GAP_WAIT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_message_is_waited_for_and_then_told() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    a.shutdown().await;
    b.shutdown().await;
    let b = Client::builder(bob.home(), bob.key_store()).gap_wait(GAP_WAIT).open().await.unwrap();
    online(&b).await;
    let mut sender = Numbering::new(&testbed, &alice.key(), b.primary()).await;

    sender.send(&[3, 1]).await;
    assert_eq!(told(&b).await, (1, Order::InOrder));
    sender.send(&[2]).await;
    assert_eq!(told(&b).await, (2, Order::InOrder), "it was waited for");
    assert_eq!(told(&b).await, (3, Order::InOrder));

    let begun = Instant::now();
    sender.send(&[6, 7]).await;
    assert_eq!(told(&b).await, (6, Order::AfterGap { missing: 2 }));
    assert!(begun.elapsed() >= GAP_WAIT, "given up after {:?}", begun.elapsed());
    assert_eq!(told(&b).await, (7, Order::InOrder));
    sender.send(&[5]).await;
    assert_eq!(told(&b).await, (5, Order::Late));
    sender.send(&[8]).await;
    assert_eq!(told(&b).await, (8, Order::InOrder));
    testbed.shutdown().await.unwrap();
}

/// What waits for an earlier message is on disk, and so is where the sequence stands.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_earlier_message_survives_a_restart() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    a.shutdown().await;
    online(&b).await;
    let mut sender = Numbering::new(&testbed, &alice.key(), b.primary()).await;
    sender.send(&[1, 3, 4]).await;
    assert_eq!(told(&b).await, (1, Order::InOrder));
    b.shutdown().await;
    let b = bob.open().await;
    sender.send(&[2]).await;
    for number in [2, 3, 4] {
        assert_eq!(told(&b).await, (number, Order::InOrder));
    }
    testbed.shutdown().await.unwrap();
}

/// Sends messages under numbers of the test's choice.
struct Numbering {
    key: SecretKey,
    to: PrimaryKey,
    raw: Raw,
    inbox: String,
}

impl Numbering {
    async fn new(testbed: &Testbed, key: &SecretKey, to: PrimaryKey) -> Self {
        let inbox = subject::inbox_publish(&to, &route_of(testbed, key));
        Self { key: key.clone(), to, raw: Raw::login(testbed, key).await, inbox }
    }

    async fn send(&mut self, numbers: &[u64]) {
        for seq in numbers {
            let payload = Payload {
                id: MessageId(rand::random()),
                install: Install::from_bytes([7; 8]),
                seq: *seq,
                sent_at_ms: now_ms(),
                from: None,
                to: None,
                content: Content::Text(seq.to_string()),
                own_head: None,
                peer_head: None,
                reply_to: None,
            };
            let to = Peer::new(&self.key, self.to);
            let wire = envelope::seal(&self.key, &to, &payload.encode().unwrap(), &rand::random()).unwrap();
            self.raw.publish(&self.inbox, "", "", &wire).await;
        }
        assert!(self.raw.fence().await.is_empty());
    }
}

/// Waits for the next message, whose text is its number.
async fn told(client: &Client) -> (u64, Order) {
    match next(client).await {
        Event::Message { text, order, .. } => (text.parse().unwrap(), order),
        other => panic!("{other:?}"),
    }
}
