use kez_core::identity::SecretKey;

use super::*;
use crate::{event::EventId, store::schema};

fn person(number: u8) -> PrimaryKey {
    SecretKey::from_seed([number; 32]).primary()
}

fn entry(id: u8, blob: u8, access: Access) -> NewEntry {
    let file = FileEntry {
        path: SharePath::parse(&format!("{id}.txt")).unwrap(),
        media_type: "text/plain".into(),
        blob_hash: [blob; 32],
        key: FileKey::from_bytes([3; 32]),
        plain_hash: [4; 32],
        plain_len: 5,
    };
    let thumbnail = Thumbnail { blob_hash: [0xf0 | id; 32], plain_len: 6, key: FileKey::from_bytes([7; 32]) };
    let picture = OwnFile { blob_hash: thumbnail.blob_hash, ..OwnFile::of(&file) };
    let files = vec![OwnFile::of(&file), picture];
    let details = Details { file, shared_at_ms: u64::from(id), thumbnail: Some(thumbnail) };
    NewEntry { draft: Draft { id: EntryId([id; 16]), access, details }, files }
}

fn for_people(people: &[u8]) -> Access {
    Access::Readers(people.iter().map(|number| person(*number)).collect())
}

fn audience(anybody: bool, people: &[u8]) -> Audience {
    Audience { anybody, readers: people.iter().map(|number| *person(*number).as_bytes()).collect() }
}

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
    (dir, store)
}

fn said(version: u64, hash: Option<u8>) -> Option<SharedFiles> {
    Some(SharedFiles { manifest: hash.map(|hash| [hash; 32]), version })
}

fn row(version: u64, hash: Option<u8>, change: u64, replaces_lost: bool) -> ManifestRow {
    ManifestRow { version, hash: hash.map(|hash| [hash; 32]), change, is_public: true, replaces_lost }
}

#[tokio::test]
async fn a_blob_is_for_whom_any_of_its_entries_is_and_a_manifest_for_all_of_them() {
    let (_dir, store) = store().await;
    let entries = vec![entry(1, 9, for_people(&[2, 3])), entry(2, 9, for_people(&[3, 4])), entry(3, 8, Access::Public)];
    store.keep_published(entries.clone()).await.unwrap();
    store.begin_manifest(row(1, Some(7), 1, false)).await.unwrap();
    assert_eq!(store.audience([9; 32]).await.unwrap(), audience(false, &[2, 3, 4]));
    assert_eq!(store.audience([0xf1; 32]).await.unwrap(), audience(false, &[2, 3]), "its picture");
    assert_eq!(store.audience([8; 32]).await.unwrap(), audience(true, &[]));
    assert_eq!(store.audience([7; 32]).await.unwrap(), audience(true, &[2, 3, 4]), "the manifest");
    assert_eq!(store.audience([6; 32]).await.unwrap(), Audience::default());
    let [files, manifests] = store.audiences().await.unwrap();
    for (blob, found) in files.iter().chain(&manifests) {
        assert_eq!(*found, store.audience(*blob).await.unwrap());
    }
    assert_eq!((files.len(), manifests.len()), (5, 1));
    let drafts = store.published().await.unwrap();
    assert!(drafts.iter().map(|draft| &draft.details).eq(entries.iter().map(|entry| &entry.draft.details)));

    let over = store.unpublish(EntryId([1; 16])).await.unwrap().unwrap();
    assert_eq!(store.unpublished_of(over).await.unwrap(), [[0xf1; 32]], "another entry has the file");
    assert_eq!(store.audience([9; 32]).await.unwrap(), audience(false, &[3, 4]));
    store.set_published_access(EntryId([3; 16]), for_people(&[5])).await.unwrap().unwrap();
    assert_eq!(store.audience([7; 32]).await.unwrap(), audience(false, &[3, 4, 5]), "nothing is public any more");
    store.transact(|db| forget(db, person(3).as_bytes())).await.unwrap();
    assert_eq!(store.audience([9; 32]).await.unwrap(), audience(false, &[4]));
    assert_eq!(store.publication().await.unwrap().changes, 4);
    store.transact(|db| forget(db, person(3).as_bytes())).await.unwrap();
    assert_eq!(store.publication().await.unwrap().changes, 4, "they read nothing any more");
    assert!(store.unpublish(EntryId([1; 16])).await.unwrap().is_none());
    assert!(store.set_published_access(EntryId([1; 16]), Access::Public).await.unwrap().is_none());
}

#[tokio::test]
async fn it_is_known_what_the_chain_says_and_told_when_it_said_what_is_lost() {
    let (_dir, store) = store().await;
    assert!(store.publication().await.unwrap().is_said(None));
    let lost = said(6, Some(1));
    let before = store.publication().await.unwrap();
    assert!(!before.is_said(lost.as_ref()) && before.is_settled(lost.as_ref()), "another device had it");
    store.begin_manifest(row(7, None, 0, true)).await.unwrap();
    let cleared = said(7, None);
    let now = store.publication().await.unwrap();
    assert!(now.is_said(cleared.as_ref()) && !now.is_settled(cleared.as_ref()));
    assert!(store.settle_manifest(7, 1_000).await.unwrap().is_empty());
    assert!(store.settle_manifest(7, 2_000).await.unwrap().is_empty());
    let now = store.publication().await.unwrap();
    assert!(now.is_settled(cleared.as_ref()));
    assert_eq!((now.settled_version, now.settled_at_ms), (7, 1_000));
    let told = store.events_after(EventId::default(), 9).await.unwrap();
    let notice = OwnChainNotice::PublishedFilesLost { version: 7 };
    assert_eq!(told.into_iter().map(|pending| pending.event).collect::<Vec<_>>(), [Event::OwnChain { notice }]);

    store.keep_published(vec![entry(1, 9, Access::Public)]).await.unwrap();
    assert!(!store.publication().await.unwrap().is_said(cleared.as_ref()));
    for (version, hash) in [(8, 2), (9, 3)] {
        store.begin_manifest(row(version, Some(hash), 1, false)).await.unwrap();
    }
    assert!(store.publication().await.unwrap().is_said(said(9, Some(3)).as_ref()));
    assert!(!store.publication().await.unwrap().is_said(said(9, Some(2)).as_ref()));
    assert_eq!(store.settle_manifest(9, 3_000).await.unwrap(), [[2; 32]], "the others are let go");
    assert_eq!(store.events_after(EventId::default(), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_no_manifest_has_room_for_is_refused_and_changes_nothing() {
    let (_dir, store) = store().await;
    let key = SecretKey::from_seed([1; 32]);
    let entries = vec![entry(1, 9, for_people(&[2, 3, 4])), entry(2, 9, Access::Public), entry(3, 9, for_people(&[]))];
    store.keep_published(entries).await.unwrap();
    let (_, collection) = store.collection().await.unwrap();
    let (manifest, _) = collection.publish(&key, 1, &mut rand::rng()).unwrap();
    let counted = "SELECT sum(access_bytes + details_bytes) FROM published";
    let counted = store.read(move |db| Ok(db.query_row(counted, [], |row| row.get::<_, usize>(0))?)).await.unwrap();
    assert!((0..3 * 256).contains(&(HEAD_BYTES + counted - manifest.len())), "{counted} for {}", manifest.len());

    let almost = "UPDATE published SET details_bytes = 64 << 20 WHERE id = (SELECT min(id) FROM published)";
    store.transact::<_, StoreError>(move |db| Ok(db.execute(almost, [])?)).await.unwrap();
    let full = store.keep_published(vec![entry(4, 9, Access::Public)]).await.unwrap_err();
    assert_eq!(full.code(), "BadManifest");
    assert_eq!(store.set_published_access(EntryId([2; 16]), for_people(&[2])).await.unwrap_err().code(), "BadManifest");
    assert_eq!(store.published().await.unwrap().len(), 3);
    assert_eq!(store.audience([9; 32]).await.unwrap(), audience(true, &[2, 3, 4]));
    assert_eq!(store.publication().await.unwrap().changes, 1);
}

#[test]
fn what_was_published_before_is_a_file_of_our_own_from_now_on() {
    let mut db = Connection::open_in_memory().unwrap();
    schema::migrate(&mut db, 13).unwrap();
    db.execute("INSERT INTO own_files (blob_hash, file_key, plain_hash, plain_len) VALUES (?1, ?1, ?1, 7)", [[1; 32]])
        .unwrap();
    for (id, blob) in [([1; 16], [1; 32]), ([2; 16], [2; 32]), ([3; 16], [2; 32])] {
        db.execute(
            "INSERT INTO published (id, path, media_type, blob_hash, file_key, plain_hash, plain_len, shared_at_ms,
                is_public, access_bytes, details_bytes)
             VALUES (?1, 'a', '', ?2, ?2, ?2, 7, 1, 1, 0, 0)",
            (id, blob),
        )
        .unwrap();
    }
    schema::migrate(&mut db, schema::KNOWN).unwrap();
    let own: (u32, u32) = db
        .query_row("SELECT count(*), sum(plain_len) FROM own_files", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(own, (2, 14));
}
