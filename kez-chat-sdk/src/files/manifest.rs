//! Our manifest, and that the sigchain says it: made anew when what is published has changed, for several changes at a
//! time, and not often (`docs/PROTOCOL.md` §§4, 9).
//!
//! Each step is on disk before the next one: the manifest's blob, that it was made, the signed event, that the sigchain
//! server has it. What was cut off between any two goes on here when there is a session again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use kez_core::{identity::SecretKey, manifest::Collection, sigchain::SharedFiles};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    FilesError,
    node::{Node, Purpose},
    slot::node,
};
use crate::{
    account::own_chain,
    shared::Shared,
    store::{ManifestRow, Publication, Store, StoreError},
};

/// How long a change waits for company, as long as there is more, and how often at most.
const COMPANY: Duration = Duration::from_secs(2);
const MOST_WAITS: usize = 10;
/// How long there is no other event after one.
const INTERVAL: Duration = Duration::from_secs(600);
/// How soon after a change of the store it is looked whether it was one of what is published.
const BREATH: Duration = Duration::from_secs(1);
/// When it is tried again after a failure, and how often it is looked at least: clocks jump.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Keeps the sigchain saying what is published, for as long as a session lasts.
pub(crate) async fn keep_said(shared: &Arc<Shared>) -> Infallible {
    let mut changes = shared.store.changes();
    loop {
        changes.mark_unchanged();
        match bring_about(shared).await {
            Ok(()) => tokio::select! {
                _ = changes.changed() => sleep(BREATH).await,
                () = sleep(RETRY_AFTER) => {}
            },
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the sigchain does not say yet what is published");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Waits until the sigchain says what is published now; returns the version, 0 if nothing ever was.
pub(super) async fn until_said(shared: &Shared) -> Result<u64, FilesError> {
    let mut changes = shared.store.changes();
    loop {
        changes.mark_unchanged();
        let says = says(shared).await?;
        if shared.store.publication().await?.is_said(says.as_ref()) {
            return Ok(says.map_or(0, |says| says.version));
        }
        tokio::select! {
            () = shared.stop.cancelled() => return Err(StoreError::Closed.into()),
            _ = changes.changed() => {}
        }
    }
}

/// Does what there is to do now.
async fn bring_about(shared: &Arc<Shared>) -> Result<(), FilesError> {
    let says = says(shared).await?;
    let publication = shared.store.publication().await?;
    if publication.is_said(says.as_ref()) {
        return if publication.is_settled(says.as_ref()) { Ok(()) } else { publish(shared).await };
    }
    if !is_time(publication.settled_at_ms, shared.now_ms()) {
        return Ok(());
    }
    until_quiet(shared, publication).await?;
    publish(shared).await
}

/// Tells whether the last event is long enough ago. A clock that went back behind it makes nobody wait.
fn is_time(last_ms: u64, now_ms: u64) -> bool {
    now_ms.checked_sub(last_ms).is_none_or(|passed_ms| u128::from(passed_ms) >= INTERVAL.as_millis())
}

/// Waits until what is published has not changed for a moment.
async fn until_quiet(shared: &Shared, mut publication: Publication) -> Result<(), StoreError> {
    for _ in 0..MOST_WAITS {
        sleep(COMPANY).await;
        let now = shared.store.publication().await?;
        if now.changes == publication.changes {
            break;
        }
        publication = now;
    }
    Ok(())
}

/// Makes a manifest of what is published, unless there is one, and has the sigchain say it.
async fn publish(shared: &Arc<Shared>) -> Result<(), FilesError> {
    let node = node(shared).await?;
    let Some(mut chain) = own_chain::writable(shared).await? else { return Ok(()) };
    let says = chain.shared_files().cloned();
    let publication = shared.store.publication().await?;
    // One that is not settled has gone out just now: what is not in it waits for its time.
    if !publication.is_said(says.as_ref()) && publication.is_settled(says.as_ref()) {
        let files = prepare(&shared.store, &node, &shared.key, &publication, says.as_ref()).await?;
        chain.set_shared_files(files).await?;
    }
    let Some(said) = shared.store.publication().await?.said(chain.shared_files()) else { return Ok(()) };
    for hash in shared.store.settle_manifest(said.version, shared.now_ms()).await? {
        node.set_audience(hash, Default::default());
        node.release(hash, Purpose::Manifest).await?;
    }
    Ok(())
}

/// Returns what the sigchain is to say. One that was made before and never said will do, if nothing has changed since.
async fn prepare(
    store: &Store,
    node: &Node,
    key: &SecretKey,
    publication: &Publication,
    says: Option<&SharedFiles>,
) -> Result<SharedFiles, FilesError> {
    let highest = says.map_or(0, |says| says.version);
    if let Some(row) = publication.manifests.last()
        && row.version > highest
        && row.change == publication.changes
        && match row.hash {
            Some(hash) => node.has(hash).await?,
            None => true,
        }
    {
        return Ok(SharedFiles { manifest: row.hash, version: row.version });
    }
    let made = publication.manifests.iter().map(|row| row.version).max().unwrap_or(0);
    let version = highest.max(made).max(publication.settled_version) + 1;
    let (change, collection) = store.collection().await?;
    let is_public = collection.iter().any(|entry| matches!(entry.access, kez_core::manifest::Access::Public));
    let manifest = if collection.is_empty() {
        None
    } else {
        let bytes = make(collection, key.clone(), version).await?;
        Some(node.add(bytes.into(), Purpose::Manifest).await?)
    };
    let replaces_lost = publication.said(says).is_none() && says.is_some_and(|says| says.manifest.is_some());
    store.begin_manifest(ManifestRow { version, hash: manifest, change, is_public, replaces_lost }).await?;
    if let Some(hash) = manifest {
        // Readers may ask as soon as the sigchain says it.
        node.set_audience(hash, store.audience(hash).await?);
    }
    Ok(SharedFiles { manifest, version })
}

/// Makes a manifest. It is work for a processor.
async fn make(collection: Collection, key: SecretKey, version: u64) -> Result<Vec<u8>, FilesError> {
    let made = spawn_blocking(move || collection.publish(&key, version, &mut rand::rng())).await;
    let (bytes, _) = made.map_err(|_| StoreError::Closed)??;
    Ok(bytes)
}

/// Returns which manifest the sigchain names, as far as it was seen.
async fn says(shared: &Shared) -> Result<Option<SharedFiles>, StoreError> {
    let chain = shared.store.own_chain(shared.primary(), shared.policy).await?;
    Ok(chain.state().shared_files().cloned())
}

#[cfg(test)]
mod tests {
    use kez_core::{
        filecrypt::FileKey,
        manifest::{Access, Details, Draft, EntryId},
        payload::{FileEntry, SharePath},
    };

    use super::*;
    use crate::{
        files::{node::NodeSettings, published::restore},
        store::NewEntry,
    };

    /// As when a process is killed between any two steps.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_cut_off_between_blob_row_and_signature_is_said_once_or_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::generate(&mut rand::rng());
        let store = Store::open(&dir.path().join("kez.db"), &key).await.unwrap();
        let start = async || Node::start(&dir.path().join("blobs"), &key, NodeSettings::default()).await.unwrap();
        let publish = async |number: u8| {
            let file = FileEntry {
                path: SharePath::parse(&number.to_string()).unwrap(),
                media_type: String::new(),
                blob_hash: [number; 32],
                key: FileKey::from_bytes([number; 32]),
                plain_hash: [number; 32],
                plain_len: 1,
            };
            let details = Details { file, shared_at_ms: 1, thumbnail: None };
            let draft = Draft { id: EntryId([number; 16]), access: Access::Public, details };
            store.keep_published(vec![NewEntry { draft, files: Vec::new() }]).await.unwrap();
        };
        let prepared = async |node: &Node, says: Option<&SharedFiles>| {
            let publication = store.publication().await.unwrap();
            prepare(&store, node, &key, &publication, says).await.unwrap()
        };
        publish(1).await;
        let mut node = start().await;
        // The blob is there, and its row is not: nobody ever learns of it.
        let unknown = node.add(b"a manifest".to_vec().into(), Purpose::Manifest).await.unwrap();
        node.shutdown().await;
        node = start().await;
        restore(&store, &node).await.unwrap();
        node.collect().await.unwrap();
        assert!(!node.has(unknown).await.unwrap());
        // The row is there, and the signature is not: the same manifest will do.
        let first = prepared(&node, None).await;
        node.shutdown().await;
        node = start().await;
        restore(&store, &node).await.unwrap();
        node.collect().await.unwrap();
        assert_eq!(prepared(&node, None).await, first);
        assert_eq!((first.version, store.publication().await.unwrap().manifests.len()), (1, 1));
        // Unless something has changed since; its number is not given again.
        publish(2).await;
        let second = prepared(&node, None).await;
        assert_eq!(second.version, 2);
        assert_ne!(second.manifest, first.manifest);
        // Or it is gone.
        node.release(second.manifest.unwrap(), Purpose::Manifest).await.unwrap();
        node.collect().await.unwrap();
        assert_eq!(prepared(&node, None).await.version, 3);
        // The signature is there, and that it was seen is not: it is what is said.
        let says = prepared(&node, None).await;
        let publication = store.publication().await.unwrap();
        assert!(publication.is_said(Some(&says)) && !publication.is_settled(Some(&says)));
        node.shutdown().await;
    }

    #[test]
    fn there_is_one_event_in_ten_minutes_whatever_the_clock_does() {
        let last_ms = 1_795_396_313_000;
        assert!(is_time(0, last_ms), "the first one goes out at once");
        for (now_ms, is_now) in [(0, false), (1, false), (599_999, false), (600_000, true), (9_000_000, true)] {
            assert_eq!(is_time(last_ms, last_ms + now_ms), is_now, "{now_ms}");
        }
        assert!(is_time(last_ms, last_ms - 1), "the clock was ahead");
    }
}
