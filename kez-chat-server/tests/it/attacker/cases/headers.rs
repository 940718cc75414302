//! Headers that nats-server acts on, and headers that are none.

use super::{Case, filled, own_inbox};
use crate::attacker::arena::{ALLOWED, MARK};
use crate::attacker::raw::publish;

/// Where a trace of an own message would do harm.
const TRACES: [&str; 8] = [
    "kez.deliver.{A}",
    "kez.pdeliver.{A}",
    "_INBOX_{A}.ack",
    "kez.inbox.{A}.{b}",
    "kez.inbox.{A}.0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
    "$JS.API.STREAM.DELETE.KEZ_INBOX",
    "{ack}",
    "$SYS.REQ.SERVER.PING",
];

/// What JetStream's publishing knows, on a message that she may send to Alice.
const CONTROLS: [&str; 30] = [
    "Nats-Rollup: all",
    "Nats-Rollup: sub",
    "Nats-TTL: 1s",
    "Nats-TTL: never",
    "Nats-Schedule: @at 2020-01-01T00:00:00Z\r\nNats-Schedule-Target: kez.inbox.{A}.{b}",
    "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: kez.inbox.{A}.{b}\r\nNats-Schedule-TTL: 1s",
    "Nats-Schedule: @at 2020-01-01T00:00:00Z\r\nNats-Schedule-Target: kez.inbox.{M}.{m}\r\nNats-Schedule-Source: kez.inbox.{A}.{b}",
    "Nats-Scheduler: kez.inbox.{A}.{b}\r\nNats-Schedule-Next: purge",
    "Nats-Batch-Id: evil\r\nNats-Batch-Sequence: 1",
    "Nats-Batch-Id: evil\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1",
    "Nats-Incr: +1",
    "Nats-Counter-Sources: {}",
    "Nats-Marker-Reason: Purge",
    "KV-Operation: PURGE",
    "Nats-Expected-Stream: KEZ_PRESENCE",
    "Nats-Expected-Last-Sequence: 0",
    "Nats-Expected-Last-Subject-Sequence: 0",
    "Nats-Expected-Last-Subject-Sequence: 1\r\nNats-Expected-Last-Subject-Sequence-Subject: kez.inbox.{A}.{b}",
    "Nats-Expected-Last-Msg-Id: 0",
    "Nats-Stream-Source: KEZ_INBOX {waiting} > >",
    "Nats-Stream: KEZ_INBOX\r\nNats-Subject: kez.inbox.{A}.{b}\r\nNats-Sequence: {waiting}\r\nNats-Last-Sequence: 0",
    "Nats-Request-Info: {\"acc\":\"JS\",\"svc\":\"JS\",\"id\":1}",
    "Nats-Required-Api-Level: 999",
    "Nats-Pending-Messages: 0",
    "Nats-Consumer-Stalled: {ack}",
    "Nats-Last-Consumer: 1\r\nNats-Last-Stream: 1",
    "Nats-Response-Type: none",
    "Status: 503\r\nDescription: No Responders",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Nats-Server-Xkey: XAB",
];

/// Frames that are malformed, each of which a server may answer by ending the connection.
const ODDITIES: [(&str, &str); 16] = [
    ("a header of negative length", "HPUB {own} -1 5\r\nhello\r\n"),
    ("a header longer than the whole", "HPUB {own} 99 5\r\nhello\r\n"),
    ("a header that ends nowhere", "HPUB {own} 5 5\r\nhello\r\n"),
    ("a header without its version", "HPUB {own} 12 17\r\nNats-TTL:1\r\nhello\r\n"),
    ("a header that is a status", "HPUB {own} 16 21\r\nNATS/1.0 100\r\n\r\nhello\r\n"),
    ("a header with a status line", "HPUB {own} 41 41\r\nNATS/1.0 409 Consumer is push based\r\na:b\r\n\r\n"),
    ("a length that is none", "PUB {own} x\r\nhello\r\n"),
    ("a length beyond the limit", "PUB {own} 99999999\r\n"),
    ("a length beyond all numbers", "PUB {own} 99999999999999999999\r\n"),
    ("a payload that is longer than said", "PUB {own} 1\r\nhello\r\nPUB kez.deliver.{A} 5\r\nhello\r\n"),
    ("a second frame inside the first", "PUB {own} 5\r\nhello\r\nMSG kez.deliver.{A} deliver 5\r\nhello\r\n"),
    ("what routes say", "RMSG KEZ kez.deliver.{A} 5\r\nhello\r\n"),
    ("what leaf nodes say", "LMSG kez.deliver.{A} 5\r\nhello\r\n"),
    ("what leaf nodes subscribe with", "LS+ kez.deliver.{A}\r\n"),
    ("what routes subscribe with", "RS+ KEZ kez.deliver.{A}\r\nA+ JS\r\n"),
    ("a second CONNECT as another account", "CONNECT {\"account\":\"JS\",\"new_account\":true,\"verbose\":false}\r\n"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in TRACES {
        for only in [false, true] {
            let what = if only { "only the trace of an own message" } else { "the trace of an own message" };
            let case = Case::frames(format!("send {what} to {target}"), move |scene| {
                let target = filled(target, scene).replace("{ack}", &scene.ack);
                let headers = format!("Nats-Trace-Dest: {target}\r\nNats-Trace-Only: {only}\r\n");
                vec![publish(&own_inbox(scene), Some(&scene.reply), &headers, MARK.as_bytes())]
            });
            cases.push(case.answered().refused_by_the_filter());
        }
    }
    for header in CONTROLS {
        let case = Case::frames(format!("send Alice a message with {}", header.replace("\r\n", ", ")), move |scene| {
            let header = filled(header, scene).replace("{ack}", &scene.ack);
            let header = format!("{}\r\n", header.replace("{waiting}", &scene.waiting.to_string()));
            let subject = format!("kez.inbox.{}.{}", scene.alice, scene.own);
            vec![
                publish(&subject, Some(&scene.reply), &header, ALLOWED.as_bytes()),
                publish(&subject.replace("inbox", "presence"), Some(&scene.reply), &header, ALLOWED.as_bytes()),
            ]
        });
        cases.push(case.answered());
    }
    for (what, frame) in ODDITIES {
        let case = Case::frames(format!("send {what}"), move |scene| {
            vec![filled(&frame.replace("{own}", &own_inbox(scene)), scene).into_bytes()]
        });
        cases.push(case.answered());
    }
    cases
}
