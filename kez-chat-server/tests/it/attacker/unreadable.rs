//! Frames whose headers are none. nats-server takes and delivers them, and client libraries hang up on them.

use kez_core::broker::subject;
use kez_testbed::Testbed;

use super::arena::log_in;
use super::raw::Raw;
use crate::inbox_keeping::{operator, waiting};
use crate::support::{Person, http, next, try_login, until};

const UNREADABLE: [&[u8]; 3] =
    [b"NATS/1.0\r\nA: \xff\r\n\r\n", b"NATS/1.0\r\nno colon\r\n\r\n", b"NATS/1.0 abc\r\n\r\n"];

async fn publish(raw: &mut Raw, subject: &str, headers: &[u8], payload: &str) {
    let (head, all) = (headers.len(), headers.len() + payload.len());
    let mut bytes = format!("HPUB {subject} {head} {all}\r\n").into_bytes();
    bytes.extend([headers, payload.as_bytes(), b"\r\n"].concat());
    raw.send(&bytes).await;
    assert_eq!(raw.fence_into_aside().await, 0, "{subject} is taken");
}

#[tokio::test]
async fn what_ends_its_readers_connection_goes_and_so_does_its_sender() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let mallory = Person::registered(&testbed, "mallory").await;
    let operator = operator(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    let route = bob.route(&testbed).await;
    let mut alice_on = alice.connect(&testbed).await;
    let inbox = alice_on.inbox().await;
    // Her subscription is known to be there.
    bob_on.send(&alice.primary, &route, "first").await;

    let address = testbed.nats_url().replace("nats://", "");
    let mut raw = log_in(&address, testbed.domain(), &mallory).await;
    let lane = subject::inbox_publish(&alice.primary, &mallory.route(&testbed).await);
    for headers in UNREADABLE {
        publish(&mut raw, &lane, headers, "poison").await;
    }
    alice_on.cut_off().await;
    drop(inbox);
    // Alice comes back, as clients do.
    let again = alice.connect(&testbed).await;
    until(async || (waiting(&operator, &alice.primary).await == 1).then_some(())).await;
    let mut inbox = again.inbox().await;
    bob_on.send(&alice.primary, &route, "second").await;
    assert_eq!(next(&mut inbox).await.payload, "second", "what is left of the first comes after its time");

    // Mallory is gone, and does not come back.
    until(async || {
        let (who, domain) = (Person { key: mallory.key.clone(), primary: mallory.primary }, testbed.domain().clone());
        try_login(&testbed, move |nonce| who.login(&domain, &nonce)).await.is_err().then_some(())
    })
    .await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_user_publishes_does_not_end_the_servers_own_connections() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, mallory) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "mallory").await);
    let internal = testbed.chat_server().unwrap().internal_addr().unwrap();
    let address = testbed.nats_url().replace("nats://", "");
    let mut raw = log_in(&address, testbed.domain(), &mallory).await;
    let (own, route) = (mallory.primary.to_hex(), mallory.route(&testbed).await);
    for headers in UNREADABLE {
        for subject in [
            format!("$JS.ACK.KEZ_INBOX.{own}.1.1.1.1.0"),
            subject::inbox_publish(&mallory.primary, &route),
            subject::presence_publish(&mallory.primary, &route),
            format!("kez.inbox.nobody.{route}"),
        ] {
            publish(&mut raw, &subject, headers, "+ACK").await;
        }
    }
    // One session from before to after: an acknowledgement is acted on by the keeper that was there all along.
    let alice_on = alice.connect(&testbed).await;
    let mut inbox = alice_on.inbox().await;
    alice_on.send(&alice.primary, &alice.route(&testbed).await, "to myself").await;
    alice_on.client.publish(next(&mut inbox).await.reply.unwrap(), "+ACK".into()).await.unwrap();
    let operator = operator(&testbed).await;
    until(async || (waiting(&operator, &alice.primary).await == 0).then_some(())).await;
    let metrics = http().get(format!("http://{internal}/metrics")).send().await.unwrap().text().await.unwrap();
    let sessions = metrics.lines().find(|line| line.starts_with("kez_chat_broker_sessions_total"));
    assert_eq!(sessions, Some("kez_chat_broker_sessions_total 1"), "{metrics}");
    testbed.shutdown().await.unwrap();
}
