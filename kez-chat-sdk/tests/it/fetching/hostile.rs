//! What somebody makes who has an endpoint of their own.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use iroh::{
    Endpoint, RelayMode,
    endpoint::{Connection, presets},
    protocol::{AcceptError, ProtocolHandler, Router},
};
use iroh_blobs::{ALPN, BlobsProtocol, store::mem::MemStore};
use kez_chat_sdk::{
    Client, Clock, DownloadState, Event, FetchOptions, FilesError, IfExists, ShareId,
    broker::subject,
    envelope,
    filecrypt::{FileKey, Sealer},
    identity::SecretKey,
    payload::{
        Address, Addresses, Content, FOLDER_MEDIA_TYPE, FileEntry, FileShare, FolderList, MessageId, Payload, SharePath,
    },
    sigchain::Install,
};
use kez_testbed::Testbed;
use tokio::time::Instant;

use super::{names, offered, states};
use crate::{
    files::content,
    frames::route_of,
    front::now_ms,
    people::{Person, next, online, two_friends},
    raw::Raw,
};

/// Somebody's endpoint that serves whatever is asked for, and says whatever the test wants.
struct Mallory {
    key: SecretKey,
    router: Router,
    store: MemStore,
    calls: Arc<AtomicUsize>,
    messages: u64,
    /// Where she says that she is.
    told: SocketAddr,
}

#[derive(Clone, Debug)]
struct Counted(BlobsProtocol, Arc<AtomicUsize>);

impl ProtocolHandler for Counted {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.accept(connection).await
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

impl Mallory {
    async fn new(key: SecretKey, socket: SocketAddr) -> Self {
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(iroh::SecretKey::from_bytes(key.expose_seed()))
            .relay_mode(RelayMode::Disabled)
            .bind_addr(socket)
            .unwrap()
            .bind()
            .await
            .unwrap();
        let (store, calls) = (MemStore::new(), Arc::default());
        let counted = Counted(BlobsProtocol::new(&store, None), Arc::clone(&calls));
        let router = Router::builder(endpoint).accept(ALPN, counted).spawn();
        let told = router.endpoint().bound_sockets().into_iter().find(SocketAddr::is_ipv4).unwrap();
        Self { key, router, store, calls, messages: 0, told }
    }

    /// Seals a file, and serves it.
    async fn hold(&self, path: &str, media_type: &str, plain: &[u8]) -> FileEntry {
        let (entry, blob) = seal(path, media_type, plain);
        self.store.blobs().add_bytes(blob).await.unwrap();
        entry
    }

    /// Sends a message that offers these, and returns what its reader fetches them by.
    async fn offer(&mut self, testbed: &Testbed, reader: &Client, entries: Vec<FileEntry>) -> ShareId {
        let addresses = Addresses::new([Address::Ip(self.told)]);
        self.messages += 1;
        let payload = Payload {
            id: MessageId(rand::random()),
            install: Install::from_bytes([7; 8]),
            seq: self.messages,
            sent_at_ms: now_ms(),
            from: None,
            to: Some(reader.handle().clone()),
            content: Content::FileShare(FileShare { entries, addresses }),
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        let peer = envelope::Peer::new(&self.key, reader.primary());
        let wire = envelope::seal(&self.key, &peer, &payload.encode().unwrap(), &rand::random()).unwrap();
        let mut raw = Raw::login(testbed, &self.key).await;
        let inbox = subject::inbox_publish(&reader.primary(), &route_of(testbed, &self.key));
        raw.publish(&inbox, "", "", &wire).await;
        assert!(raw.fence().await.is_empty());
        offered(reader).await
    }
}

fn seal(path: &str, media_type: &str, plain: &[u8]) -> (FileEntry, Vec<u8>) {
    let key = FileKey::generate(&mut rand::rng());
    let (mut sealer, mut blob) = (Sealer::new(&key), Vec::new());
    sealer.update(plain, &mut blob).unwrap();
    let sealed = sealer.finish(&mut blob).unwrap();
    let entry = FileEntry {
        path: SharePath::parse(path).unwrap(),
        media_type: media_type.to_owned(),
        blob_hash: *blake3::hash(&blob).as_bytes(),
        key,
        plain_hash: sealed.plain_hash,
        plain_len: sealed.plain_len,
    };
    (entry, blob)
}

/// Returns a contact of Bob's who has left her client, and acts by herself.
async fn friends(testbed: &Testbed) -> (Mallory, Person, Client) {
    let ((alice, a), (bob, b)) = two_friends(testbed).await;
    a.shutdown().await;
    online(&b).await;
    (Mallory::new(alice.key(), "127.0.0.1:0".parse().unwrap()).await, bob, b)
}

fn list(entries: Vec<FileEntry>) -> Vec<u8> {
    FolderList::new(entries).unwrap().encode().unwrap().to_vec()
}

/// Tells whether a file below a folder holds these bytes.
fn is_in(folder: &Path, bytes: &[u8]) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| entry.path()).any(|path| match path.is_dir() {
        true => is_in(&path, bytes),
        false => fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_small_files_come_over_one_connection() {
    let testbed = Testbed::start().await.unwrap();
    let (mut mallory, bob, b) = friends(&testbed).await;
    let plain = |number: usize| content(100 + number % 3_000 + number);
    let mut entries = Vec::new();
    for number in 0..1_000 {
        entries.push(mallory.hold(&format!("{}/{number}.bin", number % 10), "", &plain(number)).await);
    }
    let key = *entries[500].key.expose_bytes();
    let folder = mallory.hold("album", FOLDER_MEDIA_TYPE, &list(entries)).await;
    let single = mallory.hold("single.txt", "", b"single").await;
    let empty = mallory.hold("empty", FOLDER_MEDIA_TYPE, &list(Vec::new())).await;
    let share_id = mallory.offer(&testbed, &b, vec![folder, single, empty]).await;
    let to = bob.folder.path().join("to");
    let begun = Instant::now();
    let mut fetch = b.files().fetch(share_id, &to);
    let mut last = fetch.latest();
    while let Some(progress) = fetch.progress().await {
        last = progress;
    }
    assert_eq!(fetch.await.unwrap(), [to.join("album"), to.join("single.txt"), to.join("empty")]);
    eprintln!("1,000 small files took {:?}", begun.elapsed());
    assert_eq!(mallory.calls.load(Ordering::Relaxed), 1);
    let sum: usize = (0..1_000).map(|number| plain(number).len()).sum();
    assert_eq!((last.done_bytes, last.total_bytes), (sum as u64 + 6, sum as u64 + 6));
    for number in 0..1_000 {
        assert!(fs::read(to.join(format!("album/{}/{number}.bin", number % 10))).unwrap() == plain(number), "{number}");
    }
    assert_eq!(names(&to), ["album", "empty", "single.txt"]);
    assert_eq!(names(&to.join("album")).len(), 10);
    assert!(!is_in(bob.folder.path(), &key), "the list, which holds the files' keys, lies on the disk");

    // Only the one in the middle, and beside what is there.
    let options = FetchOptions::to(&to).only([1]).if_exists(IfExists::Rename);
    assert_eq!(b.files().fetch(share_id, options).await.unwrap(), [to.join("single (1).txt")]);
    b.shutdown().await;
    mallory.router.shutdown().await.unwrap();
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_are_unsound_bring_nothing() {
    let testbed = Testbed::start().await.unwrap();
    let (mut mallory, bob, b) = friends(&testbed).await;
    let to = bob.folder.path().join("to");
    let inner = mallory.hold("inner.txt", "application/vnd.kez.foldex", b"inner").await;
    let sound = list(vec![inner.clone()]);
    let changed = |from: &[u8], to: &[u8]| {
        let place = sound.windows(from.len()).position(|window| window == from).unwrap();
        [&sound[..place], to, &sound[place + from.len()..]].concat()
    };
    let twice = [&[2], &sound[1..], &sound[1..]].concat();
    for (name, bytes) in [
        ("no list at all", b"no list at all".to_vec()),
        ("a folder in a folder", changed(b"foldex", b"folder")),
        ("a path that leads out", changed(b"inner.txt", b"../er.txt")),
        ("a path twice", twice),
        ("cut short", sound[..sound.len() - 1].to_vec()),
        ("too many", vec![0xff, 0xff, 0x7f]),
    ] {
        let entry = mallory.hold("folder", FOLDER_MEDIA_TYPE, &bytes).await;
        let share_id = mallory.offer(&testbed, &b, vec![entry]).await;
        let refused = b.files().fetch(share_id, &to).await;
        assert!(matches!(&refused, Err(FilesError::BadFolderList { .. })), "{name}: {refused:?}");
    }
    // Longer than any list: it is not even asked for.
    let calls = mallory.calls.load(Ordering::Relaxed);
    let entry = mallory.hold("folder", FOLDER_MEDIA_TYPE, &sound).await;
    let long = FileEntry { plain_len: 1 << 28, ..entry };
    let share_id = mallory.offer(&testbed, &b, vec![long]).await;
    let refused = b.files().fetch(share_id, &to).await;
    assert!(matches!(&refused, Err(FilesError::BadFolderList { .. })), "{refused:?}");
    assert_eq!(mallory.calls.load(Ordering::Relaxed), calls);
    // More bytes than there are numbers for.
    let many = (0..1 + (1 << 16)).map(|number| {
        let path = SharePath::parse(&number.to_string()).unwrap();
        FileEntry { path, plain_len: 1 << 48, media_type: String::new(), ..inner.clone() }
    });
    let entry = mallory.hold("folder", FOLDER_MEDIA_TYPE, &list(many.collect())).await;
    let share_id = mallory.offer(&testbed, &b, vec![entry]).await;
    let refused = b.files().fetch(share_id, &to).await;
    assert!(matches!(&refused, Err(FilesError::Transfer(error)) if error.code() == "BadLength"), "{refused:?}");
    assert_eq!(names(&to), Vec::<String>::new());
    assert_eq!(states(&b).await.len(), 8);
    b.shutdown().await;
    mallory.router.shutdown().await.unwrap();
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_made_safe_in_listed_folders_too() {
    let testbed = Testbed::start().await.unwrap();
    let (mut mallory, bob, b) = friends(&testbed).await;
    let to = bob.folder.path().join("to");
    let inner = [mallory.hold(".ssh/authorized_keys", "", b"1").await, mallory.hold("con/a:b", "", b"2").await];
    let folder = mallory.hold("..config/.git", FOLDER_MEDIA_TYPE, &list(inner.to_vec())).await;
    let share_id = mallory.offer(&testbed, &b, vec![folder.clone()]).await;
    assert_eq!(b.files().fetch(share_id, &to).await.unwrap(), [to.join("_.config/_git")]);
    assert_eq!(fs::read(to.join("_.config/_git/_ssh/authorized_keys")).unwrap(), b"1");
    assert_eq!(fs::read(to.join("_.config/_git/_con/a_b")).unwrap(), b"2");
    assert_eq!(names(&to), ["_.config"]);
    // A link leads nowhere.
    let linked = bob.folder.path().join("linked");
    fs::create_dir(&linked).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&to, linked.join("_.config")).unwrap();
        let refused = b.files().fetch(share_id, &linked).await.unwrap_err();
        assert_eq!(refused.code(), "NotAFolder");
    }
    b.shutdown().await;
    mallory.router.shutdown().await.unwrap();
    testbed.shutdown().await.unwrap();
}

/// Nobody sees her come: she is where she said, and does not say that she is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_tried_from_time_to_time() {
    let testbed = Testbed::start().await.unwrap();
    let (mut mallory, bob, b) = friends(&testbed).await;
    let (entry, blob) = seal("report.txt", "", b"all is well");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    mallory.told = silent.local_addr().unwrap();
    let share_id = mallory.offer(&testbed, &b, vec![entry]).await;
    mallory.router.shutdown().await.unwrap();
    let to = bob.folder.path().join("to");
    assert_eq!(b.files().fetch(share_id, &to).await.unwrap_err().code(), "Waiting");
    drop(silent);
    let mallory = Mallory::new(mallory.key, mallory.told).await;
    mallory.store.blobs().add_bytes(blob).await.unwrap();
    b.shutdown().await;
    let b = bob.open().await;
    online(&b).await;
    assert!(matches!(states(&b).await[..], [DownloadState::Waiting { .. }]), "it is not time yet");
    b.shutdown().await;
    let later = Clock::from_fn(|| Clock::system().now_ms() + 3_600_000);
    let b = bob.builder().clock(later).open().await.unwrap();
    match next(&b).await {
        Event::Downloaded { paths, .. } => assert_eq!(fs::read(&paths[0]).unwrap(), b"all is well"),
        other => panic!("{other:?}"),
    }
    assert_eq!(mallory.calls.load(Ordering::Relaxed), 1);
    b.shutdown().await;
    mallory.router.shutdown().await.unwrap();
    testbed.shutdown().await.unwrap();
}
