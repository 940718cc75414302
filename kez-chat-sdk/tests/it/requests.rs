//! Strangers who write, and people who are blocked.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use kez_chat_sdk::{
    Agreement, Client, Event, MessageContent, MessageState, Order, Request, Resolution,
    broker::subject,
    envelope::{self, Peer},
    handle::{Handle, Policy},
    identity::{PrimaryKey, SecretKey},
    payload::{Content, MessageId, Payload},
    sigchain::Install,
};
use kez_testbed::Testbed;
use serde_json::json;

use crate::{
    chains::path,
    dialling::Trap,
    frames::route_of,
    front::{Front, now_ms},
    liar::Liars,
    people::{PATIENCE, Person, handle_at, next, online, text_of, two_friends},
    raw::Raw,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_looked_up_both_ways_and_what_they_wrote_waits_until_they_are_accepted() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_strangers(&testbed).await;
    let mut ids = Vec::new();
    for text in ["do you know me?", "we met at the harbour", "alice"] {
        ids.push(a.conversation(b.primary()).send_text(text).await.unwrap());
    }
    expect_request(&b, a.primary()).await;
    let request = resolved(&b, a.primary()).await;
    assert_eq!(request.resolution, Resolution::Agreed { handle: a.handle().clone() });
    assert_eq!(request.claimed_handle.as_ref(), Some(a.handle()));
    until(async || only_request(&b).await.messages == 3).await;
    let messages = b.requests().messages(a.primary()).await.unwrap();
    let texts: Vec<_> = messages.iter().map(|message| message.content.clone()).collect();
    let text = |text: &str| MessageContent::Text { text: text.into(), edited: false };
    assert_eq!(texts, [text("do you know me?"), text("we met at the harbour"), text("alice")]);
    assert!(!format!("{messages:?}").contains("harbour"), "nothing to be read in a log");
    assert!(b.conversations().list().await.unwrap().is_empty(), "it is no conversation yet");
    for id in &ids {
        assert_eq!(a.wait_until(*id, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);
    }

    let contact = b.requests().accept(a.primary()).await.unwrap();
    assert_eq!((contact.primary, contact.handle.as_ref()), (a.primary(), Some(a.handle())));
    // Nothing of them has rung between the request and this.
    for text in ["do you know me?", "we met at the harbour", "alice"] {
        assert_eq!(text_of(&next(&b).await), text);
    }
    for id in ids {
        assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    }
    assert!(b.requests().list().await.unwrap().is_empty());
    assert_eq!(b.requests().accept(a.primary()).await.unwrap_err().code(), "NoSuchRequest");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_declined_may_ask_again_and_what_was_declined_is_gone() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_strangers(&testbed).await;
    let declined = a.conversation(b.primary()).send_text("let me in").await.unwrap();
    expect_request(&b, a.primary()).await;
    a.wait_until(declined, MessageState::Sent, PATIENCE).await.unwrap();
    b.requests().decline(a.primary()).await.unwrap();
    assert!(b.requests().list().await.unwrap().is_empty());
    assert_eq!(b.requests().decline(a.primary()).await.unwrap_err().code(), "NoSuchRequest");

    // Their client sends it again, as it does for days; that is no new request.
    a.conversation(b.primary()).resend(declined).await.unwrap();
    until(async || a.outbox().await.unwrap().iter().all(|entry| entry.state == MessageState::Sent)).await;
    let second = a.conversation(b.primary()).send_text("please").await.unwrap();
    expect_request(&b, a.primary()).await;
    assert_eq!(only_request(&b).await.messages, 1);
    b.requests().accept(a.primary()).await.unwrap();
    match next(&b).await {
        Event::Message { text, order, .. } => assert_eq!((text.as_str(), order), ("please", Order::InOrder)),
        other => panic!("{other:?}"),
    }
    assert_eq!(a.wait_until(second, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    let state = a.wait_until(declined, MessageState::Sent, Duration::ZERO).await.unwrap();
    assert_eq!(state, MessageState::Sent, "they learn nothing of it");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_claims_what_is_not_theirs_is_shown_as_that() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_strangers(&testbed).await;
    let mallory = Person::new();
    mallory.register(&testbed, "mallory").await.shutdown().await;
    online(&b).await;
    let mut raw = Raw::login(&testbed, &mallory.key()).await;
    let [unknown, nobody] = [11, 12].map(|byte| SecretKey::from_seed([byte; 32]));
    // What is published by one account may be sealed by any key.
    for (key, claimed) in [
        (&mallory.key(), a.handle().clone()),
        (&unknown, a.handle().clone()),
        (&nobody, handle_at(&testbed, "nobody-here")),
    ] {
        let inbox = subject::inbox_publish(&b.primary(), &route_of(&testbed, &mallory.key()));
        raw.publish(&inbox, "", "", &sealed(key, b.primary(), Some(claimed))).await;
        assert!(raw.fence().await.is_empty());
        expect_request(&b, key.primary()).await;
    }
    let mallorys = Some(handle_at(&testbed, "mallory"));
    let found = resolved(&b, mallory.key().primary()).await;
    assert_eq!(found.resolution, Resolution::Differs { handle: mallorys.clone() });
    assert_eq!(resolved(&b, unknown.primary()).await.resolution, Resolution::Differs { handle: None });
    assert_eq!(resolved(&b, nobody.primary()).await.resolution, Resolution::Unknown);

    let refused = b.requests().accept(unknown.primary()).await.unwrap_err();
    assert_eq!(refused.code(), "NotTheirHandle");
    assert_eq!(b.requests().accept(nobody.primary()).await.unwrap_err().code(), "NoChain");
    assert!(b.contacts().list().await.unwrap().is_empty());
    // Who has another handle than they say is accepted under that, and never under the one that they say.
    let contact = b.requests().accept(mallory.key().primary()).await.unwrap();
    assert_eq!(contact.handle, mallorys);
    assert_eq!(b.contacts().add(&a.handle().to_string()).await.unwrap().primary, a.primary());
    testbed.shutdown().await.unwrap();
}

/// A home is asked more than once on the way; what it says first and last has to be the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_changes_its_answer_makes_nobody_else_a_contact() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((_alice, a), (_bob, b)) = two_strangers(&testbed).await;
    let mallory = Person::new();
    let m = mallory.register(&testbed, "mallory").await;
    a.conversation(b.primary()).send_text("it is me").await.unwrap();
    expect_request(&b, a.primary()).await;
    resolved(&b, a.primary()).await;
    let profile = |key: &PrimaryKey| {
        let sigchain_url = format!("{}{}", liars.sig.url(), path(key));
        json!({ "handle": a.handle().to_string(), "primary": key, "sigchain_url": sigchain_url, "endpoints": [] })
    };
    for true_answers in [1, 2] {
        let (truth, lie, asked) = (profile(&a.primary()), profile(&m.primary()), AtomicUsize::new(0));
        liars.home.say("GET /v1/u/alice ".to_owned(), move |_| {
            let is_true = asked.fetch_add(1, Ordering::SeqCst) < true_answers;
            (200, if is_true { truth.clone() } else { lie.clone() })
        });
        match b.requests().accept(a.primary()).await {
            Ok(contact) => assert_eq!(contact.primary, a.primary()),
            Err(error) => assert_eq!((error.code(), true_answers), ("NotTheirKey", 1)),
        }
        assert!(b.contacts().list().await.unwrap().iter().all(|contact| contact.primary == a.primary()));
    }
    assert_eq!(text_of(&next(&b).await), "it is me");
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Only the person's word makes a client fetch anything for a stranger of another home; one of its own home costs two
/// look-ups, however much they write.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_of_another_home_makes_nobody_fetch_anything() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_strangers(&testbed).await;
    let foreign_home = Trap::set().await;
    let home = foreign_home.url().replace("nats://127.0.0.1", "localhost");
    let foreign = SecretKey::from_seed([11; 32]);
    let nameless = SecretKey::from_seed([12; 32]);
    let front = Front::before(&mut testbed, |_, _| ()).await;
    online(&a).await;
    online(&b).await;
    // She may have asked about herself, while the home was about to be there.
    let of_alice = format!("/v1/p/{}", a.primary());
    let by_herself = front.heard(&of_alice);
    let mallory = Person::new();
    mallory.register(&testbed, "mallory").await.shutdown().await;
    let mut raw = Raw::login(&testbed, &mallory.key()).await;
    let inbox = subject::inbox_publish(&b.primary(), &route_of(&testbed, &mallory.key()));
    let claimed = Handle::from_qualified(&format!("stranger@{home}"), Policy::Development).unwrap();
    for (key, claimed) in [(&foreign, Some(claimed)), (&nameless, None)] {
        raw.publish(&inbox, "", "", &sealed(key, b.primary(), claimed)).await;
        assert!(raw.fence().await.is_empty());
        expect_request(&b, key.primary()).await;
    }
    for text in ["one", "two"] {
        let id = a.conversation(b.primary()).send_text(text).await.unwrap();
        a.wait_until(id, MessageState::Sent, PATIENCE).await.unwrap();
    }
    expect_request(&b, a.primary()).await;
    resolved(&b, a.primary()).await;
    a.conversation(b.primary()).send_text("three").await.unwrap();
    until(async || request_of(&b, a.primary()).await.messages == 3).await;
    // Whoever wrote first is looked up first: when it is carol's turn, nobody else's is to come.
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    c.contacts().add("@bob").await.unwrap();
    c.conversation(b.primary()).send_text("hello").await.unwrap();
    expect_request(&b, c.primary()).await;
    let before = front.heard("/v1/u/");
    resolved(&b, c.primary()).await;
    assert_eq!(front.heard(&of_alice) - by_herself, 1);
    assert_eq!(front.heard("/v1/u/") - before, 1);
    for key in [&foreign, &nameless] {
        assert_eq!(front.heard(&format!("/v1/p/{}", key.primary())), 0);
        assert_eq!(request_of(&b, key.primary()).await.resolution, Resolution::Unresolved);
    }
    assert_eq!(foreign_home.dialled(), 0, "nobody asked the home that a stranger named");

    // The person asks.
    let requests = b.requests();
    assert_eq!(requests.resolve(nameless.primary()).await.unwrap(), Resolution::Unknown);
    assert_eq!(front.heard(&format!("/v1/p/{}", nameless.primary())), 1);
    tokio::select! {
        resolution = requests.resolve(foreign.primary()) => assert_eq!(resolution.unwrap_err().code(), "Unreachable"),
        () = foreign_home.until_dialled() => {}
    }
    assert!(foreign_home.dialled() > 0);
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_home_is_down_a_stranger_is_accepted_by_key_and_others_are_looked_up_later() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_strangers(&testbed).await;
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    c.contacts().add("@bob").await.unwrap();
    for client in [&a, &b, &c] {
        online(client).await;
    }
    testbed.stop_chat_server().await;
    let id = a.conversation(b.primary()).send_text("from alice").await.unwrap();
    expect_request(&b, a.primary()).await;
    c.conversation(b.primary()).send_text("from carol").await.unwrap();
    expect_request(&b, c.primary()).await;

    let contact = b.requests().accept(a.primary()).await.unwrap();
    assert_eq!((contact.primary, contact.agreement), (a.primary(), Agreement::OneSided), "only her own chain says so");
    assert_eq!(text_of(&next(&b).await), "from alice");
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    b.conversation(a.primary()).send_text("hello alice").await.unwrap();
    assert_eq!(request_of(&b, c.primary()).await.resolution, Resolution::Unresolved);

    testbed.start_chat_server().await.unwrap();
    let found = resolved(&b, c.primary()).await;
    assert_eq!(found.resolution, Resolution::Agreed { handle: c.handle().clone() });
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_contact_reaches_nobody_and_sees_only_that_it_was_sent() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    c.contacts().add("@bob").await.unwrap();
    b.contacts().add("@carol").await.unwrap();
    a.conversation(b.primary()).send_text("before").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "before");

    b.contacts().block(a.primary()).await.unwrap();
    assert_eq!(b.contacts().block(b.primary()).await.unwrap_err().code(), "Yourself");
    assert!(b.contacts().find("@alice").await.unwrap().blocked);
    let listed = b.contacts().blocked().await.unwrap();
    assert_eq!(listed.iter().map(|blocked| blocked.who.primary).collect::<Vec<_>>(), [a.primary()]);
    let refused = b.conversation(a.primary()).send_text("hello?").await.unwrap_err();
    assert_eq!(refused.code(), "Blocked");
    let dropped = a.conversation(b.primary()).send_text("are you there?").await.unwrap();
    assert_eq!(a.wait_until(dropped, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);
    // What comes after it has come, so it was dropped.
    c.conversation(b.primary()).send_text("from carol").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "from carol", "nothing of the other rings");
    assert_eq!(said(&b, a.primary()).await, ["before"]);
    assert!(b.requests().list().await.unwrap().is_empty());

    b.contacts().unblock(a.primary()).await.unwrap();
    assert!(!b.contacts().find("@alice").await.unwrap().blocked);
    a.conversation(b.primary()).resend(dropped).await.unwrap();
    until(async || a.outbox().await.unwrap().iter().all(|entry| entry.state == MessageState::Sent)).await;
    let after = a.conversation(b.primary()).send_text("after").await.unwrap();
    match next(&b).await {
        Event::Message { text, order, .. } => assert_eq!((text.as_str(), order), ("after", Order::InOrder)),
        other => panic!("{other:?}"),
    }
    assert_eq!(a.wait_until(after, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(a.wait_until(dropped, MessageState::Sent, Duration::ZERO).await.unwrap(), MessageState::Sent);
    assert_eq!(said(&b, a.primary()).await, ["before", "after"]);
    b.conversation(a.primary()).send_text("here I am").await.unwrap();
    loop {
        if let Event::Message { text, .. } = next(&a).await {
            assert_eq!(text, "here I am");
            break;
        }
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_stranger_does_not_ask_again_until_they_are_unblocked() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_strangers(&testbed).await;
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    c.contacts().add("@bob").await.unwrap();
    a.conversation(b.primary()).send_text("let me in").await.unwrap();
    expect_request(&b, a.primary()).await;
    b.requests().block(a.primary()).await.unwrap();
    assert_eq!(b.requests().block(a.primary()).await.unwrap_err().code(), "NoSuchRequest");
    assert!(b.requests().list().await.unwrap().is_empty());
    let dropped = a.conversation(b.primary()).send_text("LET ME IN").await.unwrap();
    assert_eq!(a.wait_until(dropped, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);
    c.conversation(b.primary()).send_text("hello").await.unwrap();
    expect_request(&b, c.primary()).await;
    assert_eq!(only_request(&b).await.from, c.primary());

    // It lasts, also without a session.
    b.shutdown().await;
    let b = bob.open().await;
    assert_eq!(b.contacts().blocked().await.unwrap().len(), 1);
    b.contacts().unblock(a.primary()).await.unwrap();
    a.conversation(b.primary()).send_text("may I come in?").await.unwrap();
    expect_request(&b, a.primary()).await;
    assert_eq!(request_of(&b, a.primary()).await.messages, 1);
    b.requests().accept(a.primary()).await.unwrap();
    assert_eq!(text_of(&next(&b).await), "may I come in?");
    testbed.shutdown().await.unwrap();
}

#[cfg(feature = "files")]
#[tokio::test(flavor = "multi_thread")]
async fn files_are_not_served_to_who_is_blocked() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let source = alice.folder.path().join("notes.txt");
    std::fs::write(&source, b"for friends").unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let Event::FileShared { share_id, .. } = next(&b).await else { panic!("a file was expected") };
    a.contacts().block(b.primary()).await.unwrap();
    assert_eq!(a.files().share(&source, &[b.primary()]).await.unwrap_err().code(), "Blocked");
    let refused = b.files().fetch(share_id, bob.folder.path()).await;
    assert!(matches!(refused, Err(kez_chat_sdk::FilesError::Transfer(_))), "{refused:?}");
    // Nor does a node that starts later.
    a.shutdown().await;
    let a = alice.open().await;
    online(&a).await;
    let refused = b.files().fetch(share_id, bob.folder.path()).await;
    assert!(refused.is_err(), "{refused:?}");
    // It may wait for Alice, and would come now.
    for download in b.files().downloads().await.unwrap() {
        b.files().cancel_download(download.id).await.unwrap();
    }
    a.contacts().unblock(b.primary()).await.unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let Event::FileShared { share_id, .. } = next(&b).await else { panic!("a file was expected") };
    b.files().fetch(share_id, bob.folder.path()).await.unwrap();
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Registers Alice, who has added Bob, and Bob, who does not know her.
async fn two_strangers(testbed: &Testbed) -> ((Person, Client), (Person, Client)) {
    let (alice, bob) = (Person::new(), Person::new());
    let (a, b) = tokio::join!(alice.register(testbed, "alice"), bob.register(testbed, "bob"));
    a.contacts().add("@bob").await.unwrap();
    ((alice, a), (bob, b))
}

/// Seals a text as somebody of that handle would.
fn sealed(key: &SecretKey, to: PrimaryKey, from: Option<Handle>) -> Vec<u8> {
    let payload = Payload {
        id: MessageId(rand::random()),
        install: Install::from_bytes([7; 8]),
        seq: 1,
        sent_at_ms: now_ms(),
        from,
        to: None,
        content: Content::Text("it is me".into()),
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    envelope::seal(key, &Peer::new(key, to), &payload.encode().unwrap(), &rand::random()).unwrap()
}

async fn expect_request(client: &Client, expected: PrimaryKey) {
    match next(client).await {
        Event::Request { from, .. } => assert_eq!(from.primary, expected),
        other => panic!("a request was expected: {other:?}"),
    }
}

async fn only_request(client: &Client) -> Request {
    let mut requests = client.requests().list().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

async fn request_of(client: &Client, from: PrimaryKey) -> Request {
    let requests = client.requests().list().await.unwrap();
    requests.into_iter().find(|request| request.from == from).expect("nothing waits from them")
}

/// Waits until somebody was looked up.
async fn resolved(client: &Client, from: PrimaryKey) -> Request {
    until(async || request_of(client, from).await.resolution != Resolution::Unresolved).await;
    request_of(client, from).await
}

/// Waits for what no event tells of.
async fn until(is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("in time");
}

/// What a conversation shows.
async fn said(client: &Client, peer: PrimaryKey) -> Vec<String> {
    let history = client.conversation(peer).history(None, 100).await.unwrap();
    let texts = history.into_iter().map(|message| match message.content {
        MessageContent::Text { text, .. } => text,
        other => panic!("{other:?}"),
    });
    texts.collect()
}
