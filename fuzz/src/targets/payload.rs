//! Foreign bytes as a payload (`docs/PROTOCOL.md` §7).

use kez_core::{
    Code,
    handle::{Handle, Policy},
    payload::{
        Address, Addresses, Channel, Content, FileShare, MessageId, MessageRef, Payload, Presence, PresenceState,
        ReceiptStatus, SeenHead, UnsupportedReason,
    },
    sigchain::{Head, Install},
};

use super::input::{Seed, file_entry};

pub fn run(bytes: &[u8]) {
    let decode = |channel| Payload::decode(bytes, channel, Policy::Production);
    let payload = match (decode(Channel::Inbox), decode(Channel::Presence)) {
        (Ok(_), Ok(_)) => panic!("one message by both channels"),
        (Ok(payload), Err(other)) | (Err(other), Ok(payload)) => {
            assert_eq!(other.code(), Code::WrongChannel);
            payload
        }
        (Err(inbox), Err(presence)) => {
            // Unless the channel is to blame in one of them, both name the same fault.
            let channel = [&inbox, &presence].map(|error| error.code() == Code::WrongChannel);
            assert!(inbox == presence || channel != [false, false]);
            assert_ne!(channel, [true, true]);
            return;
        }
    };
    let channel = if payload.content.kind() < 64 { Channel::Inbox } else { Channel::Presence };
    assert_eq!(Payload::decode(bytes, channel, Policy::Development).as_ref(), Ok(&payload));
    if let Content::Unsupported(reason) = payload.content {
        assert!(payload.encode().is_err(), "only a later version writes it");
        match reason {
            UnsupportedReason::Kind(kind) => assert!(![1, 2, 3, 4, 5, 6, 64].contains(&kind)),
            UnsupportedReason::Extension { ext, .. } => assert_eq!(ext % 2, 1),
        }
        return;
    }
    let encoded = payload.encode().unwrap();
    if *encoded != bytes {
        // Only what a later version may skip is lost on the way.
        assert!(encoded.len() < bytes.len());
        let common = encoded.iter().zip(bytes).take_while(|(one, other)| one == other).count();
        assert!(common >= 1 + 16 + 8, "the difference lies in the extensions");
        assert_eq!(Payload::decode(&encoded, channel, Policy::Production), Ok(payload));
    }
}

pub fn seeds() -> Vec<Seed> {
    let target = MessageRef { author: [9; 32], id: MessageId([8; 16]) };
    let id = MessageId([7; 16]);
    let addresses = Addresses::new([
        Address::Ip("192.0.2.1:4433".parse().unwrap()),
        Address::Ip("[2001:db8::1]:4433".parse().unwrap()),
        Address::Relay("https://relay.example/".into()),
    ]);
    let files = FileShare { entries: vec![file_entry("a/b"), file_entry("c")], addresses: addresses.clone() };
    let presence = Presence { state: PresenceState::Away, ttl_s: 150, is_answer: true, addresses };
    let kinds = [
        ("text", Content::Text("hello".into())),
        ("file-share", Content::FileShare(files)),
        ("receipt", Content::Receipt { status: ReceiptStatus::Delivered, ids: vec![id; 3] }),
        ("edit", Content::Edit { id, text: "better".into() }),
        ("delete", Content::Delete { id }),
        ("reaction", Content::Reaction { target, emoji: "🎉".into() }),
        ("presence", Content::Presence(presence)),
    ];
    let handle = |text| Some(Handle::from_qualified(text, Policy::Production).unwrap());
    let seen = |seq| Some(SeenHead { seq, head: Head::from_bytes([6; 32]) });
    let mut seeds: Vec<Seed> = kinds
        .map(|(name, content)| {
            let counted = !matches!(content, Content::Receipt { .. } | Content::Presence(_));
            let payload = Payload {
                id: MessageId([0xaa; 16]),
                install: Install::from_bytes([2; 8]),
                seq: u64::from(counted),
                sent_at_ms: 1_795_396_313_000,
                from: handle("alice@kez.lat"),
                to: handle("bob@kez.lat"),
                content,
                own_head: seen(3),
                peer_head: seen(300),
                reply_to: Some(target),
            };
            (name, payload.encode().unwrap().to_vec())
        })
        .into();
    let bare = |kind: u8, rest: &[u8]| [&[1], [5; 24].as_slice(), &[1, 1, 0, 0, kind], rest].concat();
    seeds.extend([
        ("unknown-kind", bare(9, b"\x02??\x00")),
        ("unknown-presence", bare(65, b"\x00\x00")),
        ("critical-extension", bare(1, b"\x03\x02hi\x01\x07\x00")),
        ("ignorable-extension", bare(1, b"\x03\x02hi\x01\x08\x01x")),
        ("odd-address", [&[1], [5; 24].as_slice(), b"\0\x01\0\0\x40\x08\x01\x0a\0\x02\x01a\x01:\0"].concat()),
    ]);
    seeds
}
