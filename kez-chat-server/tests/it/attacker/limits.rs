//! What one account may hold, and what becomes of who wants more.

use std::time::Duration;

use kez_core::broker::subject;
use kez_testbed::{Testbed, nats_server};
use serde_json::json;

use super::arena::{ALLOWED, Arena, MARK, log_in};
use super::canary::Due;
use super::raw::{Said, publish};

/// More subscriptions than clients and servers need, and fewer than hurt.
const SUBSCRIPTIONS: usize = 100;
const PENDING_BYTES: usize = 64 << 20;

#[tokio::test]
async fn a_connection_has_a_hundred_subscriptions_and_no_more() {
    let mut arena = Arena::hardened(Testbed::start().await.unwrap()).await;
    // Three are there.
    for n in 3..SUBSCRIPTIONS {
        let subject = arena.mallory.reply(&n.to_string());
        arena.mallory.raw.subscribe(&subject, &n.to_string()).await;
    }
    let subject = arena.mallory.reply("one-too-many");
    arena.mallory.raw.send(format!("SUB {subject} more\r\n").as_bytes()).await;
    let said = arena.mallory.raw.fence().await;
    assert!(matches!(&said[0], Said::Error(text) if text.contains("maximum subscriptions exceeded")), "{said:?}");
    // Alice's own limit is her own.
    let subject = arena.alice.reply("4");
    arena.alice.raw.subscribe(&subject, "4").await;
    arena.close().await;
}

#[tokio::test]
async fn who_does_not_read_is_cut_off_and_others_go_on() {
    let mut arena = Arena::hardened(Testbed::start().await.unwrap()).await;
    // A second connection of Mallory's gets everything that the first one publishes, and reads none of it.
    let mut deaf = log_in(&arena.address, &arena.home, &arena.mallory.person).await;
    let own = subject::presence_publish(&arena.mallory.person.primary, &arena.mallory.route);
    let batch = publish(&own, None, "", MARK.repeat(200).as_bytes()).repeat(1000);
    let mut sent = 0;
    // What the operating system holds for the two of them comes on top.
    while sent < 2 * PENDING_BYTES {
        arena.mallory.raw.send(&batch).await;
        arena.mallory.raw.fence().await;
        // Who listens has to read.
        arena.tap.drain().await;
        sent += batch.len();
    }
    arena.reconnect_mallory().await;
    let scene = arena.prepare().await.unwrap();
    let evidence = arena.judge(&scene, Due::default()).await;
    assert!(evidence.is_empty(), "{evidence:#?}");
    let mut read = 0;
    loop {
        match deaf.next(Duration::from_secs(10)).await {
            Some(Said::Message(heard)) => read += heard.payload.len(),
            Some(Said::Closed) => break,
            Some(_) => {}
            None => panic!("the connection lives on after {read} bytes"),
        }
    }
    assert!(read < sent, "{read} of {sent}");
    arena.close().await;
}

#[tokio::test]
async fn names_longer_than_a_users_are_refused() {
    // Without a bound, the list of inboxes that the home goes through becomes longer than a connection takes: with lines
    // of 4,096 bytes, and six for a character in JSON, some three thousand messages do.
    for program in [nats_server::find().await.unwrap(), nats_server::find_oldest().await.unwrap()] {
        let testbed = Testbed::builder().nats_server(program).start().await.unwrap();
        let mut arena = Arena::hardened(testbed).await;
        let scene = arena.prepare().await.unwrap();
        for n in 0..5_000 {
            let subject = format!("kez.inbox.{n:06}{}.{}", "<".repeat(3_800), arena.mallory.route);
            arena.mallory.raw.send(&publish(&subject, None, "", b"x")).await;
        }
        let barely = format!("kez.inbox.{}x.{}", arena.alice.hex(), arena.mallory.route);
        for subject in [barely.replace("inbox", "presence"), barely] {
            arena.mallory.raw.send(&publish(&subject, None, "", ALLOWED.as_bytes())).await;
        }
        assert_eq!(arena.mallory.raw.fence_into_aside().await, 5_002, "each is denied");
        let evidence = arena.judge(&scene, Due::default()).await;
        assert!(evidence.is_empty(), "{evidence:#?}");
        let list = arena.api("STREAM.INFO.KEZ_INBOX", json!({ "subjects_filter": "kez.inbox.>" })).await;
        let subjects = list["state"]["subjects"].as_object().unwrap();
        let longest = subjects.keys().map(String::len).max();
        assert_eq!(longest, Some(subject::inbox_publish(&arena.alice.person.primary, &arena.bob.route).len()));
        // Shorter names are nobody's either, and cost no more than anybody's.
        let short = format!("kez.inbox.x.{}", arena.mallory.route);
        arena.mallory.raw.send(&publish(&short, Some(&scene.reply), "", b"x")).await;
        let answer = arena.mallory.raw.find(arena.patience, |heard| heard.subject == scene.reply).await.unwrap();
        assert_eq!(answer.json()["stream"], subject::INBOX_STREAM);
        arena.close().await;
    }
}
