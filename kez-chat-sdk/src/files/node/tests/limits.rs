//! What a reader can take of a provider: no more than they may, at no more than the set rate, and not for longer than they may.

use std::time::Instant;

use futures::FutureExt;
use iroh::endpoint::ConnectionError;
use iroh_blobs::ALPN;
use tokio::sync::Notify;

use super::*;
use crate::files::node::{provider::REQUESTS, readers::ERR_REPLACED};

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_right_is_cut_off_at_once() {
    let (alice, bob, carol) = (Person::new().await, Person::new().await, Person::new().await);
    let other = alice.import(b"another file of bob's").await;
    for keeps_another in [true, false] {
        let plain = content(24 * MIB);
        let entry = set_path(&alice.share(&plain, &bob).await, &keeps_another.to_string());
        alice.node.allow(carol.key.primary(), entry.blob_hash);
        if keeps_another {
            alice.node.allow(bob.key.primary(), other.blob_hash);
        } else {
            alice.node.revoke(bob.key.primary(), other.blob_hash);
        }
        alice.node.settings.uploads.set(Some(4 << 20));
        let (enough, from, addresses) = (Notify::new(), alice.key.primary(), alice.node.addresses());
        let cut = async {
            enough.notified().await;
            alice.node.revoke(bob.key.primary(), entry.blob_hash);
            let revoked = Instant::now();
            alice.node.settings.uploads.set(None);
            revoked
        };
        let tell = |step| {
            if matches!(step, FetchStep::Came(done) if done > MIB as u64) {
                enough.notify_one();
            }
        };
        let inbox = bob.inbox();
        let (refused, carols, _) =
            tokio::join!(bob.node.fetch(from, &addresses, &entry, &inbox, tell), carol.fetch(&alice, &entry), cut,);
        assert!(matches!(refused, Err(NodeError::NotPermitted { .. })), "{refused:?}");
        let here = bob.local_bytes(&entry).await;
        assert!(here < 16 * MIB as u64, "{here} bytes came");
        assert!(files_below(&bob.inbox()).is_empty());
        assert!(fs::read(carols.unwrap()).unwrap() == plain, "somebody else's right is another one");
    }
    for person in [alice, bob, carol] {
        person.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_keeps_to_its_rate_and_a_new_one_holds_at_once() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let (first, second) = (alice.share(&content(2 * MIB), &bob).await, alice.share(&content(8 * MIB), &bob).await);
    alice.node.settings.uploads.set(Some(4 << 20));
    let begun = Instant::now();
    bob.fetch(&alice, &first).await.unwrap();
    // What goes out at once is an eighth of a second's worth.
    assert!(begun.elapsed() >= Duration::from_millis(370), "{:?}", begun.elapsed());

    // At this rate it would take minutes.
    alice.node.settings.uploads.set(Some(16 << 10));
    let (begun, from, addresses, inbox) = (Notify::new(), alice.key.primary(), alice.node.addresses(), bob.inbox());
    let tell = |step| {
        if matches!(step, FetchStep::Came(done) if done > 0) {
            begun.notify_one();
        }
    };
    let lift = async {
        begun.notified().await;
        alice.node.settings.uploads.set(None);
    };
    let second = set_path(&second, "second");
    let (fetched, ()) = tokio::join!(bob.node.fetch(from, &addresses, &second, &inbox, tell), lift);
    fetched.unwrap();
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reader_has_so_many_requests_and_connections_and_no_more() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let entry = alice.share(&content(MIB), &bob).await;
    let mut connections = Vec::new();
    for _ in 0..5 {
        let address = alice.node.endpoint().addr();
        let connection = bob.node.endpoint().connect(address, ALPN).await.unwrap();
        // It is with the provider once a request was answered.
        let size = iroh_blobs::get::request::get_verified_size(&connection, &entry.blob_hash.into()).await;
        size.unwrap();
        connections.push(connection);
    }
    let closed = connections.remove(0).closed().await;
    assert!(
        matches!(&closed, ConnectionError::ApplicationClosed(close) if close.error_code == ERR_REPLACED),
        "{closed:?}"
    );
    assert!(connections.iter().all(|connection| connection.close_reason().is_none()));

    // They are told only now and then that there is room again: one request was made already.
    let connection = &connections[0];
    let open = || connection.open_bi().now_or_never().map(Result::unwrap);
    let streams: Vec<_> = std::iter::from_fn(open).collect();
    assert!((REQUESTS - 1..=REQUESTS).contains(&(streams.len() as u32)), "{} at a time", streams.len());
    assert!(connection.open_uni().now_or_never().is_none(), "there is no use for those");
    // Requests that are over make room for others.
    drop(streams);
    connection.open_bi().await.unwrap();
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_who_sends_nothing_is_left() {
    let (alice, dir) = (Person::new().await, tempfile::tempdir().unwrap());
    let settings = NodeSettings { stall_timeout: Duration::from_millis(500), ..settings() };
    let key = SecretKey::generate(&mut rand::rng());
    let bob = Node::start(&dir.path().join("store"), &key, settings).await.unwrap();
    let entry = alice.import(&content(4 * MIB)).await;
    alice.node.allow(key.primary(), entry.blob_hash);
    // After the first pieces there is one a second.
    alice.node.settings.uploads.set(Some(16 << 10));
    let addresses = alice.node.addresses();
    let fetch = || bob.fetch(alice.key.primary(), &addresses, &entry, dir.path(), |_| {});
    let stalled = fetch().await;
    assert!(
        matches!(&stalled, Err(NodeError::Interrupted { source, .. }) if source.to_string().contains("nothing came")),
        "{stalled:?}"
    );
    // It goes on over another connection.
    alice.node.settings.uploads.set(None);
    fetch().await.unwrap();
    bob.shutdown().await;
    alice.shutdown().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_a_forbidden_folder_are_named() {
    let (alice, mut bob) = (Person::new().await, Person::new().await);
    let entry = alice.share(&content(12 * MIB), &bob).await;
    let (enough, from, addresses, inbox) = (Notify::new(), alice.key.primary(), alice.node.addresses(), bob.inbox());
    let tell = |step| {
        if matches!(step, FetchStep::Came(done) if done > MIB as u64) {
            enough.notify_one();
        }
    };
    alice.node.settings.uploads.set(Some(4 << 20));
    tokio::select! {
        biased;
        () = enough.notified() => {}
        done = bob.node.fetch(from, &addresses, &entry, &inbox, tell) => panic!("it came at once: {done:?}"),
    }
    alice.node.settings.uploads.set(None);
    // The disk is full from now on.
    bob.restart(|store| {
        let data = store.join(format!("data/{}.data", iroh_blobs::Hash::from_bytes(entry.blob_hash).to_hex()));
        fs::remove_file(&data).unwrap();
        std::os::unix::fs::symlink("/dev/full", &data).unwrap();
    })
    .await;
    let full = bob.fetch(&alice, &entry).await;
    assert!(matches!(full, Err(NodeError::StoreFull { .. })), "{full:?}");

    // A folder in which nobody may write, not even root.
    let entry = alice.share(b"small", &bob).await;
    let denied = bob.node.fetch(from, &addresses, &entry, Path::new("/sys"), |_| {}).await;
    assert!(matches!(denied, Err(NodeError::WriteDenied { .. })), "{denied:?}");
    bob.fetch(&alice, &entry).await.unwrap();
    alice.shutdown().await;
    bob.shutdown().await;
}
