//! The broker away, back, and back with an empty disk.

use std::time::{Duration, Instant};

use kez_chat_server::{Server, ServerSecret, Settings};
use kez_core::handle::Policy;
use kez_service::serve::GRACE;
use kez_testbed::Testbed;
use reqwest::StatusCode;
use tokio::net::TcpListener;

use crate::nats::{Nats, conf_of};
use crate::support::{PATIENCE, Person, code_of, get, http, json_of, next, register, until};

async fn epoch(testbed: &Testbed) -> String {
    json_of(get(testbed, "/v1/info").await).await["nats"]["epoch"].as_str().unwrap().to_owned()
}

async fn nats_is(testbed: &Testbed, state: &str) {
    until(async || (json_of(get(testbed, "/v1/healthz").await).await["nats"] == state).then_some(())).await;
}

/// Checks lines of the metrics.
async fn assert_metrics(testbed: &Testbed, expected: [&str; 2]) {
    let internal = testbed.chat_server().unwrap().internal_addr().unwrap();
    let text = http().get(format!("http://{internal}/metrics")).send().await.unwrap().text().await.unwrap();
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

const ONE_PERSON: &str = r#"kez_chat_handles{standing="active"} 1"#;
const TWO_PEOPLE: &str = r#"kez_chat_handles{standing="active"} 2"#;

#[tokio::test]
async fn nothing_is_registered_while_the_broker_is_away() {
    let mut testbed = Testbed::start().await.unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let bob = Person::new();
    let first_epoch = epoch(&testbed).await;
    assert_metrics(&testbed, ["kez_chat_broker_up 1", ONE_PERSON]).await;

    testbed.kill_nats().await.unwrap();
    nats_is(&testbed, "away").await;
    let request = bob.registration(testbed.domain(), "bob");
    let response = register(&testbed, &request).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(code_of(response).await, "BrokerAway");
    assert_eq!(get(&testbed, "/v1/u/bob").await.status(), StatusCode::NOT_FOUND);
    assert_metrics(&testbed, ["kez_chat_broker_up 0", ONE_PERSON]).await;
    let known = register(&testbed, &alice.registration(testbed.domain(), "alice")).await;
    assert_eq!(known.status(), StatusCode::OK, "nothing has to be made for her");
    assert_eq!(epoch(&testbed).await, first_epoch);

    // A server that starts meanwhile starts, and knows the epoch.
    testbed.stop_chat_server().await;
    testbed.start_chat_server().await.unwrap();
    assert_eq!(epoch(&testbed).await, first_epoch);

    testbed.start_nats().await.unwrap();
    nats_is(&testbed, "ok").await;
    assert_eq!(register(&testbed, &request).await.status(), StatusCode::CREATED);
    assert_eq!(epoch(&testbed).await, first_epoch, "the stream is still the same");
    assert_metrics(&testbed, ["kez_chat_broker_up 1", TWO_PEOPLE]).await;
    let route = alice.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    alice.connect(&testbed).await.send(&bob.primary, &route, "hello").await;
    assert_eq!(next(&mut bob_on.inbox().await).await.payload, "hello");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_lost_its_disk_is_made_ready_again() {
    let mut testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let first_epoch = epoch(&testbed).await;

    testbed.kill_nats().await.unwrap();
    nats_is(&testbed, "away").await;
    std::fs::remove_dir_all(testbed.folder().join("nats").join("store")).unwrap();
    testbed.start_nats().await.unwrap();
    nats_is(&testbed, "ok").await;
    assert_ne!(epoch(&testbed).await, first_epoch, "senders are told to send again");

    // Bob writes before Alice's consumer has been made again.
    let route = bob.route(&testbed).await;
    bob.connect(&testbed).await.send(&alice.primary, &route, "hello").await;
    let alice_on = alice.connect(&testbed).await;
    assert_eq!(next(&mut alice_on.inbox().await).await.payload, "hello");
    testbed.shutdown().await.unwrap();
}

/// The bound of the delays is `broker::back_off`'s, and takes longer than a test may.
#[tokio::test]
async fn a_broker_that_is_away_is_asked_less_and_less_often() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nats = format!("nats://{}", listener.local_addr().unwrap());
    let (bind, db_path) = (([127, 0, 0, 1], 0).into(), dir.path().join("handles.db"));
    let secret = ServerSecret::generate(&mut rand::rng());
    let mut settings = Settings::new(bind, &nats, "http://127.0.0.1:1", db_path, secret);
    settings.policy = Policy::Development;
    // One that hangs up on whoever comes, five times.
    let dialled = async {
        drop(listener.accept().await.unwrap());
        let first = Instant::now();
        for _ in 1..5 {
            drop(listener.accept().await.unwrap());
        }
        first.elapsed()
    };
    let (server, took) = tokio::join!(Server::bind(settings), tokio::time::timeout(PATIENCE, dialled));
    // 100, 200, 400 and 800 ms lie between them; the first may have been noticed late. Without a back-off it were 400.
    assert!(took.expect("it has given up") >= Duration::from_secs(1));
    server.unwrap().shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_broker_that_is_stuck_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let secret = ServerSecret::generate(&mut rand::rng());
    let nats = Nats::start(dir.path(), &conf_of(&secret, dir.path())).await;
    let (bind, db_path) = (([127, 0, 0, 1], 0).into(), dir.path().join("handles.db"));
    let mut settings = Settings::new(bind, &nats.url, "http://127.0.0.1:1", db_path, secret);
    settings.policy = Policy::Development;
    let server = Server::bind(settings).await.unwrap();
    let health = format!("http://{}/v1/healthz", server.local_addr());
    let is_up = async || json_of(http().get(&health).send().await.unwrap()).await["nats"] == "ok";
    until(async || is_up().await.then_some(())).await;
    nats.freeze().await;
    // async-nats itself gives it a minute.
    tokio::time::timeout(2 * GRACE, server.shutdown()).await.expect("the server waits for its broker");
}
