//! Everybody has a consumer and nobody else has, whether they log in or not.

use std::time::Duration;

use async_nats::Client;
use kez_core::broker::subject;
use kez_core::identity::PrimaryKey;
use kez_testbed::Testbed;
use serde_json::{Value, json};

use crate::inbox_keeping::{operator, waiting};
use crate::retiring::has_consumer;
use crate::support::{Person, next, until};

/// Lists the names of all consumers.
async fn consumers(operator: &Client) -> Vec<String> {
    let answer = operator.request("$JS.API.CONSUMER.NAMES.KEZ_INBOX", "".into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    let names = answer["consumers"].as_array().cloned().unwrap_or_default();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Makes a consumer as a registration does that ends there.
async fn begin_registration(operator: &Client, person: &PrimaryKey) {
    let name = person.to_hex();
    let config = json!({
        "durable_name": name,
        "filter_subject": subject::inbox_filter(person),
        "deliver_subject": subject::deliver(person),
        "ack_policy": "explicit",
    });
    let create = json!({ "stream_name": "KEZ_INBOX", "config": config });
    operator.request(format!("$JS.API.CONSUMER.CREATE.KEZ_INBOX.{name}"), create.to_string().into()).await.unwrap();
    assert!(has_consumer(operator, person).await);
}

async fn delete_consumer(operator: &Client, owner: &PrimaryKey) {
    operator.request(format!("$JS.API.CONSUMER.DELETE.KEZ_INBOX.{}", owner.to_hex()), "".into()).await.unwrap();
    assert!(!has_consumer(operator, owner).await);
}

#[tokio::test]
async fn everybodys_consumer_is_made_again_without_a_login() {
    let mut testbed = Testbed::start().await.unwrap();
    let mut people = Vec::new();
    for n in 0..20 {
        people.push(Person::registered(&testbed, &format!("person{n}")).await.primary.to_hex());
    }
    people.sort_unstable();
    testbed.kill_nats().await.unwrap();
    std::fs::remove_dir_all(testbed.folder().join("nats").join("store")).unwrap();
    testbed.start_nats().await.unwrap();
    let operator = operator(&testbed).await;
    until(async || {
        let mut found = consumers(&operator).await;
        found.sort_unstable();
        (found == people).then_some(())
    })
    .await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_login_puts_the_own_consumer_right_and_writes_nothing_if_it_is() {
    let testbed = Testbed::start().await.unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let operator = operator(&testbed).await;
    let name = alice.primary.to_hex();
    let config = async || {
        let answer = operator.request(format!("$JS.API.CONSUMER.INFO.KEZ_INBOX.{name}"), "".into()).await.unwrap();
        let mut info: Value = serde_json::from_slice(&answer.payload).unwrap();
        info["config"].take()
    };
    let right = config().await;
    let file = testbed.folder().join("nats/store/jetstream/JS/streams/KEZ_INBOX/obs").join(&name).join("meta.inf");
    let written = || std::fs::metadata(&file).unwrap().modified().unwrap();
    let before = written();
    alice.connect(&testbed).await;
    assert_eq!(written(), before);

    let mut changed = right.clone();
    changed["max_ack_pending"] = json!(1);
    let update = json!({ "stream_name": "KEZ_INBOX", "config": changed, "action": "update" });
    operator.request(format!("$JS.API.CONSUMER.CREATE.KEZ_INBOX.{name}"), update.to_string().into()).await.unwrap();
    assert_eq!(config().await["max_ack_pending"], 1);
    assert_ne!(written(), before, "a consumer's file is written where it is looked for");
    alice.connect(&testbed).await;
    assert_eq!(config().await["max_ack_pending"], 256);

    delete_consumer(&operator, &alice.primary).await;
    alice.connect(&testbed).await;
    assert!(has_consumer(&operator, &alice.primary).await);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_registration_left_that_did_not_end_goes() {
    let at_once = Testbed::builder().chat_settings(|settings| settings.leftovers_stay = Duration::ZERO);
    let mut testbed = at_once.start().await.unwrap();
    let (alice, nobody) = (Person::registered(&testbed, "alice").await, Person::new());
    let alice_on = alice.connect(&testbed).await;
    let route = alice.route(&testbed).await;
    let operator = operator(&testbed).await;
    begin_registration(&operator, &nobody.primary).await;
    alice_on.send(&nobody.primary, &route, "to nobody").await;
    alice_on.send(&alice.primary, &route, "to myself").await;

    testbed.stop_chat_server().await;
    testbed.start_chat_server().await.unwrap();
    until(async || (!has_consumer(&operator, &nobody.primary).await).then_some(())).await;
    until(async || (waiting(&operator, &nobody.primary).await == 0).then_some(())).await;
    assert_eq!(next(&mut alice.connect(&testbed).await.inbox().await).await.payload, "to myself");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_older_copy_of_the_registry_leaves_the_inboxes_of_newer_people_alone() {
    let often = Testbed::builder().chat_settings(|settings| settings.sweep_every = Duration::from_millis(200));
    let mut testbed = often.start().await.unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let (right, aside) = (testbed.folder().join("registry.db"), testbed.folder().join("aside.db"));
    let copy = testbed.folder().join("copy.db");
    testbed.stop_chat_server().await;
    std::fs::copy(&right, &copy).unwrap();
    testbed.start_chat_server().await.unwrap();
    let bob = Person::registered(&testbed, "bob").await;
    let alice_on = alice.connect(&testbed).await;
    let route = alice.route(&testbed).await;
    alice_on.send(&bob.primary, &route, "waits").await;
    let operator = operator(&testbed).await;

    testbed.stop_chat_server().await;
    std::fs::rename(&right, &aside).unwrap();
    std::fs::copy(&copy, &right).unwrap();
    testbed.start_chat_server().await.unwrap();
    // Two sweeps come and go: what waits for somebody who never was anybody is gone after each.
    for _ in 0..2 {
        let nobody = Person::new();
        alice.connect(&testbed).await.send(&nobody.primary, &route, "to nobody").await;
        until(async || (waiting(&operator, &nobody.primary).await == 0).then_some(())).await;
    }
    assert_eq!(waiting(&operator, &bob.primary).await, 1);
    assert!(has_consumer(&operator, &bob.primary).await);

    testbed.stop_chat_server().await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(testbed.folder().join(format!("registry.db{suffix}")));
    }
    std::fs::rename(&aside, &right).unwrap();
    testbed.start_chat_server().await.unwrap();
    assert_eq!(next(&mut bob.connect(&testbed).await.inbox().await).await.payload, "waits");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn another_registry_leaves_the_inboxes_of_the_first_alone() {
    let mut testbed = Testbed::start().await.unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let route = alice.route(&testbed).await;
    alice.connect(&testbed).await.send(&alice.primary, &route, "waits").await;
    let operator = operator(&testbed).await;

    testbed.stop_chat_server().await;
    let (right, aside) = (testbed.folder().join("registry.db"), testbed.folder().join("aside.db"));
    std::fs::rename(&right, &aside).unwrap();
    testbed.start_chat_server().await.unwrap();
    // What follows in this registry's own eyes has been done once Bob's consumer, made last, is there again.
    let bob = Person::registered(&testbed, "bob").await;
    for _ in 0..2 {
        delete_consumer(&operator, &bob.primary).await;
        testbed.stop_chat_server().await;
        testbed.start_chat_server().await.unwrap();
        until(async || has_consumer(&operator, &bob.primary).await.then_some(())).await;
    }
    assert!(has_consumer(&operator, &alice.primary).await);
    assert_eq!(waiting(&operator, &alice.primary).await, 1);

    testbed.stop_chat_server().await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(testbed.folder().join(format!("registry.db{suffix}")));
    }
    std::fs::rename(&aside, &right).unwrap();
    testbed.start_chat_server().await.unwrap();
    assert_eq!(next(&mut alice.connect(&testbed).await.inbox().await).await.payload, "waits");
    testbed.shutdown().await.unwrap();
}
