//! A thousand frames that no client of ours would send, and an inbox that goes on all the same.

mod payloads;

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use futures::FutureExt;
use kez_chat_sdk::{
    Client, Event,
    broker::subject,
    envelope::{self, MAX_WIRE_BYTES, MIN_WIRE_BYTES, Peer},
    identity::{PrimaryKey, SecretKey},
};
use kez_testbed::Testbed;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    database,
    dialling::Trap,
    frames::route_of,
    operator::operator,
    people::{PATIENCE, Person, next, online, text_of, two_friends},
    raw::Raw,
};
use payloads::{Fields, broken, for_later, odd};

/// How many frames come between two looks at whether the friend still gets through.
const ROUND: usize = 50;
/// In what time a friend's message has to come through a round, also on a busy machine.
const PROMPTLY: Duration = Duration::from_secs(20);
/// The largest message that the broker takes, without headers.
const LARGEST_FRAME: usize = 65_536;
const MAX_QUARANTINED_FRAMES: u32 = 1_000;
const MAX_QUARANTINED_BYTES: u64 = 16 << 20;
/// What waits from one stranger at most.
const MAX_FROM_STRANGER: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_frames_of_nonsense_do_not_stop_the_inbox() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let mut attackers = Vec::new();
    for name in ["mallory", "trudy", "oscar", "eve"] {
        let person = Person::new();
        person.register(&testbed, name).await.shutdown().await;
        attackers.push(person.key());
    }
    // One of them is somebody that Bob knows.
    b.contacts().add("@mallory").await.unwrap();
    let dead_home = Trap::set().await;
    online(&a).await;
    online(&b).await;
    let mut connection = b.connection();

    let mut sent = 0;
    let mut kept_for_later = 0;
    let mut senders = Vec::new();
    for key in &attackers {
        senders.push((Raw::login(&testbed, key).await, subject::inbox_publish(&b.primary(), &route_of(&testbed, key))));
    }
    let frames = nonsense(&attackers, &b, &a, &dead_home);
    assert!(frames.len() >= 1_000, "{}", frames.len());
    for (number, round) in frames.chunks(ROUND).enumerate() {
        for (by, frame) in round {
            let (raw, inbox) = &mut senders[*by];
            raw.publish(inbox, "", "", frame).await;
            sent += frame.len();
            if is_for_later(frame) {
                kept_for_later += frame.len() as u64;
            }
        }
        for (raw, _) in &mut senders {
            let said = raw.fence().await;
            assert!(said.is_empty(), "{said:?}");
        }
        let begun = Instant::now();
        for part in 0..3 {
            a.conversation(b.primary()).send_text(&format!("{number}.{part}")).await.unwrap();
        }
        for part in 0..3 {
            let event = timeout(PROMPTLY, next_of(&b, a.primary())).await.expect("a friend's message in time");
            assert_eq!(text_of(&event), format!("{number}.{part}"));
        }
        assert!(begun.elapsed() < PROMPTLY, "round {number} took {:?}", begun.elapsed());
    }
    assert!(sent > 20 << 20 && kept_for_later > MAX_QUARANTINED_BYTES, "{sent} bytes, {kept_for_later} to keep");

    all_is_acknowledged(&testbed, &b.primary()).await;
    assert_eq!(connection.changed().now_or_never(), None, "the session went on");
    assert_eq!(dead_home.dialled(), 0, "nobody asked the home that a stranger named");
    assert_eq!(fs::read_dir(bob.home().join("blobs")).map_or(0, Iterator::count), 0, "nothing was downloaded");

    // It can be answered, and goes on after a restart.
    b.conversation(a.primary()).send_text("still here").await.unwrap();
    assert_eq!(text_of(&next_of(&a, b.primary()).await), "still here");
    b.shutdown().await;
    what_is_kept(&bob, &attackers);
    let b = bob.open().await;
    a.conversation(b.primary()).send_text("and back").await.unwrap();
    assert_eq!(text_of(&next_of(&b, a.primary()).await), "and back");
    assert_eq!(dead_home.dialled(), 0);
    testbed.shutdown().await.unwrap();
}

/// Makes all frames, each with the number of its sender; the first of those is a contact of Bob's.
fn nonsense(attackers: &[SecretKey], b: &Client, a: &Client, dead_home: &Trap) -> Vec<(usize, Vec<u8>)> {
    let (to, alices) = (b.handle().to_string(), a.handle().to_string());
    let homes = [
        "x@dead.example".to_owned(),
        dead_home.url().replace("nats://127.0.0.1", "x@localhost"),
        alices,
        String::new(),
    ];
    let mut frames = Vec::new();
    let mut random = blake3::Hasher::new().update(b"nonsense").finalize_xof();
    let mut garbage = |length: usize| {
        let mut bytes = vec![0; length];
        random.fill(&mut bytes);
        bytes
    };
    for number in 0..640 {
        let mut bytes = garbage(number * LARGEST_FRAME / 639);
        // Some get past the first checks.
        let start: &[u8] = [&b""[..], b"", b"", b"", b"", b"\x01\x01\0\0\0\0"][number % 6];
        let start = &start[..start.len().min(bytes.len())];
        bytes[..start.len()].copy_from_slice(start);
        frames.push(bytes);
    }

    let key = &attackers[1];
    let seal_for = |key: &SecretKey, reader: PrimaryKey, payload: &[u8]| {
        envelope::seal(key, &Peer::new(key, reader), payload, &rand::random()).unwrap()
    };
    let sound = Fields::new(&homes[0], &to);
    let good = seal_for(key, b.primary(), &sound.write());
    frames.extend((0..good.len()).step_by(7).map(|end| good[..end].to_vec()));
    frames.extend((0..good.len() * 8).step_by(29).map(|bit| {
        let mut wire = good.clone();
        wire[bit / 8] ^= 1 << (bit % 8);
        wire
    }));
    for byte in [0, 2, 3, 127, 255] {
        for place in [0, 1, 2, 5] {
            let mut wire = good.clone();
            wire[place] = byte;
            frames.push(wire);
        }
    }
    frames
        .extend([MIN_WIRE_BYTES - 1, MIN_WIRE_BYTES, MAX_WIRE_BYTES, MAX_WIRE_BYTES + 1].map(|length| vec![1; length]));
    frames.push(seal_for(key, a.primary(), &sound.write()));
    frames.push([good.as_slice(), b"\0"].concat());

    let mut frames: Vec<_> =
        frames.into_iter().enumerate().map(|(number, wire)| (number % attackers.len(), wire)).collect();
    // What opens well and then says something odd comes from a stranger and from a contact.
    for (by, key) in attackers.iter().enumerate().take(2) {
        let mut say = |payload: &[u8]| frames.push((by, seal_for(key, b.primary(), payload)));
        broken(&sound).iter().for_each(|payload| say(payload));
        for (number, from) in (0u8..).zip(&homes) {
            let sound = Fields::new(from, &to);
            for_later(&sound).iter().chain(&odd(&sound)).for_each(|payload| say(payload));
            // The same again, and another under the same name.
            let mut twice = sound;
            twice.id = [number; 16];
            (0..3).for_each(|_| say(&twice.write()));
        }
        let again = frames.last().unwrap().clone();
        frames.extend(vec![again; 5]);
    }
    frames
}

/// Tells whether a later version may read what this one can't, by what is seen from outside.
fn is_for_later(frame: &[u8]) -> bool {
    matches!(frame, [version, suite, ..] if *version != 1 || *suite != 1)
}

/// Waits for the next message from one person; whatever comes from others is handled and left aside.
async fn next_of(client: &Client, from: PrimaryKey) -> Event {
    loop {
        let event = next(client).await;
        match &event {
            Event::Message { from: peer, .. } if peer.primary == from => return event,
            Event::Request { from: peer, .. } => assert_eq!(peer.handle, None, "only their word"),
            _ => {}
        }
    }
}

/// Waits until the broker has nothing left for somebody, and nothing that it waits for.
async fn all_is_acknowledged(testbed: &Testbed, reader: &PrimaryKey) {
    let operator = operator(testbed).await;
    let ask = format!("$JS.API.CONSUMER.INFO.KEZ_INBOX.{}", reader.to_hex());
    let emptied = async {
        loop {
            let answer = operator.request(ask.clone(), "".into()).await.unwrap();
            let info: Value = serde_json::from_slice(&answer.payload).unwrap();
            let count = |name: &str| info[name].as_u64().unwrap_or_else(|| panic!("{info}"));
            if [count("num_ack_pending"), count("num_pending")] == [0, 0] {
                assert_eq!(info["num_redelivered"], 0, "{info}");
                return;
            }
        }
    };
    timeout(PATIENCE, emptied).await.expect("frames stay that nobody has acknowledged");
}

/// Looks at what Bob's database holds of it all.
fn what_is_kept(bob: &Person, attackers: &[SecretKey]) {
    let database = database::open(&bob.home().join("kez.db"), &bob.key());
    let (count, bytes): (u32, u64) = database
        .query_row("SELECT count(*), sum(length(frame)) FROM quarantine", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert!(count > 100 && count <= MAX_QUARANTINED_FRAMES && bytes <= MAX_QUARANTINED_BYTES, "{count}, {bytes} bytes");
    let mut reasons = BTreeMap::<String, u32>::new();
    let mut statement = database.prepare("SELECT reason FROM quarantine").unwrap();
    for reason in statement.query_map([], |row| row.get(0)).unwrap() {
        *reasons.entry(reason.unwrap()).or_default() += 1;
    }
    // The oldest go first, and garbage came first: what names another suite or key came last.
    for reason in ["BadVersion", "UnknownSuite", "UnknownKeyId"] {
        assert!(reasons.remove(reason).is_some_and(|count| count >= 4), "{reason} is missing: {reasons:?}");
    }
    reasons.remove("Unsupported");
    assert!(reasons.is_empty(), "{reasons:?}");
    let misaddressed = "SELECT count(*) FROM messages WHERE misaddressed";
    let misaddressed: u32 = database.query_row(misaddressed, [], |row| row.get(0)).unwrap();
    assert!(misaddressed > 0, "what is to another handle is kept as a message");
    for stranger in &attackers[1..] {
        let waiting: u32 = database
            .query_row("SELECT count(*) FROM messages WHERE author = ?1", [stranger.primary().as_bytes()], |row| {
                row.get(0)
            })
            .unwrap();
        assert!(waiting <= MAX_FROM_STRANGER, "{waiting}");
    }
}
