//! Each way in which a connection fails: the client says which one it is, and recovers from it.

#[cfg(target_os = "linux")]
mod cut;
mod login;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kez_chat_sdk::{Client, MessageState, OfflineCause};
use kez_testbed::Testbed;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    database,
    front::{Front, address_of, move_home},
    people::{PATIENCE, next, offline, online, text_of, two_friends},
    wire::{Mode, Wire},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_away_and_a_broker_that_is_away_are_told_apart() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    testbed.kill_nats().await.unwrap();
    match offline(&a, "BrokerUnreachable").await {
        OfflineCause::BrokerUnreachable { host, detail } => {
            assert_eq!(host, "127.0.0.1");
            assert!(detail.contains("refused"), "{detail}");
        }
        other => panic!("{other}"),
    }
    testbed.stop_chat_server().await;
    a.reconnect_now();
    let cause = offline(&a, "HomeUnreachable").await;
    assert!(cause.to_string().contains(&testbed.domain().to_string()), "{cause}");
    testbed.start_nats().await.unwrap();
    testbed.start_chat_server().await.unwrap();
    recovers(&a, &b).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_home_says_wrongly_is_told_and_recovered_from() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    type Lie = fn(&mut serde_json::Value);
    let lies: [(&str, Lie); 4] = [
        ("WrongHome", |info| info["domain"] = "kez.example".into()),
        ("HomeFailing", |info| info["nats"]["urls"] = json!([])),
        ("ForbiddenAddress", |info| info["nats"]["urls"] = json!(["nats://user:word@127.0.0.1:4222"])),
        ("ForbiddenAddress", |info| info["nats"]["urls"] = json!(["http://127.0.0.1:4222"])),
    ];
    for (code, lie) in lies {
        let lying = Arc::new(AtomicBool::new(true));
        let still = Arc::clone(&lying);
        let front = Front::before(&mut testbed, move |_, info| {
            if still.load(Ordering::SeqCst) {
                lie(info);
            }
        })
        .await;
        let a = alice.open().await;
        offline(&a, code).await;
        lying.store(false, Ordering::SeqCst);
        recovers(&a, &b).await;
        a.shutdown().await;
        front.shutdown().await;
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_slows_and_a_stuck_one_is_given_up() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let wire = Wire::to(&testbed.nats_url()).await;
    let urls = json!([wire.url()]);
    let front = Front::before(&mut testbed, move |_, info| info["nats"]["urls"] = urls.clone()).await;
    wire.set(Mode::Slow(Duration::from_millis(300)));
    let a = alice.open().await;
    recovers(&a, &b).await;
    a.shutdown().await;

    wire.set(Mode::Stuck);
    let begun = Instant::now();
    let a = alice.open().await;
    let cause = offline(&a, "BrokerUnreachable").await;
    assert!(cause.to_string().contains("timed out"), "{cause}");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    wire.set(Mode::Open);
    recovers(&a, &b).await;
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_takes_a_request_and_never_answers_is_given_up() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let home = move_home(&mut testbed, |_| ()).await;
    let listener = TcpListener::bind(address_of(&testbed)).await.unwrap();
    let wire = Wire::from(listener, &home.local_addr().to_string());
    wire.set(Mode::Stuck);
    let begun = Instant::now();
    let a = alice.open().await;
    let cause = offline(&a, "HomeUnreachable").await;
    assert!(cause.to_string().contains("timed out"), "{cause}");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    wire.set(Mode::Open);
    recovers(&a, &b).await;
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// As when a device is carried out of reach: nobody says that the connection is dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_dead_silently_is_noticed_in_time() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    a.shutdown().await;
    let wire = Wire::to(&testbed.nats_url()).await;
    let urls = json!([wire.url()]);
    let front = Front::before(&mut testbed, move |_, info| info["nats"]["urls"] = urls.clone()).await;
    let a = alice.builder().keep_alive(Duration::from_secs(1)).open().await.unwrap();
    online(&a).await;
    let begun = Instant::now();
    wire.set(Mode::Stuck);
    offline(&a, "ConnectionLost").await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    wire.set(Mode::Open);
    recovers(&a, &b).await;

    // Who knows of it does not wait for it to be noticed.
    let dialled = wire.carried().dialled;
    wire.set(Mode::Stuck);
    wire.set(Mode::Open);
    a.reconnect_now();
    wire.until(|carried| carried.dialled > dialled).await;
    recovers(&a, &b).await;
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Another program holds the database for longer than is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_can_not_be_written_is_told_and_recovered_from() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    online(&b).await;
    let database = database::open(&alice.home().join("kez.db"), &alice.key());
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    a.reconnect_now();
    let cause = offline(&a, "StoreFailed").await;
    assert!(cause.to_string().contains("could not be written"), "{cause}");
    database.execute_batch("ROLLBACK").unwrap();
    recovers(&a, &b).await;
    testbed.shutdown().await.unwrap();
}

/// With nobody there, attempts become rare by themselves, and one that is asked for is made at once.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_become_rare_and_one_that_is_asked_for_is_made_at_once() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let wire = Wire::to(&testbed.nats_url()).await;
    let urls = json!([wire.url()]);
    let front = Front::before(&mut testbed, move |_, info| info["nats"]["urls"] = urls.clone()).await;
    wire.set(Mode::Cut);
    let begun = Instant::now();
    let a = alice.open().await;
    front.until_asked(5).await;
    // Half of 0.5, 1, 2 and 4 seconds at least.
    assert!(begun.elapsed() >= Duration::from_millis(3_750), "{:?}", begun.elapsed());
    wire.set(Mode::Open);
    let begun = Instant::now();
    a.reconnect_now();
    online(&a).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "the next attempt was four seconds away: {:?}", begun.elapsed());
    recovers(&a, &b).await;
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Sends a message, which may have to wait for the connection, and sees it arrive.
async fn recovers(from: &Client, to: &Client) {
    let id = from.conversation(to.primary()).send_text("sent into the dark").await.unwrap();
    loop {
        // Receipts of earlier ones may come first.
        if let event @ kez_chat_sdk::Event::Message { .. } = next(to).await {
            assert_eq!(text_of(&event), "sent into the dark");
            break;
        }
    }
    assert_eq!(from.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    online(from).await;
}
