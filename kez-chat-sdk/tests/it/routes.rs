//! The sender's route: denied, mended, and changed at midnight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{
    Client as Nats,
    jetstream::{self, consumer::push},
};
use futures::{FutureExt, StreamExt};
use kez_chat_sdk::{
    Client, Event, MessageState, OfflineCause,
    broker::{Day, Route, subject},
    identity::{PrimaryKey, SecretKey},
};
use kez_testbed::Testbed;
use serde_json::Value;

use crate::{
    callout::{Callout, through},
    front::{Front, now_ms},
    operator::operator,
    people::{PATIENCE, Person, next, offline, online, text_of, two_friends},
};

const DAY_MS: u64 = 86_400_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_route_is_denied_and_mended_by_what_the_home_says_next() {
    // Two days off is a day that no login lives through.
    let other_day = |info: &mut Value| info["now_ms"] = (info["now_ms"].as_u64().unwrap() - 2 * DAY_MS).into();
    let other_key = |info: &mut Value| {
        info["server_keys"] = Value::from(vec![SecretKey::from_seed([9; 32]).primary().to_string()]);
    };
    for lie in [other_day as fn(&mut Value), other_key] {
        let mut testbed = Testbed::start().await.unwrap();
        let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
        online(&b).await;
        a.shutdown().await;
        let front = Front::before(&mut testbed, move |number, info| {
            if number == 1 {
                lie(info);
            }
        })
        .await;

        let a = alice.open().await;
        let conversation = a.conversation(b.primary());
        let id = conversation.send_text("under a wrong route").await.unwrap();
        conversation.send_text("and another").await.unwrap();
        assert_eq!(text_of(&next(&b).await), "under a wrong route");
        assert_eq!(text_of(&next(&b).await), "and another");
        assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
        assert_eq!(denied_publishes(&testbed, "kez.inbox."), 1, "the attempt failed once, for all that waited");
        assert_eq!(front.asked(), 2, "the home was asked again once");
        front.shutdown().await;
        testbed.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_goes_on_denying_messages_still_come_in() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let lying = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&lying);
    let front = Front::before(&mut testbed, move |_, info| {
        if still.load(Ordering::SeqCst) {
            info["now_ms"] = (info["now_ms"].as_u64().unwrap() - 2 * DAY_MS).into();
        }
    })
    .await;
    let begun = Instant::now();
    let a = alice.open().await;
    let id = a.conversation(b.primary()).send_text("at last").await.unwrap();
    // It was denied, mended in vain, and denied again.
    front.until_asked(3).await;
    b.conversation(a.primary()).send_text("are you there?").await.unwrap();
    assert_eq!(text_of(&next(&a).await), "are you there?");
    assert_eq!(a.wait_until(id, MessageState::Sent, Duration::ZERO).await.unwrap(), MessageState::Queued);
    assert!(denied_publishes(&testbed, "kez.inbox.") <= front.asked(), "one attempt in each session");

    lying.store(false, Ordering::SeqCst);
    assert_eq!(text_of(&next(&b).await), "at last");
    // However fast the machine is: sending rested for two seconds, then for four.
    assert!(begun.elapsed() >= Duration::from_secs(6), "a hot loop: {:?}", begun.elapsed());
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_acknowledgement_ends_nothing_and_brings_the_message_again() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let to_bob = b.primary();
    b.shutdown().await;
    let front = Front::instead(&mut testbed, |_, _| ()).await;
    let acks_denied = Arc::new(AtomicBool::new(true));
    let (denied, server) = (Arc::clone(&acks_denied), server_key(&testbed));
    let _callout = Callout::answer(&testbed, move |user| {
        let mut granted = through(&today(), &server, user);
        if denied.load(Ordering::SeqCst) {
            granted.publish.retain(|subject| !subject.starts_with("$JS.ACK."));
        }
        granted
    })
    .await;
    let operator = operator(&testbed).await;
    come_again_soon(&operator, &to_bob).await;
    let mut acks = operator.subscribe(format!("$JS.ACK.KEZ_INBOX.{}.>", to_bob.to_hex())).await.unwrap();
    operator.flush().await.unwrap();

    let b = bob.open().await;
    online(&b).await;
    let mut connection = b.connection();
    // While acknowledgements are denied, messages of Bob's own are under way; they are not taken for denied.
    let written: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    for text in &written {
        a.conversation(to_bob).send_text(text).await.unwrap();
        b.conversation(a.primary()).send_text(text).await.unwrap();
    }
    let (alice_read, bob_read) = tokio::join!(texts(&a, 30), texts(&b, 30));
    assert_eq!((&alice_read, &bob_read), (&written, &written));
    assert!(denied_publishes(&testbed, "$JS.ACK.") > 0);
    assert_eq!(connection.changed().now_or_never(), None, "the session goes on");
    assert_eq!(front.asked(), 1);
    b.shutdown().await;

    // All are still with the broker. They come again, are known, and are acknowledged now.
    acks_denied.store(false, Ordering::SeqCst);
    let b = bob.open().await;
    for _ in &written {
        assert_eq!(tokio::time::timeout(PATIENCE, acks.next()).await.unwrap().unwrap().payload, "+ACK");
    }
    a.conversation(to_bob).send_text("the last").await.unwrap();
    assert_eq!(texts(&b, 1).await, ["the last"], "nothing is shown twice");
    drop(front);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_subscription_ends_the_session_and_says_so() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let to_bob = b.primary();
    b.shutdown().await;
    let _front = Front::instead(&mut testbed, |_, _| ()).await;
    let deaf = Arc::new(AtomicBool::new(true));
    let (denied, server) = (Arc::clone(&deaf), server_key(&testbed));
    let _callout = Callout::answer(&testbed, move |user| {
        let mut granted = through(&today(), &server, user);
        if denied.load(Ordering::SeqCst) {
            granted.subscribe.retain(|allowed| *allowed != subject::deliver(user));
        }
        granted
    })
    .await;
    let b = bob.open().await;
    let cause = offline(&b, "SubscriptionDenied").await;
    assert_eq!(cause, OfflineCause::SubscriptionDenied { subject: subject::deliver(&to_bob) });
    a.conversation(to_bob).send_text("can you hear me?").await.unwrap();
    deaf.store(false, Ordering::SeqCst);
    assert_eq!(text_of(&next(&b).await), "can you hear me?");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_homes_clock_counts_however_far_it_is_from_ours() {
    // Sixty hours ago is never today or yesterday, and its day's end is not either.
    let off_by_ms = -60 * 3_600_000;
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let front = Front::instead(&mut testbed, move |_, info| info["now_ms"] = off_by(off_by_ms).into()).await;
    let server = server_key(&testbed);
    let _callout = Callout::answer(&testbed, move |user| {
        let day = Day::from_unix_ms(off_by(off_by_ms));
        through(&[day, day.next()], &server, user)
    })
    .await;
    let a = alice.open().await;
    online(&a).await;
    let before = off_by(off_by_ms);
    a.conversation(b.primary()).send_text("what time is it?").await.unwrap();
    match next(&b).await {
        // Half of what the home took to answer is not known.
        Event::Message { sent_at_ms, .. } => assert!(sent_at_ms.abs_diff(before) < 60_000, "{sent_at_ms} {before}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((denied_publishes(&testbed, "kez.inbox."), front.asked()), (0, 1), "nothing had to be mended");
    drop(front);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_through_midnight_and_goes_on_under_the_next_days_route() {
    let (renewals, denials) = through_midnight(|today| vec![today, today.next()]).await;
    assert_eq!((renewals, denials), (0, 0), "the login covers both days");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_ends_at_midnight_is_renewed_without_hands() {
    let (renewals, denials) = through_midnight(|today| vec![today]).await;
    assert_eq!((renewals, denials), (1, 1));
}

/// Sends messages from shortly before midnight by the home's clock, which is days away from ours, until one goes under
/// the next day's route. `granted` tells the days that a login is for. Returns how many more sessions that took, and how many
/// messages were denied.
async fn through_midnight(granted: fn(Day) -> Vec<Day>) -> (usize, usize) {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let clock = Arc::new(AtomicI64::new(0));
    let (info_clock, login_clock) = (Arc::clone(&clock), Arc::clone(&clock));
    let front = Front::instead(&mut testbed, move |_, info| {
        info["now_ms"] = off_by(info_clock.load(Ordering::SeqCst)).into();
    })
    .await;
    let server = server_key(&testbed);
    let _callout = Callout::answer(&testbed, move |user| {
        through(&granted(Day::from_unix_ms(off_by(login_clock.load(Ordering::SeqCst)))), &server, user)
    })
    .await;
    let operator = operator(&testbed).await;
    let mut frames = operator.subscribe(subject::inbox_filter(&b.primary())).await.unwrap();
    operator.flush().await.unwrap();

    let midnight = (now_ms() / DAY_MS - 10) * DAY_MS;
    let subjects = [midnight - 1, midnight].map(|at| subject_at(&testbed, &alice, &b, at));
    // A machine that is too slow for the first gets more time before midnight.
    for seconds_before in [3, 20, 120] {
        let start = midnight - seconds_before * 1000;
        clock.store(start.cast_signed() - now_ms().cast_signed(), Ordering::SeqCst);
        let a = alice.open().await;
        online(&a).await;
        let (asked, denied) = (front.asked(), denied_publishes(&testbed, "kez.inbox."));
        let (mut sent, mut was_before) = (0, false);
        let is_through = loop {
            let id = a.conversation(b.primary()).send_text(&format!("{seconds_before}/{sent}")).await.unwrap();
            let reached = a.wait_until(id, MessageState::Sent, PATIENCE).await.unwrap();
            assert!(reached >= MessageState::Sent, "message {sent} is stuck");
            assert_eq!(text_of(&next(&b).await), format!("{seconds_before}/{sent}"));
            sent += 1;
            let frame = tokio::time::timeout(PATIENCE, frames.next()).await.unwrap().unwrap();
            match subjects.iter().position(|subject| *subject == frame.subject.as_str()) {
                Some(0) => was_before = true,
                Some(_) => break was_before,
                None => panic!("another day's route: {}", frame.subject),
            }
        };
        let (renewals, denials) = (front.asked() - asked, denied_publishes(&testbed, "kez.inbox.") - denied);
        a.shutdown().await;
        if is_through {
            drop(front);
            testbed.shutdown().await.unwrap();
            return (renewals, denials);
        }
    }
    panic!("no message was sent before midnight");
}

/// Waits for the next messages; what else happens meanwhile is of no interest.
async fn texts(client: &Client, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        if let Event::Message { text, .. } = next(client).await {
            texts.push(text);
        }
    }
    texts
}

fn off_by(offset_ms: i64) -> u64 {
    now_ms().checked_add_signed(offset_ms).unwrap()
}

/// The days that a login of this test lives through, whenever it runs.
fn today() -> [Day; 2] {
    let today = Day::from_unix_ms(now_ms());
    [today, today.next()]
}

fn server_key(testbed: &Testbed) -> SecretKey {
    testbed.secret().server_keys().remove(0)
}

fn subject_at(testbed: &Testbed, from: &Person, to: &Client, at_ms: u64) -> String {
    let (server, sender) = (server_key(testbed), from.key().primary());
    let route = Route::derive(&server.agree(&sender), Day::from_unix_ms(at_ms), &sender, &server.primary());
    subject::inbox_publish(&to.primary(), &route)
}

/// Tells how many publishes the broker has denied since it started, by its log.
/// Counts what the broker denied under subjects that begin so.
fn denied_publishes(testbed: &Testbed, prefix: &str) -> usize {
    let log = std::fs::read_to_string(testbed.folder().join("nats/nats.log")).unwrap();
    log.lines().filter(|line| line.contains("Publish Violation") && line.contains(&format!("\"{prefix}"))).count()
}

/// Lets what is not acknowledged come again after a second instead of thirty.
async fn come_again_soon(operator: &Nats, reader: &PrimaryKey) {
    let stream = jetstream::new(operator.clone()).get_stream(subject::INBOX_STREAM).await.unwrap();
    let consumer: jetstream::consumer::Consumer<push::Config> = stream.get_consumer(&reader.to_hex()).await.unwrap();
    let mut config = consumer.cached_info().config.clone();
    config.ack_wait = Duration::from_secs(1);
    let _: jetstream::consumer::Consumer<jetstream::consumer::Config> = stream.update_consumer(config).await.unwrap();
}
