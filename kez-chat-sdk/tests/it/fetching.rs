//! Downloads that are interrupted, put off, joined and cancelled, and what others may make of them.

mod hostile;
mod killed;

use std::{fs, path::Path, time::Duration};

use kez_chat_sdk::{
    Availability, Client, DownloadOrigin, DownloadState, Event, FetchOptions, FilesError, IfExists, ShareId, Visibility,
};
use kez_testbed::Testbed;
use tokio::time::Instant;

use crate::{
    files::content,
    people::{Person, next, online, two_friends},
    presence::seen,
};

/// What a person takes for at once, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(9);

/// Shares a file of this name and content, and returns what its reader fetches it by.
async fn offer(alice: &Person, a: &Client, b: &Client, name: &str, content: &[u8]) -> ShareId {
    let source = alice.folder.path().join(name);
    fs::write(&source, content).unwrap();
    a.files().share(&source, &[b.primary()]).await.unwrap();
    offered(b).await
}

/// Waits for an offer.
async fn offered(client: &Client) -> ShareId {
    loop {
        if let Event::FileShared { share_id, .. } = next(client).await {
            return share_id;
        }
    }
}

async fn states(client: &Client) -> Vec<DownloadState> {
    client.files().downloads().await.unwrap().into_iter().map(|download| download.state).collect()
}

/// Closes a client, and waits until another one sees that.
async fn leave(gone: Client, left: &Client) {
    let mut watch = left.presence().watch();
    let who = gone.primary();
    seen(&mut watch, who, Availability::Online).await;
    gone.shutdown().await;
    seen(&mut watch, who, Availability::Offline).await;
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_comes_by_itself_when_its_peer_is_back_also_after_a_restart() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let plain = content(3 << 20);
    let share_id = offer(&alice, &a, &b, "report.pdf", &plain).await;
    leave(a, &b).await;
    let to = bob.folder.path().join("to");
    let begun = Instant::now();
    let error = b.files().fetch(share_id, &to).await.unwrap_err();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(matches!(&error, FilesError::Waiting { peer, .. } if peer.handle.is_some()), "{error:?}");
    assert!(error.to_string().contains("will download when they are back online"), "{error}");
    let [waiting] = &b.files().downloads().await.unwrap()[..] else { panic!("one download") };
    assert!(matches!(&waiting.state, DownloadState::Waiting { code, .. } if code == "Unreachable"), "{waiting:?}");
    assert_eq!((waiting.origin, waiting.progress.total_bytes), (DownloadOrigin::Offer(share_id), 3 << 20));
    let id = waiting.id;

    b.shutdown().await;
    let b = bob.open().await;
    online(&b).await;
    assert!(matches!(states(&b).await[..], [DownloadState::Waiting { .. }]), "nobody has come back");
    let a = alice.open().await;
    match next(&b).await {
        Event::Downloaded { id: done, origin, from, paths } => {
            assert_eq!((done, origin, from.primary), (id, DownloadOrigin::Offer(share_id), a.primary()));
            assert_eq!(paths, [to.join("report.pdf")]);
            assert!(fs::read(&paths[0]).unwrap() == plain);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(&states(&b).await[..], [DownloadState::Done { paths }] if *paths == [to.join("report.pdf")]));
    assert!(b.files().offers().await.unwrap()[0].fetched);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invisible_peer_serves() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let share_id = offer(&alice, &a, &b, "report.txt", b"all is well").await;
    let mut watch = b.presence().watch();
    seen(&mut watch, a.primary(), Availability::Online).await;
    a.presence().set(Visibility::Invisible).await.unwrap();
    seen(&mut watch, a.primary(), Availability::Offline).await;
    let paths = b.files().fetch(share_id, bob.folder.path()).await.unwrap();
    assert_eq!(fs::read(&paths[0]).unwrap(), b"all is well");
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_fetches_again_joins_and_the_last_to_drop_it_forgets_it() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let plain = content(24 << 20);
    let share_id = offer(&alice, &a, &b, "film.bin", &plain).await;
    let to = bob.folder.path().join("to");
    let fetch = || b.files().fetch(share_id, &to);
    // Nothing comes while the client is suspended, so all of this is before it is done.
    b.suspend().await;
    let (first, second, third) = (fetch(), fetch(), fetch());
    drop(first);
    let elsewhere = b.files().fetch(share_id, bob.folder.path().join("elsewhere"));
    let one_for_each_folder = async { while states(&b).await.len() != 2 {} };
    tokio::time::timeout(AT_ONCE, one_for_each_folder).await.unwrap();
    drop(elsewhere);
    let one_is_left = async { while states(&b).await.len() != 1 {} };
    tokio::time::timeout(AT_ONCE, one_is_left).await.unwrap();
    b.resume();
    let (second, third) = tokio::join!(second, third);
    assert_eq!(second.unwrap(), third.unwrap());
    assert!(fs::read(to.join("film.bin")).unwrap() == plain);

    // In the midst of it, by its last holder.
    let share_id = offer(&alice, &a, &b, "sequel.bin", &content(24 << 20)).await;
    let mut dropped = b.files().fetch(share_id, &to);
    while dropped.latest().done_bytes == 0 {
        dropped.progress().await.expect("it came at once");
    }
    drop(dropped);
    let forgotten = async { while states(&b).await.len() != 1 {} };
    tokio::time::timeout(AT_ONCE, forgotten).await.unwrap();
    // By its name.
    let cancelled = b.files().fetch(share_id, &to);
    let id = loop {
        if let [_, download] = &b.files().downloads().await.unwrap()[..] {
            break download.id;
        }
    };
    b.files().cancel_download(id).await.unwrap();
    assert_eq!(b.files().cancel_download(id).await.unwrap_err().code(), "NoSuchDownload");
    let ended = cancelled.await;
    assert!(matches!(&ended, Err(FilesError::Cancelled) | Ok(_)), "{ended:?}");
    b.shutdown().await;
    let b = bob.open().await;
    assert!(matches!(states(&b).await[..], [DownloadState::Done { .. }]), "it does not come back");
    assert!(names(&to).iter().all(|name| !name.ends_with(".part")), "{:?}", names(&to));
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_is_refused_or_stays_beside_another_name() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let share_id = offer(&alice, &a, &b, "report.pdf", b"new").await;
    let to = bob.folder.path().join("to");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("report.pdf"), "old").unwrap();
    assert_eq!(b.files().fetch(share_id, &to).await.unwrap_err().code(), "AlreadyExists");
    let [failed] = &b.files().downloads().await.unwrap()[..] else { panic!("one download") };
    assert!(matches!(&failed.state, DownloadState::Failed { code, .. } if code == "AlreadyExists"), "{failed:?}");
    let beside = FetchOptions::to(&to).if_exists(IfExists::Rename);
    for name in ["report (1).pdf", "report (2).pdf"] {
        assert_eq!(b.files().fetch(share_id, beside.clone()).await.unwrap(), [to.join(name)]);
    }
    assert_eq!(fs::read(to.join("report.pdf")).unwrap(), b"old");
    assert_eq!(names(&to), ["report (1).pdf", "report (2).pdf", "report.pdf"]);

    // What can't be written is asked for again when it can.
    let occupied = bob.folder.path().join("occupied");
    fs::write(&occupied, "a file").unwrap();
    assert_eq!(b.files().fetch(share_id, occupied.join("deep")).await.unwrap_err().code(), "CannotWrite");
    let failed = b.files().downloads().await.unwrap().pop().unwrap();
    assert!(matches!(&failed.state, DownloadState::Failed { code, .. } if code == "CannotWrite"), "{failed:?}");
    fs::remove_file(&occupied).unwrap();
    // Nobody is needed for it any more.
    let paths = b.files().retry_download(failed.id).await.unwrap();
    assert_eq!(fs::read(&paths[0]).unwrap(), b"new");
    let none = b.files().fetch(share_id, FetchOptions::to(&to).only([1])).await.unwrap_err();
    assert!(matches!(none, FilesError::NoSuchFile(1)), "{none:?}");
    assert_eq!(b.files().fetch(ShareId::new(99), &to).await.unwrap_err().code(), "NoSuchOffer");
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_said_to_be() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let share_id = offer(&alice, &a, &b, "report.txt", &content(100_000)).await;
    leave(a, &b).await;
    fs::remove_dir_all(alice.home().join("blobs")).unwrap();
    assert_eq!(b.files().fetch(share_id, bob.folder.path()).await.unwrap_err().code(), "Waiting");
    let a = alice.open().await;
    match next(&b).await {
        Event::DownloadFailed { origin, from, code, message, .. } => {
            assert_eq!((origin, from.primary), (DownloadOrigin::Offer(share_id), a.primary()));
            assert_eq!(code, "Gone");
            assert!(message.contains("no longer has this file"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(&states(&b).await[..], [DownloadState::Failed { code, .. }] if code == "Gone"));
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_ends_with_its_offer_and_with_its_peer() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let share_id = offer(&alice, &a, &b, "report.txt", b"never mind").await;
    let (to_alice, to) = (a.primary(), bob.folder.path().join("to"));
    leave(a, &b).await;
    assert_eq!(b.files().fetch(share_id, &to).await.unwrap_err().code(), "Waiting");
    b.conversation(to_alice).clear().await.unwrap();
    match next(&b).await {
        Event::DownloadFailed { code, .. } => assert_eq!(code, "NoSuchOffer"),
        other => panic!("{other:?}"),
    }
    assert!(states(&b).await.is_empty());

    let a = alice.open().await;
    let share_id = offer(&alice, &a, &b, "again.txt", b"never mind").await;
    leave(a, &b).await;
    for block in [true, false] {
        assert_eq!(b.files().fetch(share_id, &to).await.unwrap_err().code(), "Waiting");
        if block {
            b.contacts().block(to_alice).await.unwrap();
            b.contacts().unblock(to_alice).await.unwrap();
        } else {
            b.contacts().remove(to_alice).await.unwrap();
        }
        assert!(states(&b).await.is_empty(), "block: {block}");
    }
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}
