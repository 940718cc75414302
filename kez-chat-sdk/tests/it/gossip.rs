//! What contacts tell each other of sigchains: who shows two people two histories is found out, and who makes heads up
//! gets nothing by it.

use std::time::Instant;

use kez_chat_sdk::{
    Client, Event, MessageState, Notice, OwnChainNotice, Peer,
    broker::subject,
    envelope,
    handle::Policy,
    identity::{PrimaryKey, SecretKey},
    payload::{Content, MessageId, Payload, SeenHead},
    sigchain::{Chain, Head, Install, Op, Timestamp},
};
use kez_testbed::Testbed;

use crate::{
    chains::{publish, published},
    frames::route_of,
    front::{home_with, now_ms},
    people::{PATIENCE, Person, handle_at, next, online, text_of, two_friends},
    raw::Raw,
    two_faces::TwoFaces,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_shows_two_people_two_histories_is_found_out_on_both_sides() {
    let mut testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::new(), Person::new());
    let b = bob.register(&testbed, "bob").await;
    let name = Op::SetHandle(Some(handle_at(&testbed, "bob")));
    publish(&testbed, &bob.key(), name.clone()).await;
    b.account().sync().await.unwrap();
    let mut other = Chain::new(b.primary(), Policy::Development);
    let shown_to_bob = published(&testbed, &b.primary()).await;
    for event in &shown_to_bob.events()[..3] {
        other.push(event.jws()).unwrap();
    }
    other.sign_next(&bob.key(), name.clone(), &Timestamp::from_unix_ms(1_000)).unwrap();
    let (true_head, false_head) = (shown_to_bob.tip().head().unwrap(), other.tip().head().unwrap());

    let faces = TwoFaces::before(&testbed).await;
    faces.show(&other);
    let home = home_with(&mut testbed, |settings| settings.sig_public_url = Some(faces.url())).await;
    let a = alice.register(&testbed, "alice").await;
    assert_eq!(a.contacts().add("@bob").await.unwrap().head, false_head);
    b.contacts().add("@alice").await.unwrap();

    // Each tells the other what they see, with no hand in it, and what they write arrives.
    a.conversation(b.primary()).send_text("hello").await.unwrap();
    let said_by = Peer { primary: a.primary(), handle: Some(handle_at(&testbed, "alice")) }.into();
    let notice = OwnChainNotice::HeadDisagreement { said_by, seq: 4, said: false_head, known: Some(true_head) };
    let events = until_told(&b, &Event::OwnChain { notice }).await;
    assert_eq!(texts(&events), ["hello"]);
    b.conversation(a.primary()).send_text("hello yourself").await.unwrap();
    let who = Peer { primary: b.primary(), handle: Some(handle_at(&testbed, "bob")) };
    let notice = Notice::HeadDisagreement { seq: 4, said: true_head, known: Some(false_head) };
    let events = until_told(&a, &Event::Contact { who, notice }).await;
    assert_eq!(texts(&events), ["hello yourself"]);
    // It proves nothing, so nothing stops.
    let id = a.conversation(b.primary()).send_text("what does yours end with?").await.unwrap();
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);

    // As soon as she sees an event of the other history, both together prove it, and sending stops.
    faces.show_the_truth();
    publish(&testbed, &bob.key(), name).await;
    b.account().sync().await.unwrap();
    a.shutdown().await;
    let a = alice.open().await;
    let reads = faces.reads(&b.primary());
    b.conversation(a.primary()).send_text("look again").await.unwrap();
    faces.until_read(&b.primary(), reads).await;
    assert_eq!(a.contacts().add("@bob").await.unwrap_err().code(), "Fork");
    assert_eq!(a.conversation(b.primary()).send_text("and now?").await.unwrap_err().code(), "Stopped");
    b.conversation(a.primary()).send_text("receiving goes on").await.unwrap();
    while !matches!(next(&a).await, Event::Message { text, .. } if text == "receiving goes on") {}
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_withholds_events_is_found_out_by_who_is_kept_from_them() {
    let mut testbed = Testbed::start().await.unwrap();
    let faces = TwoFaces::before(&testbed).await;
    let bob = Person::new();
    let b = bob.register(&testbed, "bob").await;
    faces.show(&published(&testbed, &b.primary()).await);
    let home = home_with(&mut testbed, |settings| settings.sig_public_url = Some(faces.url())).await;
    let alice = Person::new();
    let a = alice.register(&testbed, "alice").await;
    a.contacts().add("@bob").await.unwrap();
    b.contacts().add("@alice").await.unwrap();
    publish(&testbed, &bob.key(), Op::SetHandle(Some(handle_at(&testbed, "bob")))).await;
    b.account().sync().await.unwrap();
    let said = b.account().head().await.unwrap();
    b.conversation(a.primary()).send_text("I have published something").await.unwrap();
    let who = Peer { primary: b.primary(), handle: Some(handle_at(&testbed, "bob")) };
    let notice = Notice::HeadDisagreement { seq: 4, said, known: None };
    let events = until_told(&a, &Event::Contact { who, notice }).await;
    assert_eq!(texts(&events), ["I have published something"]);
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_heads_up_delays_nothing_and_has_chains_fetched_once_a_minute() {
    let mut testbed = Testbed::start().await.unwrap();
    let faces = TwoFaces::before(&testbed).await;
    let home = home_with(&mut testbed, |settings| settings.sig_public_url = Some(faces.url())).await;
    let alice = Person::new();
    let a = alice.register(&testbed, "alice").await;
    let mut mallory = Liar::add(&testbed, "mallory", &a).await;
    let mut others = [Liar::add(&testbed, "carol", &a).await, Liar::add(&testbed, "dave", &a).await];
    online(&a).await;
    let chains = [a.primary(), mallory.key.primary()];
    let (reads, begun) = (chains.map(|owner| faces.reads(&owner)), Instant::now());
    let mut told = 0;
    for number in 1..=40 {
        mallory.lie().await;
        while !matches!(next(&a).await, Event::Message { text, .. } if text == number.to_string()) {
            told += 1;
        }
        // The lies of the first message are looked into; a later one that came meanwhile would take their place.
        while number == 1 && told < 2 {
            assert!(matches!(next(&a).await, Event::Contact { .. } | Event::OwnChain { .. }));
            told += 1;
        }
    }
    // What others say is looked into all the same, and with it whatever else waits.
    for other in &mut others {
        other.lie().await;
        let theirs = |event: &Event| matches!(event, Event::Contact { who, .. } if who.primary == other.key.primary());
        while !theirs(&next(&a).await) {}
    }
    assert!((2..=3).contains(&told), "{told} of 80 lies were told of");
    let minutes = usize::try_from(begun.elapsed().as_secs() / 60).unwrap();
    for (owner, before) in chains.iter().zip(reads) {
        let read = faces.reads(owner) - before;
        assert!((1..=1 + minutes).contains(&read), "{read} in {minutes} minutes");
    }
    assert!(a.contacts().find("@mallory").await.unwrap().trouble.is_none());
    a.conversation(chains[1]).send_text("you still hear me").await.unwrap();
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// A contact who makes up heads.
struct Liar {
    key: SecretKey,
    raw: Raw,
    to: PrimaryKey,
    inbox: String,
    sent: u8,
}

impl Liar {
    /// Registers somebody, whom `to` adds.
    async fn add(testbed: &Testbed, name: &str, to: &Client) -> Self {
        let person = Person::new();
        person.register(testbed, name).await.shutdown().await;
        to.contacts().add(name).await.unwrap();
        let (key, to) = (person.key(), to.primary());
        let inbox = subject::inbox_publish(&to, &route_of(testbed, &key));
        Self { raw: Raw::login(testbed, &key).await, key, to, inbox, sent: 0 }
    }

    /// Sends a message that names two heads that nobody ever saw, and whose text is its number.
    async fn lie(&mut self) {
        self.sent += 1;
        let made_up = |seq| Some(SeenHead { seq, head: Head::from_bytes([self.sent; 32]) });
        let payload = Payload {
            id: MessageId(rand::random()),
            install: Install::from_bytes([7; 8]),
            seq: self.sent.into(),
            sent_at_ms: now_ms(),
            from: None,
            to: None,
            content: Content::Text(self.sent.to_string()),
            own_head: made_up(2),
            peer_head: made_up(1_000_000),
            reply_to: None,
        };
        let to = envelope::Peer::new(&self.key, self.to);
        let wire = envelope::seal(&self.key, &to, &payload.encode().unwrap(), &rand::random()).unwrap();
        self.raw.publish(&self.inbox, "", "", &wire).await;
    }
}

/// The server came back from an old backup before the words were typed, and the home had seen nothing of what it lost. What
/// was signed since is a fork, and whoever saw the other history says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_on_an_old_history_is_found_out_by_the_first_contact_who_saw_more() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let key = a.primary();
    a.shutdown().await;
    testbed.stop_sig_server().await;
    let (database, old) = (testbed.folder().join("sigchains.db"), testbed.folder().join("old.db"));
    std::fs::copy(&database, &old).unwrap();
    testbed.start_sig_server().await.unwrap();
    for _ in 0..2 {
        publish(&testbed, &alice.key(), Op::SetHandle(Some(handle_at(&testbed, "alice")))).await;
    }
    let seen = b.contacts().add("@alice").await.unwrap();
    assert_eq!(seen.events_walked, 5);
    let id = b.conversation(key).send_text("sent before").await.unwrap();
    assert!(b.wait_until(id, MessageState::Sent, PATIENCE).await.unwrap() >= MessageState::Sent);
    testbed.stop_sig_server().await;
    std::fs::copy(&old, &database).unwrap();
    testbed.start_sig_server().await.unwrap();

    let device = Person::new();
    device.recover(&testbed, &alice).await.expect("nothing shows yet that the history is old");
    let a = device.open().await;
    let now = published(&testbed, &key).await;
    assert_eq!(now.tip().head(), Some(a.account().head().await.unwrap()));
    a.contacts().add("@bob").await.unwrap();
    let said_by = Peer { primary: b.primary(), handle: Some(handle_at(&testbed, "bob")) }.into();
    let known = now.at(5).map(|event| event.head());
    let notice = OwnChainNotice::HeadDisagreement { said_by, seq: 5, said: seen.head, known };
    let events = until_told(&a, &Event::OwnChain { notice }).await;
    assert_eq!(texts(&events), ["sent before"]);

    // For him it is proved.
    a.conversation(b.primary()).send_text("on a new device").await.unwrap();
    while !matches!(next(&b).await, Event::Message { text, .. } if text == "on a new device") {}
    assert_eq!(b.contacts().add("@alice").await.unwrap_err().code(), "Fork");
    testbed.shutdown().await.unwrap();
}

/// Takes events until this one comes, and returns those before it.
async fn until_told(client: &Client, wanted: &Event) -> Vec<Event> {
    let mut before = Vec::new();
    loop {
        match next(client).await {
            event if event == *wanted => return before,
            event => before.push(event),
        }
    }
}

fn texts(events: &[Event]) -> Vec<&str> {
    let messages = events.iter().filter(|event| matches!(event, Event::Message { .. }));
    messages.map(text_of).collect()
}
