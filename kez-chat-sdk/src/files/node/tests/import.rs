//! Sharing leaves nothing behind but what was shared.

use std::{fs::OpenOptions, io::Write, sync::Arc};

use kez_core::filecrypt::FileKey;
use tokio::sync::Notify;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_import_leaves_nothing() {
    let mut alice = Person::new().await;
    let path = alice.dir.path().join("big");
    let len = 24 * MIB as u64;
    fs::write(&path, content(24 * MIB)).unwrap();
    for moment in [0, 1, len / 2, len] {
        let (come, key) = (Notify::new(), FileKey::generate(&mut rand::rng()));
        let stop_at = |done| {
            if done >= moment {
                come.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = come.notified() => {}
            // Too late; then nobody takes what it made.
            _ = alice.node.import(file(&path), &key, stop_at) => {}
        }
        // Whoever has the next turn waits for what goes on behind.
        drop(Arc::clone(&alice.node.imports).lock_owned().await);
        alice.node.collect().await.unwrap();
        assert_eq!(alice.tags().await, 0, "{moment}");
        assert!(files_below(&alice.store().join("temp")).is_empty(), "{moment}");
        assert!(files_below(&alice.store().join("data")).is_empty(), "{moment}");
    }
    alice.import(b"small").await;
    fs::write(alice.store().join("temp/left.temp"), "by a process that was killed").unwrap();
    alice.restart(|_| {}).await;
    assert!(files_below(&alice.store().join("temp")).is_empty());
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
    let refused = alice.node.import(file(&path), &key, |_| log.write_all(b"more").unwrap()).await;
    assert!(matches!(refused, Err(NodeError::FileChanged { .. })), "{refused:?}");
    assert_eq!(alice.tags().await, 0);
    alice.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_are_shared() {
    let alice = Person::new().await;
    let key = FileKey::generate(&mut rand::rng());
    let folder = alice.node.import(file(alice.dir.path()), &key, |_| {}).await;
    assert!(matches!(folder, Err(NodeError::NotAFile { .. })), "{folder:?}");
    let nothing = alice.node.import(file(&alice.dir.path().join("nothing")), &key, |_| {}).await;
    assert!(matches!(nothing, Err(NodeError::Read { .. })), "{nothing:?}");
    assert_eq!(alice.tags().await, 0);
    alice.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_in_the_place_of_the_one_that_was_found_is_not_shared() {
    let alice = Person::new().await;
    let (path, secret) = (alice.dir.path().join("report"), alice.dir.path().join("secret"));
    fs::write(&path, "what was found").unwrap();
    fs::write(&secret, "what was not").unwrap();
    let found = Some(Stamp::of(&fs::symlink_metadata(&path).unwrap()));
    let import = async || {
        let key = FileKey::generate(&mut rand::rng());
        alice.node.import(Plain::File { path: path.clone(), found }, &key, |_| {}).await
    };
    assert!(import().await.is_ok());
    // The same file may say something else.
    fs::write(&path, "what was found, and more").unwrap();
    assert!(import().await.is_ok());
    #[cfg(unix)]
    {
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        let refused = import().await;
        assert!(matches!(refused, Err(NodeError::FileChanged { .. })), "{refused:?}");
    }
    alice.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_told_by_its_time_only_when_that_is_over() {
    let alice = Person::new().await;
    let (path, key) = (alice.dir.path().join("notes"), FileKey::generate(&mut rand::rng()));
    fs::write(&path, "written just now").unwrap();
    assert_eq!(alice.node.import(file(&path), &key, |_| {}).await.unwrap().stamp, None);
    let earlier = std::time::SystemTime::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(&path).unwrap().set_modified(earlier).unwrap();
    let stamp = alice.node.import(file(&path), &key, |_| {}).await.unwrap().stamp;
    assert_eq!(stamp, Some(Stamp::of(&fs::metadata(&path).unwrap())));
    fs::write(&path, "written just now").unwrap();
    assert_ne!(stamp, Some(Stamp::of(&fs::metadata(&path).unwrap())));
    alice.shutdown().await;
}
