//! `kez-chat api`: what comes by itself, and what becomes of it.

use serde_json::{Value, json};

use crate::support::{Bot, Person, stage};

/// Sends a text, once the broker has it.
async fn send(from: &mut Bot, to: &Person, text: &str) {
    let sent = from.ok("send", json!({ "to": to.at(), "text": text, "wait_s": 30 })).await;
    assert_ne!(sent["state"], "queued");
}

fn text(event: &Value) -> &str {
    event["event"]["text"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_comes_again_until_it_is_handled() {
    let (alice, bob) = stage::pair().await;
    let mut sender = Bot::start(&alice);
    let mut bot = Bot::listening(&bob).await;
    for message in ["one", "two"] {
        send(&mut sender, &bob, message).await;
    }
    assert_eq!(bot.take_message().await, "one");
    assert_eq!(text(&bot.event("message").await), "two");
    // It ends in order, and has not said that it is done with the second.
    bot.end().await;

    let mut next = Bot::listening(&bob).await;
    let again = next.event("message").await;
    assert_eq!(text(&again), "two");
    next.kill().await;
    let mut next = Bot::listening(&bob).await;
    assert_eq!(next.take_message().await, "two");
    next.end().await;

    let mut last = Bot::listening(&bob).await;
    send(&mut sender, &bob, "three").await;
    assert_eq!(last.take_message().await, "three", "what was handled has come again");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_on_a_home_is_given_every_event_and_it_is_over_once_all_have_handled_it() {
    let (alice, bob) = stage::pair().await;
    let mut sender = Bot::start(&alice);
    let (mut one, mut other) = (Bot::listening(&bob).await, Bot::listening(&bob).await);
    send(&mut sender, &bob, "for both").await;
    assert_eq!(one.take_message().await, "for both");
    let given = other.event("message").await;
    assert_eq!(text(&given), "for both");

    // The one that left it unhandled goes; whoever comes next is given it, and whoever has handled it is not.
    other.end().await;
    let mut third = Bot::listening(&bob).await;
    assert_eq!(third.take_message().await, "for both");
    send(&mut sender, &bob, "later").await;
    assert_eq!((one.take_message().await, third.take_message().await), ("later".to_owned(), "later".to_owned()));
    third.end().await;
    let mut fourth = Bot::listening(&bob).await;
    send(&mut sender, &bob, "last").await;
    assert_eq!(fourth.take_message().await, "last", "what all have handled has come again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_can_listen_to_one_person_and_is_told_who_is_there() {
    let (alice, bob) = stage::pair().await;
    let carol = stage::registered("carol").await;
    stage::introduce(&carol, &bob).await;
    let (mut from_alice, mut from_carol) = (Bot::start(&alice), Bot::start(&carol));
    let mut bot = Bot::start(&bob);
    assert_eq!(bot.fails("handled", json!({ "events": [1] })).await, "NotSubscribed");
    assert_eq!(bot.fails("subscribe", json!({ "with": "@nobody" })).await, "NotAContact");
    bot.ok("subscribe", json!({ "with": carol.at() })).await;
    bot.notification(|told| told["method"] == "connection" && told["params"]["state"] == "online").await;
    let is_carol = |told: &Value| told["params"]["who"]["handle"].as_str().is_some_and(|who| who.starts_with("carol-"));
    let is_there = |told: &Value| is_carol(told) && told["params"]["availability"] == "online";
    bot.notification(|told| told["method"] == "presence" && is_there(told)).await;

    send(&mut from_alice, &bob, "for somebody else").await;
    send(&mut from_carol, &bob, "for the bot").await;
    assert_eq!(bot.take_message().await, "for the bot");
    // What it did not want waits for who does.
    bot.ok("subscribe", json!({})).await;
    assert_eq!(bot.take_message().await, "for somebody else");
    from_carol.end().await;
    bot.notification(|told| told["method"] == "presence" && told["params"]["availability"] == "offline").await;
}
