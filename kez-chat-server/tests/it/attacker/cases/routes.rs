//! Publishing where one may not: other people's routes, other days, delivery subjects; and spoiling others' ids.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kez_core::broker::Route;

use super::{Case, filled, own_inbox};
use crate::attacker::arena::{ALLOWED, Arena, MARK};
use crate::attacker::canary::Scene;
use crate::attacker::raw::publish;

const SUBJECTS: [&str; 22] = [
    "kez.inbox.{A}.{b}",
    "kez.presence.{A}.{b}",
    "kez.inbox.{M}.{b}",
    "kez.inbox.{B}.0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
    "kez.inbox.{A}.00000000000000000000000000000000",
    "kez.inbox.{A}.*",
    "kez.inbox.*.*",
    "kez.inbox.{A}",
    "kez.inbox.{A}.{m}.{b}",
    "kez.inbox.{A}.{m}x",
    "kez.inbox..{m}",
    "KEZ.INBOX.{A}.{m}",
    "kez.deliver.{A}",
    "kez.deliver.{A}.{m}",
    "kez.pdeliver.{A}",
    "kez.pdeliver.*",
    "_INBOX_{A}.ack",
    "_INBOX_{M}.x",
    "_INBOX.x",
    "_R_.AAAAAA.AAAAAA",
    "_GR_.AAAA.BBBB.kez.deliver.{A}",
    "$GR.AAAA.BBBB.kez.deliver.{A}",
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = SUBJECTS
        .iter()
        .map(|subject| {
            Case::publish(format!("publish to {subject}"), move |scene| (filled(subject, scene), MARK.to_owned()))
        })
        .collect();
    for (name, attack) in [
        ("publish on yesterday's own route", yesterday as super::Special),
        ("publish on an own route of next week, beyond any login's life", next_week),
        ("publish with a reply that others are to take for an ack subject", forged_delivery),
        ("use a made-up delivery as a message to herself, to have others confused", echo),
    ] {
        cases.push(Case::special(name, attack).answered());
    }
    for (name, attack) in [
        ("use up a thousand message ids, so that another's counts as seen", guessed_ids as super::Special),
        ("use one id for two own messages, so that another's is lost", own_id_twice),
        ("use the id of a message that Bob sent her for one to Alice", known_id),
    ] {
        cases.push(Case::special(name, attack).answered());
    }
    cases
}

fn yesterday<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    let route = arena.yesterday;
    on_route(arena, scene, route).boxed()
}

fn next_week<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    let route = arena.next_week;
    on_route(arena, scene, route).boxed()
}

/// The broker's answer is evidence, and the tap sees the message.
async fn on_route(arena: &mut Arena, scene: &Scene, route: Route) -> Vec<String> {
    let subject = format!("kez.inbox.{}.{route}", scene.mallory);
    arena.mallory.raw.send(&publish(&subject, Some(&scene.reply), "", MARK.as_bytes())).await;
    let heard = arena.mallory.raw.drain().await;
    heard.iter().filter(|heard| heard.json()["seq"].is_u64()).map(|heard| heard.text()).collect()
}

/// What looks like a delivery, with Alice's own ack subject, on her delivery subject.
fn forged_delivery<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    async move {
        let subject = format!("kez.deliver.{}", scene.alice);
        arena.mallory.raw.send(&publish(&subject, Some(&scene.ack), "", MARK.as_bytes())).await;
        arena.mallory.raw.fence_into_aside().await;
        Vec::new()
    }
    .boxed()
}

/// A message to herself that carries a delivery's subject and reply in its headers.
fn echo<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    async move {
        let headers = format!("Nats-Subject: kez.inbox.{}.{}\r\nReply-To: {}\r\n", scene.alice, scene.bobs, scene.ack);
        let frame = publish(&own_inbox(scene), Some(&scene.reply), &headers, MARK.as_bytes());
        arena.mallory.raw.send(&frame).await;
        arena.mallory.raw.fence_into_aside().await;
        Vec::new()
    }
    .boxed()
}

/// Ids are 128 random bits, so guessing is all that is left; Bob's next message has to come all the same.
fn guessed_ids<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    async move {
        for n in 0..1000_u32 {
            let id = format!("Nats-Msg-Id: {n:032x}\r\n");
            // Presence has ids of its own: neither stream is left out, and neither is filled.
            let subject = own_inbox(scene).replace("inbox", "presence");
            let subject = if n % 50 == 0 { own_inbox(scene) } else { subject };
            arena.mallory.raw.send(&publish(&subject, None, &id, ALLOWED.as_bytes())).await;
        }
        arena.mallory.raw.fence_into_aside().await;
        Vec::new()
    }
    .boxed()
}

/// The second of the two is taken for the first: it is she who has lost a message.
fn own_id_twice<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    async move {
        let id = format!("Nats-Msg-Id: own-{}\r\n", scene.round);
        let subject = format!("kez.inbox.{}.{}", scene.alice, scene.own);
        let mut answers = Vec::new();
        for n in 0..2 {
            let reply = format!("{}.{n}", scene.reply);
            arena.mallory.raw.send(&publish(&subject, Some(&reply), &id, ALLOWED.as_bytes())).await;
            let answer = arena.mallory.raw.find(arena.patience, |heard| heard.subject == reply).await;
            answers.push(answer.map(|answer| answer.json()).unwrap_or_default());
        }
        assert!(answers[0]["duplicate"].is_null() && answers[1]["duplicate"] == true, "{answers:?}");
        Vec::new()
    }
    .boxed()
}

/// An id belongs to a pair of message and recipient (PROTOCOL.md §5): that of the message to her helps against none to
/// Alice.
fn known_id<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    async move {
        let id = format!("{:032x}", rand::random::<u128>());
        let to_mallory = format!("kez.inbox.{}.{}", scene.mallory, scene.bobs);
        let (header, reply) = (format!("Nats-Msg-Id: {id}\r\n"), arena.bob.reply("known"));
        arena.bob.raw.send(&publish(&to_mallory, Some(&reply), &header, b"to Mallory")).await;
        arena.bob.raw.find(arena.patience, |heard| heard.subject == reply).await;
        let heard = arena.mallory.raw.find(arena.patience, |heard| heard.text() == "to Mallory").await;
        let Some(heard) = heard else { return vec!["Bob's message to Mallory did not come".to_owned()] };
        assert!(heard.headers.contains(&id), "{}", heard.headers);
        let subject = format!("kez.inbox.{}.{}", scene.alice, scene.own);
        let frame = publish(&subject, Some(&scene.reply), &header, ALLOWED.as_bytes());
        arena.mallory.raw.send(&frame).await;
        arena.mallory.raw.fence_into_aside().await;
        Vec::new()
    }
    .boxed()
}
