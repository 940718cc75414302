//! What is not shared does not leave, and what was not asked for does not come.

use std::{fs, net::UdpSocket, time::Instant};

use futures::StreamExt;
use iroh::endpoint::ConnectionError;
use iroh_blobs::{
    Hash,
    protocol::{ChunkRanges, ChunkRangesSeq, ERR_PERMISSION, GetManyRequest, GetRequest, ObserveRequest, PushRequest},
    store::mem::MemStore,
};
use kez_core::{
    filecrypt::{FileError, FileKey},
    payload::{Address, Addresses},
};

use super::*;
use crate::store::Audience;

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_readers_get_only_their_blobs() {
    let (alice, bob, mallory) = (Person::new().await, Person::new().await, Person::new().await);
    let entry = alice.share(b"for bob", &bob).await;
    // Unknown altogether.
    let refused = mallory.fetch(&alice, &entry).await;
    assert!(
        matches!(refused, Err(NodeError::NotPermitted { ref peer }) if **peer == alice.key.primary()),
        "{refused:?}"
    );
    let upstream = mallory.node.connect(alice.key.primary(), &alice.node.addresses()).await.unwrap();
    let closed = upstream.connection.closed().await;
    assert!(matches!(&closed, ConnectionError::ApplicationClosed(close) if close.error_code == ERR_PERMISSION));
    // Known, but not for this blob.
    let other = alice.share(b"for mallory", &mallory).await;
    assert!(matches!(mallory.fetch(&alice, &entry).await, Err(NodeError::NotPermitted { .. })));
    assert!(!mallory.node.has(entry.blob_hash).await.unwrap());
    mallory.fetch(&alice, &other).await.unwrap();
    // No longer.
    alice.node.revoke(bob.key.primary(), entry.blob_hash);
    assert!(matches!(bob.fetch(&alice, &entry).await, Err(NodeError::NotPermitted { .. })));
    assert!(files_below(&bob.inbox()).is_empty());
    for person in [alice, bob, mallory] {
        person.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_for_its_audience_and_nobody_who_is_shut_out() {
    let (alice, bob, mallory) = (Person::new().await, Person::new().await, Person::new().await);
    let entry = alice.import(b"news").await;
    let bobs = || Audience { anybody: false, readers: [*bob.key.primary().as_bytes()].into() };
    let anybody = || Audience { anybody: true, ..Audience::default() };
    let refuses = async |person: &Person| {
        matches!(
            person.fetch(&alice, &entry).await,
            Err(NodeError::NotPermitted { .. } | NodeError::Unreachable { .. })
        )
    };
    alice.node.set_audience(entry.blob_hash, bobs());
    assert!(refuses(&mallory).await);
    // Shared or published: either is enough, and neither is nothing.
    alice.node.allow(bob.key.primary(), entry.blob_hash);
    alice.node.set_audience(entry.blob_hash, Audience::default());
    alice.node.revoke(bob.key.primary(), entry.blob_hash);
    assert!(refuses(&bob).await);
    alice.node.set_audiences([(entry.blob_hash, bobs()), ([7; 32], anybody())].into());
    assert!(refuses(&mallory).await, "something else is public");
    alice.node.shut_out(bob.key.primary());
    assert!(refuses(&bob).await);
    alice.node.let_in(bob.key.primary());
    bob.fetch(&alice, &entry).await.unwrap();
    alice.node.set_audiences([(entry.blob_hash, anybody())].into());
    alice.node.shut_out(mallory.key.primary());
    assert!(refuses(&mallory).await, "whatever is public");
    alice.node.let_in(mallory.key.primary());
    mallory.fetch(&alice, &entry).await.unwrap();
    for person in [alice, bob, mallory] {
        person.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_not_here_is_gone() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let entry = alice.share(b"soon forgotten", &bob).await;
    let missing = FileEntry { blob_hash: [7; 32], ..entry.clone() };
    alice.node.allow(bob.key.primary(), missing.blob_hash);
    let refused = bob.fetch(&alice, &missing).await;
    assert!(matches!(refused, Err(NodeError::Gone { ref peer }) if **peer == alice.key.primary()), "{refused:?}");
    assert_eq!(bob.tags().await, 0);
    alice.node.release(entry.blob_hash, Purpose::Shared).await.unwrap();
    assert_eq!(alice.tags().await, 0);
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_plain_get_is_answered() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let entry = alice.share(&content(MIB), &bob).await;
    let shared = Hash::from_bytes(entry.blob_hash);
    let upstream = bob.node.connect(alice.key.primary(), &alice.node.addresses()).await.unwrap();
    let connection = upstream.connection.clone();
    let memory = MemStore::new();

    // More than a connection takes in flight: the push ends only if it is taken or refused.
    let pushed = memory.blobs().add_bytes(content(16 * MIB)).await.unwrap().hash;
    let push = PushRequest::new(pushed, ChunkRangesSeq::root());
    assert!(memory.remote().execute_push(connection.clone(), push).await.is_err());
    assert!(!alice.node.has(*pushed.as_bytes()).await.unwrap());
    let taken = alice.node.store.remote().local(iroh_blobs::HashAndFormat::raw(pushed)).await.unwrap();
    assert_eq!(taken.local_bytes(), 0);

    let many = GetManyRequest::builder().hash(shared, ChunkRanges::all()).build();
    let refused = memory.remote().execute_get_many(connection.clone(), many).await.unwrap_err();
    assert_eq!(refused.iroh_error_code(), Some(ERR_PERMISSION));
    let sequence = GetRequest::all(shared);
    let refused = memory.remote().execute_get(connection.clone(), sequence).await.unwrap_err();
    assert_eq!(refused.iroh_error_code(), Some(ERR_PERMISSION));
    let mut seen = Box::pin(memory.remote().observe(connection.clone(), ObserveRequest::new(shared)));
    assert!(seen.next().await.unwrap().is_err());

    // The connection is as good as before.
    let plain = GetRequest::blob(shared);
    memory.remote().execute_get(connection, plain).await.unwrap();
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_who_is_away_is_told_soon() {
    let alice = Person::new().await;
    let dir = tempfile::tempdir().unwrap();
    let settings = NodeSettings { connect_timeout: Duration::from_millis(300), ..settings() };
    let bob = Node::start(dir.path(), &SecretKey::generate(&mut rand::rng()), settings).await.unwrap();
    let entry = alice.import(b"never mind").await;
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = Addresses::new([Address::Ip(silent.local_addr().unwrap())]);
    for addresses in [nowhere, Addresses::default()] {
        let begun = Instant::now();
        let away = bob.fetch(alice.key.primary(), &addresses, &entry, dir.path(), |_| {}).await;
        assert!(
            matches!(away, Err(NodeError::Unreachable { ref peer, .. }) if **peer == alice.key.primary()),
            "{away:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    // Many fetches learn it together.
    let (begun, nowhere) = (Instant::now(), Addresses::new([Address::Ip(silent.local_addr().unwrap())]));
    let fetch = |_| bob.fetch(alice.key.primary(), &nowhere, &entry, dir.path(), |_| {});
    let all = futures::future::join_all((0..100).map(fetch)).await;
    assert!(all.iter().all(|away| matches!(away, Err(NodeError::Unreachable { .. }))), "{all:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    bob.shutdown().await;
    alice.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_is_for_development() {
    let is_loopback = |address| matches!(address, Address::Ip(socket) if socket.ip().is_loopback());
    let (alice, dir) = (Person::new().await, tempfile::tempdir().unwrap());
    let addresses = alice.node.addresses();
    assert!(addresses.iter().any(is_loopback));
    let loopback = Addresses::new(addresses.iter().filter(|address| is_loopback(address.clone())));
    let key = SecretKey::generate(&mut rand::rng());
    let bob = Node::start(dir.path(), &key, NodeSettings::default()).await.unwrap();
    assert!(!bob.addresses().iter().any(is_loopback));
    let entry = alice.import(b"").await;
    alice.node.allow(key.primary(), entry.blob_hash);
    let refused = bob.fetch(alice.key.primary(), &loopback, &entry, dir.path(), |_| {}).await;
    assert!(matches!(refused, Err(NodeError::Unreachable { .. })), "{refused:?}");
    bob.shutdown().await;
    alice.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_announced_is_not_delivered() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let entry = alice.share(&content(100_000), &bob).await;
    let stranger_key = FileKey::generate(&mut rand::rng());
    let refuse = |refused: Result<PathBuf, NodeError>| match refused {
        Err(NodeError::BadContent { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let shorter = FileEntry { plain_len: 99_999, ..entry.clone() };
    let length = refuse(bob.fetch(&alice, &shorter).await);
    assert_eq!(length, FileError::BadLength { expected: 100_031, found: 100_032 });
    assert!(!bob.node.has(entry.blob_hash).await.unwrap(), "it was downloaded before its length was looked at");
    let keyed = FileEntry { key: stranger_key, ..entry.clone() };
    assert_eq!(refuse(bob.fetch(&alice, &keyed).await), FileError::BadSegment { index: 0 });
    let renamed = FileEntry { plain_hash: [0; 32], ..entry.clone() };
    assert_eq!(refuse(bob.fetch(&alice, &renamed).await), FileError::BadHash);
    assert!(files_below(&bob.inbox()).is_empty());
    assert_eq!(bob.tags().await, 0);
    bob.fetch(&alice, &entry).await.unwrap();
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_files_stay_and_names_stay_below_the_folder() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let entry = alice.share(b"new", &bob).await;
    fs::create_dir(bob.inbox()).unwrap();
    fs::write(bob.inbox().join("report.pdf"), "old").unwrap();
    let refused = bob.fetch(&alice, &entry).await;
    assert!(matches!(refused, Err(NodeError::AlreadyExists { .. })), "{refused:?}");
    assert!(!bob.node.has(entry.blob_hash).await.unwrap());
    assert_eq!(fs::read(bob.inbox().join("report.pdf")).unwrap(), b"old");
    for (shared, saved) in
        [("a/b/c.txt", "a/b/c.txt"), (".ssh/authorized_keys", "_ssh/authorized_keys"), ("a/nul", "a/_nul")]
    {
        let path = bob.fetch(&alice, &set_path(&entry, shared)).await.unwrap();
        assert_eq!(path, bob.inbox().join(saved));
        assert_eq!(fs::read(path).unwrap(), b"new");
    }
    assert_eq!(files_below(&bob.inbox()).len(), 4);
    alice.shutdown().await;
    bob.shutdown().await;
}
