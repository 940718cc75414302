//! Files from one person to another, only when asked for.

use std::{fs, path::Path};

use kez_chat_sdk::{Event, FilesError, ShareId, SharedFile, TransferProgress};
use kez_testbed::Testbed;

use crate::people::{next, two_friends};

/// Bytes that no store holds by chance, and that don't compress.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"content").finalize_xof().fill(&mut bytes);
    bytes
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries: Vec<_> = fs::read_dir(folder).map(|entries| entries.map(Result::unwrap).collect()).unwrap_or_default();
    entries
        .iter()
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() { folder_bytes(&entry.path()) } else { metadata.len() }
        })
        .sum()
}

pub(crate) async fn offered(client: &kez_chat_sdk::Client) -> (ShareId, Vec<SharedFile>) {
    match next(client).await {
        Event::FileShared { share_id, files, .. } => (share_id, files),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_downloaded_until_it_is_asked_for() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let original = content(3 << 20);
    let source = alice.folder.path().join("report.pdf");
    fs::write(&source, &original).unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();

    let (share_id, files) = offered(&b).await;
    assert_eq!(
        files,
        [SharedFile { path: "report.pdf".into(), media_type: "application/pdf".into(), size_bytes: 3 << 20 }]
    );
    assert_eq!(b.files().offers().await.unwrap().len(), 1);
    assert!(folder_bytes(&bob.home().join("blobs")) < 1 << 20, "the offer brought no content");

    let target = bob.folder.path().join("downloads");
    fs::create_dir(&target).unwrap();
    let mut fetch = b.files().fetch(share_id, &target);
    let mut last = TransferProgress::default();
    while let Some(progress) = fetch.progress().await {
        last = progress;
    }
    let paths = fetch.await.unwrap();
    assert_eq!(paths, [target.join("report.pdf")]);
    assert!(fs::read(&paths[0]).unwrap() == original, "the very bytes");
    assert_eq!((last.path.as_str(), last.done_bytes, last.total_bytes), ("report.pdf", 3 << 20, 3 << 20));
    assert!(b.files().offers().await.unwrap()[0].fetched);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_who_is_away_is_named_and_serves_again_when_back() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let source = alice.folder.path().join("notes.txt");
    fs::write(&source, b"for later").unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let (share_id, _) = offered(&b).await;
    a.shutdown().await;
    let away = b.files().fetch(share_id, bob.folder.path()).await;
    assert!(matches!(&away, Err(FilesError::Waiting { peer, .. }) if peer.handle.is_some()), "{away:?}");
    assert_eq!(b.files().fetch(ShareId::new(99), bob.folder.path()).await.unwrap_err().code(), "NoSuchOffer");
    assert!(!bob.folder.path().join("notes.txt").exists());
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}
