//! What two people see of their conversation.

use futures::future::try_join_all;
use kez_chat_sdk::{Client, Event, Message, MessageContent, MessageRef, MessageState, Place, new_message_id};
use kez_testbed::Testbed;

use crate::people::{PATIENCE, next, text_of, two_friends};

/// Waits for the next event that is not about how far a message of one's own came.
async fn news(client: &Client) -> Event {
    loop {
        match next(client).await {
            Event::MessageState { .. } => {}
            event => return event,
        }
    }
}

async fn page(of: &Client, with: &Client) -> Vec<Message> {
    of.conversation(with.primary()).history(None, 100).await.unwrap()
}

fn text(text: &str, edited: bool) -> MessageContent {
    MessageContent::Text { text: text.to_owned(), edited }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_see_replies_edits_reactions_and_deletions() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let (to_bob, to_alice) = (a.conversation(b.primary()), b.conversation(a.primary()));
    let question = MessageRef { author: a.primary(), id: to_bob.send_text("nine o'clock?").await.unwrap() };
    assert_eq!(text_of(&news(&b).await), "nine o'clock?");

    let answer = MessageRef { author: b.primary(), id: to_alice.reply(question, "yes").await.unwrap() };
    assert!(matches!(news(&a).await, Event::Message { reply_to: Some(to), .. } if to == question));
    to_alice.react(question, Some("👍")).await.unwrap();
    assert!(
        matches!(news(&a).await, Event::Reaction { to, emoji: Some(emoji), .. } if to == question && emoji == "👍")
    );
    to_bob.edit(question.id, "ten o'clock?").await.unwrap();
    assert!(matches!(news(&b).await, Event::Edited { id, text, .. } if id == question.id && text == "ten o'clock?"));
    let seen = [page(&a, &b).await, page(&b, &a).await];
    for page in &seen {
        let [first, second] = &page[..] else { panic!("{page:?}") };
        assert_eq!((first.name, second.name), (question, answer));
        assert_eq!((&first.content, &second.content), (&text("ten o'clock?", true), &text("yes", false)));
        assert_eq!((first.reactions[0].by, second.reply_to), (b.primary(), Some(question)));
    }

    to_alice.react(question, None).await.unwrap();
    assert!(matches!(news(&a).await, Event::Reaction { emoji: None, .. }));
    to_bob.delete(question.id).await.unwrap();
    assert!(matches!(news(&b).await, Event::Deleted { id, .. } if id == question.id));
    for page in [page(&a, &b).await, page(&b, &a).await] {
        assert_eq!(page[0].content, MessageContent::Deleted);
        assert!(page[0].reactions.is_empty() && page[1].reply_to == Some(question));
    }
    assert_eq!(to_alice.react(question, Some("👍")).await.unwrap_err().code(), "NoSuchMessage");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_learns_that_it_was_read_unless_the_reader_keeps_it_to_themselves() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let (to_bob, to_alice) = (a.conversation(b.primary()), b.conversation(a.primary()));
    let first = to_bob.send_text("one").await.unwrap();
    let second = to_bob.send_text("two").await.unwrap();
    for _ in 0..2 {
        news(&b).await;
    }
    assert_eq!(to_alice.summary().await.unwrap().unread, 2);
    to_alice.mark_read(page(&b, &a).await[0].place).await.unwrap();
    assert_eq!(a.wait_until(first, MessageState::Read, PATIENCE).await.unwrap(), MessageState::Read);
    assert_eq!(a.wait_until(second, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(to_alice.summary().await.unwrap().unread, 1);

    assert!(b.conversations().sends_read_receipts().await.unwrap());
    b.conversations().set_sends_read_receipts(false).await.unwrap();
    to_alice.mark_read(Place::END).await.unwrap();
    // What comes after it has come, and nothing was said of the second.
    let third = to_bob.send_text("three").await.unwrap();
    a.wait_until(third, MessageState::Delivered, PATIENCE).await.unwrap();
    let states: Vec<_> = page(&a, &b).await.iter().map(|message| message.state.unwrap()).collect();
    assert_eq!(states, [MessageState::Read, MessageState::Delivered, MessageState::Delivered]);
    testbed.shutdown().await.unwrap();
}

/// A phone that was off: what was said, changed and taken back meanwhile comes at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_one_was_away_is_shown_as_it_is_now() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (bob, b)) = two_friends(&testbed).await;
    let to_bob = a.conversation(b.primary());
    b.shutdown().await;
    let [kept, gone] = [to_bob.send_text("kept").await.unwrap(), to_bob.send_text("gone").await.unwrap()];
    a.wait_until(gone, MessageState::Sent, PATIENCE).await.unwrap();
    to_bob.edit(kept, "kept, and changed").await.unwrap();
    to_bob.delete(gone).await.unwrap();
    let last = to_bob.send_text("last").await.unwrap();

    let b = bob.open().await;
    a.wait_until(last, MessageState::Delivered, PATIENCE).await.unwrap();
    let contents: Vec<_> = page(&b, &a).await.into_iter().map(|message| message.content).collect();
    assert_eq!(contents, [text("kept, and changed", true), MessageContent::Deleted, text("last", false)]);
    assert_eq!(b.conversation(a.primary()).summary().await.unwrap().unread, 2);
    testbed.shutdown().await.unwrap();
}

/// As when who asked was not told, and asks again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_under_a_name_is_sent_once_however_often_it_is_asked_for() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let (to_bob, to_alice) = (a.conversation(b.primary()), b.conversation(a.primary()));
    let [first, second, third] = [new_message_id(), new_message_id(), new_message_id()];
    for _ in 0..2 {
        to_bob.send_text_as(first, "first").await.unwrap();
    }
    try_join_all((0..8).map(|_| to_bob.send_text_as(second, "second"))).await.unwrap();
    assert_eq!(text_of(&news(&b).await), "first");
    assert_eq!(text_of(&news(&b).await), "second");
    let question = MessageRef { author: b.primary(), id: to_alice.send_text("and third?").await.unwrap() };
    assert_eq!(text_of(&news(&a).await), "and third?");
    to_bob.reply_as(third, question, "third").await.unwrap();
    assert!(matches!(news(&b).await, Event::Message { reply_to: Some(to), .. } if to == question));

    // Whatever became of them, and of who was to send them.
    let change = to_bob.edit(first, "the first").await.unwrap();
    to_bob.delete(second).await.unwrap();
    assert!(matches!(news(&b).await, Event::Edited { .. }));
    assert!(matches!(news(&b).await, Event::Deleted { .. }));
    to_alice.delete(question.id).await.unwrap();
    assert!(matches!(news(&a).await, Event::Deleted { .. }));
    a.shutdown().await;
    let a = alice.open().await;
    let to_bob = a.conversation(b.primary());
    to_bob.send_text_as(first, "first").await.unwrap();
    to_bob.send_text_as(second, "second").await.unwrap();
    to_bob.reply_as(third, question, "third").await.unwrap();

    // A name is for one thing.
    let notes = a.conversation(a.primary());
    assert_eq!(notes.send_text_as(first, "first").await.unwrap_err().code(), "NameTaken");
    assert_eq!(to_bob.send_text_as(change, "the first").await.unwrap_err().code(), "NameTaken");
    assert!(notes.history(None, 9).await.unwrap().is_empty());
    to_bob.send_text("last").await.unwrap();
    assert_eq!(text_of(&news(&b).await), "last");
    assert_eq!(page(&a, &b).await.len(), 5);
    testbed.shutdown().await.unwrap();
}
