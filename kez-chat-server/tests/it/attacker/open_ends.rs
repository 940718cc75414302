//! What can't be closed, and how far it reaches.

use std::time::Instant;

use kez_core::broker::{Day, Route, subject};
use kez_core::envelope::{self, Peer};
use kez_testbed::{Testbed, nats_server};
use serde_json::{Value, json};

use super::arena::{ALLOWED, Arena};
use super::raw::{Heard, publish};
use super::say;

/// Has Mallory publish on her own route, and returns JetStream's answer.
async fn answer_to_mallory(arena: &mut Arena, subject: &str, headers: &str) -> Value {
    let reply = arena.mallory.reply("asked");
    arena.mallory.raw.send(&publish(subject, Some(&reply), headers, ALLOWED.as_bytes())).await;
    arena.mallory.raw.find(arena.patience, |heard| heard.subject == reply).await.unwrap().json()
}

/// Asks for the number of the last message that matches, which a mismatch tells.
async fn last_of(arena: &mut Arena, subject: &str, matching: &str) -> Value {
    let headers = format!(
        "Nats-Expected-Last-Subject-Sequence: 999999999\r\nNats-Expected-Last-Subject-Sequence-Subject: {matching}\r\n"
    );
    answer_to_mallory(arena, subject, &headers).await
}

#[tokio::test]
async fn expected_headers_tell_when_an_inbox_has_something_new_and_nothing_about_it() {
    let mut arena = Arena::hardened(Testbed::start().await.unwrap()).await;
    if arena.mallory.raw.info["version"].as_str().unwrap().starts_with("2.10.") {
        // Where this is what is installed, the test of the oldest broker says what it tells.
        return arena.close().await;
    }
    let (alice, bob) = (arena.alice.hex(), arena.bob.hex());
    let own = format!("kez.inbox.{}.{}", arena.mallory.hex(), arena.mallory.route);
    let wrong = |number: u64| {
        let description = format!("wrong last sequence: {number}");
        json!({ "error": { "code": 400, "err_code": 10071, "description": description }, "stream": "KEZ_INBOX", "seq": 0 })
    };
    let scene = arena.prepare().await.unwrap();
    // There is something for Alice, which number it has in the stream, and that there is nothing for Bob.
    let answer = last_of(&mut arena, &own, &format!("kez.inbox.{alice}.*")).await;
    assert_eq!(answer, wrong(scene.waiting));
    let answer = last_of(&mut arena, &own, &format!("kez.inbox.{bob}.*")).await;
    assert_eq!(answer, wrong(0));
    // By that one also sees it come and go. Whose it is takes the sender's route, which nobody else can compute.
    for (matching, number) in [("*", scene.waiting), (&scene.bobs, scene.waiting), (&"0a".repeat(16), 0)] {
        let answer = last_of(&mut arena, &own, &format!("kez.inbox.{alice}.{matching}")).await;
        assert_eq!(answer, wrong(number), "{matching}");
    }
    // In what was asked of it, nothing was stored, and nobody was disturbed.
    let evidence = arena.judge(&scene, super::canary::Due { answers: true, ..Default::default() }).await;
    assert!(evidence.is_empty(), "{evidence:#?}");
    arena.close().await;
}

#[tokio::test]
async fn in_the_oldest_broker_expected_headers_tell_of_the_own_lane_only() {
    let testbed = Testbed::builder().nats_server(nats_server::find_oldest().await.unwrap()).start().await.unwrap();
    let mut arena = Arena::hardened(testbed).await;
    arena.prepare().await.unwrap();
    let to_alice = format!("kez.inbox.{}.{}", arena.alice.hex(), arena.mallory.route);
    let others = format!("kez.inbox.{}.*", arena.alice.hex());
    let answer = last_of(&mut arena, &to_alice, &others).await;
    assert_eq!(answer["error"]["description"], "wrong last sequence: 0", "{answer}");
    arena.close().await;
}

#[tokio::test]
async fn asking_of_all_inboxes_holds_others_up_for_as_long_as_it_takes_and_loses_them_nothing() {
    const PAIRS: usize = 20_000;
    const QUESTIONS: usize = 200;
    let mut arena = Arena::hardened(Testbed::start().await.unwrap()).await;
    let own = format!("kez.inbox.{}.{}", arena.mallory.hex(), arena.mallory.route);
    for n in 0..PAIRS {
        let subject = format!("kez.inbox.{n:064x}.{}", arena.mallory.route);
        arena.mallory.raw.send(&publish(&subject, None, "", b"x")).await;
    }
    answer_to_mallory(&mut arena, &own, "").await;
    let headers = "Nats-Expected-Last-Subject-Sequence: 999999999\r\n\
                   Nats-Expected-Last-Subject-Sequence-Subject: kez.inbox.*.*\r\n";
    let asked = Instant::now();
    arena.mallory.raw.send(&publish(&own, None, headers, b"x").repeat(QUESTIONS)).await;
    arena.mallory.raw.fence_into_aside().await;
    let (reply, to) =
        (arena.bob.reply("held-up"), subject::inbox_publish(&arena.alice.person.primary, &arena.bob.route));
    arena.bob.raw.send(&publish(&to, Some(&reply), "", b"held up")).await;
    let answer = arena.bob.raw.find(arena.patience, |heard| heard.subject == reply).await.unwrap();
    say(&format!("{QUESTIONS} questions about {PAIRS} pairs held another's message up for {:?}", asked.elapsed()));
    assert_eq!(answer.json()["stream"], subject::INBOX_STREAM);
    let came = arena.alice.raw.find(arena.patience, |heard| heard.text() == "held up").await;
    assert!(came.is_some(), "it did not arrive");
    arena.close().await;
}

#[tokio::test]
async fn the_answer_to_a_message_counts_everybodys_and_names_nobody() {
    const MESSAGES: u64 = 5;
    let mut arena = Arena::hardened(Testbed::start().await.unwrap()).await;
    let own = format!("kez.inbox.{}.{}", arena.mallory.hex(), arena.mallory.route);
    let before = answer_to_mallory(&mut arena, &own, "").await;
    let to_alice = subject::inbox_publish(&arena.alice.person.primary, &arena.bob.route);
    let fenced = arena.bob.reply("fenced");
    for n in 1..=MESSAGES {
        let reply = (n == MESSAGES).then_some(fenced.as_str());
        arena.bob.raw.send(&publish(&to_alice, reply, "", b"between the two")).await;
    }
    arena.bob.raw.find(arena.patience, |heard| heard.subject == fenced).await.unwrap();
    let after = answer_to_mallory(&mut arena, &own, "").await;
    let number = before["seq"].as_u64().unwrap();
    assert_eq!(after, json!({ "stream": "KEZ_INBOX", "seq": number + MESSAGES + 1 }), "that, and nothing more");
    arena.close().await;
}

#[tokio::test]
async fn who_runs_the_broker_sees_for_whom_when_how_much_and_by_which_route() {
    let testbed = Testbed::start().await.unwrap();
    let mut arena = Arena::hardened(testbed).await;
    let texts = ["short", "as short, but for some words", &"long ".repeat(500)];
    let mut seen = Vec::new();
    for text in texts {
        let to = Peer::new(&arena.bob.person.key, arena.alice.person.primary);
        let sealed = envelope::seal(&arena.bob.person.key, &to, text.as_bytes(), &rand::random()).unwrap();
        let subject = subject::inbox_publish(&arena.alice.person.primary, &arena.bob.route);
        let header = format!("Nats-Msg-Id: {:032x}\r\n", rand::random::<u128>());
        let reply = arena.bob.reply("sealed");
        arena.bob.raw.send(&publish(&subject, Some(&reply), &header, &sealed)).await;
        let answer = arena.bob.raw.find(arena.patience, |heard| heard.subject == reply).await.unwrap().json();
        let stored = arena.api("STREAM.MSG.GET.KEZ_INBOX", json!({ "seq": answer["seq"] })).await;
        assert!(stored["message"]["time"].as_str().unwrap().starts_with("20"), "when: {stored}");
        let heard = arena.tap.find(arena.patience, |heard| heard.subject == subject).await.unwrap();
        assert_eq!(heard.payload, sealed);
        seen.push(heard);
    }
    // How much: by steps only.
    let sizes: Vec<usize> = seen.iter().map(|heard| heard.payload.len()).collect();
    assert_eq!(sizes[0], sizes[1]);
    assert!(sizes[2] > sizes[0], "{sizes:?}");

    // By which route, which the home, and nobody without its key, can tell from all others.
    let (bob, testbed) = (&arena.bob.person, arena.testbed().unwrap());
    let home = &testbed.secret().server_keys()[0];
    let route = |own: &kez_core::identity::SecretKey| {
        // The day is in nobody's message either; a test may run past midnight.
        let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap();
        let days = [now_ms, now_ms - 3_600_000].map(Day::from_unix_ms);
        days.map(|day| Route::derive(&own.agree(&bob.primary), day, &bob.primary, &home.primary()).to_string())
    };
    let lane = seen[0].subject.rsplit('.').next().unwrap().to_owned();
    assert!(route(home).contains(&lane));
    assert!(!route(&arena.mallory.person.key).contains(&lane));

    // Neither what was said nor who said it.
    for (heard, text) in seen.iter().zip(texts) {
        let key = bob.primary;
        for secret in [text.as_bytes(), key.as_bytes(), key.to_hex().as_bytes(), key.to_nkey().as_bytes(), b"bob@"] {
            assert!(!holds(heard, secret), "{heard:?}");
        }
    }
    arena.close().await;
}

fn holds(heard: &Heard, secret: &[u8]) -> bool {
    let Heard { subject, reply, headers, payload, .. } = heard;
    let parts = [subject.as_bytes(), reply.as_deref().unwrap_or_default().as_bytes(), headers.as_bytes(), payload];
    parts.iter().any(|part| part.windows(secret.len()).any(|window| window == secret))
}
