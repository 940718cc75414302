//! What is shared arrives.

use std::{fs, path::Path};

use tokio::sync::Notify;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_length_arrive() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    for len in [0, 1, 65_535, 65_536, 65_537, 5 * MIB + 1] {
        let plain = content(len);
        let entry = set_path(&alice.share(&plain, &bob).await, &format!("{len}.bin"));
        assert!(!bob.node.has(entry.blob_hash).await.unwrap());
        let mut heard = Vec::new();
        let (from, addresses) = (alice.key.primary(), alice.node.addresses());
        let mut over = None;
        let hear = |step| match step {
            FetchStep::Over(path) => over = Some(path),
            FetchStep::Came(done) => heard.push(done),
        };
        let path = bob.node.fetch(from, &addresses, &entry, &bob.inbox(), hear).await.unwrap();
        assert_eq!(path, bob.inbox().join(format!("{len}.bin")));
        assert!(fs::read(path).unwrap() == plain, "{len}");
        assert!(heard.is_sorted() && heard.last() == Some(&(len as u64)), "{len}: {heard:?}");
        assert_eq!(over, Some(TransferPath::Direct));
    }
    assert_eq!(files_below(&bob.inbox()).len(), 6);
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_off_transfer_goes_on_where_it_was() {
    let (alice, mut bob) = (Person::new().await, Person::new().await);
    let plain = content(12 * MIB);
    let entry = alice.share(&plain, &bob).await;
    let (enough, from, addresses) = (Notify::new(), alice.key.primary(), alice.node.addresses());
    let stop_at = |step| {
        if matches!(step, FetchStep::Came(done) if done > 2 * MIB as u64) {
            enough.notify_one();
        }
    };
    let inbox = bob.inbox();
    tokio::select! {
        biased;
        () = enough.notified() => {}
        done = bob.node.fetch(from, &addresses, &entry, &inbox, stop_at) => panic!("it came at once: {done:?}"),
    }
    assert!(files_below(&bob.inbox()).is_empty());

    // Also across a restart, and although nothing but the wish for it keeps the blob.
    bob.restart(|_| {}).await;
    let here = bob.local_bytes(&entry).await;
    assert!(here > 0 && here < 12 * MIB as u64, "{here}");
    assert_eq!(bob.tags().await, 1);
    let upstream = bob.node.connect(from, &addresses).await.unwrap();
    let pulled = bob.node.pull(&upstream, &entry, &Arrival::default(), &mut |_| {}).await.unwrap();
    assert_eq!(here + pulled, kez_core::filecrypt::blob_len(entry.plain_len).unwrap());

    // With all of it here nobody is asked any more.
    alice.shutdown().await;
    let path = bob.node.fetch(from, &addresses, &entry, &bob.inbox(), |_| {}).await.unwrap();
    assert!(fs::read(path).unwrap() == plain);
    assert_eq!(bob.tags().await, 0);
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_is_opened_while_the_rest_comes_and_goes_if_that_does_not() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let plain = content(12 * MIB);
    let entry = alice.share(&plain, &bob).await;
    alice.node.settings.uploads.set(Some(4 << 20));
    let (seen, from, addresses, inbox) = (Notify::new(), alice.key.primary(), alice.node.addresses(), bob.inbox());
    let look = |_| {
        if files_below(&inbox).iter().any(|part| fs::metadata(part).is_ok_and(|part| part.len() > 0)) {
            seen.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = seen.notified() => {}
        done = bob.node.fetch(from, &addresses, &entry, &inbox, look) => panic!("nothing was opened before: {done:?}"),
    }
    assert!(!bob.node.has(entry.blob_hash).await.unwrap());
    assert!(files_below(&inbox).is_empty());
    alice.node.settings.uploads.set(None);
    let path = bob.node.fetch(from, &addresses, &entry, &inbox, |_| {}).await.unwrap();
    assert!(fs::read(path).unwrap() == plain);
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_is_no_liar_and_goes_on_when_back() {
    let (mut alice, bob) = (Person::new().await, Person::new().await);
    let plain = content(12 * MIB);
    let entry = alice.share(&plain, &bob).await;
    alice.node.settings.uploads.set(Some(4 << 20));
    let (enough, from, addresses, inbox) = (Notify::new(), alice.key.primary(), alice.node.addresses(), bob.inbox());
    let tell = |step| {
        if matches!(step, FetchStep::Came(done) if done > MIB as u64) {
            enough.notify_one();
        }
    };
    let leave = async {
        enough.notified().await;
        alice.node.shutdown().await;
    };
    let (broken, ()) = tokio::join!(bob.node.fetch(from, &addresses, &entry, &inbox, tell), leave);
    assert!(matches!(broken, Err(NodeError::Interrupted { .. })), "{broken:?}");
    let here = bob.local_bytes(&entry).await;
    assert!(here >= MIB as u64, "{here} bytes are kept");

    alice.restart(|_| {}).await;
    alice.node.settings.uploads.set(None);
    alice.node.allow(bob.key.primary(), entry.blob_hash);
    let mut first = None;
    let tell = |step| {
        if let FetchStep::Came(done) = step {
            first.get_or_insert(done);
        }
    };
    let path = bob.node.fetch(from, &alice.node.addresses(), &entry, &inbox, tell).await.unwrap();
    assert!(fs::read(path).unwrap() == plain);
    assert!(first.unwrap() + 16 * 1_000 > here, "only what was missing came");
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_outlive_a_restart_and_plaintext_is_in_no_store() {
    let marker = b"the quick brown fox jumps over the lazy dog";
    let (mut alice, bob) = (Person::new().await, Person::new().await);
    // One blob that the store keeps in its database, one that it keeps in files of its own.
    for copies in [20, 100_000] {
        let plain = marker.repeat(copies);
        let entry = set_path(&alice.import(&plain).await, &copies.to_string());
        alice.restart(|_| {}).await;
        assert!(alice.node.has(entry.blob_hash).await.unwrap());
        alice.node.allow(bob.key.primary(), entry.blob_hash);
        assert!(fs::read(bob.fetch(&alice, &entry).await.unwrap()).unwrap() == plain);
    }
    let (stores, is_marked) = ([alice.store(), bob.store()], |path: &Path| {
        fs::read(path).unwrap().windows(marker.len()).any(|window| window == marker)
    });
    alice.shutdown().await;
    assert!(is_marked(&alice_file(&bob)));
    bob.node.shutdown().await;
    for file in stores.iter().flat_map(|store| files_below(store)) {
        assert!(!is_marked(&file), "{}", file.display());
    }
}

fn alice_file(bob: &Person) -> PathBuf {
    bob.inbox().join("20")
}

#[tokio::test(flavor = "multi_thread")]
async fn several_readers_fetch_one_blob_at_a_time() {
    let alice = Person::new().await;
    let readers = [Person::new().await, Person::new().await, Person::new().await];
    let plain = content(3 * MIB);
    let entry = alice.import(&plain).await;
    for reader in &readers {
        alice.node.allow(reader.key.primary(), entry.blob_hash);
    }
    let fetches = readers.iter().map(|reader| reader.fetch(&alice, &entry));
    for path in futures::future::join_all(fetches).await {
        assert!(fs::read(path.unwrap()).unwrap() == plain);
    }
    for person in readers {
        person.shutdown().await;
    }
    alice.shutdown().await;
}

impl Person {
    pub(super) async fn local_bytes(&self, entry: &FileEntry) -> u64 {
        let blob = iroh_blobs::HashAndFormat::raw(entry.blob_hash.into());
        self.node.store.remote().local(blob).await.unwrap().local_bytes()
    }

    /// Counts what is kept from the garbage collection.
    pub(super) async fn tags(&self) -> usize {
        use futures::StreamExt;
        let lasting = self.node.store.tags().list().await.unwrap().count().await;
        lasting + self.node.store.tags().list_temp_tags().await.unwrap().count().await
    }
}
