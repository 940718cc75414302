//! Envelopes and payloads.

use kez_core::{
    Code,
    envelope::{self, Peer},
    payload::{
        Address, Addresses, Channel, Content, MessageRef, Payload, PresenceState, ReceiptStatus, SeenHead,
        UnsupportedReason,
    },
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    super::bytes::bytes, Outcome, Refusal, array, entry, hex, key, list, members, optional, or_null, policy, seed,
    shown, text, unknown,
};

/// Above this length of the payload, a case holds only the hash of the wire.
const SHOWN_PAYLOAD_BYTES: usize = 1_000;

pub(in super::super) fn run(op: &str, input: &Value) -> Outcome {
    match op {
        "envelope.seal" => {
            let [sender, recipient, payload, random] = members(input, ["sender", "recipient", "payload", "random"]);
            let (sender, payload) = (seed(sender), bytes(payload));
            let wire = envelope::seal(&sender, &Peer::new(&sender, key(recipient)?), &payload, &array(random))?;
            Ok(if payload.len() > SHOWN_PAYLOAD_BYTES {
                json!({"wire_sha256": hex(Sha256::digest(wire))})
            } else {
                json!({"wire": hex(wire)})
            })
        }
        "envelope.open" => {
            let [recipient, wire] = members(input, ["recipient", "wire"]);
            let opened = envelope::open(&seed(recipient), &bytes(wire), |_| None)?;
            Ok(json!({"sender": opened.sender.key(), "payload": hex(&opened.payload)}))
        }
        "payload.decode" => decode(input),
        _ => unknown(op),
    }
}

fn decode(input: &Value) -> Outcome {
    let [payload, channel, rules, own_handles] = members(input, ["bytes", "channel", "policy", "own_handles"]);
    let channel = match text(channel) {
        "inbox" => Channel::Inbox,
        "presence" => Channel::Presence,
        other => panic!("there is no channel {other:?}"),
    };
    let payload = Payload::decode(&bytes(payload), channel, policy(rules))?;
    let out = fields(&payload);
    if matches!(payload.content, Content::Unsupported(_)) {
        return Err(Refusal::with(Code::Unsupported, out));
    }
    if let Some(own) = optional(own_handles, list) {
        let is_own = |handle: &_| own.contains(&shown(handle));
        payload.check_addressee(is_own).map_err(|error| Refusal::with(error.code(), out.clone()))?;
    }
    Ok(out)
}

fn fields(payload: &Payload) -> Value {
    let head = |seen: SeenHead| json!({"seq": seen.seq, "head": seen.head.to_string()});
    json!({
        "id": payload.id,
        "install": payload.install,
        "seq": payload.seq,
        "sent_at_ms": payload.sent_at_ms,
        "from": or_null(payload.from.as_ref(), shown),
        "to": or_null(payload.to.as_ref(), shown),
        "kind": payload.content.kind(),
        "content": content(&payload.content),
        "own_head": or_null(payload.own_head, head),
        "peer_head": or_null(payload.peer_head, head),
        "reply_to": or_null(payload.reply_to, |target| json!({"author": hex(target.author), "id": target.id})),
    })
}

fn content(content: &Content) -> Value {
    match content {
        Content::Text(text) => json!({"text": text}),
        Content::FileShare(share) => json!({
            "entries": share.entries.iter().map(entry).collect::<Vec<_>>(),
            "addresses": addresses(&share.addresses),
        }),
        Content::Receipt { status, ids } => {
            let status = match status {
                ReceiptStatus::Delivered => "delivered",
                ReceiptStatus::Read => "read",
            };
            json!({"status": status, "ids": ids})
        }
        Content::Edit { id, text } => json!({"id": id, "text": text}),
        Content::Delete { id } => json!({"id": id}),
        Content::Reaction { target: MessageRef { author, id }, emoji } => {
            json!({"author": hex(author), "id": id, "emoji": emoji})
        }
        Content::Presence(presence) => {
            let state = match presence.state {
                PresenceState::Off => "off",
                PresenceState::Online => "online",
                PresenceState::Away => "away",
            };
            let addresses = addresses(&presence.addresses);
            json!({"state": state, "ttl_s": presence.ttl_s, "answer": presence.is_answer, "addresses": addresses})
        }
        Content::Unsupported(UnsupportedReason::Kind(kind)) => json!({"unsupported_kind": kind}),
        Content::Unsupported(UnsupportedReason::Extension { ext, .. }) => json!({"unsupported_ext": ext}),
        other => panic!("the format has no form for {other:?}"),
    }
}

fn addresses(addresses: &Addresses) -> Vec<String> {
    let text = |address| match address {
        Address::Ip(socket) => socket.to_string(),
        Address::Relay(url) => url,
    };
    addresses.iter().map(text).collect()
}
