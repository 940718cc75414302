//! A lost device: the words bring the account back, and whatever else had it stops.

use kez_chat_sdk::{
    AccountError, Client, ConnectionState, HomeUrl, MessageState, Roots, SyncOutcome, handle::Handle,
    identity::SecretKey, mnemonic::Mnemonic, recover_account, sigchain::Op,
};
use kez_testbed::Testbed;

use crate::{
    chains::{profile, publish, published},
    front::now_ms,
    people::{PATIENCE, Person, handle_at, next, online, text_of, two_friends, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_words_alone_bring_key_handle_and_waiting_messages_back() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let (key, first_install) = (a.primary(), a.account().install());
    b.conversation(key).send_text("to the old one").await.unwrap();
    assert_eq!(text_of(&next(&a).await), "to the old one");
    a.shutdown().await;
    let id = b.conversation(key).send_text("are you there?").await.unwrap();

    let before = now_ms();
    let device = Person::new();
    let recovered = device.recover(&testbed, &alice).await.unwrap();
    assert_eq!((recovered.primary, &recovered.handle), (key, &handle_at(&testbed, "alice")));
    // The first number went to the lost device: nobody waits for it.
    let a = device.builder().gap_wait(PATIENCE * 10).open().await.unwrap();
    assert_ne!(a.account().install(), first_install);
    assert!((before..=now_ms()).contains(&a.account().born_at_ms()), "both clocks are this machine's");
    let chain = published(&testbed, &key).await;
    assert_eq!(chain.tip().head(), Some(a.account().head().await.unwrap()));
    let installs: Vec<_> = chain.state().iroh_endpoints().map(|iroh| iroh.install).collect();
    assert_eq!(installs, [a.account().install()]);
    assert_eq!(a.account().mnemonic().secret_key().primary(), key);

    // Contacts were on the lost device; what they wrote was not.
    a.contacts().add("@bob").await.unwrap();
    let order = loop {
        if let kez_chat_sdk::Event::Message { text, order, .. } = next(&a).await {
            assert_eq!(text, "are you there?");
            break order;
        }
    };
    assert_eq!(order, kez_chat_sdk::Order::InOrder);
    assert_eq!(b.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    a.conversation(b.primary()).send_text("on a new device").await.unwrap();
    while text_of_any(&b).await.as_deref() != Some("on a new device") {}
    testbed.shutdown().await.unwrap();
}

/// Takes the next event, and returns the text if it is a message.
async fn text_of_any(client: &Client) -> Option<String> {
    match next(client).await {
        kez_chat_sdk::Event::Message { text, .. } => Some(text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_was_replaced_finds_out_and_only_reads() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, old), (_bob, b)) = two_friends(&testbed).await;
    online(&old).await;
    b.conversation(old.primary()).send_text("to the old one").await.unwrap();
    let kept = crate::people::pending(&old).await;
    assert_eq!(text_of(&kept.event), "to the old one");

    let device = Person::new();
    device.recover(&testbed, &alice).await.unwrap();
    let found = old.account().sync().await;
    assert!(matches!(found, Err(AccountError::SignedInElsewhere)), "{found:?}");
    until(&old, |state| *state == ConnectionState::SignedInElsewhere).await;
    let refused = old.conversation(b.primary()).send_text("me too").await.unwrap_err();
    assert_eq!(refused.code(), "SignedInElsewhere");
    assert_eq!(old.sync_once(PATIENCE).await.unwrap().outcome, SyncOutcome::NotHere);
    old.shutdown().await;

    // It knows after a restart too, though nobody tells it now, and what it had is there.
    testbed.stop_sig_server().await;
    let old = alice.open().await;
    until(&old, |state| *state == ConnectionState::SignedInElsewhere).await;
    assert_eq!(text_of(&next(&old).await), "to the old one");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_was_replaced_while_it_was_away_takes_nothing() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, old), (_bob, b)) = two_friends(&testbed).await;
    old.shutdown().await;
    let device = Person::new();
    device.recover(&testbed, &alice).await.unwrap();
    let id = b.conversation(device.key().primary()).send_text("for the new one").await.unwrap();
    assert_eq!(b.wait_until(id, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);

    let old = alice.open().await;
    until(&old, |state| *state == ConnectionState::SignedInElsewhere).await;
    old.shutdown().await;
    let new = device.open().await;
    new.contacts().add("@bob").await.unwrap();
    while text_of_any(&new).await.as_deref() != Some("for the new one") {}
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_holds_an_account_is_left_alone() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::new(), Person::new());
    alice.register(&testbed, "alice").await.shutdown().await;
    bob.register(&testbed, "bob").await.shutdown().await;
    let own = alice.recover(&testbed, &alice).await;
    assert!(matches!(own, Err(AccountError::AlreadyRegistered { .. })), "{own:?}");
    let others = alice.recover(&testbed, &bob).await.unwrap_err();
    assert_eq!(others.code(), "KeyOccupied");
    assert_eq!(published(&testbed, &alice.key().primary()).await.events().len(), 3);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_nobody_has_registered_leave_nothing_behind() {
    let testbed = Testbed::start().await.unwrap();
    let device = Person::new();
    let words = Mnemonic::of(&SecretKey::generate(&mut rand::rng()));
    let server = HomeUrl::parse(&testbed.home_url()).unwrap();
    let nobody = recover_account(device.home(), device.key_store(), &words, &server, &Roots::system()).await;
    assert!(matches!(nobody, Err(AccountError::NobodyHere { .. })), "{nobody:?}");
    assert!(device.key_store().load().unwrap().is_none(), "a key was kept that nobody knows");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn home_and_chain_that_name_different_handles_are_not_guessed_between() {
    let testbed = Testbed::start().await.unwrap();
    let alice = Person::new();
    alice.register(&testbed, "alice").await.shutdown().await;
    let other = Handle::from_qualified("alice@kez.lat", Default::default()).unwrap();
    publish(&testbed, &alice.key(), Op::SetHandle(Some(other.clone()))).await;
    match Person::new().recover(&testbed, &alice).await {
        Err(AccountError::OtherHandle { home, chain }) => {
            assert_eq!((home, chain), (handle_at(&testbed, "alice"), other));
        }
        got => panic!("{got:?}"),
    }
    assert_eq!(published(&testbed, &alice.key().primary()).await.events().len(), 4, "something was signed");
    testbed.shutdown().await.unwrap();
}

/// The sigchain server comes back from an old backup. An event signed on it would be a fork, and the home has seen more.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_on_a_chain_that_is_behind_what_the_home_has_seen() {
    let mut testbed = Testbed::start().await.unwrap();
    let alice = Person::new();
    alice.register(&testbed, "alice").await.shutdown().await;
    testbed.stop_sig_server().await;
    let (database, old) = (testbed.folder().join("sigchains.db"), testbed.folder().join("old.db"));
    std::fs::copy(&database, &old).unwrap();
    testbed.start_sig_server().await.unwrap();
    Person::new().recover(&testbed, &alice).await.unwrap();
    // A home that starts anew looks at the chain when it is next asked, and tells what it saw when it did.
    testbed.stop_chat_server().await;
    testbed.start_chat_server().await.unwrap();
    let key = alice.key().primary();
    while profile(&testbed, &key).await.unwrap()["endpoints"].as_array().unwrap().is_empty() {}

    testbed.stop_sig_server().await;
    let newer = testbed.folder().join("newer.db");
    std::fs::copy(&database, &newer).unwrap();
    std::fs::copy(&old, &database).unwrap();
    testbed.start_sig_server().await.unwrap();
    let device = Person::new();
    let behind = device.recover(&testbed, &alice).await;
    assert!(matches!(behind, Err(AccountError::ChainBehind)), "{behind:?}");
    assert_eq!(published(&testbed, &key).await.events().len(), 3, "something was signed");

    testbed.stop_sig_server().await;
    std::fs::copy(&newer, &database).unwrap();
    testbed.start_sig_server().await.unwrap();
    device.recover(&testbed, &alice).await.unwrap();
    assert_eq!(published(&testbed, &key).await.events().len(), 7);
    testbed.shutdown().await.unwrap();
}
