//! Losing the broker, and finding it again.

use kez_chat_sdk::{ConnectionState, MessageState};
use kez_testbed::Testbed;

use crate::people::{PATIENCE, next, online, text_of, two_friends, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_delays_messages_and_loses_none() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    testbed.kill_nats().await.unwrap();
    until(&a, |state| matches!(state, ConnectionState::Offline { .. })).await;
    let id = a.conversation(b.primary()).send_text("sent into the dark").await.unwrap();
    testbed.start_nats().await.unwrap();
    assert_eq!(text_of(&next(&b).await), "sent into the dark");
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_home_away_the_client_opens_and_keeps_what_it_is_told() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    a.shutdown().await;
    testbed.stop_chat_server().await;
    let a = alice.open().await;
    until(&a, |state| matches!(state, ConnectionState::Offline { .. })).await;
    let id = a.conversation(b.primary()).send_text("whenever you are back").await.unwrap();
    a.shutdown().await;
    testbed.start_chat_server().await.unwrap();
    let a = alice.open().await;
    assert_eq!(text_of(&next(&b).await), "whenever you are back");
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    testbed.shutdown().await.unwrap();
}
