//! Publishing: files stand in a manifest, where whoever they are for can look for them.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
    sync::Arc,
};

use kez_core::{
    identity::PrimaryKey,
    manifest::{Access, Collection, Details, Draft, EntryId, Thumbnail},
    payload::{FOLDER_MEDIA_TYPE, FileEntry, FolderList},
};

use super::{
    FilesError, LeftOut, Share,
    node::{Node, Purpose, TempTag},
    sharing::{self, Held, Sealed, Unfinished},
    slot::node,
    thumbnail,
    transfer::Meter,
};
use crate::{
    event::SharedFile,
    shared::Shared,
    store::{NewEntry, OwnFile, ShareFile, Store, StoreError},
};

/// A file of ours that is published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishedEntry {
    /// Its name in the manifest, for as long as it is published.
    pub id: EntryId,
    /// What it is.
    pub file: SharedFile,
    /// When it was published, by the home's clock, in milliseconds since 1970.
    pub shared_at_ms: u64,
    /// Whom it is for.
    pub access: Access,
    /// Whether a small picture goes with it.
    pub has_thumbnail: bool,
}

impl From<Draft> for PublishedEntry {
    fn from(Draft { id, access, details: Details { file, shared_at_ms, thumbnail } }: Draft) -> Self {
        Self { id, file: SharedFile::of(&file), shared_at_ms, access, has_thumbnail: thumbnail.is_some() }
    }
}

/// What was published at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishedFiles {
    /// The files, one by one, also those of a folder.
    pub entries: Vec<PublishedEntry>,
    /// What of a folder was not published: links are not followed.
    pub left_out: Vec<LeftOut>,
}

pub(super) async fn publish(
    shared: &Arc<Shared>,
    path: &Path,
    access: Access,
    mut meter: Meter,
) -> Result<PublishedFiles, FilesError> {
    check_standing(shared)?;
    let access = checked(access)?;
    let node = node(shared).await?;
    let mut unfinished = Unfinished::new(&node);
    let sealed = sharing::seal(shared, &node, path, &mut meter).await?;
    let left_out = sealed.left_out.clone();
    let entries = keep(shared, &node, sealed.files.clone(), &access, Some(sealed)).await?;
    unfinished.is_finished = true;
    Ok(PublishedFiles { entries, left_out })
}

/// Publishes what was shared.
pub(super) async fn publish_shared(
    shared: &Arc<Shared>,
    share: &Share,
    access: Access,
) -> Result<Vec<PublishedEntry>, FilesError> {
    check_standing(shared)?;
    let access = checked(access)?;
    let message = *share.messages.first().ok_or(FilesError::NothingShared)?;
    let offer = shared.store.own_offer(shared.primary(), message).await?.ok_or(FilesError::NothingShared)?;
    let files = offer.entries.into_iter().map(|entry| ShareFile {
        file: OwnFile::of(&entry),
        path: entry.path,
        media_type: entry.media_type,
        is_listed: false,
    });
    keep(shared, &node(shared).await?, files.collect(), &access, None).await
}

pub(super) async fn unpublish(shared: &Arc<Shared>, id: EntryId) -> Result<(), FilesError> {
    check_standing(shared)?;
    let blobs = shared.store.unpublish(id).await?.ok_or(FilesError::NoSuchEntry(id))?;
    if let Some(node) = shared.node.running().await {
        let _turn = node.ledger().await;
        serve(shared, &node, &blobs).await?;
        let_go(shared, &node, blobs).await?;
    }
    Ok(())
}

pub(super) async fn set_access(shared: &Arc<Shared>, id: EntryId, access: Access) -> Result<(), FilesError> {
    check_standing(shared)?;
    let access = checked(access)?;
    let blobs = shared.store.set_published_access(id, access).await?.ok_or(FilesError::NoSuchEntry(id))?;
    if let Some(node) = shared.node.running().await {
        let _turn = node.ledger().await;
        serve(shared, &node, &blobs).await?;
    }
    Ok(())
}

/// Takes over, in a node that has just started, what is published; and lets go what was cut short.
pub(super) async fn restore(store: &Store, node: &Node) -> Result<(), FilesError> {
    let [files, manifests] = store.audiences().await?;
    node.keep_only(Purpose::Published, &files.keys().copied().collect()).await?;
    node.keep_only(Purpose::Manifest, &manifests.keys().copied().collect()).await?;
    node.keep_only(Purpose::Browsed, &store.browsed_manifests().await?).await?;
    node.set_audiences(files.into_iter().chain(manifests).collect());
    Ok(())
}

/// Looks anew whom what is published is for, if the node runs.
pub(crate) async fn refresh_audiences(shared: &Shared) -> Result<(), StoreError> {
    if let Some(node) = shared.node.running().await {
        let audiences = shared.store.audiences().await?;
        node.set_audiences(audiences.into_iter().flatten().collect());
    }
    Ok(())
}

/// Keeps files as published, all or none, and serves them. `sealed` is what holds them until then, if anything has to.
async fn keep(
    shared: &Arc<Shared>,
    node: &Arc<Node>,
    files: Vec<ShareFile>,
    access: &Access,
    sealed: Option<Sealed>,
) -> Result<Vec<PublishedEntry>, FilesError> {
    let mut prepared = Vec::with_capacity(files.len());
    for file in files {
        let entry = prepare(shared, node, file, access).await?;
        // What no manifest could say is found now, and not when it is made.
        Collection::new().put(entry.new.draft.clone())?;
        prepared.push(entry);
    }
    let kept = tokio::spawn({
        let (shared, node) = (Arc::clone(shared), Arc::clone(node));
        // What was begun is finished or undone, whoever stops waiting for it.
        async move {
            let _sealed = sealed;
            let (entries, _held): (Vec<_>, Vec<_>) = prepared.into_iter().map(|entry| (entry.new, entry.held)).unzip();
            let blobs: HashSet<_> = entries.iter().flat_map(|entry| &entry.files).map(|file| file.blob_hash).collect();
            let blobs: Vec<_> = blobs.into_iter().collect();
            let _turn = node.ledger().await;
            let kept = async {
                node.keep(&blobs, Purpose::Published).await?;
                shared.store.keep_published(entries.clone()).await
            };
            match kept.await {
                Ok(()) => serve(&shared, &node, &blobs).await?,
                Err(error) => {
                    let_go(&shared, &node, blobs).await?;
                    return Err(error);
                }
            }
            Ok(entries.into_iter().map(|entry| entry.draft.into()).collect())
        }
    });
    kept.await.map_err(|_| StoreError::Closed)?
}

/// An entry whose blobs are in the store.
struct Prepared {
    new: NewEntry,
    held: (TempTag, Option<Held>),
}

/// Draws a file's picture, and lists what its readers may fetch.
async fn prepare(shared: &Shared, node: &Node, file: ShareFile, access: &Access) -> Result<Prepared, FilesError> {
    let entry = file.entry();
    let held = node.hold(entry.blob_hash).await?.ok_or(FilesError::NothingShared)?;
    let mut files = vec![file.file];
    let mut picture = None;
    if entry.media_type == FOLDER_MEDIA_TYPE {
        files.extend(files_in(node, &entry).await?);
    } else {
        picture = thumbnail::make(node, &entry).await?;
    }
    let thumbnail = picture.as_ref().map(|Held { file, .. }| {
        files.push(file.clone());
        Thumbnail { blob_hash: file.blob_hash, plain_len: file.plain_len, key: file.key.clone() }
    });
    let details = Details { file: entry, shared_at_ms: shared.home_now_ms(), thumbnail };
    let draft = Draft { id: EntryId(rand::random()), access: access.clone(), details };
    Ok(Prepared { new: NewEntry { draft, files }, held: (held, picture) })
}

/// Lists the files in a folder of ours.
async fn files_in(node: &Node, folder: &FileEntry) -> Result<Vec<OwnFile>, FilesError> {
    let list = FolderList::decode(&node.open_bytes(folder).await?).map_err(StoreError::damaged)?;
    Ok(list.entries().iter().map(OwnFile::of).collect())
}

/// Tells the node whom some published blobs are for, and our manifests.
async fn serve(shared: &Shared, node: &Node, blobs: &[[u8; 32]]) -> Result<(), FilesError> {
    let manifests = shared.store.publication().await?.manifests;
    for blob in blobs.iter().copied().chain(manifests.iter().filter_map(|row| row.hash)) {
        node.set_audience(blob, shared.store.audience(blob).await?);
    }
    Ok(())
}

/// Lets go what of some blobs is published no more.
async fn let_go(shared: &Shared, node: &Node, blobs: Vec<[u8; 32]>) -> Result<(), FilesError> {
    for blob in shared.store.unpublished_of(blobs).await? {
        node.release(blob, Purpose::Published).await?;
    }
    node.collect_soon();
    Ok(())
}

/// Checks that this installation may still publish.
fn check_standing(shared: &Shared) -> Result<(), FilesError> {
    shared.own.now().refusal().map_or(Ok(()), |refusal| Err(refusal.into()))
}

/// Names each reader once.
fn checked(access: Access) -> Result<Access, FilesError> {
    let Access::Readers(readers) = access else { return Ok(access) };
    let readers: BTreeSet<PrimaryKey> = readers.into_iter().collect();
    Ok(Access::Readers(readers.into_iter().collect()))
}
