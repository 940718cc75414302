use std::{collections::BTreeSet, path::PathBuf};

use kez_core::payload::MessageId;
use tempfile::TempDir;

use super::*;
use crate::{
    event::{Event, EventId},
    store::{
        Draft, Store,
        timeline::tests::{draft, incoming, lines, own, person, store, take, text},
    },
};

/// Tables that a backup keeps. Whoever adds one decides which list it belongs to.
const KEPT: &[&str] = &[
    "blocked",
    "chain_events",
    "contacts",
    "conversations",
    "events",
    "heard_heads",
    "held",
    "messages",
    "numbering",
    "offers",
    "outbox",
    "pins",
    "quarantine",
    "receipts_due",
    "refused",
    "settings",
    "strangers",
    "told_heads",
];

fn key() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

fn new_install() -> Install {
    Install::from_bytes([7; 8])
}

fn mark() -> BackupMark {
    BackupMark { owner: *own().as_bytes(), install: Install::from_bytes([1; 8]), made_at_ms: 77 }
}

/// Writes a backup of the store in a folder, and returns where.
fn back_up(dir: &TempDir) -> PathBuf {
    let file = dir.path().join("backup");
    let _ = fs::remove_file(&file);
    fs::write(&file, b"").unwrap();
    write_backup(&dir.path().join("kez.db"), &key(), &file, &mark()).unwrap();
    file
}

fn restore(file: &Path) -> Result<(TempDir, PathBuf), StoreError> {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("kez.db");
    let restored = prepare_restored(file, &key(), &database, new_install());
    if let Err(error) = restored {
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something half done is left: {error}");
        return Err(error);
    }
    assert!(!database.exists(), "it is not in its place before it is put there");
    put_in_place(&database)?;
    Ok((dir, database))
}

async fn execute(store: &Store, sql: &'static str) {
    store.transact::<_, StoreError>(move |db| Ok(db.execute_batch(sql)?)).await.unwrap();
}

async fn count(store: &Store, query: &'static str) -> u32 {
    store.read(move |db| Ok(db.query_row(query, [], |row| row.get(0))?)).await.unwrap()
}

async fn queue(store: &Store, said: &str, at_once: bool) -> MessageId {
    let draft = Draft { at_once, ..draft(2, text(said)) };
    let id = draft.id;
    store.queue_message(draft).await.unwrap();
    id
}

#[tokio::test]
async fn every_table_is_decided_upon() {
    let (_dir, store) = store().await;
    let names: BTreeSet<String> = store
        .read(|db| {
            let mut statement = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap();
    let decided: BTreeSet<&str> = KEPT.iter().chain(LEFT_OUT).copied().collect();
    for name in names.iter().filter(|name| !name.starts_with("sqlite_") && !name.starts_with("message_texts")) {
        assert!(decided.contains(name.as_str()), "is {name} to outlive the device? Say so here, or in LEFT_OUT");
    }
    assert_eq!(decided.len(), KEPT.len() + LEFT_OUT.len());
}

#[tokio::test]
async fn what_is_in_a_backup_is_there_again_and_what_belongs_to_the_device_is_not() {
    let (dir, store) = store().await;
    store.begin_account(Install::from_bytes([1; 8])).await.unwrap();
    take(&store, vec![incoming(2, [1; 16], 1, text("from before")), incoming(3, [2; 16], 1, text("also"))]).await;
    store.mark_read(person(2), crate::message::Place::END, true).await.unwrap();
    store.set_draft(person(3), Some("I was about to".into())).await.unwrap();
    let numbered = queue(&store, "numbered", true).await;
    let unnumbered = queue(&store, "unnumbered", false).await;
    let delivered = queue(&store, "delivered", true).await;
    store
        .transact::<_, StoreError>(move |db| {
            db.execute("DELETE FROM outbox WHERE message_id = ?1", [delivered.0])?;
            Ok(db.execute("UPDATE messages SET state = 20 WHERE id = ?1", [delivered.0])?)
        })
        .await
        .unwrap();
    execute(
        &store,
        "INSERT INTO pins (handle, owner) VALUES ('bob@kez.lat', x'02');
         INSERT INTO settings VALUES ('read_receipts', 'off');
         INSERT INTO own_files (blob_hash, file_key, plain_hash, plain_len)
            VALUES (zeroblob(32), randomblob(32), zeroblob(32), 4);
         INSERT INTO shares VALUES (1, 0);
         INSERT INTO share_files VALUES (1, 0, zeroblob(32), 'report.pdf', '', 0);
         INSERT INTO share_readers VALUES (1, x'02', NULL);
         INSERT INTO stream_positions VALUES ('KEZ_INBOX', 9);
         INSERT INTO chain_events VALUES (x'01', 1, 'published', 1), (x'01', 2, 'seen by nobody', 0);
         INSERT INTO outbox (recipient, message_id, nats_msg_id, payload, awaits_receipt) VALUES (x'02', x'09', x'', x'', 0);
         UPDATE account SET handle = 'alice@kez.lat', published = 1, born_at_ms = 5",
    )
    .await;
    while store.index_texts().await.unwrap() {}

    let file = back_up(&dir);
    assert_eq!(read_mark(&file, &key()).unwrap(), mark());
    let (_dir, database) = restore(&file).unwrap();
    let restored = Store::open(&database, &key()).await.unwrap();
    assert_eq!(lines(&restored, 2).await, lines(&store, 2).await);
    assert_eq!(restored.conversation(own(), person(3)).await.unwrap().unread, 1);
    assert_eq!(restored.conversation(own(), person(3)).await.unwrap().draft.as_deref(), Some("I was about to"));
    assert_eq!(restored.contacts().await.unwrap().len(), 2);
    assert_eq!(restored.setting("read_receipts").await.unwrap().as_deref(), Some("off"));
    assert_eq!(count(&restored, "SELECT count(*) FROM pins").await, 1);
    assert_eq!(restored.receipts_due(9).await.unwrap().map(|due| due.ids.len()), Some(1));

    let account = restored.account().await.unwrap().unwrap();
    assert_eq!((account.install, account.born_at_ms, account.published), (new_install(), 0, false));
    assert_eq!((account.handle, account.backed_up), (None, true));
    assert_eq!(restored.restored_from().await.unwrap(), Some(mark()));
    assert_eq!(store.restored_from().await.unwrap(), None);
    let gone =
        ["own_files", "shares", "share_files", "share_readers", "stream_positions", "sequences", "message_texts"];
    for gone in gone {
        let query = format!("SELECT count(*) FROM {gone}");
        let rows = restored.read(move |db| Ok(db.query_row(&query, [], |row| row.get::<_, u32>(0))?)).await;
        assert_eq!(rows.unwrap(), 0, "{gone}");
    }
    assert_eq!(count(&restored, "SELECT count(*) FROM chain_events").await, 1);

    // Nothing goes out by itself, and by hand it does; once.
    assert!(restored.waiting(0, 9).await.unwrap().is_empty());
    let state = async |id| restored.message_state(own(), id).await.unwrap().unwrap();
    assert_eq!(
        [state(numbered).await, state(unnumbered).await, state(delivered).await],
        [MessageState::Unconfirmed, MessageState::Unconfirmed, MessageState::Delivered]
    );
    assert!(!restored.note_epoch("another").await.unwrap());
    assert!(restored.resend(own(), person(2), unnumbered).await.unwrap());
    assert!(restored.resend(own(), person(2), numbered).await.unwrap());
    let rows = restored.hand_over(own(), restored.waiting(0, 9).await.unwrap()).await.unwrap();
    let sent: Vec<_> = rows.iter().map(|row| decode(&row.payload).unwrap()).collect();
    let installs: Vec<_> = sent.iter().map(|payload| (payload.install, payload.seq)).collect();
    assert_eq!(installs, [(Install::from_bytes([1; 8]), 1), (new_install(), 1)], "each in its own sequence");

    // What was not handled is told as history, and what comes again not at all.
    let told = restored.events_after(EventId::default(), 9).await.unwrap();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|pending| matches!(pending.event, Event::Message { earlier: true, .. })), "{told:?}");
    take(&restored, vec![incoming(2, [1; 16], 1, text("from before"))]).await;
    assert_eq!(restored.events_after(EventId::default(), 9).await.unwrap().len(), 2);
    while restored.index_texts().await.unwrap() {}
    let found = restored.find(own(), "\"before\"".into(), None, i64::MAX, 9).await.unwrap();
    assert_eq!(found.len(), 1, "the index is made anew");
}

#[tokio::test]
async fn a_backup_is_one_state_of_the_account_whatever_is_written_meanwhile() {
    let (dir, store) = store().await;
    execute(
        &store,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO quarantine (reason, stored_at_ms, frame) SELECT '', i, randomblob(2000) FROM n",
    )
    .await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut pairs = 0_u32;
            loop {
                let pair = move |db: &Connection| -> Result<(), StoreError> {
                    db.execute("INSERT INTO pins (handle, owner) VALUES ('a' || ?1, x'00')", [pairs])?;
                    // Of another table, which is read at another time.
                    db.execute("INSERT INTO settings VALUES ('b' || ?1, '')", [pairs])?;
                    Ok(())
                };
                if store.transact(pair).await.is_err() {
                    return pairs;
                }
                pairs += 1;
            }
        })
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let dir_path = dir.path().to_owned();
        let file = tokio::task::spawn_blocking(move || {
            let file = dir_path.join("backup");
            let _ = fs::remove_file(&file);
            write_backup(&dir_path.join("kez.db"), &key(), &file, &mark()).unwrap();
            file
        });
        let (_dir, database) = restore(&file.await.unwrap()).unwrap();
        let restored = Store::open(&database, &key()).await.unwrap();
        let pins = count(&restored, "SELECT count(*) FROM pins").await;
        assert_eq!(pins, count(&restored, "SELECT count(*) FROM settings").await);
        seen.push(pins);
    }
    store.close().await;
    let written = writer.await.unwrap();
    assert!(seen.is_sorted() && seen[2] > seen[0] && written >= seen[2], "{seen:?} of {written}");
}

#[tokio::test]
async fn a_damaged_file_is_told_and_nothing_of_it_is_kept() {
    let (dir, store) = store().await;
    execute(
        &store,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO quarantine (reason, stored_at_ms, frame) SELECT '', i, randomblob(3000) FROM n",
    )
    .await;
    let bytes = fs::read(back_up(&dir)).unwrap();
    let copy = dir.path().join("copy");
    let fails = |what: String, bytes: &[u8]| {
        fs::write(&copy, bytes).unwrap();
        let error = restore(&copy).expect_err(&what);
        assert!(matches!(error.code(), "StoreDamaged" | "StoreNotOurs"), "{what}: {error:?}");
        assert!(fs::read(&copy).unwrap() == bytes, "{what}: the file was written to");
    };
    let pages = bytes.len() / 4096;
    for page in 0..pages {
        let mut flipped = bytes.clone();
        flipped[page * 4096 + 17 + page * 31 % 4000] ^= 4;
        fails(format!("a bit of page {page} of {pages}"), &flipped);
    }
    for length in [0, 1, 100, 4095, 4096, bytes.len() / 2, bytes.len() - 4096, bytes.len() - 1] {
        fails(format!("cut to {length} of {}", bytes.len()), &bytes[..length]);
    }
    fails("a text".into(), &b"dear diary, ".repeat(1000));
    // A database of ours, but no backup.
    fails("the live database".into(), &fs::read(dir.path().join("kez.db")).unwrap());
    fs::write(&copy, &bytes).unwrap();
    assert!(restore(&copy).is_ok(), "and the sound one is sound");
}

#[tokio::test]
async fn another_accounts_and_a_later_versions_backups_are_told_apart() {
    let (dir, _store) = store().await;
    let file = back_up(&dir);
    let others = read_mark(&file, &SecretKey::from_seed([2; 32]));
    assert!(matches!(others, Err(StoreError::NotOurs)), "{others:?}");
    let later = schema::KNOWN + 1;
    let connection = unlock(Connection::open(&file).unwrap(), &backup_key(&key())).unwrap();
    connection.pragma_update(None, "user_version", later).unwrap();
    drop(connection);
    for read in [read_mark(&file, &key()).map(drop), restore(&file).map(drop)] {
        assert!(matches!(read, Err(StoreError::TooNew { found, .. }) if found == later), "{read:?}");
    }
}

/// As when a process is killed before the database is in its place.
#[tokio::test]
async fn what_a_killed_attempt_has_left_is_in_nobodys_way() {
    let (dir, _store) = store().await;
    let file = back_up(&dir);
    let home = tempfile::tempdir().unwrap();
    let database = home.path().join("kez.db");
    for _ in 0..2 {
        fs::write(home.path().join("kez.new"), b"half of something").unwrap();
        prepare_restored(&file, &key(), &database, new_install()).unwrap();
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(home.path().join("kez.new")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    put_in_place(&database).unwrap();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    assert!(Store::open(&database, &key()).await.is_ok());
}
