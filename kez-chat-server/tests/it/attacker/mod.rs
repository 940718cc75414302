//! An attacker with an account: everything that she might try against others, by name.
//!
//! Mallory is registered and speaks to the broker byte by byte. The table is in [`cases`], what counts as success in
//! [`canary`]. It is run against the broker as it is delivered, in the oldest supported release, the newest, and the
//! newest with its second shape of ack subjects; and against one where anybody may do anything, to see that it can fail.

mod arena;
mod canary;
mod cases;
mod limits;
mod open_ends;
mod raw;
mod unreadable;

use std::io::Write as _;

use kez_testbed::{Testbed, TestbedError, nats_server};

use self::arena::Arena;
use self::cases::{Attack, Case};
use crate::nats::Nats;

/// The least that the table has to have.
const CASES: usize = 100;
/// How many attacks at least succeed where nothing keeps them from it.
const UNPROTECTED: usize = 40;

#[tokio::test]
async fn the_newest_broker_refuses_every_attack() {
    refuses_all(Testbed::start().await.unwrap()).await;
}

#[tokio::test]
async fn the_oldest_broker_refuses_every_attack() {
    let oldest = nats_server::find_oldest().await.unwrap();
    refuses_all(Testbed::builder().nats_server(oldest).start().await.unwrap()).await;
}

#[tokio::test]
async fn the_second_ack_shape_changes_nothing_for_an_attacker() {
    match Testbed::builder().extra_nats_conf("feature_flags { js_ack_fc_v2: true }").start().await {
        // Whoever has their own nats-server may have one from before 2.15, where the flag is no known setting.
        Err(TestbedError::Broker { log }) if log.contains("unknown field \"feature_flags\"") => {
            say("this nats-server has the first shape of ack subjects only");
        }
        started => refuses_all(started.unwrap()).await,
    }
}

#[tokio::test]
async fn attacks_succeed_where_nothing_keeps_them_from_it() {
    let testbed = Testbed::start().await.unwrap();
    let hardened = Arena::hardened(testbed).await;
    let configs = hardened.configs().await;
    hardened.close().await;
    let folder = tempfile::tempdir().unwrap();
    let conf = format!("listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: {:?} }}\n", folder.path().join("store"));
    let nats = Nats::start(folder.path(), &conf).await;
    let mut arena = Arena::unprotected(nats, configs).await;

    let Outcome { tried, succeeded } = run(&mut arena).await;
    let named: Vec<_> = succeeded.iter().map(|(name, _)| name.as_str()).collect();
    say(&format!("without protection, {} of {tried} attacks succeeded: {}", named.len(), named.join("; ")));
    assert!(named.len() >= UNPROTECTED, "only {named:?}");
}

async fn refuses_all(testbed: Testbed) {
    let mut arena = Arena::hardened(testbed).await;
    let version = arena.mallory.raw.info["version"].as_str().unwrap().to_owned();
    let Outcome { tried, succeeded } = run(&mut arena).await;
    for (name, evidence) in &succeeded {
        say(&format!("SUCCEEDED: {name}"));
        for line in evidence.iter().take(5) {
            say(&format!("  {line}"));
        }
    }
    let filtered = arena.refused_frames;
    say(&format!(
        "against nats-server {version}; {filtered} frames reached Alice's subjects, none of which a client takes\n\
         attacker: {tried} tried, {} refused, {} succeeded",
        tried - succeeded.len(),
        succeeded.len()
    ));
    assert!(filtered > 0, "the client's filter was never needed");
    assert!(tried >= CASES, "{tried}");
    let named: Vec<_> = succeeded.iter().map(|(name, _)| name).collect();
    assert!(named.is_empty(), "{named:#?}");
    arena.close().await;
}

struct Outcome {
    tried: usize,
    /// By name, with the evidence.
    succeeded: Vec<(String, Vec<String>)>,
}

async fn run(arena: &mut Arena) -> Outcome {
    let cases = cases::all();
    let mut succeeded = Vec::new();
    for case in &cases {
        let evidence = attempt(arena, case).await;
        if !evidence.is_empty() {
            succeeded.push((case.name.clone(), evidence));
            arena.recover().await;
        }
    }
    Outcome { tried: cases.len(), succeeded }
}

async fn attempt(arena: &mut Arena, case: &Case) -> Vec<String> {
    if arena.mallory.raw.closed {
        arena.reconnect_mallory().await;
    }
    let scene = match arena.prepare().await {
        Ok(scene) => scene,
        // An attack before this one had an effect that came late.
        Err(fault) if arena.testbed().is_some() => return vec![fault],
        Err(_) => {
            arena.recover().await;
            arena.prepare().await.unwrap()
        }
    };
    let mut evidence = match &case.attack {
        Attack::Frames(frames) => {
            for frame in frames(&scene) {
                arena.mallory.raw.send(&frame).await;
            }
            // What she is told is no evidence, only that the server has worked it off.
            arena.mallory.raw.fence_into_aside().await;
            Vec::new()
        }
        Attack::Special(special) => special(arena, &scene).await,
    };
    evidence.extend(arena.judge(&scene, case.due).await);
    evidence
}

/// Prints a line past the test harness, which holds back what passing tests print.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}
