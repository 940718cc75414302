//! What becomes of messages that the broker does not take, or loses.

use async_nats::{
    Client as Nats,
    jetstream::{self, stream::Config},
};
use kez_chat_sdk::{Client, ConnectionState, Event, MessageState, broker::subject, payload::MessageId};
use kez_testbed::Testbed;

use crate::{
    operator::operator,
    people::{PATIENCE, next, online, text_of, two_friends, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_inbox_is_told_and_what_waited_goes_when_there_is_room() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let to_bob = b.primary();
    b.shutdown().await;
    let operator = operator(&testbed).await;
    change_inbox_stream(&operator, |config| config.max_messages_per_subject = 2).await;

    let conversation = a.conversation(to_bob);
    let mut sent = Vec::new();
    for number in 1..=5 {
        sent.push(conversation.send_text(&number.to_string()).await.unwrap());
    }
    assert_eq!(state_event(&a).await, (sent[2], MessageState::InboxFull));
    let mut reached = Vec::new();
    for id in &sent {
        reached.push(a.wait_until(*id, MessageState::Queued, PATIENCE).await.unwrap());
    }
    let [sent_ones @ .., full, fourth, fifth] = &reached[..] else { panic!("{reached:?}") };
    assert_eq!(sent_ones, [MessageState::Sent; 2]);
    assert_eq!(*full, MessageState::InboxFull, "one tries whether there is room");
    assert_eq!([*fourth, *fifth], [MessageState::Queued; 2], "the others wait");
    // The broker's own word that it has not got it: it can be taken back.
    conversation.cancel(sent[2]).await.unwrap();

    let b = bob.open().await;
    for number in ["1", "2", "4", "5"] {
        match next(&b).await {
            Event::Message { text, order, .. } => assert_eq!((&*text, order), (number, Default::default())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(a.wait_until(sent[4], MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert!(a.outbox().await.unwrap().is_empty());
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_offline_can_be_taken_back_and_leaves_no_gap() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    testbed.kill_nats().await.unwrap();
    until(&a, |state| matches!(state, ConnectionState::Offline { .. })).await;
    let conversation = a.conversation(b.primary());
    let regretted = conversation.send_text("I quit!").await.unwrap();
    let kept = conversation.send_text("good morning").await.unwrap();
    let waiting: Vec<_> = a.outbox().await.unwrap().iter().map(|entry| (entry.id, entry.state)).collect();
    assert_eq!(waiting, [(regretted, MessageState::Queued), (kept, MessageState::Queued)]);
    conversation.cancel(regretted).await.unwrap();
    assert_eq!(conversation.cancel(regretted).await.unwrap_err().code(), "TooLate");

    testbed.start_nats().await.unwrap();
    assert_eq!(text_of(&next(&b).await), "good morning");
    assert_eq!(a.wait_until(kept, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(conversation.cancel(kept).await.unwrap_err().code(), "TooLate");
    assert_eq!(conversation.resend(kept).await.unwrap_err().code(), "NothingToResend");
    let withdrawn = a.wait_until(regretted, MessageState::Queued, PATIENCE).await.unwrap();
    assert_eq!(withdrawn, MessageState::Withdrawn);
    testbed.shutdown().await.unwrap();
}

/// As when a node came back without the end of its stream: the broker's numbers begin anew, and nobody else says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_lost_what_it_had_acknowledged_gets_it_again() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    let to_bob = b.primary();
    b.shutdown().await;
    let conversation = a.conversation(to_bob);
    for text in ["one", "two"] {
        let id = conversation.send_text(text).await.unwrap();
        assert_eq!(a.wait_until(id, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);
    }
    let operator = operator(&testbed).await;
    let streams = jetstream::new(operator.clone());
    let config = streams.get_stream(subject::INBOX_STREAM).await.unwrap().cached_info().config.clone();
    streams.delete_stream(subject::INBOX_STREAM).await.unwrap();
    streams.create_stream(config).await.unwrap();

    let last = conversation.send_text("three").await.unwrap();
    let b = bob.open().await;
    for text in ["one", "two", "three"] {
        match next(&b).await {
            Event::Message { text: found, order, .. } => assert_eq!((&*found, order), (text, Default::default())),
            other => panic!("{other:?}"),
        }
    }
    // Alice's own consumer went with the stream; her next login makes it anew.
    a.shutdown().await;
    let a = alice.open().await;
    assert_eq!(a.wait_until(last, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    testbed.shutdown().await.unwrap();
}

async fn change_inbox_stream(operator: &Nats, change: impl FnOnce(&mut Config)) {
    let streams = jetstream::new(operator.clone());
    let mut config = streams.get_stream(subject::INBOX_STREAM).await.unwrap().cached_info().config.clone();
    change(&mut config);
    streams.update_stream(config).await.unwrap();
}

/// Waits for the next word on a message of one's own.
async fn state_event(client: &Client) -> (MessageId, MessageState) {
    match next(client).await {
        Event::MessageState { id, state, .. } => (id, state),
        other => panic!("{other:?}"),
    }
}
