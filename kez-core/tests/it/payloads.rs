//! Payloads: every kind round trips, and every fault has its name (`docs/PROTOCOL.md` §§7, 13).

use kez_core::{
    Code,
    filecrypt::FileKey,
    handle::{Handle, Policy},
    payload::{
        Address, Addresses, Channel, Content, FileEntry, FileShare, MessageId, MessageRef, Payload, Presence,
        PresenceState, ReceiptStatus, SeenHead, SharePath, UnsupportedReason,
    },
    sigchain::{Head, Install},
};
use proptest::prelude::*;

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

fn entry(path: &str) -> FileEntry {
    FileEntry {
        path: SharePath::parse(path).unwrap(),
        media_type: "text/plain".into(),
        blob_hash: [3; 32],
        key: FileKey::from_bytes([4; 32]),
        plain_hash: [5; 32],
        plain_len: 70_000,
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
        Content::FileShare(FileShare { entries: vec![entry("a/b"), entry("c")], addresses: addresses.clone() }),
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
    assert_eq!(fault(share(vec![entry("a"), entry("a/b")])), Code::BadPath);
    let huge = FileEntry { plain_len: (1 << 48) + 1, ..entry("a") };
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

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = Payload::decode(&bytes, Channel::Inbox, Policy::Development)
            && !matches!(message.content, Content::Unsupported(_))
        {
            prop_assert!(message.encode().is_ok());
        }
    }

    #[test]
    fn texts_read_back(text in ".{1,500}") {
        let message = payload(Content::Text(text));
        prop_assert_eq!(decode(&message.encode().unwrap()).unwrap(), message);
    }
}
