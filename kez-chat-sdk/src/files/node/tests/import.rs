//! Sharing leaves nothing behind but what was shared.

use std::{fs::OpenOptions, io::Write};

use kez_core::filecrypt::FileKey;
use tokio::sync::Notify;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_import_leaves_nothing() {
    let mut alice = Person::new().await;
    let path = alice.dir.path().join("big");
    fs::write(&path, content(32 * MIB)).unwrap();
    let (begun, key) = (Notify::new(), FileKey::generate(&mut rand::rng()));
    tokio::select! {
        biased;
        () = begun.notified() => {}
        done = alice.node.import(&path, &key, |_| begun.notify_one()) => panic!("it was done at once: {done:?}"),
    }
    assert_eq!(alice.tags().await, 0);
    // What the store wrote after that goes with the next import, or with the next start.
    alice.import(b"small").await;
    fs::write(alice.store().join("temp/left.temp"), "by a process that was killed").unwrap();
    alice.restart(|_| {}).await;
    assert!(files_below(&alice.store().join("temp")).is_empty());
    assert!(files_below(&alice.store().join("data")).is_empty());
    assert_eq!(alice.tags().await, 1);
    alice.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_meanwhile_is_refused() {
    let alice = Person::new().await;
    let path = alice.dir.path().join("log");
    fs::write(&path, content(32 * MIB)).unwrap();
    let mut log = OpenOptions::new().append(true).open(&path).unwrap();
    let key = FileKey::generate(&mut rand::rng());
    let refused = alice.node.import(&path, &key, |_| log.write_all(b"more").unwrap()).await;
    assert!(matches!(refused, Err(NodeError::FileChanged { .. })), "{refused:?}");
    assert_eq!(alice.tags().await, 0);
    alice.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_are_shared() {
    let alice = Person::new().await;
    let key = FileKey::generate(&mut rand::rng());
    let folder = alice.node.import(alice.dir.path(), &key, |_| {}).await;
    assert!(matches!(folder, Err(NodeError::NotAFile { .. })), "{folder:?}");
    let nothing = alice.node.import(&alice.dir.path().join("nothing"), &key, |_| {}).await;
    assert!(matches!(nothing, Err(NodeError::Read { .. })), "{nothing:?}");
    assert_eq!(alice.tags().await, 0);
    alice.shutdown().await;
}
