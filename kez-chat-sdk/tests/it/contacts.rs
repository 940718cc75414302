//! Contacts: pins that nobody lifts, and sending that stops.

use kez_chat_sdk::{ConnectionState, ContactError, MessageState, identity::PrimaryKey};
use kez_testbed::Testbed;

use crate::people::{PATIENCE, Person, handle_at, next, online, text_of, two_friends, until};

#[tokio::test(flavor = "multi_thread")]
async fn adding_somebody_again_and_at_the_same_time_changes_nothing() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::new(), Person::new());
    let (a, b) = tokio::join!(alice.register(&testbed, "alice"), bob.register(&testbed, "bob"));
    let contacts = a.contacts();
    let (one, two) = tokio::join!(contacts.add("@bob"), contacts.add("bob"));
    assert_eq!(one.unwrap().primary, two.unwrap().primary);
    assert_eq!(contacts.add("@bob").await.unwrap().primary, b.primary());
    assert_eq!(contacts.list().await.unwrap().len(), 1);
    assert!(matches!(contacts.add("@alice").await, Err(ContactError::Yourself)));
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nickname_finds_one_contact_and_a_key_or_handle_comes_before_it() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let c = Person::new().register(&testbed, "carol").await;
    let contacts = a.contacts();
    contacts.add("@carol").await.unwrap();
    let contact = contacts.set_nickname(b.primary(), Some("carol")).await.unwrap();
    assert_eq!(contact.nickname.as_deref(), Some("carol"));
    assert_eq!(contact.safety_number, b.contacts().find("alice").await.unwrap().safety_number);
    assert_eq!(
        contacts.find("carol").await.unwrap().primary,
        c.primary(),
        "a handle is not to be hidden by a nickname"
    );
    contacts.set_nickname(b.primary(), Some("My Brother")).await.unwrap();
    assert_eq!(contacts.find("My Brother").await.unwrap().primary, b.primary());
    assert_eq!(contacts.find(&c.primary().to_string()).await.unwrap().primary, c.primary());
    let taken = contacts.set_nickname(c.primary(), Some("My Brother")).await.unwrap_err();
    assert_eq!(taken.code(), "NicknameTaken");
    for bad in ["", " padded ", "two\nlines", &"x".repeat(65)] {
        assert_eq!(contacts.set_nickname(c.primary(), Some(bad)).await.unwrap_err().code(), "BadNickname");
    }
    contacts.set_nickname(b.primary(), None).await.unwrap();
    assert_eq!(contacts.find("My Brother").await.unwrap_err().code(), "NotAContact");
    assert_eq!(contacts.set_nickname(a.primary(), Some("me")).await.unwrap_err().code(), "NotAContact");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_has_published_nothing_is_no_contact_yet() {
    let mut testbed = Testbed::start().await.unwrap();
    let (alice, half) = (Person::new(), Person::new());
    let a = alice.register(&testbed, "alice").await;
    let account = half.backed_up().await;
    let handle = handle_at(&testbed, "half");
    testbed.stop_sig_server().await;
    account.register(&handle, |_| {}).await.unwrap_err();
    testbed.start_sig_server().await.unwrap();
    let fault = a.contacts().add("@half").await.unwrap_err();
    assert_eq!(fault.code(), "NoChain");
    let registered = half.backed_up().await.register(&handle, |_| {}).await.unwrap();
    assert_eq!(a.contacts().add("@half").await.unwrap().primary, registered.primary);
    testbed.shutdown().await.unwrap();
}

/// The home's registry is put in the hands of an attacker: bob's handle gets mallory's key.
#[tokio::test(flavor = "multi_thread")]
async fn a_handle_with_another_key_stops_sending_and_heals_by_itself_no_more() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let mallory = Person::new();
    let m = mallory.register(&testbed, "mallory").await;
    online(&a).await;

    // A message that waits while the broker is away must not go out once there is trouble.
    testbed.kill_nats().await.unwrap();
    until(&a, |state| matches!(state, ConnectionState::Offline { .. })).await;
    let waiting = a.conversation(b.primary()).send_text("for bob only").await.unwrap();
    swap_keys(&mut testbed, "bob", "mallory").await;
    let fault = a.contacts().add("@bob").await.unwrap_err();
    match &fault {
        ContactError::KeyChanged { pinned, found, .. } => assert_eq!((**pinned, **found), (b.primary(), m.primary())),
        other => panic!("{other:?}"),
    }
    assert_eq!(a.conversation(b.primary()).send_text("hello?").await.unwrap_err().code(), "Stopped");
    testbed.start_nats().await.unwrap();
    online(&a).await;

    // The other handle leads to bob's key now; it neither renames him nor lifts the pin.
    a.contacts().add("@mallory").await.unwrap();
    assert_eq!(a.contacts().find("@bob").await.unwrap().primary, b.primary());
    assert!(matches!(a.contacts().add("@bob").await, Err(ContactError::KeyChanged { .. })));
    // An honest answer again does not end it: that takes the person's own word.
    swap_keys(&mut testbed, "bob", "mallory").await;
    a.contacts().add("@bob").await.unwrap();
    assert_eq!(a.conversation(b.primary()).send_text("hello?").await.unwrap_err().code(), "Stopped");
    // Which is to forget him and to trust anew.
    assert_eq!(a.contacts().remove(b.primary()).await.unwrap().primary, b.primary());
    assert_eq!(a.conversation(b.primary()).send_text("hello?").await.unwrap_err().code(), "NotAContact");
    a.contacts().add("@bob").await.unwrap();
    a.conversation(b.primary()).send_text("it is you").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "it is you");
    let reached = a.wait_until(waiting, MessageState::Delivered, PATIENCE).await.unwrap();
    assert_eq!(reached, MessageState::Withdrawn, "what waited for him never went out");
    testbed.shutdown().await.unwrap();
}

/// Exchanges the keys of two handles in the home's database, behind its back.
async fn swap_keys(testbed: &mut Testbed, one: &str, other: &str) {
    testbed.stop_chat_server().await;
    let database = rusqlite::Connection::open(testbed.folder().join("registry.db")).unwrap();
    let domain = testbed.domain().to_string();
    let key = |name: &str| -> Vec<u8> {
        let handle = format!("{name}@{domain}");
        database.query_row("SELECT primary_key FROM handles WHERE handle = ?1", [handle], |row| row.get(0)).unwrap()
    };
    let (a, b) = (key(one), key(other));
    let set = |name: &str, key: &[u8]| {
        let changed = database
            .execute("UPDATE handles SET primary_key = ?2 WHERE handle = ?1", (format!("{name}@{domain}"), key));
        assert_eq!(changed, Ok(1));
    };
    set(one, &[0; 32]);
    set(other, &a);
    set(one, &b);
    drop(database);
    testbed.start_chat_server().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_chain_stops_sending_until_it_is_whole_again() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let sound = shorten_chain(&mut testbed, &b.primary()).await;
    let fault = a.contacts().add("@bob").await.unwrap_err();
    assert_eq!(fault.code(), "Rollback");
    assert_eq!(a.conversation(b.primary()).send_text("hello?").await.unwrap_err().code(), "Stopped");

    testbed.stop_sig_server().await;
    std::fs::copy(&sound, testbed.folder().join("sigchains.db")).unwrap();
    testbed.start_sig_server().await.unwrap();
    a.contacts().add("@bob").await.unwrap();
    a.conversation(b.primary()).send_text("hello again").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "hello again");
    testbed.shutdown().await.unwrap();
}

/// Takes the last event out of a chain behind the sigchain server's back; returns a copy of its sound database.
async fn shorten_chain(testbed: &mut Testbed, owner: &PrimaryKey) -> std::path::PathBuf {
    testbed.stop_sig_server().await;
    let (path, copy) = (testbed.folder().join("sigchains.db"), testbed.folder().join("sound.db"));
    std::fs::copy(&path, &copy).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    let chain: i64 =
        database.query_row("SELECT id FROM chains WHERE owner = ?1", [owner.as_bytes()], |row| row.get(0)).unwrap();
    assert_eq!(database.execute("DELETE FROM events WHERE chain = ?1 AND seq = 3", [chain]), Ok(1));
    let tip = "UPDATE chains SET seq = 2, head = (SELECT head FROM events WHERE chain = ?1 AND seq = 2) WHERE id = ?1";
    assert_eq!(database.execute(tip, [chain]), Ok(1));
    drop(database);
    testbed.start_sig_server().await.unwrap();
    copy
}
