//! What is acknowledged goes, what is not stays, and a sender's quota is free again.

use async_nats::{Client, ConnectOptions};
use kez_core::broker::subject;
use kez_core::identity::PrimaryKey;
use kez_testbed::Testbed;
use serde_json::{Value, json};

use crate::support::{Person, next, until};

/// Logs in to the JS account, as the chat-server itself does.
pub(crate) async fn operator(testbed: &Testbed) -> Client {
    let seed = testbed.secret().chat_server_seed().unwrap();
    ConnectOptions::with_nkey(seed.to_string()).connect(testbed.nats_url()).await.unwrap()
}

/// Counts the messages in an inbox.
pub(crate) async fn waiting(operator: &Client, owner: &PrimaryKey) -> u64 {
    let filter = json!({ "subjects_filter": subject::inbox_filter(owner) });
    let answer = operator.request("$JS.API.STREAM.INFO.KEZ_INBOX", filter.to_string().into()).await.unwrap();
    let info: Value = serde_json::from_slice(&answer.payload).unwrap();
    let subjects = info["state"]["subjects"].as_object();
    subjects.map_or(0, |subjects| subjects.values().filter_map(Value::as_u64).sum())
}

pub(crate) async fn until_empty(testbed: &Testbed, owner: &PrimaryKey) {
    let operator = operator(testbed).await;
    until(async || (waiting(&operator, owner).await == 0).then_some(())).await;
}

#[tokio::test]
async fn acknowledged_messages_are_purged_and_no_others() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    for n in 0..6 {
        bob_on.send(&alice.primary, &route, &n.to_string()).await;
        bob_on.send(&bob.primary, &route, "to myself").await;
    }
    let operator = operator(&testbed).await;
    let alice_on = alice.connect(&testbed).await;
    let mut inbox = alice_on.inbox().await;
    let mut frames = Vec::new();
    for _ in 0..6 {
        frames.push(next(&mut inbox).await);
    }
    // All but the third; out of order.
    for n in [5, 0, 4, 1, 3] {
        alice_on.client.publish(frames[n].reply.clone().unwrap(), "+ACK".into()).await.unwrap();
    }
    until(async || (waiting(&operator, &alice.primary).await == 4).then_some(())).await;
    assert_eq!(waiting(&operator, &bob.primary).await, 6, "somebody else's inbox is left alone");

    alice_on.client.publish(frames[2].reply.clone().unwrap(), "+ACK".into()).await.unwrap();
    until(async || (waiting(&operator, &alice.primary).await == 0).then_some(())).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_forged_hint_purges_nothing() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    for text in ["one", "two"] {
        bob_on.send(&alice.primary, &route, text).await;
    }
    let operator = operator(&testbed).await;
    let alice_on = alice.connect(&testbed).await;
    let mut inbox = alice_on.inbox().await;
    let first = next(&mut inbox).await;
    // What is no acknowledgement looks like one to the server, which then looks for itself: at once, after so many.
    for _ in 0..300 {
        let forged = format!("$JS.ACK.KEZ_INBOX.{}.1.2.2.1.0", alice.primary.to_hex());
        alice_on.client.publish(forged, "+WPI".into()).await.unwrap();
    }
    alice_on.client.publish(first.reply.unwrap(), "+ACK".into()).await.unwrap();
    // The server acted on the hints once it has purged the first message.
    until(async || (waiting(&operator, &alice.primary).await == 1).then_some(())).await;
    let answer = operator.request("$JS.API.STREAM.MSG.GET.KEZ_INBOX", r#"{"seq":2}"#.into()).await.unwrap();
    let stored: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(stored["message"]["data"], "dHdv", "base64 of `two`: {stored}");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_while_the_server_was_away_goes_at_the_next_login() {
    let mut testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let route = bob.route(&testbed).await;
    bob.connect(&testbed).await.send(&alice.primary, &route, "hello").await;
    let alice_on = alice.connect(&testbed).await;
    let frame = next(&mut alice_on.inbox().await).await;

    testbed.stop_chat_server().await;
    alice_on.client.request(frame.reply.unwrap(), "+ACK".into()).await.unwrap();
    let operator = operator(&testbed).await;
    assert_eq!(waiting(&operator, &alice.primary).await, 1, "nobody is there to purge");

    testbed.start_chat_server().await.unwrap();
    alice.connect(&testbed).await;
    until(async || (waiting(&operator, &alice.primary).await == 0).then_some(())).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_full_pair_refuses_the_sender_until_the_owner_has_read() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let carol = Person::registered(&testbed, "carol").await;
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    let sending = (0..1000).map(|n| bob_on.send(&alice.primary, &route, if n % 2 == 0 { "even" } else { "odd" }));
    for ack in futures::future::join_all(sending).await {
        assert!(ack["error"].is_null(), "{ack}");
    }
    let full = bob_on.send(&alice.primary, &route, "one too many").await;
    assert_eq!(full["error"]["err_code"], 10_077, "{full}");
    let carol_on = carol.connect(&testbed).await;
    let ack = carol_on.send(&alice.primary, &carol.route(&testbed).await, "another sender").await;
    assert!(ack["error"].is_null(), "{ack}");

    let alice_on = alice.connect(&testbed).await;
    let mut inbox = alice_on.inbox().await;
    for _ in 0..1001 {
        let frame = next(&mut inbox).await;
        alice_on.client.publish(frame.reply.unwrap(), "+ACK".into()).await.unwrap();
    }
    until(async || bob_on.send(&alice.primary, &route, "free again").await["error"].is_null().then_some(())).await;
    testbed.shutdown().await.unwrap();
}
