//! What people publish: who sees what of it, and what their sigchains say.

use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use iroh::{
    Endpoint, RelayMode,
    endpoint::{Connection, presets},
    protocol::{AcceptError, ProtocolHandler, Router},
};
use iroh_blobs::{ALPN, BlobsProtocol, store::mem::MemStore};
use kez_chat_sdk::{
    Client, Clock, Event, FilesError, Listing, OwnChainNotice, PublishedEntry, TransferError,
    filecrypt::{FileKey, Sealer},
    identity::{PrimaryKey, SecretKey},
    manifest::{Access, Details, Draft, EntryId, MAX_MANIFEST_BYTES, Thumbnail, build},
    payload::{Address, FileEntry, SharePath},
    sigchain::{Chain, Op},
};
use kez_testbed::Testbed;
use tokio::sync::watch;

use crate::{
    audit::secrets::share_in,
    chains::{publish, published},
    people::{PATIENCE, Person, next, online, two_friends},
};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// A home whose sigchain server takes each change at once: clients keep the time by themselves.
pub(crate) async fn patient_home() -> Testbed {
    Testbed::builder().sig_settings(|settings| settings.shared_files_interval = Duration::ZERO).start().await.unwrap()
}

/// A device's clock, which a test moves on.
#[derive(Clone, Default)]
struct Later(Arc<AtomicU64>);

impl Later {
    fn clock(&self) -> Clock {
        let later = self.clone();
        Clock::from_fn(move || Clock::system().now_ms() + later.0.load(Ordering::Relaxed))
    }

    /// Opens an account on a device with this clock.
    async fn open(&self, person: &Person) -> Client {
        let client = person.builder().clock(self.clock()).open().await.unwrap();
        online(&client).await;
        client
    }

    /// Lets ten minutes pass while the account is closed: an open one would take the home's time for ten minutes later too.
    async fn pass(&self, person: &Person, client: Client) -> Client {
        client.shutdown().await;
        self.0.fetch_add(TEN_MINUTES.as_millis() as u64, Ordering::Relaxed);
        self.open(person).await
    }
}

/// Opens somebody's account again, with a clock that the test moves on.
async fn with_clock(person: &Person, client: Client) -> (Client, Later) {
    client.shutdown().await;
    let later = Later::default();
    (later.open(person).await, later)
}

pub(crate) fn file(person: &Person, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = person.folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

pub(crate) fn readers(people: &[&Client]) -> Access {
    Access::Readers(people.iter().map(|client| client.primary()).collect())
}

async fn publish_file(person: &Person, client: &Client, name: &str, access: Access) -> PublishedEntry {
    let content = format!("the content of {name}");
    client.files().publish(&file(person, name, content), access).await.unwrap().entries.remove(0)
}

pub(crate) async fn said(client: &Client) -> u64 {
    tokio::time::timeout(PATIENCE, client.files().until_published()).await.expect("it is said in time").unwrap()
}

/// Looks at what somebody publishes as soon as it is known where their endpoint is.
pub(crate) async fn browse(client: &Client, peer: PrimaryKey) -> Listing {
    let begun = Instant::now();
    loop {
        match client.files().browse(peer).await {
            Ok(listing) => return listing,
            // Nothing tells when an address becomes known.
            Err(FilesError::Waiting { .. }) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

pub(crate) fn names(listing: &Listing) -> Vec<&str> {
    let mut names: Vec<_> = listing.entries.iter().map(|entry| entry.file.path.as_str()).collect();
    names.sort_unstable();
    names
}

/// Lists what a chain has said of manifests.
pub(crate) fn says(chain: &Chain) -> Vec<(bool, u64)> {
    let said = chain.events().iter().filter_map(|event| match event.op() {
        Ok(Op::SetSharedFiles { manifest, version }) => Some((manifest.is_some(), *version)),
        _ => None,
    });
    said.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_it_is_for_sees_it_and_fetches_it_until_it_is_taken_back() {
    let testbed = patient_home().await;
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let (a, later) = with_clock(&alice, a).await;
    let carol = Person::new();
    let c = carol.register(&testbed, "carol").await;
    c.contacts().add("@alice").await.unwrap();
    a.contacts().add("@carol").await.unwrap();
    assert_eq!((browse(&b, a.primary()).await.version, said(&a).await), (0, 0), "nobody published anything");

    let for_bob = publish_file(&alice, &a, "for bob.txt", readers(&[&b])).await;
    let for_both = publish_file(&alice, &a, "for both.txt", readers(&[&b, &c])).await;
    publish_file(&alice, &a, "for nobody.txt", readers(&[])).await;
    assert_eq!(said(&a).await, 1);
    let listing = browse(&b, a.primary()).await;
    assert_eq!((names(&listing), listing.version), (vec!["for bob.txt", "for both.txt"], 1));
    assert_eq!(listing.owner.handle.as_ref(), Some(a.handle()));
    assert_eq!(names(&browse(&c, a.primary()).await), ["for both.txt"]);
    let own: Vec<_> = a.files().published().await.unwrap().into_iter().map(|entry| entry.file.path).collect();
    assert_eq!(own, ["for bob.txt", "for both.txt", "for nobody.txt"]);

    let paths = b.files().fetch_entry(a.primary(), for_both.id, bob.folder.path()).await.unwrap();
    assert_eq!(fs::read_to_string(&paths[0]).unwrap(), "the content of for both.txt");
    let others = c.files().fetch_entry(a.primary(), for_bob.id, carol.folder.path()).await.unwrap_err();
    assert!(matches!(others, FilesError::NoSuchEntry(id) if id == for_bob.id), "{others:?}");

    // Taken back, it is refused at once, though the listing still has it.
    a.files().unpublish(for_bob.id).await.unwrap();
    a.files().set_access(for_both.id, readers(&[&b])).await.unwrap();
    for (client, person, id) in [(&b, &bob, for_bob.id), (&c, &carol, for_both.id)] {
        let refused = client.files().fetch_entry(a.primary(), id, person.folder.path().join("late")).await;
        assert!(matches!(refused, Err(FilesError::Transfer(TransferError::NotPermitted { .. }))), "{refused:?}");
    }
    assert_eq!(a.files().unpublish(for_bob.id).await.unwrap_err().code(), "NoSuchEntry");
    let a = later.pass(&alice, a).await;
    assert_eq!(said(&a).await, 2);
    assert_eq!(names(&browse(&b, a.primary()).await), ["for both.txt"]);
    // Carol reads nothing of it any more, so the manifest is none of her business.
    let refused = c.files().browse(a.primary()).await.unwrap_err();
    assert!(matches!(refused, FilesError::Transfer(TransferError::NotPermitted { .. })), "{refused:?}");
    assert_eq!(says(&published(&testbed, &a.primary()).await), [(true, 1), (true, 2)]);

    // Who looked before sees it while she is away; who did not has to wait.
    let a = later.pass(&alice, a).await;
    a.files().set_access(for_both.id, readers(&[&b, &c])).await.unwrap();
    assert_eq!(said(&a).await, 3);
    assert_eq!(names(&browse(&b, a.primary()).await), ["for both.txt"]);
    a.shutdown().await;
    assert_eq!(names(&b.files().browse(alice.key().primary()).await.unwrap()), ["for both.txt"]);
    let away = c.files().browse(alice.key().primary()).await.unwrap_err();
    assert!(matches!(&away, FilesError::Waiting { peer, .. } if peer.handle.is_some()), "{away:?}");

    // It is served again when she is back, and taken from who is no contact any more.
    let a = later.open(&alice).await;
    assert_eq!(names(&browse(&c, a.primary()).await), ["for both.txt"]);
    a.contacts().remove(c.primary()).await.unwrap();
    let refused = c.files().fetch_entry(a.primary(), for_both.id, carol.folder.path().join("late")).await;
    assert!(matches!(refused, Err(FilesError::Transfer(TransferError::NotPermitted { .. }))), "{refused:?}");
    let a = later.pass(&alice, a).await;
    assert_eq!(said(&a).await, 4);
    for client in [a, b, c] {
        client.shutdown().await;
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_changes_in_a_row_are_one_event() {
    let testbed = patient_home().await;
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let (a, later) = with_clock(&alice, a).await;
    for number in 0..9 {
        publish_file(&alice, &a, &format!("{number}.txt"), readers(&[&b])).await;
    }
    // One of them is published for all who were offered it.
    let shared = a.files().share(&file(&alice, "shared.txt", "shared"), &[b.primary()]).await.unwrap();
    let [last] = &a.files().publish_shared(&shared, readers(&[&b])).await.unwrap()[..] else { panic!("one file") };
    assert_eq!(said(&a).await, 1);
    assert_eq!(browse(&b, a.primary()).await.entries.len(), 10);
    assert_eq!(says(&published(&testbed, &a.primary()).await), [(true, 1)]);
    // What comes within the ten minutes is said together when they are over.
    for number in 10..13 {
        publish_file(&alice, &a, &format!("{number}.txt"), readers(&[&b])).await;
    }
    a.files().unpublish(last.id).await.unwrap();
    let a = later.pass(&alice, a).await;
    assert_eq!(said(&a).await, 2);
    assert_eq!(browse(&b, a.primary()).await.entries.len(), 12);
    assert_eq!(says(&published(&testbed, &a.primary()).await), [(true, 1), (true, 2)]);
    for entry in a.files().published().await.unwrap() {
        a.files().unpublish(entry.id).await.unwrap();
    }
    let a = later.pass(&alice, a).await;
    assert_eq!(said(&a).await, 3);
    assert_eq!(says(&published(&testbed, &a.primary()).await).last(), Some(&(false, 3)), "nothing is left to list");
    assert!(browse(&b, a.primary()).await.entries.is_empty());
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_device_published_is_shown_no_more() {
    let testbed = patient_home().await;
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    publish_file(&alice, &a, "lost.txt", readers(&[&b])).await;
    assert_eq!(said(&a).await, 1);
    let backup = alice.folder.path().join("backup");
    a.backup_to(&backup).await.unwrap();
    a.shutdown().await;

    let key = alice.key().primary();
    for (from_backup, version) in [(false, 2), (true, 4)] {
        let device = Person::new();
        match from_backup {
            false => device.recover(&testbed, &alice).await.unwrap(),
            true => device.recover_from(&testbed, &alice, &backup).await.unwrap(),
        };
        let later = Later::default();
        let a = later.open(&device).await;
        let told = loop {
            if let Event::OwnChain { notice } = next(&a).await {
                break notice;
            }
        };
        assert_eq!(told, OwnChainNotice::PublishedFilesLost { version });
        assert!(a.files().published().await.unwrap().is_empty());
        assert_eq!(says(&published(&testbed, &key).await).last(), Some(&(false, version)));
        let listing = browse(&b, key).await;
        assert_eq!((listing.entries.len(), listing.version), (0, version));
        // And it goes on from there.
        if !from_backup {
            a.contacts().add("@bob").await.unwrap();
        }
        publish_file(&device, &a, "found.txt", readers(&[&b])).await;
        let a = later.pass(&device, a).await;
        assert_eq!(said(&a).await, version + 1);
        assert_eq!(names(&browse(&b, key).await), ["found.txt"]);
        a.shutdown().await;
    }
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_comes_when_it_is_shown_and_says_nothing_of_the_camera() {
    const PLACE: &[u8] = b"48 deg 51 N, 2 deg 21 E";
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    let image = image::RgbImage::from_fn(800, 400, |x, y| image::Rgb([(x / 4) as u8, (y / 2) as u8, 90]));
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    // A comment of the camera's, as it would write where it was.
    let comment = [&[0xff, 0xfe, 0, PLACE.len() as u8 + 2], PLACE].concat();
    let photograph = [&jpeg[..2], &comment, &jpeg[2..]].concat();
    let photograph = file(&alice, "photograph.jpg", photograph);
    let picture = a.files().publish(&photograph, readers(&[&b])).await.unwrap().entries.remove(0);
    let text = publish_file(&alice, &a, "text.txt", readers(&[&b])).await;
    assert_eq!((picture.has_thumbnail, text.has_thumbnail), (true, false));
    said(&a).await;
    let listing = browse(&b, a.primary()).await;
    let listed = listing.entries.iter().find(|entry| entry.id == picture.id).unwrap();
    assert!(listed.has_thumbnail);
    let shown = b.files().thumbnail(a.primary(), picture.id).await.unwrap().unwrap();
    assert_eq!((shown.width, shown.height), (256, 128));
    assert!(!shown.jpeg.windows(PLACE.len()).any(|window| window == PLACE));
    assert!(b.files().thumbnail(a.primary(), text.id).await.unwrap().is_none());
    // It is there when she is not.
    let owner = a.primary();
    a.shutdown().await;
    assert_eq!(b.files().thumbnail(owner, picture.id).await.unwrap(), Some(shown));
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_hundred_entries_lists_them_out_of_ten_thousand() {
    let testbed = patient_home().await;
    let (mallory, b) = Mallory::meet(&testbed).await;
    let other = SecretKey::from_seed([9; 32]).primary();
    let drafts: Vec<_> = (0..10_000_u32)
        .map(|number| {
            let reader = if number % 100 == 0 { b.primary() } else { other };
            mallory.draft(number, Access::Readers(vec![reader]), None)
        })
        .collect();
    let manifest = build(&mallory.key, 1, &drafts, &mut rand::rng()).unwrap();
    let bytes = manifest.len();
    mallory.say(&testbed, manifest, 1).await;
    let begun = Instant::now();
    let listing = browse(&b, mallory.key.primary()).await;
    println!("100 of 10,000 entries, {bytes} bytes: {:?}", begun.elapsed());
    assert_eq!(listing.entries.len(), 100);
    let begun = Instant::now();
    assert_eq!(b.files().browse(mallory.key.primary()).await.unwrap().entries, listing.entries);
    println!("again: {:?}", begun.elapsed());
    mallory.leave().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_not_what_the_chain_says_is_refused() {
    let testbed = patient_home().await;
    let (mallory, b) = Mallory::meet(&testbed).await;
    let owner = mallory.key.primary();
    let draft = mallory.draft(1, Access::Public, None);
    let made =
        |owner: &SecretKey, version| build(owner, version, std::slice::from_ref(&draft), &mut rand::rng()).unwrap();
    let refusal = async || b.files().browse(owner).await.unwrap_err();
    let bad = |error: FilesError, what: &str| match error {
        FilesError::BadManifest { source, .. } => assert!(source.to_string().contains(what), "{source}"),
        other => panic!("{other:?}"),
    };
    mallory.say(&testbed, made(&SecretKey::from_seed([9; 32]), 1), 1).await;
    bad(refusal().await, "owner");
    mallory.say(&testbed, made(&mallory.key, 7), 2).await;
    bad(refusal().await, "version");
    mallory.say(&testbed, b"KEZM".to_vec(), 3).await;
    assert_eq!(refusal().await.code(), "Truncated");
    mallory.say(&testbed, Vec::new(), 4).await;
    assert_eq!(refusal().await.code(), "Truncated");
    // What is longer than a manifest may be is not fetched.
    mallory.say(&testbed, vec![0; MAX_MANIFEST_BYTES + 1], 5).await;
    let long = refusal().await;
    assert!(matches!(&long, FilesError::Transfer(TransferError::TooLong { .. })), "{long:?}");
    // What has another hash than the chain says can't even be sent; a blob that is not there is another thing.
    publish(&testbed, &mallory.key, Op::SetSharedFiles { manifest: Some([7; 32]), version: 6 }).await;
    assert!(matches!(refusal().await, FilesError::Transfer(_)));
    mallory.say(&testbed, made(&mallory.key, 7), 7).await;
    assert_eq!(b.files().browse(owner).await.unwrap().entries.len(), 1, "and a sound one is taken");
    mallory.leave().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_manifest_leaves_the_last_one_in_use_and_a_better_one_is_taken() {
    let testbed = patient_home().await;
    let (mallory, b) = Mallory::meet(&testbed).await;
    let owner = mallory.key.primary();
    let draft = mallory.draft(1, Access::Public, None);
    let made = |version| build(&mallory.key, version, std::slice::from_ref(&draft), &mut rand::rng()).unwrap();
    let is_in_use = async || {
        assert!(b.files().thumbnail(owner, draft.id).await.unwrap().is_none(), "it is known to have none");
        let unknown = b.files().thumbnail(owner, EntryId([9; 16])).await.unwrap_err();
        assert_eq!(unknown.code(), "NoSuchEntry");
    };
    mallory.say(&testbed, made(1), 1).await;
    assert_eq!(browse(&b, owner).await.version, 1);
    // The very bytes that the chain names, and no manifest.
    mallory.say(&testbed, b"anything but a manifest".to_vec(), 2).await;
    for _ in 0..2 {
        let refused = b.files().browse(owner).await.unwrap_err();
        assert!(matches!(&refused, FilesError::BadManifest { .. }) && refused.code() == "BadManifest", "{refused:?}");
        is_in_use().await;
        b.files().clean_up().await.unwrap();
    }
    // Other bytes than those that the chain names.
    mallory.say(&testbed, made(3), 3).await;
    mallory.lies.send_replace(true);
    for _ in 0..2 {
        let refused = b.files().browse(owner).await.unwrap_err();
        assert!(matches!(&refused, FilesError::Transfer(TransferError::PeerFault { .. })), "{refused:?}");
        is_in_use().await;
    }
    mallory.lies.send_replace(false);
    assert_eq!(b.files().browse(owner).await.unwrap().version, 3);
    is_in_use().await;
    mallory.leave().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_shown_one_after_the_other_come_over_one_connection() {
    let testbed = patient_home().await;
    let (mallory, b) = Mallory::meet(&testbed).await;
    let owner = mallory.key.primary();
    let mut drafts = Vec::new();
    for number in 0..20_u8 {
        let image = image::RgbImage::from_pixel(9, 9, image::Rgb([number, 7, 7]));
        let mut jpeg = std::io::Cursor::new(Vec::new());
        image.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
        let (plain, key) = (jpeg.into_inner(), FileKey::from_bytes([number; 32]));
        let blob_hash = mallory.serve(seal(&key, &plain)).await;
        let thumbnail = Thumbnail { blob_hash, plain_len: plain.len() as u64, key };
        drafts.push(mallory.draft(number.into(), Access::Public, Some(thumbnail)));
    }
    mallory.say(&testbed, build(&mallory.key, 1, &drafts, &mut rand::rng()).unwrap(), 1).await;
    browse(&b, owner).await;
    for draft in &drafts {
        assert!(b.files().thumbnail(owner, draft.id).await.unwrap().is_some());
    }
    assert_eq!(mallory.calls.load(Ordering::Relaxed), 1);
    mallory.leave().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thumbnail_that_is_none_is_refused() {
    let testbed = patient_home().await;
    let (mallory, b) = Mallory::meet(&testbed).await;
    let owner = mallory.key.primary();
    let key = FileKey::from_bytes([5; 32]);
    let mut promised = Vec::new();
    for (plain, plain_len) in
        [(b"no picture".to_vec(), 10), (b"longer than said".to_vec(), 3), (vec![0; 70_000], 70_000)]
    {
        let blob_hash = mallory.serve(seal(&key, &plain)).await;
        promised.push(Thumbnail { blob_hash, plain_len, key: key.clone() });
    }
    let drafts: Vec<_> =
        (0..).zip(promised).map(|(number, promised)| mallory.draft(number, Access::Public, Some(promised))).collect();
    mallory.say(&testbed, build(&mallory.key, 1, &drafts, &mut rand::rng()).unwrap(), 1).await;
    browse(&b, owner).await;
    for (draft, code) in drafts.iter().zip(["BadThumbnail", "TooLong", "BadThumbnail"]) {
        let refused = b.files().thumbnail(owner, draft.id).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
    }
    let unknown = b.files().thumbnail(owner, EntryId([9; 16])).await.unwrap_err();
    assert_eq!(unknown.code(), "NoSuchEntry");
    mallory.leave().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

fn seal(key: &FileKey, plain: &[u8]) -> Vec<u8> {
    let (mut blob, mut sealer) = (Vec::new(), Sealer::new(key));
    sealer.update(plain, &mut blob).unwrap();
    sealer.finish(&mut blob).unwrap();
    blob
}

/// Somebody whose endpoint serves anybody anything, at an address that Bob knows.
struct Mallory {
    key: SecretKey,
    store: MemStore,
    router: Router,
    /// How often they were called.
    calls: Arc<AtomicU64>,
    /// Whether they answer with something else than was asked for.
    lies: watch::Sender<bool>,
    _person: Person,
    _bob: Person,
}

#[derive(Clone, Debug)]
struct Moody {
    blobs: BlobsProtocol,
    calls: Arc<AtomicU64>,
    lies: watch::Sender<bool>,
}

impl ProtocolHandler for Moody {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut lies = self.lies.subscribe();
        if !*lies.borrow_and_update() {
            return tokio::select! {
                accepted = self.blobs.accept(connection.clone()) => accepted,
                _ = lies.changed() => {
                    connection.close(0_u32.into(), b"in another mood");
                    Ok(())
                }
            };
        }
        while let Ok((mut answer, _question)) = connection.accept_bi().await {
            // A length, and bytes of another blob.
            let _ = answer.write_all(&[&5_u64.to_le_bytes()[..], b"wrong"].concat()).await;
            let _ = answer.finish();
            let _ = answer.stopped().await;
        }
        Ok(())
    }

    async fn shutdown(&self) {
        self.blobs.shutdown().await;
    }
}

impl Mallory {
    /// Makes Mallory a contact of Bob's, to whom they have once offered a file. Returns them and Bob's client.
    async fn meet(testbed: &Testbed) -> (Self, Client) {
        let ((person, m), (bob, b)) = two_friends(testbed).await;
        m.files().share(&file(&person, "bait.txt", "bait"), &[b.primary()]).await.unwrap();
        assert!(matches!(next(&b).await, Event::FileShared { .. }));
        m.shutdown().await;
        let offer = share_in(&bob.home().join("kez.db"), &bob.key());
        let port = offer.addresses.iter().find_map(|address| match address {
            Address::Ip(socket) if socket.ip().is_loopback() => Some(socket.port()),
            _ => None,
        });
        let (key, store) = (person.key(), MemStore::new());
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(iroh::SecretKey::from_bytes(key.expose_seed()))
            .relay_mode(RelayMode::Disabled)
            .bind_addr((Ipv4Addr::UNSPECIFIED, port.unwrap()))
            .unwrap()
            .bind()
            .await
            .unwrap();
        let (calls, lies) = (Arc::default(), watch::Sender::default());
        let moody = Moody { blobs: BlobsProtocol::new(&store, None), calls: Arc::clone(&calls), lies: lies.clone() };
        let router = Router::builder(endpoint).accept(ALPN, moody).spawn();
        (Self { key, store, router, calls, lies, _person: person, _bob: bob }, b)
    }

    fn draft(&self, number: u32, access: Access, thumbnail: Option<Thumbnail>) -> Draft {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let file = FileEntry {
            path: SharePath::parse(&format!("{number}.bin")).unwrap(),
            media_type: String::new(),
            blob_hash: [1; 32],
            key: FileKey::from_bytes([2; 32]),
            plain_hash: [3; 32],
            plain_len: 4,
        };
        Draft { id: EntryId(id), access, details: Details { file, shared_at_ms: 1, thumbnail } }
    }

    async fn serve(&self, blob: Vec<u8>) -> [u8; 32] {
        *self.store.blobs().add_bytes(blob).await.unwrap().hash.as_bytes()
    }

    /// Serves a manifest, and publishes that it is theirs.
    async fn say(&self, testbed: &Testbed, manifest: Vec<u8>, version: u64) {
        let manifest = Some(self.serve(manifest).await);
        publish(testbed, &self.key, Op::SetSharedFiles { manifest, version }).await;
    }

    async fn leave(self) {
        self.router.shutdown().await.unwrap();
    }
}
