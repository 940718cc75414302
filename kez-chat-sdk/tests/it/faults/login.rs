//! A broker that lets nobody in writes the same to everybody. Why it does, the home says.

use std::time::Duration;

use kez_chat_sdk::{Client, ConnectionState, identity::Statement};
use kez_chat_server::operator::Operator;
use kez_testbed::{Testbed, http};
use serde_json::json;

use super::recovers;
use crate::{
    front::Front,
    people::{Person, handle_at, offline, online, two_friends, until},
    wire::{Mode, Wire},
};

#[tokio::test(flavor = "multi_thread")]
async fn logins_that_nobody_answers_are_an_outage_and_no_refusal() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    // The home's own way to the broker, by which it is asked about logins.
    let wire = Wire::to(&testbed.nats_url()).await;
    let (from_home, urls) = (wire.url(), vec![testbed.nats_url()]);
    let front = Front::before_another(
        &mut testbed,
        |settings| {
            settings.nats_url = from_home;
            settings.nats_public_urls = urls;
        },
        |_, _| (),
    )
    .await;
    for mode in [Mode::Cut, Mode::Slow(Duration::from_secs(4))] {
        wire.set(mode);
        a.reconnect_now();
        assert!(retry_after(&a, "LoginUnavailable").await < Duration::from_secs(60), "it is tried again soon");
        wire.set(Mode::Open);
        recovers(&a, &b).await;
    }
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// A home tells nobody whom it has blocked, so it looks like an outage that does not end.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_waits_and_is_back_when_that_ends() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let operator = Operator::open(testbed.folder().join("registry.db")).await.unwrap();
    operator.set_blocked(a.handle(), true).await.unwrap();
    let cause = offline(&a, "LoginUnavailable").await;
    assert!(cause.to_string().contains("blocked"), "{cause}");
    operator.set_blocked(a.handle(), false).await.unwrap();
    recovers(&a, &b).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_registered_is_refused_and_tried_again_rarely() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let other = testbed.folder().join("another-registry.db");
    let front = Front::before_another(&mut testbed, |settings| settings.db_path = other, |_, _| ()).await;
    a.reconnect_now();
    assert!(retry_after(&a, "NotRegistered").await >= Duration::from_secs(600), "rarely");

    // Somebody else gets the handle there.
    let stranger = Person::new();
    stranger.backed_up().await.register(&handle_at(&testbed, "alice"), |_| {}).await.unwrap();
    a.reconnect_now();
    offline(&a, "HandleOfAnother").await;
    front.shutdown().await;

    testbed.start_chat_server().await.unwrap();
    a.reconnect_now();
    recovers(&a, &b).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_retired_is_told_so() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, _b)) = two_friends(&testbed).await;
    online(&a).await;
    let (key, handle) = (alice.key(), a.handle());
    let signature = key.sign(&Statement::Retire { handle, primary: &key.primary() });
    let body = json!({
        "handle": handle.to_string(), "primary": key.primary().to_string(), "retire_sig": signature.to_base64(),
    });
    let home = testbed.home_url().replace("http://localhost", "127.0.0.1");
    let mut home = http::Connection::open(home.parse().unwrap()).await.unwrap();
    let request = http::post("/v1/retire", "application/json", body.to_string().as_bytes());
    assert_eq!(home.ask(&request).await.unwrap().status, 200);
    assert!(retry_after(&a, "Retired").await >= Duration::from_secs(600), "rarely");
    testbed.shutdown().await.unwrap();
}

/// Waits until the client is offline for the reason with this code, and tells how long it waits then.
async fn retry_after(client: &Client, code: &str) -> Duration {
    let is_it =
        |state: &ConnectionState| matches!(state, ConnectionState::Offline { cause, .. } if cause.code() == code);
    match until(client, is_it).await {
        ConnectionState::Offline { retry_in, .. } => retry_in,
        other => panic!("{other}"),
    }
}
