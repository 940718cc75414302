//! Several processes on one home: the first owns it, the others ask it, and it does not matter which of them dies.

use std::fs;

use kez_testbed::guard::Signal;
use serde_json::json;

use crate::{
    shown::Shown,
    support::{Bot, Ended, Person, Running, stage},
};

/// Says which process owns a home.
async fn owner(bot: &mut Bot) -> u64 {
    bot.ok("hello", json!({})).await["pid"].as_u64().unwrap()
}

async fn send(from: &mut Bot, to: &Person, text: &str) {
    from.ok("send", json!({ "to": to.at(), "text": text, "wait_s": 30 })).await;
}

/// Starts to listen, and returns once that is so.
async fn listen(person: &Person) -> Running {
    let mut listening = person.start(&["listen"]);
    listening.note("Listening as @").await;
    listening
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_nothing_is_lost_and_the_next_one_takes_over() {
    let (alice, bob) = stage::pair().await;
    let mut bobs = Bot::listening(&bob).await;
    let mut first = listen(&alice).await;
    let mut bot = Bot::listening(&alice).await;
    assert_eq!(owner(&mut bot).await, u64::from(first.pid()));

    // All that is there sees a message, and whatever comes by works through the owner.
    send(&mut bobs, &alice, "one").await;
    assert!(first.line_with("one").await.ends_with(": one"));
    assert_eq!(bot.take_message().await, "one");
    alice.run(&["send", &bob.at(), "from beside it"]).await.ok();
    assert_eq!(bobs.take_message().await, "from beside it");

    // The owner is killed: the bot owns the home now, without having noticed.
    first.kill().await;
    send(&mut bobs, &alice, "two").await;
    // What the dead one had shown and not yet said to be done with may come again; nothing else does.
    let mut came = bot.take_message().await;
    if came == "one" {
        came = bot.take_message().await;
    }
    assert_eq!(came, "two");
    assert_eq!(owner(&mut bot).await, u64::from(bot.pid()));

    // Somebody who asks is killed: the owner goes on, and what they were shown and had not handled comes again.
    let mut second = listen(&alice).await;
    let mut careless = Bot::listening(&alice).await;
    send(&mut bobs, &alice, "three").await;
    assert_eq!(careless.event("message").await["event"]["text"], "three");
    assert!(second.line_with("three").await.ends_with(": three"));
    assert_eq!(bot.take_message().await, "three");
    careless.kill().await;
    let mut careful = Bot::listening(&alice).await;
    assert_eq!(careful.take_message().await, "three");

    // The bot that owns the home is killed too, while something is on its way.
    let sending = bobs.begin("send", json!({ "to": alice.at(), "text": "four", "wait_s": 30 })).await;
    bot.kill().await;
    bobs.answer(sending).await.unwrap();
    assert!(second.line_with("four").await.ends_with(": four"));
    let mut came = careful.take_message().await;
    while came != "four" {
        assert_eq!(came, "three");
        came = careful.take_message().await;
    }
    let now = owner(&mut careful).await;
    assert!(now == u64::from(second.pid()) || now == u64::from(careful.pid()), "{now} owns the home");

    let history = alice.json(&["history", &bob.at()]).await;
    let texts: Vec<&str> = history.iter().filter_map(|message| message["content"]["text"].as_str()).collect();
    assert_eq!(texts, ["one", "from beside it", "two", "three", "four"]);
    careful.end().await;
    assert_eq!(second.interrupt().await.code, Some(130));
    assert_eq!(alice.json(&["conversations"]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_owner_is_killed_before_it_answers_is_sent_once() {
    let (_folder, mut testbed, alice, bob) = stage::two_contacts().await;
    let mut owner = alice.start(&["run"]);
    owner.line_with("Running as @").await;
    let mut bot = Bot::start(&alice);
    bot.ok("hello", json!({})).await;

    // Nobody takes it, so that its answer is waited for.
    testbed.kill_nats().await.unwrap();
    let sending = alice.start(&["send", "@bob", "only once"]);
    while bot.ok("history", json!({ "with": "@bob" })).await["messages"].as_array().unwrap().is_empty() {}
    owner.kill().await;
    testbed.start_nats().await.unwrap();
    let sent = sending.end().await.ok();
    assert!(sent.ends_with("to @bob\n") || sent.starts_with("kept for @bob"), "{sent}");

    bot.ok("send", json!({ "to": "@bob", "text": "and then this", "wait_s": 30 })).await;
    let heard = bob.run(&["listen", "--count", "2", "--timeout", "60"]).await.ok();
    let texts: Vec<&str> = heard.lines().map(|line| line.rsplit_once(": ").unwrap().1).collect();
    assert_eq!(texts, ["only once", "and then this"]);
    assert_eq!(bot.ok("history", json!({ "with": "@bob" })).await["messages"].as_array().unwrap().len(), 2);
    bot.end().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_is_served_by_whoever_stays() {
    let (alice, bob) = stage::pair().await;
    for name in ["one", "two"] {
        fs::write(alice.folder.join(name), name).unwrap();
    }
    let mut bobs = Bot::listening(&bob).await;

    // Somebody else stays: the command ends at once.
    let owner = listen(&alice).await;
    let said = alice.run(&["share", &bob.at(), "one"]).await.ok();
    assert_eq!(said, format!("serving one (3 B) to {} while process {} runs\n", bob.at(), owner.pid()));
    fetch(&mut bobs, &bob, "one").await;
    owner.kill().await;

    // Nobody does: it stays itself, and is killed in the middle of it. The next one serves what it has begun.
    let mut sharing = alice.start(&["share", &bob.at(), "two"]);
    assert_eq!(sharing.line().await, format!("serving two (3 B) to {} until Ctrl-C", bob.at()));
    sharing.kill().await;
    let next = listen(&alice).await;
    fetch(&mut bobs, &bob, "two").await;
    assert_eq!(next.interrupt().await.code, Some(130));
}

/// Fetches what is offered next, a file that holds its own name.
async fn fetch(bot: &mut Bot, person: &Person, name: &str) {
    let offer = bot.event("file_shared").await;
    let call = json!({ "share_id": offer["event"]["share_id"], "to": person.folder.join("downloads") });
    assert_eq!(bot.ok("fetch", call).await["paths"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_to_string(person.folder.join("downloads").join(name)).unwrap(), name);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_by_an_owner_that_passes_is_served_by_who_asked_for_it() {
    let (alice, bob) = stage::pair().await;
    fs::write(alice.folder.join("one"), "one").unwrap();
    // It owns the home only for as long as it waits for an answer.
    let mut passing = Shown::large(&alice, &["retire"]);
    passing.until("Type it to leave for good");
    let mut sharing = alice.start(&["share", &bob.at(), "one"]);
    assert!(sharing.line().await.ends_with(" until Ctrl-C"));
    passing.types("no\n");
    passing.ended(2);
    let mut bobs = Bot::listening(&bob).await;
    fetch(&mut bobs, &bob, "one").await;
    assert_eq!(owner(&mut Bot::start(&alice)).await, u64::from(sharing.pid()));
    assert_eq!(sharing.interrupt().await.code, Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_one_moment_find_one_owner() {
    let alice = stage::registered("alice").await;
    let mut starting: Vec<Running> = (0..6).map(|_| alice.start(&["whoami"])).collect();
    let mut bots = [Bot::start(&alice), Bot::start(&alice)];
    let mut owners = Vec::new();
    for bot in &mut bots {
        owners.push(owner(bot).await);
    }
    for ended in starting.drain(..) {
        let Ended { code, stdout, stderr } = ended.end().await;
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(stdout.starts_with(&alice.at()), "{stdout}");
    }
    // One that passes may have owned it before them; once all of those are gone, it is one of the two.
    let owners = [owner(&mut bots[0]).await, owner(&mut bots[1]).await];
    assert_eq!(owners[0], owners[1]);
    assert!(bots.iter().any(|bot| u64::from(bot.pid()) == owners[0]), "{owners:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_ends_in_order_leaves_the_home_to_those_who_ask_it() {
    let (alice, bob) = stage::pair().await;
    let mut running = alice.start(&["run"]);
    running.line_with("Running as @").await;
    let mut waiting = alice.start(&["run"]);
    waiting.note("this one takes over when it ends").await;
    let mut bot = Bot::listening(&alice).await;
    let mut bobs = Bot::start(&bob);
    running.signal(Signal::Terminate).await;
    assert_eq!(running.end().await.code, Some(143));
    send(&mut bobs, &alice, "who is there?").await;
    assert_eq!(bot.take_message().await, "who is there?");
    let next = owner(&mut bot).await;
    assert!([bot.pid(), waiting.pid()].map(u64::from).contains(&next), "{next} owns the home");
    assert_eq!(waiting.interrupt().await.code, Some(130));
    assert_eq!(owner(&mut bot).await, u64::from(bot.pid()));
}
