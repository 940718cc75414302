//! Messages between two people.

use std::time::Duration;

use kez_chat_sdk::{Agreement, Event, MessageState, SendError, identity::SecretKey};
use kez_testbed::Testbed;

use crate::people::{PATIENCE, Person, next, online, pending, text_of, two_friends};

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_with_the_walked_sigchain_and_receipts() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let contact = a.contacts().find("bob").await.unwrap();
    assert_eq!(contact.primary, b.primary());
    assert_eq!(contact.agreement, Agreement::Agreed);
    assert_eq!(contact.events_walked, 3, "nats endpoint, iroh endpoint, handle");
    assert_eq!(contact.broker_url.as_deref(), Some(testbed.nats_url().as_str()));

    let id = a.conversation(b.primary()).send_text("hello bob").await.unwrap();
    let event = next(&b).await;
    assert_eq!(text_of(&event), "hello bob");
    assert!(matches!(&event, Event::Message { from, .. } if from.primary == a.primary()));
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert!(matches!(next(&a).await, Event::MessageState { id: of, state: MessageState::Delivered, .. } if of == id));

    b.conversation(a.primary()).send_text("hello alice").await.unwrap();
    assert_eq!(text_of(&next(&a).await), "hello alice");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_somebody_offline_waits_for_them_and_arrives_in_order() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let to_bob = b.primary();
    b.shutdown().await;
    let mut last = None;
    for number in 0..20 {
        last = Some(a.conversation(to_bob).send_text(&number.to_string()).await.unwrap());
    }
    let last = last.unwrap();
    assert_eq!(a.wait_until(last, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);

    let b = bob.open().await;
    for number in 0..20 {
        assert_eq!(text_of(&next(&b).await), number.to_string());
    }
    assert_eq!(a.wait_until(last, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_comes_again_until_it_is_handled() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    a.conversation(b.primary()).send_text("once").await.unwrap();
    a.conversation(b.primary()).send_text("twice").await.unwrap();
    let first = pending(&b).await;
    assert_eq!(text_of(&first.event), "once");
    assert_eq!(text_of(&pending(&b).await.event), "twice");
    b.handled(first.id).await.unwrap();
    b.shutdown().await;

    let b = bob.open().await;
    assert_eq!(text_of(&next(&b).await), "twice");
    b.shutdown().await;
    let b = bob.open().await;
    a.conversation(b.primary()).send_text("later").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "later");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_message_waits_until_they_are_added() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::new(), Person::new());
    let (a, b) = tokio::join!(alice.register(&testbed, "alice"), bob.register(&testbed, "bob"));
    a.contacts().add("bob").await.unwrap();
    let id = a.conversation(b.primary()).send_text("do you know me?").await.unwrap();
    match next(&b).await {
        Event::Request { from, claimed_handle, .. } => {
            assert_eq!(from.primary, a.primary());
            assert_eq!(from.handle, None, "a stranger's handle is only their word");
            assert_eq!(claimed_handle.as_ref(), Some(a.handle()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(a.wait_until(id, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);
    let reply = b.conversation(a.primary()).send_text("no").await;
    assert!(matches!(reply, Err(SendError::NotAContact(_))));

    b.contacts().add("@alice").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "do you know me?");
    // Strangers get no receipt; now that they are known, it is sent.
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_sent_is_refused_at_once() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let nobody = SecretKey::from_seed([9; 32]).primary();
    assert_eq!(a.conversation(nobody).send_text("hi").await.unwrap_err().code(), "NotAContact");
    let to_bob = a.conversation(b.primary());
    assert_eq!(to_bob.send_text("").await.unwrap_err().code(), "BadPayload");
    assert_eq!(to_bob.send_text(&"x".repeat(48 * 1024 + 1)).await.unwrap_err().code(), "TooLarge");
    assert_eq!(a.contacts().add("nobody-here").await.unwrap_err().code(), "NoSuchHandle");
    assert_eq!(a.contacts().add("not a handle").await.unwrap_err().code(), "BadHandle");

    let largest = "x".repeat(48 * 1024);
    to_bob.send_text(&largest).await.unwrap();
    assert_eq!(text_of(&next(&b).await), largest);
    testbed.shutdown().await.unwrap();
}

/// As when an application gives up waiting: what was accepted by then is on its way all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_message_needs_nobody_to_wait_for_it() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let conversation = a.conversation(b.primary());
    for _ in 0..20 {
        // The first poll looks the contact up, the second queues the message; then nobody asks any more.
        let mut send = Box::pin(conversation.send_text("given up on"));
        let _ = futures::poll!(&mut send);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = futures::poll!(&mut send);
        drop(send);
        if let Ok(event) = tokio::time::timeout(Duration::from_secs(3), next(&b)).await {
            assert_eq!(text_of(&event), "given up on");
            return testbed.shutdown().await.unwrap();
        }
    }
    panic!("nothing of what was accepted arrived");
}
