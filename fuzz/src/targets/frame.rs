//! Subject and reply of a frame off the broker, a line each (`docs/PROTOCOL.md` §5).

use kez_core::broker::{check_inbox_frame, check_presence_frame, subject};

use super::input::{Seed, alice, carol, fill_in};

const STREAMS: [&str; 2] = ["KEZ_INBOX", "KEZ_INBOX_2"];

pub fn run(data: &[u8]) {
    let Ok(template) = std::str::from_utf8(data) else { return };
    let own = alice().primary();
    let me = own.to_hex();
    let text = fill_in(template, &[("$ME", &me), ("$YOU", &carol().primary().to_hex())]);
    let (subject, reply) = match text.split_once('\n') {
        Some((subject, reply)) => (subject, Some(reply)),
        None => (text.as_str(), None),
    };
    assert_eq!(check_presence_frame(subject, &own).is_ok(), subject == subject::presence_deliver(&own));

    let Ok(ack) = check_inbox_frame(subject, reply, &own, &STREAMS) else { return };
    let ["kez", "inbox", user, route] = *subject.split('.').collect::<Vec<_>>() else {
        panic!("no inbox subject: {subject}")
    };
    assert!(user == me && route.len() == 32);
    assert!(route.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    // It can be published to, and only to acknowledge a message of this consumer.
    assert_eq!(Some(ack.as_str()), reply);
    let tokens: Vec<&str> = ack.as_str().split('.').collect();
    assert!(tokens.iter().all(|token| !token.is_empty() && !token.contains(['*', '>', ' ', '\t', '\r', '\n'])));
    assert_eq!(tokens[..2], ["$JS", "ACK"]);
    let place = if tokens.len() == 9 { 2 } else { 4 };
    assert!(tokens.len() == 9 || tokens.len() >= 11);
    assert!(STREAMS.contains(&tokens[place]) && tokens[place + 1] == me);
    // Nobody else takes the frame.
    assert!(check_inbox_frame(subject, reply, &carol().primary(), &STREAMS).is_err());
    assert!(check_inbox_frame(subject, reply, &own, &["OTHER"]).is_err());
}

pub fn seeds() -> Vec<Seed> {
    let inbox = format!("kez.inbox.$ME.{}", "0a".repeat(16));
    [
        ("ack", format!("{inbox}\n$JS.ACK.KEZ_INBOX.$ME.1.2.3.4.5")),
        ("ack-with-domain", format!("{inbox}\n$JS.ACK._.AbCdEfGh.KEZ_INBOX.$ME.1.2.3.4.5")),
        ("ack-with-token", format!("{inbox}\n$JS.ACK.hub.AbCdEfGh.KEZ_INBOX_2.$ME.1.2.3.4.5.rnd")),
        ("two-consumers", format!("{inbox}\n$JS.ACK.KEZ_INBOX.$YOU.KEZ_INBOX.$ME.1.2.3.4")),
        ("wildcard", format!("{inbox}\n$JS.ACK.KEZ_INBOX.$ME.1.2.*.4.5")),
        ("api", format!("{inbox}\n$JS.API.STREAM.DELETE.KEZ_INBOX.$ME.1.2.3")),
        ("no-reply", inbox),
        ("not-mine", format!("kez.inbox.$YOU.{}\n$JS.ACK.KEZ_INBOX.$ME.1.2.3.4.5", "0a".repeat(16))),
        ("presence", "kez.pdeliver.$ME".to_owned()),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into()
}
