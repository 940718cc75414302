//! Many installations that sign for one place at once.

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::author::{Author, claim, head};
use crate::{Client, Running, problem};

const CLIENTS: u64 = 64;
const ROUNDS: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn of_64_events_for_one_place_exactly_one_wins() {
    let running = Running::start().await;
    let author = Author::new(1);
    // A connection each, opened before the race.
    let clients: Vec<_> = (0..CLIENTS).map(|_| Client::new(running.server.local_addr())).collect();
    join_all(clients.iter().map(|client| client.read(&author, "?limit=1"))).await;
    let mut chain: Vec<String> = Vec::new();
    for seq in 1..=ROUNDS {
        let prev = chain.last().map(|last| head(last));
        let events: Vec<_> = (0..CLIENTS).map(|n| author.event(seq, prev.as_deref(), claim(n))).collect();
        let answers = join_all(clients.iter().zip(&events).map(|(client, event)| client.post(&author, event))).await;

        let won: Vec<_> = answers.iter().map(|answer| answer.status() == StatusCode::CREATED).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = &events[won.iter().position(|won| *won).unwrap()];
        for (answer, won) in answers.into_iter().zip(won) {
            if !won {
                let body = problem(answer, StatusCode::CONFLICT, "Fork").await;
                assert_eq!((&body["seq"], &body["event"]), (&json!(seq), &json!(winner)));
                assert_eq!(body["head"], json!(head(winner)));
            }
        }
        chain.push(winner.clone());
    }
    assert_eq!(running.client.read(&author, "").await["events"], json!(chain));
    running.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_who_send_the_same_event_one_creates_it_and_all_succeed() {
    let running = Running::start().await;
    let author = Author::new(1);
    let event = author.event(1, None, claim(1));
    let answers = join_all((0..CLIENTS).map(|_| running.client.post(&author, &event))).await;
    let created = answers.iter().filter(|answer| answer.status() == StatusCode::CREATED).count();
    let same = answers.iter().filter(|answer| answer.status() == StatusCode::OK).count();
    assert_eq!((created as u64, same as u64), (1, CLIENTS - 1));
    running.server.shutdown().await;
}
