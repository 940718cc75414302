//! Hostile reply subjects: what Mallory publishes is allowed, and the broker's answer is to do the harm.
//!
//! nats-server checks no permission for its own answers. Those that reach a delivery or reply subject of Alice's are
//! refused by the client.

use super::{Case, filled, own_inbox, own_presence};
use crate::attacker::arena::MARK;
use crate::attacker::canary::Scene;
use crate::attacker::raw::publish;

type Allowed = (&'static str, fn(&Scene) -> String, &'static str);

/// What she may publish, and which answer it has.
const ALLOWED: [Allowed; 7] = [
    ("a message to herself", own_inbox, MARK),
    ("presence to herself", own_presence, MARK),
    ("an own acknowledgement", own_ack, "+ACK"),
    ("an own +WPI", own_ack, "+WPI"),
    ("an own +TERM", own_ack, "+TERM"),
    ("an own +NXT", own_ack, "+NXT"),
    ("an own +NXT for many", own_ack, r#"+NXT {"batch": 256, "expires": 1000000}"#),
];

const TARGETS: [&str; 17] = [
    "kez.deliver.{A}",
    "kez.pdeliver.{A}",
    "_INBOX_{A}.ack",
    "kez.inbox.{A}.{b}",
    "kez.inbox.{A}.0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
    "kez.presence.{A}.{b}",
    "$JS.API.STREAM.DELETE.KEZ_INBOX",
    "$JS.API.STREAM.PURGE.KEZ_INBOX",
    "$JS.API.CONSUMER.DELETE.KEZ_INBOX.{A}",
    "{ack}",
    "$JS.ACK.KEZ_INBOX.{A}.KEZ_INBOX.{M}.1.{waiting}.1.1.0",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.USER.AUTH",
    "_R_.AAAAAA.AAAAAA",
    "_GR_.AAAA.BBBB.kez.deliver.{A}",
    "kez.inbox.*.{b}",
    "x.$FI",
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, subject, payload) in ALLOWED {
        for target in TARGETS {
            let case = Case::frames(format!("{what} whose answer goes to {target}"), move |scene| {
                let target = filled(target, scene);
                let target = target.replace("{ack}", &scene.ack).replace("{waiting}", &scene.waiting.to_string());
                vec![publish(&subject(scene), Some(&target), "", payload.as_bytes())]
            });
            cases.push(case.answered().refused_by_the_filter());
        }
    }
    cases
}

/// Where she acknowledges a message of her own.
fn own_ack(scene: &Scene) -> String {
    scene.own_ack.clone()
}
