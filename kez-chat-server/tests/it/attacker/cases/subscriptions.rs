//! Listening in: whatever comes for one of these subscriptions is evidence.

use super::{Case, filled};

/// Subject, and queue group if any.
const WANTED: [(&str, &str); 47] = [
    ("kez.deliver.{A}", ""),
    ("kez.deliver.{A}", "kez-chat-server"),
    ("kez.deliver.*", ""),
    ("kez.deliver.*", "thieves"),
    ("kez.deliver.>", ""),
    ("kez.*.{A}", ""),
    ("*.deliver.{A}", ""),
    ("*.*.*", ""),
    ("kez.>", ""),
    (">", ""),
    (">", "thieves"),
    ("*.>", ""),
    ("kez.pdeliver.{A}", ""),
    ("kez.pdeliver.{A}", "thieves"),
    ("kez.pdeliver.*", ""),
    ("kez.pdeliver.>", "thieves"),
    ("kez.inbox.{A}.*", ""),
    ("kez.inbox.{A}.{b}", ""),
    ("kez.inbox.*.{b}", ""),
    ("kez.inbox.*.*", "thieves"),
    ("kez.inbox.>", ""),
    ("kez.inbox.{M}.*", ""),
    ("kez.presence.{A}.*", ""),
    ("kez.presence.>", ""),
    ("_INBOX_{A}.>", ""),
    ("_INBOX_{A}.>", "thieves"),
    ("_INBOX_{B}.*", ""),
    ("*.ack", ""),
    ("_INBOX.>", ""),
    ("_R_.>", ""),
    ("_GR_.>", ""),
    ("$JS.>", ""),
    ("$JS.ACK.>", ""),
    ("$JS.ACK.KEZ_INBOX.{A}.>", "thieves"),
    ("$JS.ACK.*.*.KEZ_INBOX.{A}.>", ""),
    ("$JS.ACK.KEZ_INBOX.{M}.>", ""),
    ("$JS.API.>", ""),
    ("$JS.API.CONSUMER.INFO.>", "thieves"),
    ("$JS.EVENT.>", ""),
    ("$JS.EVENT.ADVISORY.API", ""),
    ("$JS.FC.>", ""),
    ("$JSC.>", ""),
    ("$SYS.>", ""),
    ("$SYS.REQ.USER.AUTH", "kez-chat-server"),
    ("$SYS.ACCOUNT.KEZ.>", ""),
    ("$SRV.>", ""),
    ("$KV.>", ""),
];

pub(super) fn cases() -> Vec<Case> {
    let case = |&(subject, group): &(&'static str, &'static str)| {
        let name = match group {
            "" => format!("subscribe to {subject}"),
            group => format!("subscribe to {subject} in the queue group {group}"),
        };
        Case::frames(name, move |scene| {
            vec![format!("SUB {} {group} stolen-{}\r\n", filled(subject, scene), scene.round).into_bytes()]
        })
    };
    WANTED.iter().map(case).collect()
}
