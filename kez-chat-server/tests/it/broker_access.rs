//! What somebody who is in may do on the broker.

use async_nats::HeaderMap;
use kez_chat_server::Clock;
use kez_core::broker::{Day, Route, subject};
use kez_testbed::{Testbed, TestbedError};

use crate::support::{Person, next};

#[tokio::test]
async fn a_message_reaches_its_owner_and_nobody_else() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let route = bob.route(&testbed).await;
    let mut bob_on = bob.connect(&testbed).await;

    // Bob writes before Alice has ever been there.
    let ack = bob_on.send(&alice.primary, &route, "first").await;
    assert_eq!(ack["stream"], subject::INBOX_STREAM, "{ack}");

    // Bob tries to listen in, on Alice's own subject and on everybody's.
    let mut overheard = Vec::new();
    for wanted in [subject::deliver(&alice.primary), "kez.deliver.*".to_owned(), "kez.>".to_owned(), ">".to_owned()] {
        overheard.push(bob_on.client.subscribe(wanted.clone()).await.unwrap());
        let denial = bob_on.denial().await;
        assert!(denial.contains("Permissions Violation for Subscription"), "{denial}");
        assert!(denial.contains(&format!("\"{wanted}\"")), "{denial}");
    }

    // Alice gets both, in the shape that clients insist on.
    let alice_on = alice.connect(&testbed).await;
    let mut inbox = alice_on.inbox().await;
    let mut bob_inbox = bob_on.inbox().await;
    bob_on.send(&alice.primary, &route, "canary").await;
    for text in ["first", "canary"] {
        let frame = next(&mut inbox).await;
        assert_eq!(frame.payload, text);
        assert_eq!(frame.subject.as_str(), subject::inbox_publish(&alice.primary, &route));
        let reply = frame.reply.unwrap();
        let tokens: Vec<_> = reply.split('.').collect();
        assert_eq!((tokens[0], tokens[1], tokens[2]), ("$JS", "ACK", subject::INBOX_STREAM));
        assert_eq!((tokens[3], tokens.len()), (alice.primary.to_hex().as_str(), 9), "{reply}");
    }

    // What Bob gets next is his own message: the canary went past him.
    bob_on.send(&bob.primary, &route, "to myself").await;
    assert_eq!(next(&mut bob_inbox).await.payload, "to myself");
    for subscriber in &mut overheard {
        subscriber.unsubscribe().await.unwrap();
        let heard = futures::StreamExt::next(subscriber).await;
        assert!(heard.is_none(), "{heard:?}");
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn publishing_is_for_the_own_routes_only() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let (alice_route, bob_route) = (alice.route(&testbed).await, bob.route(&testbed).await);
    assert_ne!(alice_route.to_string(), bob_route.to_string());
    let alice_on = alice.connect(&testbed).await;
    let mut inbox = alice_on.inbox().await;
    let mut bob_on = bob.connect(&testbed).await;

    let server = testbed.secret().server_keys()[0].primary();
    let old = Route::derive(&bob.key.agree(&server), Day::from_unix_ms(0), &bob.primary, &server);
    for denied in [
        subject::inbox_publish(&alice.primary, &alice_route),
        subject::inbox_publish(&alice.primary, &old),
        subject::presence_publish(&alice.primary, &alice_route),
        subject::inbox(&alice.primary),
        subject::deliver(&alice.primary),
        subject::presence_deliver(&alice.primary),
        format!("$JS.ACK.KEZ_INBOX.{}.1.1.1.1.0", alice.primary.to_hex()),
        "$JS.API.STREAM.PURGE.KEZ_INBOX".to_owned(),
        format!("$JS.API.CONSUMER.INFO.KEZ_INBOX.{}", bob.primary.to_hex()),
        "$SYS.REQ.USER.AUTH".to_owned(),
    ] {
        bob_on.client.publish(denied.clone(), "denied".into()).await.unwrap();
        let denial = bob_on.denial().await;
        assert!(denial.contains("Permissions Violation for Publish"), "{denial}");
        assert!(denial.contains(&format!("\"{denied}\"")), "{denial}");
    }
    bob_on.send(&alice.primary, &bob_route, "allowed").await;
    assert_eq!(next(&mut inbox).await.payload, "allowed", "nothing denied was delivered before it");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_day_is_one_by_the_homes_clock() {
    const AHEAD_MS: u64 = 36 * 3_600_000;
    let testbed = Testbed::builder()
        .chat_settings(|settings| settings.clock = Clock::from_fn(|| Clock::system().now_ms() + AHEAD_MS))
        .start()
        .await
        .unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let before_ms = Clock::system().now_ms();
    let route = alice.route(&testbed).await;
    let mut alice_on = alice.connect(&testbed).await;
    let ack = alice_on.send(&alice.primary, &route, "today").await;
    assert_eq!(ack["stream"], subject::INBOX_STREAM, "{ack}");

    let server = testbed.secret().server_keys()[0].primary();
    let by_ours = Route::derive(&alice.key.agree(&server), Day::from_unix_ms(before_ms), &alice.primary, &server);
    let denied = subject::inbox_publish(&alice.primary, &by_ours);
    alice_on.client.publish(denied.clone(), "the day before".into()).await.unwrap();
    let denial = alice_on.denial().await;
    assert!(denial.contains(&format!("Permissions Violation for Publish to \"{denied}\"")), "{denial}");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn presence_reaches_who_it_is_for_and_tells_the_sender_nothing() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    let subject_to_alice = subject::presence_publish(&alice.primary, &route);
    let answer = async || {
        let answer = bob_on.client.request(subject_to_alice.clone(), "online".into()).await.unwrap();
        let mut answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        answer.as_object_mut().unwrap().remove("seq");
        answer
    };
    let while_away = answer().await;
    let alice_on = alice.connect(&testbed).await;
    let mut presence = alice_on.client.subscribe(subject::presence_deliver(&alice.primary)).await.unwrap();
    // Alice's subscription is known to be there when her own message comes back.
    let own = subject::presence_publish(&alice.primary, &alice.route(&testbed).await);
    alice_on.client.publish(own, "to myself".into()).await.unwrap();
    assert_eq!(next(&mut presence).await.payload, "to myself");

    assert_eq!(answer().await, while_away);
    let frame = next(&mut presence).await;
    assert_eq!(frame.payload, "online");
    assert_eq!(frame.subject.as_str(), subject::presence_deliver(&alice.primary));
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_second_ack_shape_works_like_the_first() {
    let testbed = match Testbed::builder().extra_nats_conf("feature_flags { js_ack_fc_v2: true }").start().await {
        // Before 2.15 there is the first shape only, and the flag is no known setting.
        Err(TestbedError::Broker { log }) if log.contains("unknown field \"feature_flags\"") => return,
        started => started.unwrap(),
    };
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let route = bob.route(&testbed).await;
    let mut bob_on = bob.connect(&testbed).await;
    let alice_on = alice.connect(&testbed).await;
    let mut inbox = alice_on.inbox().await;
    bob_on.send(&alice.primary, &route, "hello").await;
    let frame = next(&mut inbox).await;
    let reply = frame.reply.clone().unwrap();
    assert!(reply.split('.').count() >= 11, "{reply}");

    // Bob may not acknowledge it, Alice may, and the broker confirms.
    bob_on.client.publish(reply.clone(), "+ACK".into()).await.unwrap();
    assert!(bob_on.denial().await.contains("Permissions Violation for Publish"));
    let confirmed = alice_on.client.request_with_headers(reply, HeaderMap::new(), "+ACK".into()).await;
    confirmed.unwrap();
    crate::inbox_keeping::until_empty(&testbed, &alice.primary).await;
    testbed.shutdown().await.unwrap();
}
