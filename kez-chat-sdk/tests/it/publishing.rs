//! What one publishes: folders, the room that it takes, and that it stays as it was.

use std::fs;

use kez_chat_sdk::{FilesError, HeldFor, LeftOutKind, filecrypt::blob_len, payload::FOLDER_MEDIA_TYPE};

use crate::{
    browsing::{browse, names, patient_home, readers, said, says},
    chains::published,
    files::content,
    people::{Person, two_friends},
    sharing::{damage, kept, write},
};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_published_file_by_file_in_one_event_without_what_links_lead_to() {
    let testbed = patient_home().await;
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let folder = alice.folder.path().join("trip");
    let mut expected = Vec::new();
    for number in 0..70 {
        let name = format!("{}/{number:02}.txt", number % 3);
        write(&folder.join(&name), format!("file {number}").as_bytes());
        expected.push(format!("trip/{name}"));
    }
    let mut picture = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(300, 200).write_to(&mut picture, image::ImageFormat::Png).unwrap();
    write(&folder.join("photos/beach.png"), picture.get_ref());
    expected.push("trip/photos/beach.png".into());
    expected.sort_unstable();
    #[cfg(unix)]
    std::os::unix::fs::symlink(alice.home(), folder.join("home")).unwrap();

    let at_once = a.files().publish(&folder, readers(&[&b])).await.unwrap();
    #[cfg(unix)]
    assert_eq!(at_once.left_out.iter().map(|left_out| left_out.kind).collect::<Vec<_>>(), [LeftOutKind::Link]);
    assert_eq!((at_once.entries.len(), said(&a).await), (71, 1));
    assert_eq!(says(&published(&testbed, &a.primary()).await), [(true, 1)]);
    let listing = browse(&b, a.primary()).await;
    assert_eq!(names(&listing), expected);
    let of = |path: &str| listing.entries.iter().find(|entry| entry.file.path == path).unwrap();
    assert!(of("trip/photos/beach.png").has_thumbnail && !of("trip/0/03.txt").has_thumbnail);
    let paths = b.files().fetch_entry(a.primary(), of("trip/0/03.txt").id, bob.folder.path()).await.unwrap();
    assert_eq!(paths, [bob.folder.path().join("trip/0/03.txt")]);
    assert_eq!(fs::read_to_string(&paths[0]).unwrap(), "file 3");

    // What has not changed is not sealed again.
    let before = a.files().usage().await.unwrap();
    a.files().publish(&folder.join("0"), readers(&[])).await.unwrap();
    assert_eq!((a.files().usage().await.unwrap(), a.files().published().await.unwrap().len()), (before, 71 + 24));
    let empty = alice.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(a.files().publish(&empty, readers(&[])).await.unwrap_err().code(), "EmptyFolder");
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_folder_of_many_files_is_one_entry_that_outlives_the_share() {
    let testbed = patient_home().await;
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    c.contacts().add("@alice").await.unwrap();
    a.contacts().add("@carol").await.unwrap();
    let folder = alice.folder.path().join("many");
    (0..100).for_each(|number| write(&folder.join(format!("{}/{number}", number % 7)), &content(number)));
    let share = a.files().share(&folder, &[b.primary()]).await.unwrap();
    let published = a.files().publish_shared(&share, readers(&[&c])).await.unwrap();
    let [entry] = &published[..] else { panic!("{published:?}") };
    assert_eq!((entry.file.path.as_str(), entry.file.media_type.as_str()), ("many", FOLDER_MEDIA_TYPE));
    said(&a).await;
    let used = a.files().usage().await.unwrap();
    a.files().unshare(share.id, None).await.unwrap();
    a.files().clean_up().await.unwrap();
    assert_eq!(a.files().usage().await.unwrap(), used, "it is published, and takes as much");
    assert!(a.files().verify().await.unwrap().is_empty());

    browse(&c, a.primary()).await;
    let paths = c.files().fetch_entry(a.primary(), entry.id, carol.folder.path()).await.unwrap();
    assert_eq!(paths, [carol.folder.path().join("many")]);
    for number in 0..100 {
        assert!(fs::read(paths[0].join(format!("{}/{number}", number % 7))).unwrap() == content(number), "{number}");
    }
    a.files().unpublish(entry.id).await.unwrap();
    assert_eq!(a.files().usage().await.unwrap().shared_bytes, 0);
    for client in [a, b, c] {
        client.shutdown().await;
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_published_takes_room_and_is_looked_after() {
    let testbed = patient_home().await;
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let film = alice.folder.path().join("film");
    write(&film, &content(3 * MIB));
    let one = blob_len(3 * MIB as u64).unwrap();
    a.shutdown().await;
    let a = alice.builder().file_quota(one + 10).open().await.unwrap();
    let entry = a.files().publish(&film, readers(&[&b])).await.unwrap().entries.remove(0);
    let used = async || a.files().usage().await.unwrap().shared_bytes;
    assert_eq!(used().await, one);
    let other = alice.folder.path().join("other");
    write(&other, b"just a bit");
    let before = kept(&alice);
    for refused in [
        a.files().publish(&other, readers(&[])).await.map(drop),
        a.files().share(&other, &[b.primary()]).await.map(drop),
    ] {
        assert!(matches!(refused, Err(FilesError::QuotaExceeded { needed_bytes: 26, .. })), "{refused:?}");
    }
    assert_eq!((kept(&alice), a.files().published().await.unwrap().len()), (before, 1));
    // Shared too, it takes no more room, and none less when that ends.
    let share = a.files().share(&film, &[b.primary()]).await.unwrap();
    a.files().unshare(share.id, None).await.unwrap();
    a.files().clean_up().await.unwrap();
    assert_eq!(used().await, one);

    assert!(a.files().verify().await.unwrap().is_empty());
    damage(&alice);
    let bad = a.files().verify().await.unwrap();
    let held_for = HeldFor::Published(entry.id);
    assert_eq!(bad.iter().map(|bad| (bad.held_for, bad.file.path.as_str())).collect::<Vec<_>>(), [(held_for, "film")]);
    let outcome = a.files().repair().await.unwrap();
    assert_eq!((outcome.repaired, outcome.lost), (bad, Vec::new()));
    assert!(a.files().verify().await.unwrap().is_empty());
    said(&a).await;
    browse(&b, a.primary()).await;
    let paths = b.files().fetch_entry(a.primary(), entry.id, bob.folder.path()).await.unwrap();
    assert!(fs::read(&paths[0]).unwrap() == content(3 * MIB));

    // Where the file has changed there is nothing to mend it from.
    write(&film, &[7; 3 * MIB]);
    damage(&alice);
    let outcome = a.files().repair().await.unwrap();
    assert_eq!((outcome.repaired.len(), outcome.lost.len()), (0, 1));
    assert!(kept(&alice).is_empty());
    b.files().clean_up().await.unwrap();
    let gone = b.files().fetch_entry(a.primary(), entry.id, bob.folder.path().join("again")).await.unwrap_err();
    assert_eq!(gone.code(), "Gone");
    a.files().unpublish(entry.id).await.unwrap();
    assert_eq!(used().await, 0);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}
