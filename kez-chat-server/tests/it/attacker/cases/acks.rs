//! Acknowledging for others: Alice's waiting message has to stay as it is.

use super::{Case, filled};
use crate::attacker::canary::Scene;
use crate::attacker::raw::publish;

/// Everything that nats-server understands as an acknowledgement, and what it does not.
const PAYLOADS: [&str; 12] = [
    "+ACK",
    "",
    "+OK",
    "-NAK",
    r#"-NAK {"delay": 3600000000000}"#,
    "+WPI",
    "+TERM",
    "+TERM for a reason",
    "+NXT",
    r#"+NXT {"batch": 256, "no_wait": true}"#,
    "+ACK ",
    "forged-by-mallory",
];

/// The ack subjects of others that somebody might think of; `{tail}` are the numbers of Alice's waiting message.
const SHAPES: [(&str, &str); 3] = [
    ("in the first shape", "$JS.ACK.KEZ_INBOX.{A}.{tail}"),
    ("in the second shape", "{second}.{tail}"),
    ("that reads as an own one of the second shape", "$JS.ACK.KEZ_INBOX.{A}.KEZ_INBOX.{M}.{tail}"),
];

const ODD: [(&str, &str); 10] = [
    ("with a wildcard for the consumer", "$JS.ACK.KEZ_INBOX.*.{tail}"),
    ("with a wildcard for the rest", "$JS.ACK.KEZ_INBOX.{A}.>"),
    ("that reads as an own one, as long as the second shape", "$JS.ACK.KEZ_INBOX.{A}.KEZ_INBOX.{M}.{tail}.x"),
    ("with other tokens before an own one", "$JS.ACK.x.y.KEZ_INBOX.{M}.KEZ_INBOX.{A}.{tail}"),
    ("that names the domain otherwise", "$JS.ACK.hub.9Nj4u4iY.KEZ_INBOX.{A}.{tail}"),
    ("of the first shape with a domain", "$JS.hub.ACK.KEZ_INBOX.{A}.{tail}"),
    ("without a stream", "$JS.ACK.{A}.{tail}"),
    ("with an empty token", "$JS.ACK..KEZ_INBOX.{A}.{tail}"),
    ("of Bob's consumer", "$JS.ACK.KEZ_INBOX.{B}.{tail}"),
    ("of flow control", "$JS.FC.KEZ_INBOX.{A}.x"),
];

/// Acknowledgements of one's own that carry Alice's numbers: allowed, and without effect on hers.
const OWN: [(&str, &str); 2] =
    [("in the first shape", "$JS.ACK.KEZ_INBOX.{M}.{tail}"), ("in the second shape", "{own second}.{tail}")];

pub(super) fn cases() -> Vec<Case> {
    let shown = |payload: &str| if payload.is_empty() { "nothing".to_owned() } else { format!("`{payload}`") };
    let mut cases = Vec::new();
    for (shape, subject) in SHAPES {
        for payload in PAYLOADS {
            let name = format!("say {} on an ack subject of Alice's {shape}", shown(payload));
            cases.push(Case::publish(name, move |scene| (ack_subject(subject, scene), payload.to_owned())));
        }
    }
    for (shape, subject) in ODD {
        let name = format!("acknowledge on a subject {shape}");
        cases.push(Case::publish(name, move |scene| (ack_subject(subject, scene), "+ACK".to_owned())));
    }
    for (shape, subject) in OWN {
        for payload in ["+ACK", "-NAK", "+TERM", "+NXT"] {
            let name = format!("say `{payload}` on an own ack subject {shape} with Alice's numbers");
            let case = Case::publish(name, move |scene| (ack_subject(subject, scene), payload.to_owned()));
            cases.push(case.answered());
        }
    }
    cases.push(Case::frames("acknowledge everything that Alice may have", |scene| {
        let frame = |seq| {
            let subject = format!("$JS.ACK.KEZ_INBOX.{}.1.{seq}.{seq}.1.0", scene.alice);
            publish(&subject, None, "", b"+ACK")
        };
        (1..=scene.waiting).map(frame).collect()
    }));
    cases.push(
        Case::frames("hint a thousand times that there is something to purge", |scene| {
            let frame =
                |seq| publish(&format!("$JS.ACK.KEZ_INBOX.{}.1.{seq}.{seq}.1.0", scene.mallory), None, "", b"+ACK");
            (1..=1000).map(frame).collect()
        })
        .answered(),
    );
    cases
}

/// Fills in an ack subject.
fn ack_subject(template: &str, scene: &Scene) -> String {
    let tokens: Vec<&str> = scene.ack.split('.').collect();
    let tail = tokens[tokens.len() - 5..].join(".");
    let second = |owner: &str| scene.acks.acks_of(owner).trim_end_matches(".>").to_owned();
    let template = template.replace("{second}", &second(&scene.alice)).replace("{own second}", &second(&scene.mallory));
    filled(&template, scene).replace("{tail}", &tail)
}
