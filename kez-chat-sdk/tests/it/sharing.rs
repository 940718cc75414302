//! What one holds ready for others: files and folders, for as long as the person wants it, whole or not at all.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use kez_chat_sdk::{
    Client, Event, FilesError, HeldFor, LeftOut, LeftOutKind, MessageState, Share, ShareId, SharedFile,
    filecrypt::blob_len, identity::SecretKey, new_message_id, payload::FOLDER_MEDIA_TYPE,
};
use kez_testbed::Testbed;

use crate::{
    files::{content, offered},
    people::{Person, next, online, text_of, two_friends},
};

const MIB: usize = 1 << 20;

/// The files in which a person's store keeps what is not small.
pub(crate) fn kept(person: &Person) -> Vec<PathBuf> {
    kept_in(&person.home())
}

pub(crate) fn kept_in(home: &Path) -> Vec<PathBuf> {
    let files = |folder| fs::read_dir(home.join("blobs").join(folder)).into_iter().flatten();
    files("data").chain(files("temp")).map(|entry| entry.unwrap().path()).collect()
}

/// Writes a file as it was a minute ago, below folders that are made.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    let earlier = SystemTime::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(path).unwrap().set_modified(earlier).unwrap();
}

fn file(path: &str, media_type: &str, size_bytes: u64) -> SharedFile {
    SharedFile { path: path.into(), media_type: media_type.into(), size_bytes }
}

/// Fetches what is not shared any more.
async fn refused(client: &Client, share: ShareId, folder: &Path) {
    let outcome = client.files().fetch(share, folder).await;
    assert_eq!(outcome.unwrap_err().code(), "NotPermitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_arrives_with_its_paths_and_without_what_links_lead_to() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let folder = alice.folder.path().join("trip");
    write(&folder.join("notes.txt"), b"packed");
    write(&folder.join("photos/2026/beach.jpeg"), &content(100_000));
    write(&folder.join("photos/raw.unheard-of"), b"");
    fs::create_dir(folder.join("empty")).unwrap();
    let secret = alice.folder.path().join("secret");
    write(&secret.join("diary.txt"), b"dear diary");
    let mut left_out = Vec::new();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(secret.join("diary.txt"), folder.join("a-link.txt")).unwrap();
        std::os::unix::fs::symlink(&secret, folder.join("photos/secret")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap());
        let folder = folder.canonicalize().unwrap();
        let left = |path: &str, kind| LeftOut { path: folder.join(path), kind };
        left_out.push(left("a-link.txt", LeftOutKind::Link));
        left_out.push(left("photos/secret", LeftOutKind::Link));
        left_out.push(left("socket", LeftOutKind::Special));
    }
    let share = a.files().share(&folder, &[b.primary()]).await.unwrap();
    let files = [
        file("trip/notes.txt", "text/plain", 6),
        file("trip/photos/2026/beach.jpeg", "image/jpeg", 100_000),
        file("trip/photos/raw.unheard-of", "", 0),
    ];
    assert_eq!((share.files.as_slice(), share.left_out), (files.as_slice(), left_out));
    let (offer, seen) = offered(&b).await;
    assert_eq!(seen, files);
    b.files().fetch(offer, bob.folder.path().join("in")).await.unwrap();
    assert!(fs::read(bob.folder.path().join("in/trip/photos/2026/beach.jpeg")).unwrap() == content(100_000));
    assert_eq!(fs::read(bob.folder.path().join("in/trip/notes.txt")).unwrap(), b"packed");

    let shares = a.files().shares().await.unwrap();
    let [held] = &shares[..] else { panic!("{shares:?}") };
    assert_eq!((held.id, held.files.as_slice()), (share.id, files.as_slice()));
    assert_eq!((held.file_count, held.total_bytes), (3, 100_006));
    assert_eq!(held.readers.iter().map(|reader| reader.primary).collect::<Vec<_>>(), [b.primary()]);
    assert!(held.shared_at_ms > 0 && !format!("{held:?}").contains("notes"), "{held:?}");
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_many_files_is_one_entry_that_lists_them() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let folder = alice.folder.path().join("many");
    let add = |numbers: std::ops::Range<u64>| {
        numbers.for_each(|i| write(&folder.join(format!("{}/{i:04}.txt", i % 3)), format!("file {i}").as_bytes()));
    };
    add(0..64);
    let share = a.files().share(&folder, &[b.primary()]).await.unwrap();
    assert_eq!((share.files.len(), share.files[0].path.as_str()), (64, "many/0/0000.txt"));
    assert_eq!(offered(&b).await.1, share.files);

    add(64..1_000);
    let mut sharing = a.files().share(&folder, &[b.primary()]);
    let mut last = sharing.latest();
    while let Some(progress) = sharing.progress().await {
        assert!(progress.done_bytes >= last.done_bytes);
        last = progress;
    }
    let share = sharing.await.unwrap();
    let [entry] = &share.files[..] else { panic!("{:?}", share.files) };
    assert_eq!((entry.path.as_str(), entry.media_type.as_str()), ("many", FOLDER_MEDIA_TYPE));
    let total = (0..1_000).map(|i| format!("file {i}").len() as u64).sum();
    assert_eq!((last.done_bytes, last.total_bytes), (total, total));
    let held = &a.files().shares().await.unwrap()[1];
    assert_eq!((held.file_count, held.total_bytes, held.files.as_slice()), (1_000, total, share.files.as_slice()));

    let (offer, seen) = offered(&b).await;
    assert_eq!(seen, share.files);
    let paths = b.files().fetch(offer, bob.folder.path()).await.unwrap();
    assert_eq!(paths, [bob.folder.path().join("many")]);
    for i in 0..1_000 {
        let path = paths[0].join(format!("{}/{i:04}.txt", i % 3));
        assert_eq!(fs::read_to_string(path).unwrap(), format!("file {i}"));
    }

    // So is one of few files whose names are too long for a message.
    let folder = alice.folder.path().join("long names");
    for i in 0..63 {
        let deep = format!("{0}/{0}/{0}/{0}/{i}", "n".repeat(240));
        write(&folder.join(deep), b"short");
    }
    let share = a.files().share(&folder, &[b.primary()]).await.unwrap();
    assert_eq!((share.files.len(), share.files[0].media_type.as_str()), (1, FOLDER_MEDIA_TYPE));
    assert_eq!(a.files().shares().await.unwrap()[2].file_count, 63);
    assert_eq!(offered(&b).await.1, share.files);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_shared_is_named() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let readers = [b.primary()];
    let base = alice.folder.path();
    let fails = async |path: &Path| a.files().share(path, &readers).await.unwrap_err();
    fs::create_dir_all(base.join("empty/inside")).unwrap();
    let error = fails(&base.join("empty")).await;
    assert!(error.code() == "EmptyFolder" && error.to_string().contains("empty"), "{error}");
    assert_eq!(fails(&base.join("missing")).await.code(), "CannotRead");
    write(&base.join("turned/a\u{202e}fdp.exe"), b"");
    let error = fails(&base.join("turned")).await;
    assert!(matches!(&error, FilesError::BadName { path, .. } if path.ends_with("turned/a\u{202e}fdp.exe")), "{error}");
    assert_eq!(error.code(), "BadPath");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
        write(&base.join("latin").join(name), b"");
        let error = fails(&base.join("latin")).await;
        assert!(matches!(&error, FilesError::BadName { path, .. } if path.ends_with(name)), "{error}");
        std::os::unix::fs::symlink(base.join("turned"), base.join("empty/link")).unwrap();
        assert_eq!(fails(&base.join("empty")).await.code(), "EmptyFolder");
    }
    write(&base.join("file"), b"");
    assert_eq!(a.files().share(&base.join("file"), &[]).await.unwrap_err().code(), "NoReaders");
    assert_eq!(a.files().share(&base.join("file"), &[a.primary()]).await.unwrap_err().code(), "NotAContact");
    assert!(a.files().shares().await.unwrap().is_empty());
    assert!(a.outbox().await.unwrap().is_empty());
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_file_is_sealed_once_and_readable_until_its_last_share_ends() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let (source, readers) = (alice.folder.path().join("film.bin"), [b.primary()]);
    let used = async || a.files().usage().await.unwrap().shared_bytes;
    let one = blob_len(MIB as u64).unwrap();
    write(&source, &content(MIB));
    let first = a.files().share(&source, &readers).await.unwrap();
    let second = a.files().share(&source, &readers).await.unwrap();
    assert_eq!(used().await, one, "one blob for both");
    // The same length at the same time, and not the same file.
    let other = alice.folder.path().join("other");
    write(&other, &[7; MIB]);
    fs::File::open(&other).unwrap().set_modified(fs::metadata(&source).unwrap().modified().unwrap()).unwrap();
    fs::rename(&other, &source).unwrap();
    let third = a.files().share(&source, &readers).await.unwrap();
    assert_eq!(used().await, 2 * one);

    let offers = [offered(&b).await.0, offered(&b).await.0, offered(&b).await.0];
    a.files().unshare(first.id, Some(b.primary())).await.unwrap();
    let paths = b.files().fetch(offers[0], bob.folder.path().join("1")).await.unwrap();
    assert!(fs::read(&paths[0]).unwrap() == content(MIB), "the second share has it too");
    a.files().unshare(second.id, None).await.unwrap();
    b.files().clean_up().await.unwrap();
    refused(&b, offers[1], &bob.folder.path().join("2")).await;
    let paths = b.files().fetch(offers[2], bob.folder.path().join("3")).await.unwrap();
    assert!(fs::read(&paths[0]).unwrap() == [7; MIB]);
    assert_eq!(used().await, one);
    a.files().unshare(third.id, None).await.unwrap();
    assert_eq!(a.files().unshare(third.id, None).await.unwrap_err().code(), "NoSuchShare");
    a.files().clean_up().await.unwrap();
    assert_eq!((used().await, kept(&alice)), (0, Vec::new()));
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// As when who asked was not told, and asks again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_under_a_name_is_offered_once_however_often_it_is_asked_for() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let (source, name, bob) = (alice.folder.path().join("film"), new_message_id(), b.primary());
    write(&source, &content(100_000));
    let same = |share: Share| (share.id, share.messages, share.files);
    let ask = async || a.files().share_as(name, &source, &[bob]).await;
    let (first, second) = tokio::join!(ask(), ask());
    let first = same(first.unwrap());
    assert_eq!(same(second.unwrap()), first);
    a.shutdown().await;
    let a = alice.open().await;
    fs::remove_file(&source).unwrap();
    assert_eq!(same(a.files().share_as(name, &source, &[bob]).await.unwrap()), first);
    a.files().clean_up().await.unwrap();
    assert_eq!((a.files().shares().await.unwrap().len(), kept(&alice).len()), (1, 1));

    // A name is for one share.
    let other = SecretKey::from_seed([9; 32]).primary();
    assert_eq!(a.files().share_as(name, &source, &[bob, other]).await.unwrap_err().code(), "NameTaken");
    a.files().unshare(first.0, None).await.unwrap();
    assert_eq!(a.files().share_as(name, &source, &[bob]).await.unwrap_err().code(), "NameTaken");
    assert_eq!(offered(&b).await.1, first.2);
    a.conversation(bob).send_text("last").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "last");
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_ends_with_its_message_or_its_reader_and_takes_its_blob_along() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let source = alice.folder.path().join("film");
    write(&source, &content(100_000));
    // The message is taken back.
    let deleted = a.files().share(&source, &[b.primary()]).await.unwrap();
    let (offer, _) = offered(&b).await;
    b.files().fetch(offer, bob.folder.path().join("before")).await.unwrap();
    b.files().clean_up().await.unwrap();
    a.conversation(b.primary()).delete(deleted.messages[0]).await.unwrap();
    gone_of(&a, &alice).await;
    assert!(matches!(next(&b).await, Event::Deleted { .. }));

    // It is cancelled before it is sent.
    a.suspend().await;
    let cancelled = a.files().share(&source, &[b.primary()]).await.unwrap();
    a.conversation(b.primary()).cancel(cancelled.messages[0]).await.unwrap();
    gone_of(&a, &alice).await;
    // And so it is with one that is unshared.
    let unshared = a.files().share(&source, &[b.primary()]).await.unwrap();
    a.files().unshare(unshared.id, None).await.unwrap();
    let waited = a.wait_until(unshared.messages[0], MessageState::Withdrawn, Duration::ZERO).await.unwrap();
    assert_eq!(waited, MessageState::Withdrawn);
    gone_of(&a, &alice).await;
    // Who is blocked before they are told is never told.
    a.files().share(&source, &[b.primary()]).await.unwrap();
    a.contacts().block(b.primary()).await.unwrap();
    gone_of(&a, &alice).await;
    a.contacts().unblock(b.primary()).await.unwrap();
    a.resume();

    // The contact is removed.
    online(&a).await;
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let (offer, _) = offered(&b).await;
    a.contacts().remove(b.primary()).await.unwrap();
    gone_of(&a, &alice).await;
    refused(&b, offer, bob.folder.path()).await;
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

async fn gone_of(client: &Client, person: &Person) {
    client.files().clean_up().await.unwrap();
    assert!(client.files().shares().await.unwrap().is_empty());
    assert!(kept(person).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_fetching_when_a_share_ends_is_cut_off() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    a.shutdown().await;
    let a = alice.builder().upload_limit(MIB as u64).open().await.unwrap();
    let source = alice.folder.path().join("film");
    write(&source, &content(8 * MIB));
    let share = a.files().share(&source, &[b.primary()]).await.unwrap();
    let (offer, _) = offered(&b).await;
    let mut fetch = b.files().fetch(offer, bob.folder.path());
    while fetch.progress().await.expect("it takes long enough").done_bytes < MIB as u64 {}
    a.files().unshare(share.id, Some(b.primary())).await.unwrap();
    assert_eq!(fetch.await.unwrap_err().code(), "NotPermitted");
    gone_of(&a, &alice).await;
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_is_cancelled_leaves_nothing() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    // Nothing is sent, so that what is left can be counted.
    a.suspend().await;
    let readers = [b.primary()];
    let folder = alice.folder.path().join("folder");
    for i in 0..70 {
        write(&folder.join(i.to_string()), &content(30_000 + i));
    }
    let film = alice.folder.path().join("film");
    write(&film, &content(16 * MIB));
    let small = alice.folder.path().join("small");
    write(&small, b"small");
    let mut done = 0;
    for path in [&film, &folder] {
        for percent in [0, 1, 50, 99, 100] {
            let mut sharing = a.files().share(path, &readers);
            while percent > 0
                && let Some(progress) = sharing.progress().await
                && progress.done_bytes * 100 < progress.total_bytes * percent
            {}
            drop(sharing);
            // Whoever shares next waits for what goes on behind.
            let next = a.files().share(&small, &readers).await.unwrap();
            a.files().unshare(next.id, None).await.unwrap();
            a.files().clean_up().await.unwrap();
            let shares = a.files().shares().await.unwrap();
            // In its last moment it may be done all the same: then all of it is there.
            assert!(shares.is_empty() || percent == 100, "{percent}");
            let messages = a.outbox().await.unwrap();
            assert_eq!(messages.iter().filter(|message| message.state == MessageState::Queued).count(), shares.len());
            for share in shares {
                done += 1;
                assert!(a.files().verify().await.unwrap().is_empty());
                a.files().unshare(share.id, None).await.unwrap();
                a.files().clean_up().await.unwrap();
            }
            assert_eq!(a.files().usage().await.unwrap().shared_bytes, 0);
            assert!(kept(&alice).is_empty(), "{percent}: {:?}", kept(&alice));
        }
    }
    assert!(done <= 2);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_take_no_more_than_they_may() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let (film, readers) = (alice.folder.path().join("film"), [b.primary()]);
    write(&film, &content(2 * MIB));
    let one = blob_len(2 * MIB as u64).unwrap();
    a.shutdown().await;
    let a = alice.builder().file_quota(one + 10).open().await.unwrap();
    let share = a.files().share(&film, &readers).await.unwrap();
    let usage = a.files().usage().await.unwrap();
    assert_eq!((usage.shared_bytes, usage.quota_bytes), (one, Some(one + 10)));
    let other = alice.folder.path().join("other");
    write(&other, b"just a bit");
    let (before, error) = (kept(&alice), a.files().share(&other, &readers).await.unwrap_err());
    assert!(
        matches!(error, FilesError::QuotaExceeded { needed_bytes: 26, used_bytes, .. } if used_bytes == one),
        "{error}"
    );
    assert_eq!(kept(&alice), before);
    // What is there already takes no more room.
    let again = a.files().share(&film, &readers).await.unwrap();
    a.files().unshare(share.id, None).await.unwrap();
    a.files().unshare(again.id, None).await.unwrap();
    a.files().share(&other, &readers).await.unwrap();

    // Nor does what is fetched.
    let offer = loop {
        let (offer, files) = offered(&b).await;
        if files[0].path == "other" {
            break offer;
        }
    };
    b.shutdown().await;
    let b = bob.builder().file_quota(25).open().await.unwrap();
    let error = b.files().fetch(offer, bob.folder.path()).await.unwrap_err();
    assert_eq!(error.code(), "QuotaExceeded");
    b.shutdown().await;
    let b = bob.builder().file_quota(26).open().await.unwrap();
    b.files().fetch(offer, bob.folder.path()).await.unwrap();
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_mended_from_the_file_or_told_to_be_gone() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let (film, readers) = (alice.folder.path().join("film"), [b.primary()]);
    write(&film, &content(3 * MIB));
    let share = a.files().share(&film, &readers).await.unwrap();
    let (offer, _) = offered(&b).await;
    assert!(a.files().verify().await.unwrap().is_empty());
    damage(&alice);

    let bad = a.files().verify().await.unwrap();
    let held_for = HeldFor::Share(share.id);
    assert_eq!(bad.iter().map(|bad| (bad.held_for, bad.file.path.as_str())).collect::<Vec<_>>(), [(held_for, "film")]);
    let fault = b.files().fetch(offer, bob.folder.path()).await.unwrap_err();
    assert_eq!(fault.code(), "PeerFault");
    // Shared again, it is not that copy.
    let again = a.files().share(&film, &readers).await.unwrap();
    let (sound, _) = offered(&b).await;
    b.files().fetch(sound, bob.folder.path().join("sound")).await.unwrap();
    a.files().unshare(again.id, None).await.unwrap();
    let repaired = a.files().repair().await.unwrap();
    assert_eq!((repaired.repaired, repaired.lost), (bad, Vec::new()));
    assert!(a.files().verify().await.unwrap().is_empty());
    let paths = b.files().fetch(offer, bob.folder.path()).await.unwrap();
    assert!(fs::read(&paths[0]).unwrap() == content(3 * MIB));

    // Where the file has changed there is nothing to mend it from; its key is not used for another one.
    write(&film, &[7; 3 * MIB]);
    damage(&alice);
    let outcome = a.files().repair().await.unwrap();
    assert_eq!((outcome.repaired.len(), outcome.lost.len()), (0, 1));
    assert!(kept(&alice).is_empty());
    b.files().clean_up().await.unwrap();
    let gone = b.files().fetch(offer, bob.folder.path().join("again")).await.unwrap_err();
    assert_eq!(gone.code(), "Gone");
    a.files().unshare(share.id, None).await.unwrap();

    // A folder's list has no file of its own.
    let folder = alice.folder.path().join("many");
    (0..200).for_each(|i| write(&folder.join(i.to_string()), b"small"));
    let share = a.files().share(&folder, &readers).await.unwrap();
    let [list] = &kept(&alice)[..] else { panic!("{:?}", kept(&alice)) };
    fs::remove_file(list).unwrap();
    let outcome = a.files().repair().await.unwrap();
    assert!(outcome.lost.is_empty(), "{outcome:?}");
    assert_eq!(
        outcome.repaired.iter().map(|bad| (bad.held_for, &bad.file)).collect::<Vec<_>>(),
        [(HeldFor::Share(share.id), &share.files[0])]
    );
    let (offer, _) = offered(&b).await;
    let paths = b.files().fetch(offer, bob.folder.path().join("list")).await.unwrap();
    assert_eq!(fs::read_dir(&paths[0]).unwrap().count(), 200);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Flips a bit of the only blob that is not small.
pub(crate) fn damage(person: &Person) {
    let blobs = kept(person);
    let [blob] = &blobs[..] else { panic!("{blobs:?}") };
    let mut bytes = fs::read(blob).unwrap();
    bytes[2 * MIB] ^= 1;
    fs::write(blob, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_device_held_ready_is_forgotten_with_it() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let source = alice.folder.path().join("film");
    write(&source, &content(100_000));
    a.files().share(&source, &[b.primary()]).await.unwrap();
    offered(&b).await;
    let backup = alice.folder.path().join("backup.kez");
    a.backup_to(&backup).await.unwrap();
    a.shutdown().await;
    let device = Person::new();
    device.recover_from(&testbed, &alice, &backup).await.unwrap();
    let a = device.open().await;
    online(&a).await;
    assert!(a.files().shares().await.unwrap().is_empty());
    assert_eq!(a.files().usage().await.unwrap().shared_bytes, 0);
    let history = a.conversation(b.primary()).history(None, 9).await.unwrap();
    assert_eq!(history.len(), 1, "that it was shared is still said");
    // It can be shared anew.
    a.files().share(&source, &[b.primary()]).await.unwrap();
    let (offer, _) = offered(&b).await;
    b.files().fetch(offer, bob.folder.path()).await.unwrap();
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}
