//! Homes that lie about keys and handles, and what the person's word does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kez_chat_sdk::{
    Agreement, Client, Clock, ContactError, Event, MessageState, Notice, Trouble, identity::PrimaryKey,
    payload::MessageId, sigchain::Op,
};
use kez_testbed::Testbed;
use serde_json::json;

use crate::{
    chains::publish,
    liar::Liars,
    people::{PATIENCE, Person, handle_at, next, online, text_of, two_friends},
};

/// Waits for the next event, which is about a contact.
pub(crate) async fn notice(client: &Client) -> (PrimaryKey, Notice) {
    match next(client).await {
        Event::Contact { who, notice } => (who.primary, notice),
        other => panic!("{other:?}"),
    }
}

/// Checks that the application hears of nothing that came before a message.
pub(crate) async fn nothing_more(client: &Client, friend: &Client) {
    friend.conversation(client.primary()).send_text("and nothing more").await.unwrap();
    assert_eq!(text_of(&next(client).await), "and nothing more");
}

/// Writes to somebody while the client is suspended, so that it waits.
pub(crate) async fn write_offline(client: &Client, to: &PrimaryKey, text: &str) -> MessageId {
    client.suspend().await;
    client.conversation(*to).send_text(text).await.unwrap()
}

pub(crate) async fn is_stopped(client: &Client, peer: &PrimaryKey, id: MessageId) {
    assert_eq!(client.conversation(*peer).send_text("more").await.unwrap_err().code(), "Stopped");
    let waiting = client.outbox().await.unwrap();
    assert!(waiting.iter().any(|entry| entry.id == id && entry.state == MessageState::Queued), "{waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_for_a_handle_stops_sending_until_the_person_names_the_right_one() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let mallory = Person::new();
    let m = mallory.register(&testbed, "mallory").await;
    let (contacts, bob) = (a.contacts(), b.primary());
    assert!(contacts.set_verified(bob, true).await.unwrap().verified);
    let id = write_offline(&a, &bob, "for bob only").await;

    liars.give_key("bob", &testbed, &m.primary());
    for _ in 0..2 {
        let fault = contacts.refresh(bob).await.unwrap_err();
        assert!(matches!(&fault, ContactError::KeyChanged { found, .. } if **found == m.primary()), "{fault:?}");
    }
    let contact = contacts.find("@bob").await.unwrap();
    assert_eq!((contact.primary, contact.verified), (bob, false));
    assert_eq!(contact.trouble, Some(Trouble::KeyChanged { found: m.primary() }));
    assert_eq!(contacts.set_verified(bob, true).await.unwrap_err().code(), "InTrouble");
    a.resume();
    online(&a).await;
    is_stopped(&a, &bob, id).await;
    assert_eq!(notice(&a).await, (bob, Notice::Stopped { trouble: Trouble::KeyChanged { found: m.primary() } }));
    nothing_more(&a, &b).await;

    // The truth alone ends nothing, and a key that the home does not give now can't be accepted.
    liars.home.tell_the_truth();
    assert!(contacts.refresh(bob).await.unwrap().trouble.is_some());
    is_stopped(&a, &bob, id).await;
    assert_eq!(contacts.accept_new_key("@bob", &m.primary()).await.unwrap_err().code(), "NotTheirKey");
    is_stopped(&a, &bob, id).await;
    let contact = contacts.accept_new_key("@bob", &bob).await.unwrap();
    assert_eq!((contact.primary, contact.trouble), (bob, None));
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(notice(&a).await, (bob, Notice::SoundAgain));
    assert!(!contact.verified, "the mark is gone for good");
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// The home gives mallory's key for bob's handle from the beginning. Her chain names her own handle.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_somebody_else_is_shown_and_not_written_to() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let (alice, bob, mallory) = (Person::new(), Person::new(), Person::new());
    let (a, b) = tokio::join!(alice.register(&testbed, "alice"), bob.register(&testbed, "bob"));
    let m = mallory.register(&testbed, "mallory").await;
    b.contacts().add("@alice").await.unwrap();
    let contacts = a.contacts();
    liars.give_key("bob", &testbed, &m.primary());
    let contact = contacts.add("@bob").await.unwrap();
    assert_eq!((contact.primary, contact.agreement, contact.accepted), (m.primary(), Agreement::OneSided, false));
    assert_eq!((contact.handle, contact.chain_handle), (Some(b.handle().clone()), Some(m.handle().clone())));
    let refused = a.conversation(m.primary()).send_text("for bob only").await.unwrap_err();
    assert_eq!(refused.code(), "OneSided");
    // A look does not make them somebody who can be written to.
    assert_eq!(contacts.refresh(m.primary()).await.unwrap().agreement, Agreement::OneSided);

    liars.home.tell_the_truth();
    assert_eq!(contacts.refresh(m.primary()).await.unwrap_err().code(), "KeyChanged");
    assert_eq!(
        notice(&a).await,
        (m.primary(), Notice::Stopped { trouble: Trouble::KeyChanged { found: b.primary() } })
    );
    let contact = contacts.accept_new_key("@bob", &b.primary()).await.unwrap();
    assert_eq!((contact.primary, contact.agreement), (b.primary(), Agreement::Agreed));
    let (from, agreement) = (Some(b.handle().clone()), Agreement::OneSided);
    assert_eq!(notice(&a).await, (m.primary(), Notice::HandleChanged { from, to: None, agreement }));
    a.conversation(b.primary()).send_text("for bob only").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "for bob only");

    let before = contacts.find(&m.primary().to_string()).await.unwrap();
    assert_eq!((&before.handle, &before.trouble), (&None, &Some(Trouble::KeyChanged { found: b.primary() })));
    // Not even the person's word for the handle lifts that.
    contacts.accept_one_sided(m.primary()).await.unwrap();
    assert_eq!(a.conversation(m.primary()).send_text("hello?").await.unwrap_err().code(), "Stopped");
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_sided_handle_is_written_to_after_the_persons_word() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::new(), Person::new());
    let (a, b) = tokio::join!(alice.register(&testbed, "alice"), bob.register(&testbed, "bob"));
    publish(&testbed, &bob.key(), Op::SetHandle(None)).await;
    let contact = a.contacts().add("@bob").await.unwrap();
    assert_eq!((contact.agreement, contact.chain_handle), (Agreement::OneSided, None));
    let refused = a.conversation(b.primary()).send_text("hello").await.unwrap_err();
    assert_eq!(refused.code(), "OneSided");
    assert!(a.contacts().accept_one_sided(b.primary()).await.unwrap().accepted);
    a.conversation(b.primary()).send_text("hello").await.unwrap();
    b.contacts().add("@alice").await.unwrap();
    assert_eq!(text_of(&loop_to_message(&b).await), "hello");
    let stranger = Person::new().register(&testbed, "carol").await.primary();
    assert_eq!(a.contacts().accept_one_sided(stranger).await.unwrap_err().code(), "NotAContact");
    testbed.shutdown().await.unwrap();
}

/// Skips requests of strangers.
async fn loop_to_message(client: &Client) -> Event {
    loop {
        match next(client).await {
            Event::Request { .. } => {}
            event => return event,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_followed_to_another_handle_and_takes_nobodys() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    a.shutdown().await;
    let minutes = Arc::new(AtomicU64::new(0));
    let a = alice.builder().clock(later(&minutes)).open().await.unwrap();
    online(&a).await;
    let c = Person::new().register(&testbed, "carol").await;
    let contacts = a.contacts();
    contacts.add("@carol").await.unwrap();
    let (before, after) = (b.handle().clone(), handle_at(&testbed, "bobby"));

    // Only his chain says so at first.
    publish(&testbed, &bob.key(), Op::SetHandle(Some(after.clone()))).await;
    let contact = contacts.refresh(b.primary()).await.unwrap();
    assert_eq!((contact.handle.as_ref(), contact.agreement), (Some(&after), Agreement::OneSided));
    let changed = |from: Option<&_>, agreement| {
        (b.primary(), Notice::HandleChanged { from: from.cloned(), to: Some(after.clone()), agreement })
    };
    assert_eq!(notice(&a).await, changed(Some(&before), Agreement::OneSided));
    assert_eq!(a.conversation(b.primary()).send_text("bobby?").await.unwrap_err().code(), "OneSided");
    liars.give_key("bobby", &testbed, &b.primary());
    assert_eq!(contacts.refresh(b.primary()).await.unwrap().agreement, Agreement::Agreed);
    assert_eq!(notice(&a).await, changed(Some(&after), Agreement::Agreed));
    for name in ["bobby", "bob"] {
        assert_eq!(contacts.find(name).await.unwrap().primary, b.primary(), "{name}");
    }

    // Whose handle is known stays who they are, whatever another chain says, and with a home that says the same.
    publish(&testbed, &bob.key(), Op::SetHandle(Some(c.handle().clone()))).await;
    liars.give_key("carol", &testbed, &b.primary());
    let contact = contacts.refresh(b.primary()).await.unwrap();
    assert_eq!((contact.handle.as_ref(), contact.agreement), (Some(&after), Agreement::OneSided));
    assert_eq!(notice(&a).await, changed(Some(&after), Agreement::OneSided));
    assert_eq!(contacts.find("@carol").await.unwrap().primary, c.primary());
    // For that reason she is looked at, a minute after the last time, and sending to her stops.
    minutes.store(2, Ordering::SeqCst);
    nothing_more(&a, &b).await;
    assert_eq!(
        notice(&a).await,
        (c.primary(), Notice::Stopped { trouble: Trouble::KeyChanged { found: b.primary() } })
    );
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// A clock that is so many minutes ahead.
fn later(minutes: &Arc<AtomicU64>) -> Clock {
    let minutes = Arc::clone(minutes);
    Clock::from_fn(move || Clock::system().now_ms() + minutes.load(Ordering::SeqCst) * 60_000)
}

/// Nobody asks for it: a day passes.
#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_looked_at_by_themselves_once_a_day() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    a.shutdown().await;
    let minutes = Arc::new(AtomicU64::new(0));
    let a = alice.builder().clock(later(&minutes)).open().await.unwrap();
    online(&a).await;
    let look_up = "GET /v1/u/bob ";
    let before = liars.home.seen(look_up).len();
    publish(&testbed, &bob.key(), Op::SetHandle(None)).await;
    let id = b.conversation(a.primary()).send_text("a nice day").await.unwrap();
    // With its receipt nothing is left to be sent: the broker would not take it on another day.
    assert_eq!(b.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(text_of(&next(&a).await), "a nice day");
    assert_eq!(liars.home.seen(look_up).len(), before, "the last look was today");
    minutes.store(27 * 60, Ordering::SeqCst);
    // Whatever is kept has it looked who is due.
    a.contacts().set_nickname(b.primary(), Some("my brother")).await.unwrap();
    liars.home.until_seen(look_up, before + 1).await;
    let handle = Some(b.handle().clone());
    let agreement = Agreement::OneSided;
    assert_eq!(notice(&a).await, (b.primary(), Notice::HandleChanged { from: handle.clone(), to: handle, agreement }));
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_does_not_answer_or_knows_nobody_changes_no_key() {
    let mut testbed = Testbed::start().await.unwrap();
    let liars = Liars::before(&mut testbed).await;
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    for (status, agreement) in [(503, Agreement::Agreed), (404, Agreement::OneSided), (410, Agreement::OneSided)] {
        liars.home.say("GET /v1/u/bob ".into(), move |_| (status, json!({})));
        let contact = a.contacts().refresh(b.primary()).await.unwrap();
        assert_eq!((contact.primary, contact.agreement, contact.trouble), (b.primary(), agreement, None), "{status}");
    }
    let handle = Some(b.handle().clone());
    let changed =
        |agreement| (b.primary(), Notice::HandleChanged { from: handle.clone(), to: handle.clone(), agreement });
    assert_eq!(notice(&a).await, changed(Agreement::OneSided));
    liars.home.tell_the_truth();
    a.contacts().refresh(b.primary()).await.unwrap();
    assert_eq!(notice(&a).await, changed(Agreement::Agreed));
    nothing_more(&a, &b).await;
    liars.shutdown().await;
    testbed.shutdown().await.unwrap();
}
