//! What is kept stays and is found damaged; the rest goes.

use kez_core::filecrypt::FileKey;

use super::{
    hostile::{damage, data_file},
    *,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_shared_nor_being_fetched_is_removed_when_it_is_asked_for() {
    let (alice, mut bob) = (Person::new().await, Person::new().await);
    let (kept, fetched) = (alice.share(&content(MIB), &bob).await, alice.share(&content(3 * MIB), &bob).await);
    let upstream = bob.node.connect(alice.key.primary(), &alice.node.addresses()).await.unwrap();
    bob.node.want(TAG, &fetched).await.unwrap();
    for entry in [&kept, &fetched] {
        bob.node.pull(&upstream, entry, &Arrival::default(), &mut |_| {}).await.unwrap();
    }
    drop(upstream);
    assert_eq!(bob.node.fetching_bytes().await.unwrap(), kez_core::filecrypt::blob_len(3 * MIB as u64).unwrap());
    let own = bob.import(&content(2 * MIB)).await;
    bob.node.collect().await.unwrap();
    assert_eq!(bob.has_all(&[&kept, &fetched, &own]).await, [false, true, true]);
    bob.node.release(own.blob_hash, Purpose::Shared).await.unwrap();
    bob.node.let_go(TAG).await.unwrap();
    bob.node.collect().await.unwrap();
    assert_eq!(bob.has_all(&[&kept, &fetched, &own]).await, [false, false, false]);
    assert!(!data_file(&bob.store(), &own).exists() && !data_file(&bob.store(), &fetched).exists());
    // Of small blobs that were fetched the store leaves its tree's file: it goes with the next start.
    bob.restart(|_| {}).await;
    let left = files_below(&bob.store().join("data"));
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(alice.node.kept(Purpose::Shared).await.unwrap(), [kept.blob_hash, fetched.blob_hash].into());
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_never_made_whole_is_made_anew_and_a_foreign_one_is_left_alone() {
    let mut alice = Person::new().await;
    let database = alice.store().join("blobs.db");
    // As redb leaves it when it is killed before it writes what tells that the file is whole.
    alice.restart(|_| fs::write(&database, [0; 4096]).unwrap()).await;
    alice.import(b"it works").await;
    alice.node.shutdown().await;
    let foreign = b"something that is no store at all, and long enough to look at";
    fs::write(&database, foreign).unwrap();
    let refused = Node::start(&alice.store(), &alice.key, settings()).await.err().unwrap();
    assert!(matches!(refused, NodeError::StoreUnavailable { .. }), "{refused:?}");
    assert_eq!(fs::read(&database).unwrap(), foreign);
}

/// A store that is killed has renamed files which its database does not know.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_goes_with_the_next_start() {
    let (mut alice, bob) = (Person::new().await, Person::new().await);
    let entry = alice.share(&content(MIB), &bob).await;
    let stray = FileEntry { blob_hash: [7; 32], ..entry.clone() };
    alice.restart(|store| fs::write(data_file(store, &stray), "half of it").unwrap()).await;
    assert_eq!(files_below(&alice.store().join("data")), [data_file(&alice.store(), &entry)]);
    alice.node.allow(bob.key.primary(), entry.blob_hash);
    bob.fetch(&alice, &entry).await.unwrap();
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_sealing_the_same_file_under_the_same_key_mends_it() {
    let mut alice = Person::new().await;
    let bob = Person::new().await;
    let lens = [0, 1, 20_000, 65_536, 5 * MIB];
    let mut entries = Vec::new();
    for len in lens {
        entries.push(alice.share(&content(len), &bob).await);
    }
    let sound = async |alice: &Person| {
        let mut sound = Vec::new();
        for entry in &entries {
            sound.push(alice.node.is_sound(entry.blob_hash, entry.plain_len, |_| {}).await.unwrap());
        }
        sound
    };
    assert_eq!(sound(&alice).await, [true; 5]);
    assert!(!alice.node.is_sound([7; 32], 4, |_| {}).await.unwrap(), "it is not here at all");
    let unlike = alice.node.is_sound(entries[4].blob_hash, entries[4].plain_len - 1, |_| {});
    assert!(!unlike.await.unwrap(), "it is not as long");
    alice
        .restart(|store| {
            damage(store, &entries[2], 19_999);
            fs::remove_file(data_file(store, &entries[3])).unwrap();
            damage(store, &entries[4], 3 * MIB);
        })
        .await;
    assert_eq!(sound(&alice).await, [true, true, false, false, false]);
    for (entry, len) in entries.iter().zip(lens) {
        let path = alice.dir.path().join("again");
        fs::write(&path, content(len)).unwrap();
        let imported = alice.node.import(file(&path), &entry.key, |_| {}).await.unwrap();
        assert_eq!((imported.blob_hash, imported.plain_hash), (entry.blob_hash, entry.plain_hash));
    }
    assert_eq!(sound(&alice).await, [true; 5]);
    // And so it is for readers, and after a restart.
    alice.restart(|_| {}).await;
    assert_eq!(sound(&alice).await, [true; 5]);
    for entry in &entries {
        alice.node.allow(bob.key.primary(), entry.blob_hash);
        let entry = set_path(entry, &entry.plain_len.to_string());
        let path = bob.fetch(&alice, &entry).await.unwrap();
        assert_eq!(blake3::hash(&fs::read(path).unwrap()), entry.plain_hash);
    }
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_from_memory_is_on_no_disk() {
    let (mut alice, bob) = (Person::new().await, Person::new().await);
    let marker = b"a list of keys that is never plain on the disk";
    let plain = zeroize::Zeroizing::new(marker.repeat(10_000));
    let (plain_hash, plain_len) = (*blake3::hash(&plain).as_bytes(), plain.len() as u64);
    let key = FileKey::generate(&mut rand::rng());
    let imported = alice.node.import(Plain::Memory(plain), &key, |_| {}).await.unwrap();
    assert_eq!((imported.plain_hash, imported.plain_len, imported.stamp), (plain_hash, plain_len, None));
    alice.node.keep(&[imported.blob_hash], Purpose::Shared).await.unwrap();
    alice.node.allow(bob.key.primary(), imported.blob_hash);
    let path = SharePath::parse("list").unwrap();
    let entry =
        FileEntry { path, media_type: String::new(), blob_hash: imported.blob_hash, key, plain_hash, plain_len };
    bob.fetch(&alice, &entry).await.unwrap();
    alice
        .restart(|store| {
            let is_marked = |bytes: Vec<u8>| bytes.windows(marker.len()).any(|window| window == marker);
            let files = files_below(store);
            assert!(files.len() > 1 && files.into_iter().all(|file| !is_marked(fs::read(file).unwrap())));
        })
        .await;
    alice.shutdown().await;
    bob.shutdown().await;
}

impl Person {
    async fn has_all<const N: usize>(&self, entries: &[&FileEntry; N]) -> [bool; N] {
        let mut has = [false; N];
        for (has, entry) in has.iter_mut().zip(entries) {
            *has = self.node.has(entry.blob_hash).await.unwrap();
        }
        has
    }
}
