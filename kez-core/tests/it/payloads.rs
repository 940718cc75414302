//! Payloads: every kind round trips, and every fault has its name (`docs/PROTOCOL.md` §§7, 13).

use std::net::{IpAddr, SocketAddr};

use kez_core::{
    Code,
    envelope::{MAX_PADDED_BYTES, MAX_WIRE_BYTES, MIN_WIRE_BYTES, Peer, seal},
    filecrypt::FileKey,
    handle::{Handle, Policy},
    identity::SecretKey,
    payload::{
        Address, Addresses, Channel, Content, FileEntry, FileShare, MessageId, MessageRef, Payload, Presence,
        PresenceState, ReceiptStatus, SeenHead, SharePath, UnsupportedReason,
    },
    sigchain::{Head, Install},
};
use proptest::prelude::*;

use crate::corpus::targets::input::file_entry;

fn payload(content: Content) -> Payload {
    let counted = !matches!(content, Content::Receipt { .. } | Content::Presence(_));
    Payload {
        id: MessageId([1; 16]),
        install: Install::from_bytes([2; 8]),
        seq: u64::from(counted),
        sent_at_ms: 1_795_396_313_000,
        from: Some(Handle::from_qualified("al@kez.lat", Policy::Production).unwrap()),
        to: None,
        content,
        own_head: None,
        peer_head: None,
        reply_to: None,
    }
}

fn every_kind() -> Vec<Content> {
    let target = MessageRef { author: [9; 32], id: MessageId([8; 16]) };
    let addresses = Addresses::new([
        Address::Ip("192.0.2.1:4433".parse().unwrap()),
        Address::Ip("[2001:db8::1]:4433".parse().unwrap()),
        Address::Relay("https://relay.example/".into()),
    ]);
    vec![
        Content::Text("hello".into()),
        Content::FileShare(FileShare {
            entries: vec![file_entry("a/b"), file_entry("c")],
            addresses: addresses.clone(),
        }),
        Content::Receipt { status: ReceiptStatus::Delivered, ids: vec![MessageId([7; 16]); 256] },
        Content::Edit { id: MessageId([7; 16]), text: "better".into() },
        Content::Delete { id: MessageId([7; 16]) },
        Content::Reaction { target, emoji: "🎉".into() },
        Content::Presence(Presence { state: PresenceState::Away, ttl_s: 150, is_answer: true, addresses }),
    ]
}

fn channel_of(content: &Content) -> Channel {
    if content.kind() >= 64 { Channel::Presence } else { Channel::Inbox }
}

fn decode(bytes: &[u8]) -> Result<Payload, Code> {
    Payload::decode(bytes, Channel::Inbox, Policy::Production).map_err(|error| error.code())
}

/// A payload written by hand: fixed fields, then a kind, its body, and extensions.
fn raw(seq: u64, kind: u8, body: &[u8], extensions: &[u8]) -> Vec<u8> {
    let head = [&[1][..], &[1; 16], &[2; 8], &[u8::try_from(seq).unwrap(), 0, 0, 0, kind]].concat();
    [&head, &[u8::try_from(body.len()).unwrap()][..], body, extensions].concat()
}

#[test]
fn every_kind_reads_back() {
    for content in every_kind() {
        let channel = channel_of(&content);
        let mut message = payload(content);
        for extended in [false, true] {
            if extended {
                let seen = SeenHead { seq: 3, head: Head::from_bytes([6; 32]) };
                message.own_head = Some(seen);
                message.peer_head = Some(seen);
                message.reply_to = Some(MessageRef { author: [9; 32], id: MessageId([8; 16]) });
            }
            let bytes = message.encode().unwrap();
            assert_eq!(Payload::decode(&bytes, channel, Policy::Production).unwrap(), message);
            // Cut anywhere, it is no payload.
            for len in 0..bytes.len() {
                let cut = Payload::decode(&bytes[..len], channel, Policy::Production).unwrap_err();
                assert_eq!(cut.code(), Code::Truncated, "{len} of {}", bytes.len());
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Payload::decode(&longer, channel, Policy::Production).unwrap_err().code(), Code::TrailingBytes);
        }
    }
}

#[test]
fn kinds_keep_to_their_channel() {
    for content in every_kind() {
        let other = if channel_of(&content) == Channel::Inbox { Channel::Presence } else { Channel::Inbox };
        let bytes = payload(content).encode().unwrap();
        let fault = Payload::decode(&bytes, other, Policy::Production).unwrap_err();
        assert_eq!(fault.code(), Code::WrongChannel);
    }
}

#[test]
fn what_a_later_version_says_is_kept_and_named() {
    let unknown = decode(&raw(0, 63, b"?", &[0])).unwrap();
    assert_eq!(unknown.content, Content::Unsupported(UnsupportedReason::Kind(63)));
    let critical = decode(&raw(1, 1, b"\x02hi", &[1, 7, 0])).unwrap();
    assert_eq!(critical.content, Content::Unsupported(UnsupportedReason::Extension { kind: 1, ext: 7 }));
    let skipped = decode(&raw(1, 1, b"\x02hi", &[1, 8, 1, 0])).unwrap();
    assert_eq!(skipped.content, Content::Text("hi".into()));
}

#[test]
fn faults_have_their_names() {
    let ok = raw(1, 1, b"\x02hi", &[0]);
    assert!(decode(&ok).is_ok());
    let mut version = ok.clone();
    version[0] = 2;
    assert_eq!(decode(&version), Err(Code::BadVersion));
    for (seq, kind, body, extensions, expected) in [
        (0, 1, b"\x02hi".as_slice(), [0].as_slice(), Code::BadPayload), // a stored kind is counted
        (1, 3, &[&[1, 1][..], &[0; 16]].concat(), &[0], Code::BadPayload), // a receipt is not
        (1, 1, b"\x00", &[0], Code::BadPayload),                        // an empty text
        (1, 1, b"\x01\xff", &[0], Code::BadPayload),                    // not UTF-8
        (1, 1, b"\x82\x00hi", &[0], Code::BadVarint),                   // a length written too long
        (1, 1, b"\x02hi!", &[0], Code::TrailingBytes),                  // after the body
        (1, 1, b"\x03hi", &[0], Code::Truncated),                       // inside the body
        (1, 1, b"\x02hi", &[2, 8, 0, 8, 0], Code::BadPayload),          // the same extension twice
        (1, 1, b"\x02hi", &[2, 8, 0, 4, 0], Code::BadPayload),          // extensions out of order
        (1, 1, b"\x02hi", &[1, 2, 1, 0], Code::Truncated),              // a head that is too short
        (1, 1, b"\x02hi", &[200, 1], Code::Truncated),                  // a count that nothing backs
        (0, 3, &[&[3, 1][..], &[0; 16]].concat(), &[0], Code::BadPayload), // an unknown status
        (0, 3, &[1, 0], &[0], Code::BadPayload),                        // a receipt for nothing
        (1, 2, &[0, 0], &[0], Code::BadPayload),                        // a share of nothing
        (1, 2, &[64, 0], &[0], Code::Truncated),                        // a share of promises
    ] {
        assert_eq!(decode(&raw(seq, kind, body, extensions)), Err(expected), "{kind} {body:?} {extensions:?}");
    }
    let mut bad_handle = payload(Content::Text("hi".into())).encode().unwrap().to_vec();
    let at = bad_handle.windows(2).position(|pair| pair == b"al").unwrap();
    bad_handle[at] = b'A';
    assert_eq!(decode(&bad_handle), Err(Code::BadHandle));
}

#[test]
fn nothing_is_written_that_no_reader_would_take() {
    let fault = |content: Content| payload(content).encode().unwrap_err().code();
    assert_eq!(fault(Content::Text(String::new())), Code::BadPayload);
    assert_eq!(fault(Content::Text("x".repeat(48 * 1024 + 1))), Code::TooLarge);
    assert_eq!(
        fault(Content::Receipt { status: ReceiptStatus::Read, ids: vec![MessageId([0; 16]); 257] }),
        Code::BadPayload
    );
    let share = |entries| Content::FileShare(FileShare { entries, addresses: Addresses::default() });
    assert_eq!(fault(share(vec![])), Code::BadPayload);
    assert_eq!(fault(share(vec![file_entry("a"), file_entry("a/b")])), Code::BadPath);
    let huge = FileEntry { plain_len: (1 << 48) + 1, ..file_entry("a") };
    assert_eq!(fault(share(vec![huge])), Code::TooLarge);
    assert_eq!(fault(Content::Unsupported(UnsupportedReason::Kind(9))), Code::BadPayload);
}

#[test]
fn a_message_to_another_handle_is_named() {
    let mut message = payload(Content::Text("hi".into()));
    assert!(message.check_addressee(|_| false).is_ok(), "no handle named");
    message.to = message.from.clone();
    assert!(message.check_addressee(|_| true).is_ok());
    assert_eq!(message.check_addressee(|_| false).unwrap_err().code(), Code::Misaddressed);
}

fn any_id() -> impl Strategy<Value = MessageId> {
    any::<[u8; 16]>().prop_map(MessageId)
}

fn any_ref() -> impl Strategy<Value = MessageRef> {
    (any::<[u8; 32]>(), any_id()).prop_map(|(author, id)| MessageRef { author, id })
}

fn any_handle() -> impl Strategy<Value = Option<Handle>> {
    let handle = ("[a-z][a-z0-9]{2,15}", "[a-z]{2,10}\\.(lat|example)");
    prop::option::of(
        handle.prop_map(|(name, home)| Handle::from_qualified(&format!("{name}@{home}"), Policy::Production).unwrap()),
    )
}

fn any_head() -> impl Strategy<Value = Option<SeenHead>> {
    let head = (0..1u64 << 53, any::<[u8; 32]>());
    prop::option::of(head.prop_map(|(seq, head)| SeenHead { seq, head: Head::from_bytes(head) }))
}

fn any_addresses() -> impl Strategy<Value = Addresses> {
    let address = prop_oneof![
        (any::<IpAddr>(), 1..=u16::MAX).prop_map(|(ip, port)| Address::Ip(SocketAddr::new(ip, port))),
        "https://[!-~]{1,100}".prop_map(Address::Relay),
    ];
    prop::collection::vec(address, 0..=16).prop_map(Addresses::new)
}

fn any_share() -> impl Strategy<Value = FileShare> {
    let file = ("[!-~]{0,127}", any::<[[u8; 32]; 3]>(), 0..=1u64 << 48);
    let files = prop::collection::btree_map("[a-zä日 ]{1,40}(/[a-z]{1,9})?", file, 1..=64);
    let share = (files, any_addresses()).prop_map(|(files, addresses)| {
        let entries = files.into_iter().map(|(path, (media_type, [blob_hash, key, plain_hash], plain_len))| {
            let (path, key) = (SharePath::parse(&path).unwrap(), FileKey::from_bytes(key));
            FileEntry { path, media_type, blob_hash, key, plain_hash, plain_len }
        });
        FileShare { entries: entries.collect(), addresses }
    });
    share.prop_filter("a file is the directory of another", |share| {
        let paths = || share.entries.iter().map(|entry| entry.path.as_str());
        !paths().any(|path| paths().any(|other| other.starts_with(&format!("{path}/"))))
    })
}

fn any_content() -> impl Strategy<Value = Content> {
    let status = prop::sample::select(vec![ReceiptStatus::Delivered, ReceiptStatus::Read]);
    let state = prop::sample::select(vec![PresenceState::Off, PresenceState::Online, PresenceState::Away]);
    let presence = (state, 0..=600u64, any::<bool>(), any_addresses());
    prop_oneof![
        ".{1,2000}".prop_map(Content::Text),
        any_share().prop_map(Content::FileShare),
        (status, prop::collection::vec(any_id(), 1..=256)).prop_map(|(status, ids)| Content::Receipt { status, ids }),
        (any_id(), ".{1,500}").prop_map(|(id, text)| Content::Edit { id, text }),
        any_id().prop_map(|id| Content::Delete { id }),
        (any_ref(), "\\PC{0,8}").prop_map(|(target, emoji)| Content::Reaction { target, emoji }),
        presence.prop_map(|(state, ttl_s, is_answer, addresses)| {
            Content::Presence(Presence { state, ttl_s, is_answer, addresses })
        }),
    ]
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let names = (any_id(), any::<[u8; 8]>(), any_handle(), any_handle());
    let extensions = (any_head(), any_head(), prop::option::of(any_ref()));
    let numbers = (1..1u64 << 53, 0..1u64 << 53);
    (names, numbers, any_content(), extensions).prop_map(|(names, (seq, sent_at_ms), content, extensions)| {
        let (id, install, from, to) = names;
        let (own_head, peer_head, reply_to) = extensions;
        let counted = !matches!(content, Content::Receipt { .. } | Content::Presence(_));
        let (install, seq) = (Install::from_bytes(install), if counted { seq } else { 0 });
        Payload { id, install, seq, sent_at_ms, from, to, content, own_head, peer_head, reply_to }
    })
}

fn wire_len(payload_len: usize) -> usize {
    let (one, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
    seal(&one, &Peer::new(&one, other.primary()), &vec![7; payload_len], &[9; 32]).unwrap().len()
}

proptest! {
    #[test]
    fn decode_undoes_encode(message in any_payload()) {
        let bytes = message.encode().unwrap();
        let read = Payload::decode(&bytes, channel_of(&message.content), Policy::Production).unwrap();
        prop_assert_eq!(&read, &message);
        prop_assert_eq!(read.encode().unwrap(), bytes);
    }

    #[test]
    fn a_changed_payload_that_decodes_encodes_to_the_same_bytes(
        message in any_payload(),
        at: prop::sample::Index,
        bit in 0..8u8,
    ) {
        let mut bytes = message.encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        // What a later version may say is not kept to the byte: a body or an extension that nobody here knows.
        let known = [Channel::Inbox, Channel::Presence]
            .into_iter()
            .filter_map(|channel| Payload::decode(&bytes, channel, Policy::Production).ok())
            .find(|read| !matches!(read.content, Content::Unsupported(_)));
        if let Some(read) = known {
            let again = read.encode().unwrap();
            let extensions = |message: &Payload| {
                [message.own_head.is_some(), message.peer_head.is_some(), message.reply_to.is_some()]
            };
            prop_assert!(again == bytes || extensions(&read) != extensions(&message), "byte {}", at);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = Payload::decode(&bytes, Channel::Inbox, Policy::Development)
            && !matches!(message.content, Content::Unsupported(_))
        {
            prop_assert!(message.encode().is_ok());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_envelopes_length_tells_the_bucket_and_no_more(len in 0..MAX_PADDED_BYTES, other in 0..MAX_PADDED_BYTES) {
        let wire = wire_len(len);
        // The bucket's largest payload fills it, but for the one byte that ends every payload.
        let bucket = wire - (MAX_WIRE_BYTES - MAX_PADDED_BYTES);
        prop_assert!((MIN_WIRE_BYTES..=MAX_WIRE_BYTES).contains(&wire) && len < bucket);
        prop_assert_eq!(wire_len(bucket - 1), wire);
        if bucket < MAX_PADDED_BYTES {
            prop_assert!(wire_len(bucket) > wire);
        }
        // Whoever sees the longer of two envelopes sees the longer payload, or the same bucket.
        prop_assert_eq!(wire_len(len.max(other)), wire.max(wire_len(other)));
        if (len..bucket).contains(&other) {
            prop_assert_eq!(wire_len(other), wire);
        }
    }
}
