//! What an application says about transfers that are under way.

use std::fs;

use kez_chat_sdk::TransferPath;
use kez_testbed::Testbed;

use crate::{
    files::{content, offered},
    people::two_friends,
};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_is_cut_off_in_the_middle_of_a_file() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    a.shutdown().await;
    let a = alice.builder().upload_limit(1 << 20).open().await.unwrap();
    let (source, original) = (alice.folder.path().join("film.bin"), content(8 << 20));
    fs::write(&source, &original).unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let (share_id, _) = offered(&b).await;

    let folder = bob.folder.path().join("downloads");
    let mut fetch = b.files().fetch(share_id, &folder);
    while fetch.progress().await.expect("it takes long enough").done_bytes < 1 << 20 {}
    assert_eq!(fetch.latest().over, Some(TransferPath::Direct));
    a.contacts().block(b.primary()).await.unwrap();
    assert_eq!(fetch.await.unwrap_err().code(), "NotPermitted");

    a.contacts().unblock(b.primary()).await.unwrap();
    a.files().limit_uploads(None);
    let paths = b.files().fetch(share_id, &folder).await.unwrap();
    assert!(fs::read(&paths[0]).unwrap() == original);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}
