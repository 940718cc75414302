//! What is kept: found by its words, backed up, exported, and gone when its time is over.

use std::{fs, path::Path, time::Duration};

use futures::{FutureExt, StreamExt};
use kez_chat_sdk::{
    AccountError, BackupError, Client, ConnectionState, Event, Message, MessageContent, MessageState, Place, Query,
    Retention, identity::PrimaryKey,
};
use kez_testbed::Testbed;
use serde_json::Value;

use crate::{
    database,
    operator::operator,
    people::{PATIENCE, Person, next, online, pending, text_of, two_friends, until},
};

fn said(message: &Message) -> &str {
    match &message.content {
        MessageContent::Text { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

async fn history(client: &Client, with: PrimaryKey) -> Vec<String> {
    let page = client.conversation(with).history(None, 100).await.unwrap();
    page.iter().map(|message| said(message).to_owned()).collect()
}

/// Waits for the next text that comes, and returns the event.
async fn next_text(client: &Client) -> Event {
    loop {
        let event = next(client).await;
        if matches!(event, Event::Message { .. }) {
            return event;
        }
    }
}

/// Asks again until it is so: nobody tells when upkeep is done.
async fn until_so(mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it never comes to be so");
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_and_history_outlive_a_lost_device_and_its_archive_is_no_news() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, old), (_bob, b)) = two_friends(&testbed).await;
    let (to_bob, to_alice) = (old.conversation(b.primary()), b.conversation(old.primary()));
    // Whatever goes to Alice, as a broker could keep and send it again.
    let operator = operator(&testbed).await;
    let mut archive = operator.subscribe(format!("kez.inbox.{}.*", old.primary().to_hex())).await.unwrap();
    operator.flush().await.unwrap();

    to_alice.send_text("from bob").await.unwrap();
    assert_eq!(text_of(&next_text(&old).await), "from bob");
    to_bob.mark_read(Place::END).await.unwrap();
    let id = to_bob.send_text("from alice").await.unwrap();
    assert!(old.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap() >= MessageState::Delivered);
    assert_eq!(text_of(&next_text(&b).await), "from alice");
    to_alice.send_text("not handled").await.unwrap();
    while !matches!(pending(&old).await.event, Event::Message { .. }) {}

    // One of these goes out after the backup, the other never does.
    old.suspend().await;
    let went = to_bob.send_text("went after all").await.unwrap();
    let stayed = to_bob.send_text("stayed here").await.unwrap();
    let file = alice.folder.path().join("alice.kez");
    let backup = old.backup_to(&file).await.unwrap();
    assert_eq!(backup.messages, 5);
    to_bob.cancel(stayed).await.unwrap();
    old.resume();
    assert_eq!(old.wait_until(went, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(text_of(&next_text(&b).await), "went after all");
    to_alice.send_text("after the backup").await.unwrap();
    assert_eq!(text_of(&next_text(&old).await), "after the backup");

    let device = Person::new();
    let recovered = device.recover_from(&testbed, &alice, &file).await.unwrap();
    assert_eq!(recovered.primary, old.primary());
    assert!(matches!(old.account().sync().await, Err(AccountError::SignedInElsewhere)));
    until(&old, |state| *state == ConnectionState::SignedInElsewhere).await;
    let new = device.open().await;
    assert_ne!(new.account().install(), old.account().install());
    online(&new).await;
    assert_eq!(new.contacts().list().await.unwrap()[0].primary, b.primary());
    let kept = ["from bob", "from alice", "not handled", "went after all", "stayed here"];
    assert_eq!(history(&new, b.primary()).await, kept);
    let summary = new.conversation(b.primary()).summary().await.unwrap();
    assert_eq!(summary.unread, 1);
    assert_eq!(new.search(&Query::new("from")).await.unwrap().len(), 2);

    // What had not been handled is told as history.
    let waiting = next_text(&new).await;
    assert!(matches!(&waiting, Event::Message { text, earlier: true, .. } if text == "not handled"), "{waiting:?}");

    // Nothing goes twice by itself, and nothing is shown twice.
    for id in [went, stayed] {
        let state = new.wait_until(id, MessageState::Unconfirmed, PATIENCE).await.unwrap();
        assert_eq!(state, MessageState::Unconfirmed);
        new.conversation(b.primary()).resend(id).await.unwrap();
    }
    assert_eq!(new.wait_until(stayed, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(text_of(&next_text(&b).await), "stayed here");
    new.conversation(b.primary()).send_text("yes").await.unwrap();
    assert_eq!(text_of(&next_text(&b).await), "yes", "and no number is missing before it");
    let seen = history(&b, new.primary()).await;
    assert_eq!(seen.iter().filter(|text| *text == "went after all").count(), 1, "{seen:?}");

    // The broker sends the archive again.
    operator.flush().await.unwrap();
    let mut replayed = Vec::new();
    while let Some(Some(frame)) = archive.next().now_or_never() {
        replayed.push(frame);
    }
    assert!(replayed.len() >= 6, "three texts, and receipts: {}", replayed.len());
    for frame in replayed {
        operator.publish(frame.subject, frame.payload).await.unwrap();
    }
    operator.flush().await.unwrap();
    to_alice.send_text("are you back?").await.unwrap();
    let lost = next_text(&new).await;
    assert!(matches!(&lost, Event::Message { text, earlier: true, .. } if text == "after the backup"), "{lost:?}");
    let back = next_text(&new).await;
    assert!(matches!(&back, Event::Message { text, earlier: false, .. } if text == "are you back?"), "{back:?}");
    // Its receipt was in the archive.
    assert_eq!(new.wait_until(went, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_not_be_restored_is_told_by_name_and_leaves_nothing() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let (good, others) = (alice.folder.path().join("alice.kez"), bob.folder.path().join("bob.kez"));
    a.backup_to(&good).await.unwrap();
    b.backup_to(&others).await.unwrap();
    assert!(matches!(a.backup_to(&good).await, Err(BackupError::Io { .. })), "it is there");
    a.shutdown().await;
    let bytes = fs::read(&good).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = alice.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut flipped = bytes.clone();
    let middle = bytes.len() / 2;
    flipped[middle] ^= 1;
    let device = Person::new();
    let refused = async |file: &Path, code: &str| {
        let error = device.recover_from(&testbed, &alice, file).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(device.key_store().load().unwrap().is_none(), "{code}: a key was kept");
        let left: Vec<_> = fs::read_dir(device.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["owner"], "{code}");
    };
    refused(&others, "BackupNotOurs").await;
    refused(&alice.folder.path().join("nowhere"), "BackupUnusable").await;
    refused(&write("flipped", &flipped), "BackupDamaged").await;
    refused(&write("cut", &bytes[..middle]), "BackupDamaged").await;
    refused(&write("empty", b""), "BackupDamaged").await;
    refused(&write("text", &b"dear diary, ".repeat(1000)), "BackupNotOurs").await;

    // A recovery that was begun without the file has an installation of its own by now.
    testbed.stop_sig_server().await;
    device.recover(&testbed, &alice).await.unwrap_err();
    let late = device.recover_from(&testbed, &alice, &good).await.unwrap_err();
    assert!(matches!(late, AccountError::Backup(BackupError::OtherAttempt)), "{late:?}");
    // One that was begun with it goes on with it, also without the file.
    let third = Person::new();
    third.recover_from(&testbed, &alice, &good).await.unwrap_err();
    testbed.start_sig_server().await.unwrap();
    third.recover(&testbed, &alice).await.unwrap();
    assert_eq!(third.open().await.contacts().list().await.unwrap().len(), 1);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_find_what_was_said_as_it_is_now() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    let to_bob = a.conversation(b.primary());
    let meeting = to_bob.send_text("Meet me at the harbour").await.unwrap();
    let secret = to_bob.send_text("The harbour master is a spy").await.unwrap();
    a.conversation(a.primary()).send_text("harbour: ask Bob").await.unwrap();
    for _ in 0..2 {
        next_text(&b).await;
    }
    let found = async |client: &Client, query: Query| -> Vec<String> {
        let hits = client.search(&query).await.unwrap();
        hits.iter().map(|hit| said(&hit.message).to_owned()).collect()
    };
    let harbour = || Query::new("Hárbo");
    assert_eq!(found(&a, harbour()).await.len(), 3);
    assert_eq!(found(&a, harbour().conversation(b.primary())).await.len(), 2);
    assert_eq!(found(&b, harbour()).await, ["The harbour master is a spy", "Meet me at the harbour"]);
    let hit = b.search(&harbour().limit(1)).await.unwrap().remove(0);
    assert_eq!((hit.with, &hit.snippet.text[hit.snippet.matches[0].clone()]), (a.primary(), "harbour"));
    assert_eq!(found(&b, harbour().before(&hit)).await, ["Meet me at the harbour"]);

    to_bob.edit(meeting, "Meet me at the station").await.unwrap();
    to_bob.delete(secret).await.unwrap();
    assert!(matches!(next(&b).await, Event::Edited { .. }));
    assert!(matches!(next(&b).await, Event::Deleted { .. }));
    for client in [&a, &b] {
        assert_eq!(found(client, Query::new("meet")).await, ["Meet me at the station"]);
        assert_eq!(found(client, Query::new("station the")).await, ["Meet me at the station"]);
        for gone in ["spy", "meet harbour"] {
            assert!(found(client, Query::new(gone)).await.is_empty(), "{gone}");
        }
    }
    assert_eq!(a.search(&Query::new("?!")).await.unwrap_err().code(), "NoWords");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_what_conversations_show_and_no_key() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let id = a.conversation(b.primary()).send_text("nine o'clock?").await.unwrap();
    next_text(&b).await;
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    let question = kez_chat_sdk::MessageRef { author: a.primary(), id };
    b.conversation(a.primary()).reply(question, "yes\nwith cake").await.unwrap();
    next_text(&a).await;
    b.conversation(a.primary()).react(question, Some("👍")).await.unwrap();
    while !matches!(next(&a).await, Event::Reaction { .. }) {}
    a.conversation(b.primary()).edit(id, "ten o'clock?").await.unwrap();
    a.conversation(a.primary()).send_text("buy cake").await.unwrap();
    let path = alice.folder.path().join("alice.jsonl");
    let mut last = None;
    let export = a.export_to(&path, |at| last = Some(*at)).await.unwrap();
    let at = last.unwrap();
    assert_eq!((at.conversations_done, at.conversations, at.messages_done), (2, 2, 3));
    assert_eq!((export.contacts, export.conversations, export.messages), (1, 2, 3));
    assert_eq!(a.export_to(&path, |_| {}).await.unwrap_err().code(), "ExportUnusable");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777, 0o600);

    let written = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["export", "contact", "conversation", "message", "conversation", "message", "message", "end"]);
    assert_eq!((&lines[0]["version"], &lines[0]["handle"]), (&1.into(), &a.handle().to_string().into()));
    assert_eq!(lines[1]["primary"], b.primary().to_string());
    let [first, second] = [&lines[5], &lines[6]];
    assert_eq!(first["with"], b.primary().to_string());
    assert_eq!((&first["content"]["text"], &first["content"]["edited"]), (&"ten o'clock?".into(), &true.into()));
    assert_eq!(first["reactions"][0]["emoji"], "👍");
    assert_eq!((&first["is_own"], &first["state"]), (&true.into(), &"delivered".into()));
    assert_eq!((&second["content"]["text"], &second["reply_to"]["id"]), (&"yes\nwith cake".into(), &first["id"]));
    assert_eq!(lines[7]["messages"], 3);
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_goes_by_itself_and_new_messages_are_indexed_by_themselves() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    for text in ["old", "new"] {
        b.conversation(a.primary()).send_text(text).await.unwrap();
        next_text(&a).await;
    }
    a.set_retention(Retention::Days(7)).await.unwrap();
    let behind = "SELECT row < (SELECT max(row) FROM messages) FROM indexing";
    let database = alice.home().join("kez.db");
    let live = database::open(&database, &alice.key());
    until_so(async || !live.query_row(behind, [], |row| row.get::<_, bool>(0)).unwrap()).await;
    drop(live);
    a.shutdown().await;

    let live = database::open(&database, &alice.key());
    live.execute("UPDATE messages SET stored_at_ms = stored_at_ms - 8 * 86400000 WHERE place = 1", []).unwrap();
    drop(live);
    let a = alice.open().await;
    until_so(async || history(&a, b.primary()).await == ["new"]).await;
    assert_eq!(a.conversation(b.primary()).summary().await.unwrap().unread, 1);
    assert!(a.search(&Query::new("old")).await.unwrap().is_empty());
    assert_eq!(a.search(&Query::new("new")).await.unwrap().len(), 1);
    testbed.shutdown().await.unwrap();
}
