//! Moving to another home, and staying who one is. The two homes share a machine and nothing else.

use std::time::Duration;

use kez_chat_sdk::{
    AccountError, Agreement, Client, ConnectionState, Event, MessageState, Notice, OldHandle, SendError,
    broker::subject, handle::Handle, identity::PrimaryKey,
};
use kez_testbed::Testbed;

use crate::{
    chains::{profile, published},
    people::{PATIENCE, Person, handle_at, next, offline, online, text_of, two_friends, until},
    raw::Raw,
};

async fn two_homes() -> (Testbed, Testbed) {
    let (old, new) = tokio::join!(Testbed::start(), Testbed::start());
    (old.unwrap(), new.unwrap())
}

/// Opens an account that waits for nothing which an earlier connection was handed.
async fn open(person: &Person) -> Client {
    person.builder().gap_wait(Duration::ZERO).open().await.unwrap()
}

/// Registers two people who have added each other.
async fn friends(testbed: &Testbed) -> ((Person, Client), (Person, Client)) {
    let ((alice, a), (bob, b)) = two_friends(testbed).await;
    tokio::join!(a.shutdown(), b.shutdown());
    let (a, b) = tokio::join!(open(&alice), open(&bob));
    ((alice, a), (bob, b))
}

/// Moves, and opens the account at its new home.
async fn move_to(person: &Person, client: Client, to: &Handle, old: OldHandle) -> Client {
    let plan = client.account().plan_move(to).await.unwrap();
    let moved = client.account().move_to(plan, old).await.unwrap();
    assert_eq!((&moved.handle, moved.primary), (to, client.primary()));
    assert_eq!(client.connection().current(), ConnectionState::Moved);
    client.shutdown().await;
    let client = open(person).await;
    assert_eq!((client.handle(), client.sigchain_url()), (to, &*moved.sigchain_url));
    online(&client).await;
    client
}

async fn refusal(client: &Client, to: PrimaryKey) -> SendError {
    client.conversation(to).send_text("hello?").await.unwrap_err()
}

/// Returns the next message, whatever becomes of our own.
async fn next_text(client: &Client) -> String {
    loop {
        match next(client).await {
            Event::MessageState { .. } | Event::Contact { .. } => {}
            event => return text_of(&event).to_owned(),
        }
    }
}

async fn next_notice(client: &Client) -> Notice {
    loop {
        match next(client).await {
            Event::Contact { notice, .. } => return notice,
            Event::MessageState { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Sends both ways.
async fn chat(a: &Client, b: &Client) {
    for (from, to) in [(a, b), (b, a)] {
        let id = from.conversation(to.primary()).send_text("hello").await.unwrap();
        assert_eq!(next_text(to).await, "hello");
        assert_eq!(from.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_stays_who_they_are_and_loses_nothing() {
    let (old, new) = two_homes().await;
    let ((alice, a), (_bob, b)) = friends(&old).await;
    let carol = Person::new();
    let c = carol.register(&new, "carol").await;
    a.contacts().add(&c.handle().to_string()).await.unwrap();
    c.contacts().add(&a.handle().to_string()).await.unwrap();
    assert_eq!(refusal(&a, c.primary()).await.code(), "ForeignHome");
    chat(&a, &b).await;
    let before = a.conversation(b.primary()).history(None, 10).await.unwrap().len();
    // What waits on either side comes over before the home is left.
    a.suspend().await;
    let last = a.conversation(b.primary()).send_text("I am moving").await.unwrap();
    b.conversation(a.primary()).send_text("before you go").await.unwrap();

    let to = handle_at(&new, "alice");
    let plan = a.account().plan_move(&to).await.unwrap();
    let keys = |contacts: &[kez_chat_sdk::Contact]| contacts.iter().map(|contact| contact.primary).collect::<Vec<_>>();
    assert_eq!((keys(&plan.loses), keys(&plan.gains)), (vec![b.primary()], vec![c.primary()]));
    assert_eq!(plan.waiting.iter().map(|entry| entry.id).collect::<Vec<_>>(), [last]);
    assert_eq!((&plan.from, &plan.to), (a.handle(), &to));
    a.account().move_to(plan, OldHandle::GiveUp).await.unwrap();
    assert_eq!(refusal(&a, b.primary()).await.code(), "YouMoved");
    assert_eq!(a.account().sync().await.unwrap_err().code(), "Moved");
    assert_eq!(a.account().retire().await.unwrap_err().code(), "Moved");
    a.shutdown().await;
    assert_eq!(next_text(&b).await, "I am moving");

    let a = open(&alice).await;
    online(&a).await;
    assert_eq!(next_text(&a).await, "before you go");
    assert_eq!(a.conversation(b.primary()).history(None, 10).await.unwrap().len(), before + 2);
    // All of the chain is at the new home, and at the old one too.
    let (there, here) = (published(&new, &a.primary()).await, published(&old, &a.primary()).await);
    assert_eq!((there.tip(), there.events().len()), (here.tip(), 6));
    assert_eq!(there.tip().head(), Some(a.account().head().await.unwrap()));
    assert_eq!(there.state().handle(), Some(&to));
    assert_eq!(there.state().nats().unwrap().home, *new.domain());
    assert_eq!(profile(&old, &a.primary()).await, None, "the old handle is given up");
    let gone = handle_at(&old, "alice");
    let back = a.account().plan_move(&gone).await;
    assert!(matches!(back, Err(AccountError::CantMove { .. })), "{back:?}");

    // Who stays follows, and is told when they try to write; what was said stays.
    let followed = b.contacts().refresh(a.primary()).await.unwrap();
    assert_eq!((followed.handle.as_ref(), followed.agreement), (Some(&to), Agreement::Agreed));
    let notice = Notice::HandleChanged { from: Some(gone), to: Some(to.clone()), agreement: Agreement::Agreed };
    assert_eq!(next_notice(&b).await, notice);
    assert_eq!(refusal(&b, a.primary()).await.code(), "ForeignHome");
    assert_eq!(b.conversation(a.primary()).history(None, 10).await.unwrap().len(), before + 2);
    assert_eq!(refusal(&a, b.primary()).await.code(), "ForeignHome");
    // Who is there can be written to.
    c.contacts().add(&to.to_string()).await.unwrap();
    chat(&a, &c).await;

    // The words get the account back where it is now. That is published there alone, and who stays hears of it.
    let phone = Person::new();
    assert_eq!(phone.recover(&new, &alice).await.unwrap().handle, to);
    assert_eq!(a.account().sync().await.unwrap_err().code(), "SignedInElsewhere");
    assert_eq!(published(&old, &a.primary()).await.events().len(), 6);
    assert_eq!(b.contacts().refresh(a.primary()).await.unwrap().events_walked, 8);
    for client in [a, b, c] {
        client.shutdown().await;
    }
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

/// A connection of ours breaks with a message that it was handed. The broker hands it out again half a minute later.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_broken_connection_was_handed_is_waited_for() {
    let (old, new) = two_homes().await;
    let ((alice, a), (_bob, b)) = two_friends(&old).await;
    a.shutdown().await;
    let mut broken = Raw::login(&old, &alice.key()).await;
    broken.send(format!("SUB {} 1\r\n", subject::deliver(&alice.key().primary())).as_bytes()).await;
    b.conversation(alice.key().primary()).send_text("did you get this?").await.unwrap();
    broken.frame().await;
    drop(broken);

    let a = alice.builder().gap_wait(Duration::from_secs(35)).open().await.unwrap();
    let a = move_to(&alice, a, &handle_at(&new, "alice"), OldHandle::GiveUp).await;
    assert_eq!(next_text(&a).await, "did you get this?");
    for client in [a, b] {
        client.shutdown().await;
    }
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_kept_the_old_handle_can_come_back_to_what_waits_there() {
    let (mut old, new) = two_homes().await;
    let ((alice, a), (_bob, b)) = friends(&old).await;
    let was = a.handle().clone();
    chat(&a, &b).await;
    b.suspend().await;
    let a = move_to(&alice, a, &handle_at(&new, "alice"), OldHandle::Keep).await;
    // He can't hear of it, and the old home takes what he sends.
    old.stop_sig_server().await;
    b.resume();
    let meanwhile = b.conversation(a.primary()).send_text("where are you?").await.unwrap();
    assert_eq!(b.wait_until(meanwhile, MessageState::Sent, PATIENCE).await.unwrap(), MessageState::Sent);
    old.start_sig_server().await.unwrap();
    b.contacts().add(&was.to_string()).await.unwrap();
    assert_eq!(refusal(&b, a.primary()).await.code(), "ForeignHome");
    assert_eq!(refusal(&a, b.primary()).await.code(), "ForeignHome");

    let plan = a.account().plan_move(&was).await.unwrap();
    assert_eq!((plan.loses.len(), plan.gains[0].primary), (0, b.primary()));
    let a = move_to(&alice, a, &was, OldHandle::Keep).await;
    assert_eq!(next_text(&a).await, "where are you?");
    b.contacts().add(&was.to_string()).await.unwrap();
    assert_eq!(b.wait_until(meanwhile, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    chat(&a, &b).await;
    assert_eq!(published(&old, &a.primary()).await.tip(), published(&new, &a.primary()).await.tip());
    for client in [a, b] {
        client.shutdown().await;
    }
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_refuses_changes_nothing() {
    let (old, new) = two_homes().await;
    let ((_alice, a), (_bob, b)) = friends(&old).await;
    online(&a).await;
    let before = published(&old, &a.primary()).await;
    let account = a.account();
    let to = handle_at(&new, "alice");
    let plan = account.plan_move(&to).await.unwrap();
    // Between the plan and the word, somebody else takes the name.
    let other = Person::new();
    let o = other.register(&new, "alice").await;
    for refused in [account.move_to(plan, OldHandle::GiveUp).await.map(drop), account.plan_move(&to).await.map(drop)] {
        assert!(matches!(&refused, Err(AccountError::HandleTaken { handle }) if *handle == to), "{refused:?}");
    }
    for (name, home, code) in [("bob", &old, "CantMove"), ("admin", &new, "ReservedHandle")] {
        assert_eq!(account.plan_move(&handle_at(home, name)).await.unwrap_err().code(), code);
    }
    let nowhere = Handle::from_qualified("alice@kez.example", kez_chat_sdk::handle::Policy::Production).unwrap();
    assert_eq!(account.plan_move(&nowhere).await.unwrap_err().code(), "CantMove");
    assert_eq!(published(&old, &a.primary()).await.tip(), before.tip());
    assert_eq!(published(&new, &a.primary()).await.events().len(), 0);
    chat(&a, &b).await;
    for client in [a, b, o] {
        client.shutdown().await;
    }
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_waits_for_the_old_home_and_goes_on_by_itself() {
    let (mut old, new) = two_homes().await;
    let ((alice, a), (_bob, b)) = friends(&old).await;
    online(&a).await;
    old.kill_nats().await.unwrap();
    until(&a, |state| matches!(state, ConnectionState::Offline { .. })).await;
    let to = handle_at(&new, "alice");
    let plan = a.account().plan_move(&to).await.unwrap();
    let away = a.account().move_to(plan, OldHandle::Keep).await;
    assert!(
        matches!(&away, Err(AccountError::OldHomeAway { home, .. }) if *home == old.domain().to_string()),
        "{away:?}"
    );
    // Nobody has heard of it yet, and no other move begins.
    assert_eq!(published(&old, &a.primary()).await.events().len(), 3);
    assert_eq!(a.account().plan_move(&handle_at(&new, "alicia")).await.unwrap_err().code(), "Moving");
    assert_eq!(a.account().retire().await.unwrap_err().code(), "Moving");
    a.account().sync().await.unwrap();
    let waiting = a.conversation(b.primary()).send_text("one moment").await.unwrap();
    a.shutdown().await;

    let a = open(&alice).await;
    assert_eq!(a.handle(), &handle_at(&old, "alice"));
    offline(&a, "BrokerUnreachable").await;
    old.start_nats().await.unwrap();
    a.reconnect_now();
    until(&a, |state| *state == ConnectionState::Moved).await;
    assert!(a.wait_until(waiting, MessageState::Sent, PATIENCE).await.unwrap() >= MessageState::Sent);
    a.shutdown().await;
    let a = open(&alice).await;
    assert_eq!(a.handle(), &to);
    a.account().sync().await.unwrap();
    assert_eq!(published(&old, &a.primary()).await.state().handle(), Some(&to));
    for client in [a, b] {
        client.shutdown().await;
    }
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_gone_holds_nobody_and_hears_of_it_if_it_comes_back() {
    let (mut old, new) = two_homes().await;
    let ((alice, a), (_bob, b)) = friends(&old).await;
    online(&a).await;
    old.kill_nats().await.unwrap();
    old.stop_chat_server().await;
    old.stop_sig_server().await;
    let to = handle_at(&new, "alice");
    let plan = a.account().plan_move(&to).await.unwrap();
    let away = a.account().move_to(plan.clone(), OldHandle::GiveUp).await.unwrap_err();
    assert_eq!(away.code(), "OldHomeAway");
    a.account().move_to(plan.without_old_home(), OldHandle::GiveUp).await.unwrap();
    a.shutdown().await;
    let a = open(&alice).await;
    assert_eq!(a.handle(), &to);
    online(&a).await;
    assert_eq!(published(&new, &a.primary()).await.events().len(), 6);
    assert_eq!(a.account().sync().await.unwrap_err().code(), "Unreachable", "something is left to do");

    old.start_sig_server().await.unwrap();
    old.start_nats().await.unwrap();
    old.start_chat_server().await.unwrap();
    a.account().sync().await.unwrap();
    assert_eq!(published(&old, &a.primary()).await.tip(), published(&new, &a.primary()).await.tip());
    assert_eq!(profile(&old, &a.primary()).await, None);
    for client in [a, b] {
        client.shutdown().await;
    }
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

/// Two who move to the same home find each other there.
#[cfg(feature = "files")]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_shared_before_is_fetched_after_both_have_moved() {
    let (old, new) = two_homes().await;
    let ((alice, a), (bob, b)) = friends(&old).await;
    let source = alice.folder.path().join("notes.txt");
    std::fs::write(&source, b"for later").unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let share_id = match next(&b).await {
        Event::FileShared { share_id, .. } => share_id,
        other => panic!("{other:?}"),
    };
    let a = move_to(&alice, a, &handle_at(&new, "alice"), OldHandle::GiveUp).await;
    let b = move_to(&bob, b, &handle_at(&new, "bob"), OldHandle::GiveUp).await;
    // Alice may be seen as soon as they know each other again.
    let mut watch = b.presence().watch();
    a.contacts().add("@bob").await.unwrap();
    b.contacts().add("@alice").await.unwrap();
    chat(&a, &b).await;
    // It says where her files are now; unasked it would come within a minute.
    a.presence().set(kez_chat_sdk::Visibility::Away).await.unwrap();
    crate::presence::seen(&mut watch, a.primary(), kez_chat_sdk::Availability::Away).await;
    let paths = b.files().fetch(share_id, bob.folder.path()).await.unwrap();
    assert_eq!(std::fs::read(&paths[0]).unwrap(), b"for later");
    for client in [a, b] {
        client.shutdown().await;
    }
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}
