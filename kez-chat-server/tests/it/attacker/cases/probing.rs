//! Finding out whether somebody is there, and being a burden to others.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

use super::{Case, own_inbox};
use crate::attacker::arena::{ALLOWED, Arena, REPLIES};
use crate::attacker::canary::Scene;
use crate::attacker::raw::{Heard, publish};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, attack) in [
        ("tell from the answer to a message whether somebody is there", by_message as super::Special),
        ("tell from the answer to presence whether somebody is there", by_presence),
        ("tell from the trace of a message whether somebody is there", by_message_trace),
        ("tell from the trace of presence whether somebody is there", by_presence_trace),
        ("tell from the mere trace of presence whether somebody is there", by_mere_trace),
        ("tell from nobody answering on the delivery subject whether somebody is there", by_delivery),
        ("tell from nobody answering on the presence subject whether somebody is there", by_presence_delivery),
        ("tell from nobody answering on a reply subject whether somebody is there", by_replies),
    ] {
        cases.push(Case::special(name, attack).answered().traced());
    }
    for (name, attack) in [
        ("take ten thousand subscriptions", many_subscriptions as super::Special),
        ("send a line without an end", endless_line),
        ("send a hundred thousand pings and read no answer", many_pings),
    ] {
        cases.push(Case::special(name, attack).answered());
    }
    cases
}

fn by_message<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    compared(arena, scene, "kez.inbox.{}.{m}", "").boxed()
}

fn by_presence<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    compared(arena, scene, "kez.presence.{}.{m}", "").boxed()
}

fn by_message_trace<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    compared(arena, scene, "kez.inbox.{}.{m}", "Nats-Trace-Dest: {trace}\r\n").boxed()
}

fn by_presence_trace<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    compared(arena, scene, "kez.presence.{}.{m}", "Nats-Trace-Dest: {trace}\r\n").boxed()
}

fn by_mere_trace<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    compared(arena, scene, "kez.presence.{}.{m}", "Nats-Trace-Dest: {trace}\r\nNats-Trace-Only: true\r\n").boxed()
}

fn by_delivery<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    compared(arena, scene, "kez.deliver.{}", "").boxed()
}

fn by_presence_delivery<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    compared(arena, scene, "kez.pdeliver.{}", "").boxed()
}

fn by_replies<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    compared(arena, scene, "_INBOX_{}.ack", "").boxed()
}

/// Asks the same of Alice, who is there, and of Carol, who is not. Any difference is evidence.
async fn compared(arena: &mut Arena, scene: &Scene, subject: &str, headers: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for user in [&scene.alice, &scene.carol] {
        // A trace goes only where she may publish.
        let (reply, trace) = (format!("{}.answer", scene.reply), own_inbox(scene));
        let (subject, headers) =
            (subject.replace("{m}", &scene.own).replace("{}", user), headers.replace("{trace}", &trace));
        arena.mallory.raw.send(&publish(&subject, Some(&reply), &headers, ALLOWED.as_bytes())).await;
        arena.mallory.raw.fence_into_aside().await;
        // In each stream, what Bob sends himself is answered after what Mallory sent.
        for stream in ["inbox", "presence"] {
            let (fence, fenced) = (format!("kez.{stream}.{}.{}", scene.bob, scene.bobs), arena.bob.reply(stream));
            arena.bob.raw.send(&publish(&fence, Some(&fenced), "", b"fence")).await;
            arena.bob.raw.find(arena.patience, |heard| heard.subject == fenced).await;
        }
        let is_trace = |frame: &Heard| frame.json()["events"].is_array();
        let mut frames = Vec::new();
        if headers.contains(&trace) {
            // A trace comes when it comes, if it comes at all.
            frames.extend(arena.mallory.raw.find(Duration::from_millis(300), is_trace).await);
        }
        frames.extend(arena.mallory.raw.drain().await);
        let told = frames.iter().filter(|frame| frame.sid == REPLIES || is_trace(frame));
        let mut heard: Vec<_> = told
            .map(|frame| {
                (
                    frame.subject.replace(user, "somebody"),
                    frame.headers.replace(user, "somebody"),
                    what_it_says(frame.json(), user),
                )
            })
            .collect();
        heard.sort();
        answers.push(heard);
    }
    if answers[0] == answers[1] {
        Vec::new()
    } else {
        vec![format!("there: {:?}, not there: {:?}", answers[0], answers[1])]
    }
}

/// Writes an answer or trace without what differs from one message to the next.
fn what_it_says(mut answer: Value, user: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for name in ["seq", "ts", "time", "start", "rtt", "msgs", "size"] {
                    members.remove(name);
                }
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut answer);
    answer.to_string().replace(user, "somebody")
}

/// What a connection may hold is bounded, and what is beyond costs her the connection or is refused.
fn many_subscriptions<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    async move {
        const MANY: usize = 10_000;
        for batch in 0..MANY / 1000 {
            let line = |n| format!("SUB {}.many.{batch}.{n} many-{batch}-{n}\r\n", scene.reply);
            let lines: String = (0..1000).map(line).collect();
            arena.mallory.raw.send(lines.as_bytes()).await;
            if arena.mallory.raw.fence_into_aside().await > 0 {
                arena.reconnect_mallory().await;
                return Vec::new();
            }
        }
        vec![format!("{MANY} subscriptions were taken")]
    }
    .boxed()
}

fn endless_line<'a>(arena: &'a mut Arena, scene: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    async move {
        let mut line = format!("SUB {}.", scene.reply).into_bytes();
        line.resize(1_000_000, b'x');
        arena.mallory.raw.send(&line).await;
        let said = arena.mallory.raw.fence().await;
        arena.reconnect_mallory().await;
        if said.iter().any(|said| matches!(said, crate::attacker::raw::Said::Closed)) {
            Vec::new()
        } else {
            vec!["a line of a million bytes was taken".to_owned()]
        }
    }
    .boxed()
}

fn many_pings<'a>(arena: &'a mut Arena, _: &'a Scene) -> BoxFuture<'a, Vec<String>> {
    async move {
        let pings = "PING\r\n".repeat(1000);
        for _ in 0..100 {
            arena.mallory.raw.send(pings.as_bytes()).await;
        }
        arena.reconnect_mallory().await;
        Vec::new()
    }
    .boxed()
}
