//! What waits for nobody goes; what waits for somebody stays, and none of what anybody sends changes that.

use std::time::Duration;

use async_nats::Client;
use kez_testbed::Testbed;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::inbox_keeping::{operator, waiting};
use crate::program::done;
use crate::support::{Connected, Person, http, next, register, until};

async fn start() -> Testbed {
    Testbed::builder()
        .chat_settings(|settings| settings.sweep_every = Duration::from_millis(500))
        .start()
        .await
        .unwrap()
}

/// Counts the messages under a filter.
async fn count(operator: &Client, filter: &str) -> u64 {
    let filter = json!({ "subjects_filter": filter });
    let answer = operator.request("$JS.API.STREAM.INFO.KEZ_INBOX", filter.to_string().into()).await.unwrap();
    let info: Value = serde_json::from_slice(&answer.payload).unwrap();
    let subjects = info["state"]["subjects"].as_object();
    subjects.map_or(0, |subjects| subjects.values().filter_map(Value::as_u64).sum())
}

/// Waits until everything that was sent before has been swept.
pub(crate) async fn swept(testbed: &Testbed, operator: &Client) {
    let stranger = Person::new();
    // As a sender would, but beside them: the JS account is where messages end up.
    let subject = format!("kez.inbox.{}.{}", stranger.primary.to_hex(), "0".repeat(32));
    operator.request(subject, "canary".into()).await.unwrap();
    until(async || (waiting(operator, &stranger.primary).await == 0).then_some(())).await;
    assert!(testbed.chat_server().is_some());
}

/// Reads one of the server's metrics.
pub(crate) async fn metric(testbed: &Testbed, name: &str) -> f64 {
    let internal = testbed.chat_server().unwrap().internal_addr().unwrap();
    let text = http().get(format!("http://{internal}/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

async fn send_to(sender: &Connected, recipient: &str, route: &impl std::fmt::Display) {
    let answer = sender.client.request(format!("kez.inbox.{recipient}.{route}"), "hello".into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer["error"].is_null(), "{answer}");
}

#[tokio::test]
async fn what_waits_for_nobody_goes_and_what_waits_for_somebody_stays() {
    let testbed = start().await;
    let (alice, blocked) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "out").await);
    let bob = Person::registered(&testbed, "bob").await;
    done(&testbed, &["block", "out"]).await;
    let operator = operator(&testbed).await;
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    let stranger = Person::new();
    for person in [&alice, &blocked, &bob, &stranger] {
        send_to(&bob_on, &person.primary.to_hex(), &route).await;
    }
    // No keys at all. The first two are filters that cover everybody, if anybody reads them so.
    for recipient in ["foo", &alice.primary.to_hex().to_uppercase(), &"z".repeat(64)] {
        send_to(&bob_on, recipient, &route).await;
    }
    let nobody = stranger.primary.to_hex();
    let gone = ["foo", &alice.primary.to_hex().to_uppercase(), &"z".repeat(64), &nobody];
    until(async || {
        for recipient in gone {
            if count(&operator, &format!("kez.inbox.{recipient}.>")).await > 0 {
                return None;
            }
        }
        Some(())
    })
    .await;
    swept(&testbed, &operator).await;
    for person in [&alice, &blocked, &bob] {
        assert_eq!(waiting(&operator, &person.primary).await, 1);
    }
    assert!(metric(&testbed, "kez_chat_sweep_purged_total").await >= 5.0);
    assert!(metric(&testbed, "kez_chat_sweep_rounds_total").await >= 1.0);
    for (name, least) in [("inbox_messages", 3.0), ("inbox_bytes", 300.0), ("store_used_bytes", 300.0)] {
        assert!(metric(&testbed, &format!("kez_chat_{name}")).await >= least, "{name}");
    }
    assert_eq!(metric(&testbed, "kez_chat_inbox_limit_bytes").await, 1.6e9);
    assert_eq!(metric(&testbed, "kez_chat_store_limit_bytes").await, 2e9);

    // Once somebody has the key, what comes stays.
    let registered = register(&testbed, &stranger.registration(testbed.domain(), "late")).await;
    assert_eq!(registered.status(), StatusCode::CREATED);
    send_to(&bob_on, &nobody, &route).await;
    swept(&testbed, &operator).await;
    swept(&testbed, &operator).await;
    assert_eq!(waiting(&operator, &stranger.primary).await, 1);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_recipient_named_like_a_filter_sweeps_nobody_elses() {
    let testbed = start().await;
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let operator = operator(&testbed).await;
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    bob_on.send(&alice.primary, &route, "hello").await;
    let stored = count(&operator, "kez.inbox.>").await;
    for recipient in ["*", ">", "a*", "\u{fffd}"] {
        bob_on.client.publish(format!("kez.inbox.{recipient}.{route}"), "hello".into()).await.unwrap();
    }
    bob_on.send(&bob.primary, &route, "after them").await;
    assert!(count(&operator, "kez.inbox.>").await > stored + 1, "the broker takes at least some of these");
    for _ in 0..3 {
        swept(&testbed, &operator).await;
    }
    assert_eq!(waiting(&operator, &alice.primary).await, 1);
    assert_eq!(waiting(&operator, &bob.primary).await, 1);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_while_the_server_was_away_goes_when_it_is_back() {
    let mut testbed = start().await;
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    bob_on.send(&alice.primary, &route, "read").await;
    let alice_on = alice.connect(&testbed).await;
    let frame = next(&mut alice_on.inbox().await).await;
    testbed.stop_chat_server().await;
    alice_on.client.request(frame.reply.unwrap(), "+ACK".into()).await.unwrap();
    drop(alice_on);
    bob_on.send(&alice.primary, &route, "not read").await;
    let operator = operator(&testbed).await;
    assert_eq!(waiting(&operator, &alice.primary).await, 2);

    testbed.start_chat_server().await.unwrap();
    until(async || (waiting(&operator, &alice.primary).await == 1).then_some(())).await;
    swept(&testbed, &operator).await;
    assert_eq!(waiting(&operator, &alice.primary).await, 1, "what was not read stays");
    assert_eq!(metric(&testbed, "kez_chat_keeper_purged_total").await, 1.0);
    testbed.shutdown().await.unwrap();
}
