//! Files on a local network, between people who were not told each other's addresses.

use std::fs;

use kez_chat_sdk::{FilesError, Visibility};
use kez_testbed::Testbed;

use crate::{
    files::offered,
    namespace,
    people::{PATIENCE, two_friends},
};

/// Alice comes back at another port and keeps it to herself. Bob finds her only if both look around.
#[tokio::test(flavor = "multi_thread")]
async fn who_looks_around_finds_a_peer_whose_address_nobody_told() {
    if !namespace::enter("local_network::who_looks_around_finds_a_peer_whose_address_nobody_told").await {
        return;
    }
    namespace::join_lan();
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let source = alice.folder.path().join("notes.txt");
    fs::write(&source, b"for later").unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let (share_id, _) = offered(&b).await;
    a.presence().set(Visibility::Invisible).await.unwrap();
    a.shutdown().await;
    b.shutdown().await;

    let a = alice.builder().lan_discovery().open().await.unwrap();
    let b = bob.open().await;
    let folder = bob.folder.path();
    let away = b.files().fetch(share_id, folder).await;
    assert!(matches!(away, Err(FilesError::Waiting { .. })), "{away:?}");
    b.shutdown().await;
    let b = bob.builder().lan_discovery().open().await.unwrap();
    let fetched = async {
        loop {
            // It may be that her endpoint is only starting.
            match b.files().fetch(share_id, folder).await {
                Err(FilesError::Waiting { .. }) => {}
                ended => break ended,
            }
        }
    };
    let paths = tokio::time::timeout(PATIENCE, fetched).await.expect("they find each other").unwrap();
    assert_eq!(fs::read(&paths[0]).unwrap(), b"for later");
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}
