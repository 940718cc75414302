//! Leaving for good.

use kez_chat_sdk::{AccountError, ConnectionState, Event, NetError, Notice};
use kez_testbed::Testbed;

use crate::{
    chains::{profile, published},
    people::{Person, next, offline, online, text_of, two_friends, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_gone_for_everybody_and_can_still_read() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    b.conversation(a.primary()).send_text("farewell").await.unwrap();
    let farewell = crate::people::pending(&a).await;
    assert_eq!(text_of(&farewell.event), "farewell");

    a.account().retire().await.unwrap();
    until(&a, |state| *state == ConnectionState::Retired).await;
    assert_eq!(a.conversation(b.primary()).send_text("one more thing").await.unwrap_err().code(), "YouRetired");
    a.account().retire().await.expect("saying it again changes nothing");
    let key = a.primary();
    assert_eq!(profile(&testbed, &key).await, None);
    let chain = published(&testbed, &key).await;
    assert!(chain.state().is_retired() && chain.events().len() == 4);
    b.contacts().set_verified(key, true).await.unwrap();
    let contact = b.contacts().add("@alice").await.unwrap();
    assert!(contact.retired && !contact.verified, "{contact:?}");
    assert_eq!(b.contacts().set_verified(key, true).await.unwrap_err().code(), "Retired");
    let told = loop {
        match next(&b).await {
            Event::Contact { notice, .. } => break notice,
            Event::MessageState { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told, Notice::Retired);
    assert_eq!(b.conversation(key).send_text("hello?").await.unwrap_err().code(), "Retired");
    a.shutdown().await;

    let a = alice.open().await;
    until(&a, |state| *state == ConnectionState::Retired).await;
    assert_eq!(text_of(&next(&a).await), "farewell");
    let back = Person::new().recover(&testbed, &alice).await;
    assert!(matches!(back, Err(AccountError::Retired { .. })), "{back:?}");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_that_was_cut_off_goes_on_by_itself() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    testbed.stop_sig_server().await;
    let cut = a.account().retire().await;
    assert!(matches!(cut, Err(AccountError::Net(NetError::Unreachable { .. }))), "{cut:?}");
    assert_eq!(a.conversation(b.primary()).send_text("wait").await.unwrap_err().code(), "YouRetired");
    let cause = offline(&a, "StillLeaving").await;
    assert!(cause.to_string().contains("does not answer"), "{cause}");
    a.shutdown().await;
    testbed.start_sig_server().await.unwrap();
    assert!(!published(&testbed, &alice.key().primary()).await.state().is_retired());

    let a = alice.open().await;
    until(&a, |state| *state == ConnectionState::Retired).await;
    assert!(published(&testbed, &a.primary()).await.state().is_retired());
    testbed.shutdown().await.unwrap();
}
