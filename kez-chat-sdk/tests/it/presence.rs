//! Who sees whom come and go.

use std::{future::Future, time::Duration};

use async_nats::Subscriber;
use futures::{FutureExt, StreamExt};
use kez_chat_sdk::{
    Availability, ConnectionState, PresenceWatch, SyncOutcome, Visibility,
    broker::subject,
    envelope::{self, Peer},
    identity::{PrimaryKey, SecretKey},
    payload::{Addresses, Content, MessageId, Payload, Presence, PresenceState},
    sigchain::Install,
};
use kez_testbed::Testbed;

use crate::{
    frames::route_of,
    front::{home_with, now_ms},
    operator::operator,
    people::{PATIENCE, Person, next, offline, online, text_of, two_friends},
    raw::{Op, Raw},
    wire::{Mode, Wire},
};

/// Waits until a contact is seen in a state.
pub(crate) async fn seen(watch: &mut PresenceWatch, who: PrimaryKey, wanted: Availability) {
    let wait = async { while watch.changed().await.expect("the client was closed") != (who, wanted) {} };
    in_time(wait).await;
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_see_each_other_come_change_and_go() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let mut watch = a.presence().watch();
    assert_eq!(a.presence().last_seen_ms(SecretKey::from_seed([9; 32]).primary()), None);
    seen(&mut watch, b.primary(), Availability::Online).await;
    for (chosen, shown) in [
        (Visibility::Away, Availability::Away),
        (Visibility::Online, Availability::Online),
        (Visibility::Invisible, Availability::Offline),
        (Visibility::Online, Availability::Online),
    ] {
        b.presence().set(chosen).await.unwrap();
        seen(&mut watch, b.primary(), shown).await;
        assert_eq!((a.presence().of(b.primary()), b.presence().visibility()), (shown, chosen));
    }
    assert!(a.presence().last_seen_ms(b.primary()).unwrap().abs_diff(now_ms()) < 60_000);

    // A connection that is made anew changes nothing of what is known, on either side.
    let mut bobs = b.presence().watch();
    seen(&mut bobs, a.primary(), Availability::Online).await;
    a.reconnect_now();
    a.connection().until(|state| *state == ConnectionState::Connecting).await;
    assert_eq!(a.presence().of(b.primary()), Availability::Online);
    online(&a).await;
    // Bob sees what Alice says after her new connection began to listen.
    a.presence().set(Visibility::Away).await.unwrap();
    assert_eq!(in_time(bobs.changed()).await, Some((a.primary(), Availability::Away)));
    a.presence().set(Visibility::Online).await.unwrap();

    b.suspend().await;
    seen(&mut watch, b.primary(), Availability::Offline).await;
    b.resume();
    seen(&mut watch, b.primary(), Availability::Online).await;
    let to_bob = b.primary();
    b.shutdown().await;
    seen(&mut watch, to_bob, Availability::Offline).await;

    let b = bob.open().await;
    seen(&mut watch, to_bob, Availability::Online).await;
    seen(&mut b.presence().watch(), a.primary(), Availability::Online).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_is_answered_once_and_an_answer_is_not() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let (mut watch, to_bob) = (a.presence().watch(), b.primary());
    seen(&mut watch, to_bob, Availability::Online).await;
    b.shutdown().await;
    seen(&mut watch, to_bob, Availability::Offline).await;
    let mut monitor = Monitor::new(&testbed).await;
    let b = bob.open().await;
    seen(&mut b.presence().watch(), a.primary(), Availability::Online).await;
    seen(&mut watch, to_bob, Availability::Online).await;
    // What Bob says next comes after whatever he would have answered.
    b.presence().set(Visibility::Away).await.unwrap();
    seen(&mut watch, to_bob, Availability::Away).await;
    let frames = monitor.frames().await;
    assert_eq!(count(&frames, b.primary()), 1, "{frames:?}");
    assert_eq!(count(&frames, a.primary()), 2, "as he came, and as he went away: {frames:?}");
    testbed.shutdown().await.unwrap();
}

/// Carol has an account, knows Alice's key and has added her; Alice has not added Carol.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_contacts_learns_who_is_there() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let mut watch = a.presence().watch();
    seen(&mut watch, b.primary(), Availability::Online).await;
    let mut monitor = Monitor::new(&testbed).await;
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    c.contacts().add("@alice").await.unwrap();
    online(&c).await;
    let key = carol.key();
    let mut raw = Raw::login(&testbed, &key).await;
    raw.send(format!("SUB {} 1\r\n", subject::presence_deliver(&key.primary())).as_bytes()).await;
    let to_alice = subject::presence_publish(&a.primary(), &route_of(&testbed, &key));
    for reply in ["", "_INBOX.any", &subject::presence_deliver(&key.primary())] {
        for state in [PresenceState::Online, PresenceState::Away, PresenceState::Off] {
            raw.publish(&to_alice, reply, "", &presence(&key, a.primary(), state, 150)).await;
        }
    }
    raw.fence().await;
    // What Alice says to Bob now comes after any answer that Carol could have had.
    b.presence().set(Visibility::Away).await.unwrap();
    seen(&mut watch, b.primary(), Availability::Away).await;
    a.presence().set(Visibility::Away).await.unwrap();
    seen(&mut b.presence().watch(), a.primary(), Availability::Away).await;

    let frames = monitor.frames().await;
    assert!(count(&frames, a.primary()) > 9 && count(&frames, b.primary()) > 0, "{frames:?}");
    assert_eq!(count(&frames, c.primary()), 0, "{frames:?}");
    // The broker's own acknowledgements, which are the same whoever is there.
    for said in raw.fence().await {
        assert!(
            matches!(&said, Op::Frame(frame) if frame.payload.starts_with(br#"{"stream":"KEZ_PRESENCE""#)),
            "{said:?}"
        );
    }
    assert_eq!(c.presence().of(a.primary()), Availability::Offline);
    assert_eq!(a.presence().of(c.primary()), Availability::Offline, "nor is a stranger anybody whom Alice sees");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_invisible_or_in_the_background_says_nothing_and_answers_nobody() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    a.presence().set(Visibility::Invisible).await.unwrap();
    a.shutdown().await;
    let mut monitor = Monitor::new(&testbed).await;
    let a = alice.open().await;
    assert_eq!(a.presence().visibility(), Visibility::Invisible, "it is kept");
    online(&a).await;
    // Bob, who saw nobody come, comes himself, and is seen.
    b.presence().set(Visibility::Away).await.unwrap();
    seen(&mut a.presence().watch(), b.primary(), Availability::Away).await;
    a.suspend().await;
    a.presence().set(Visibility::Online).await.unwrap();
    let visit = a.sync_once(Duration::from_secs(20)).await.unwrap();
    assert_eq!(visit.outcome, SyncOutcome::Complete);
    let frames = monitor.frames().await;
    assert_eq!(count(&frames, b.primary()), 0, "{frames:?}");
    assert_eq!(b.presence().of(a.primary()), Availability::Offline);
    a.resume();
    seen(&mut b.presence().watch(), a.primary(), Availability::Online).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presence_ends_with_its_time() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let (mut watch, key) = (a.presence().watch(), bob.key());
    seen(&mut watch, key.primary(), Availability::Online).await;
    b.shutdown().await;
    seen(&mut watch, key.primary(), Availability::Offline).await;
    let mut raw = Raw::login(&testbed, &key).await;
    let to_alice = subject::presence_publish(&a.primary(), &route_of(&testbed, &key));
    raw.publish(&to_alice, "", "", &presence(&key, a.primary(), PresenceState::Away, 1)).await;
    seen(&mut watch, key.primary(), Availability::Away).await;
    seen(&mut watch, key.primary(), Availability::Offline).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_becomes_invisible_while_cut_off_is_gone_for_whom_they_had_told() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let wire = Wire::to(&testbed.nats_url()).await;
    let urls = vec![wire.url()];
    let home = home_with(&mut testbed, |settings| settings.nats_public_urls = urls).await;
    let a = alice.open().await;
    let mut watch = b.presence().watch();
    seen(&mut watch, a.primary(), Availability::Online).await;
    wire.set(Mode::Cut);
    a.connection().until(|state| matches!(state, ConnectionState::Offline { .. })).await;
    a.presence().set(Visibility::Invisible).await.unwrap();
    wire.set(Mode::Open);
    a.reconnect_now();
    // Long before it would end by itself.
    seen(&mut watch, a.primary(), Availability::Offline).await;
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Bob was told that Alice is there; when she leaves he is no contact any more.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_contact_any_more_does_not_learn_that_somebody_leaves() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    c.contacts().add("@alice").await.unwrap();
    a.contacts().add("@carol").await.unwrap();
    for friend in [&b, &c] {
        seen(&mut friend.presence().watch(), a.primary(), Availability::Online).await;
    }
    a.contacts().remove(b.primary()).await.unwrap();
    let (mut monitor, mut carols) = (Monitor::new(&testbed).await, c.presence().watch());
    for visibility in [Visibility::Invisible, Visibility::Online] {
        a.presence().set(visibility).await.unwrap();
        let shown = if visibility == Visibility::Online { Availability::Online } else { Availability::Offline };
        seen(&mut carols, a.primary(), shown).await;
    }
    let to_alice = a.primary();
    a.shutdown().await;
    seen(&mut carols, to_alice, Availability::Offline).await;
    let frames = monitor.frames().await;
    assert!(count(&frames, b.primary()) == 0 && count(&frames, c.primary()) >= 3, "{frames:?}");
    testbed.shutdown().await.unwrap();
}

/// Mallory has an account. Whatever she sends, the library that we speak NATS with must hang up on it.
#[tokio::test(flavor = "multi_thread")]
async fn presence_that_ends_connections_is_soon_listened_to_no_more_and_messages_go_on() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let mallory = Person::new();
    mallory.register(&testbed, "mallory").await.shutdown().await;
    let mut raw = Raw::login(&testbed, &mallory.key()).await;
    let own = mallory.key().primary();
    raw.send(format!("SUB {}.> 1\r\n", subject::reply_prefix(&own)).as_bytes()).await;
    let to_alice = subject::presence_publish(&a.primary(), &route_of(&testbed, &mallory.key()));
    let reply = format!("{}.ack", subject::reply_prefix(&own));
    let mut bobs = b.presence().watch();
    for is_last in [false, false, false, true] {
        online(&a).await;
        // What Alice says on a connection comes after she began to listen there, if she did.
        let (chosen, shown) = match a.presence().visibility() {
            Visibility::Away => (Visibility::Online, Availability::Online),
            _ => (Visibility::Away, Availability::Away),
        };
        a.presence().set(chosen).await.unwrap();
        seen(&mut bobs, a.primary(), shown).await;
        let mut connection = a.connection();
        raw.publish(&to_alice, &reply, "NATS/1.0\r\nno colon\r\n", b"x").await;
        // The broker has handed it on.
        raw.frame().await;
        if is_last {
            b.conversation(a.primary()).send_text("still here?").await.unwrap();
            assert_eq!(text_of(&next(&a).await), "still here?");
            assert_eq!(connection.changed().now_or_never(), None, "the connection went on");
        } else {
            offline(&a, "ConnectionLost").await;
        }
    }
    testbed.shutdown().await.unwrap();
}

/// An endpoint has another port after each start: what was offered before is fetched all the same.
#[cfg(feature = "files")]
#[tokio::test(flavor = "multi_thread")]
async fn presence_tells_where_offered_files_are_now() {
    use kez_chat_sdk::Event;

    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let report = alice.folder.path().join("report.txt");
    std::fs::write(&report, "all is well").unwrap();
    a.files().share(&report, &[b.primary()]).await.unwrap();
    let share_id = loop {
        if let Event::FileShared { share_id, .. } = next(&b).await {
            break share_id;
        }
    };
    let mut watch = b.presence().watch();
    seen(&mut watch, a.primary(), Availability::Online).await;
    let to_alice = a.primary();
    a.shutdown().await;
    seen(&mut watch, to_alice, Availability::Offline).await;
    let _a = alice.open().await;
    seen(&mut watch, to_alice, Availability::Online).await;
    let paths = match b.files().fetch(share_id, bob.folder.path()).await {
        Ok(paths) => paths,
        // Her endpoint starts beside her connection, and then it comes by itself.
        Err(error) => {
            assert_eq!(error.code(), "Waiting", "{error}");
            loop {
                if let Event::Downloaded { paths, .. } = next(&b).await {
                    break paths;
                }
            }
        }
    };
    assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), "all is well");
    testbed.shutdown().await.unwrap();
}

fn presence(from: &SecretKey, to: PrimaryKey, state: PresenceState, ttl_s: u64) -> Vec<u8> {
    let presence = Presence { state, ttl_s, is_answer: false, addresses: Addresses::default() };
    let payload = Payload {
        id: MessageId(rand::random()),
        install: Install::from_bytes(rand::random()),
        seq: 0,
        sent_at_ms: now_ms(),
        from: None,
        to: None,
        content: Content::Presence(presence),
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    envelope::seal(from, &Peer::new(from, to), &payload.encode().unwrap(), &rand::random()).unwrap()
}

/// Sees all presence that is sent, as the broker's operator could.
struct Monitor {
    nats: async_nats::Client,
    frames: Subscriber,
}

impl Monitor {
    async fn new(testbed: &Testbed) -> Self {
        let nats = operator(testbed).await;
        let frames = nats.subscribe("kez.presence.*.*").await.unwrap();
        nats.flush().await.unwrap();
        Self { nats, frames }
    }

    /// Returns the subjects of what was sent up to now.
    async fn frames(&mut self) -> Vec<String> {
        self.nats.flush().await.unwrap();
        let mut seen = Vec::new();
        while let Some(Some(frame)) = self.frames.next().now_or_never() {
            seen.push(frame.subject.to_string());
        }
        seen
    }
}

fn count(frames: &[String], to: PrimaryKey) -> usize {
    let prefix = format!("kez.presence.{}.", to.to_hex());
    frames.iter().filter(|subject| subject.starts_with(&prefix)).count()
}
