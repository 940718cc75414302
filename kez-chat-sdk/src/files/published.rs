//! Publishing: files stand in a manifest, where whoever they are for can look for them.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
    sync::Arc,
};

use kez_core::{
    identity::PrimaryKey,
    manifest::{Access, Collection, Details, Draft, EntryId},
    payload::{FOLDER_MEDIA_TYPE, FileEntry, FolderList},
};

use super::{
    FilesError, Share,
    node::{Node, Purpose},
    sharing,
    slot::node,
    thumbnail,
    transfer::Meter,
};
use crate::{
    event::SharedFile,
    shared::Shared,
    store::{NewEntry, StoreError},
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

pub(super) async fn publish(
    shared: &Arc<Shared>,
    path: &Path,
    access: Access,
    mut meter: Meter,
) -> Result<PublishedEntry, FilesError> {
    check_standing(shared)?;
    let access = checked(access)?;
    let node = node(shared).await?;
    let sealed = sharing::seal(shared, &node, path, &mut meter).await?;
    let entry = keep(shared, &node, sealed.files.clone(), &access).await?.pop();
    entry.ok_or_else(|| StoreError::damaged("what was published is nowhere").into())
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
    keep(shared, &*node(shared).await?, offer.entries, &access).await
}

pub(super) async fn unpublish(shared: &Arc<Shared>, id: EntryId) -> Result<(), FilesError> {
    check_standing(shared)?;
    let blobs = shared.store.unpublish(id).await?.ok_or(FilesError::NoSuchEntry(id))?;
    if let Some(node) = shared.node.running().await {
        serve(shared, &node, &blobs).await?;
        let_go(shared, &node, blobs).await?;
    }
    Ok(())
}

pub(super) async fn set_access(shared: &Arc<Shared>, id: EntryId, access: Access) -> Result<(), FilesError> {
    check_standing(shared)?;
    let access = checked(access)?;
    let blobs = shared.store.set_published_access(id, access).await?.ok_or(FilesError::NoSuchEntry(id))?;
    match shared.node.running().await {
        Some(node) => serve(shared, &node, &blobs).await,
        None => Ok(()),
    }
}

/// Takes over, in a node that has just started, what is published; and lets go what was cut short.
pub(super) async fn restore(shared: &Shared, node: &Node) -> Result<(), FilesError> {
    let [files, manifests] = shared.store.audiences().await?;
    node.keep_only(Purpose::Published, &files.keys().copied().collect()).await?;
    node.keep_only(Purpose::Manifest, &manifests.keys().copied().collect()).await?;
    node.keep_only(Purpose::Browsed, &shared.store.browsed_manifests().await?).await?;
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

/// Keeps files as published, all or none, and serves them.
async fn keep(
    shared: &Shared,
    node: &Node,
    files: Vec<FileEntry>,
    access: &Access,
) -> Result<Vec<PublishedEntry>, FilesError> {
    let mut entries = Vec::with_capacity(files.len());
    let mut blobs = HashSet::new();
    let kept = async {
        for file in files {
            let entry = prepare(shared, node, file, access).await?;
            blobs.extend(entry.blobs.iter().copied());
            // What no manifest could say is found now, and not when it is made.
            Collection::new().put(entry.draft.clone())?;
            entries.push(entry);
        }
        shared.store.keep_published(entries.clone()).await?;
        Ok(())
    };
    let kept: Result<(), FilesError> = kept.await;
    let blobs: Vec<_> = blobs.into_iter().collect();
    match kept {
        Ok(()) => serve(shared, node, &blobs).await?,
        Err(error) => {
            let_go(shared, node, blobs).await?;
            return Err(error);
        }
    }
    Ok(entries.into_iter().map(|entry| entry.draft.into()).collect())
}

/// Draws a file's picture, and keeps every blob that its readers may fetch.
async fn prepare(shared: &Shared, node: &Node, file: FileEntry, access: &Access) -> Result<NewEntry, FilesError> {
    if !node.has(file.blob_hash).await? {
        return Err(FilesError::NothingShared);
    }
    let mut blobs = vec![file.blob_hash];
    let mut thumbnail = None;
    if file.media_type == FOLDER_MEDIA_TYPE {
        blobs.extend(files_in(node, &file).await?);
    } else {
        thumbnail = thumbnail::make(node, &file).await?;
    }
    node.keep(&blobs, Purpose::Published).await?;
    blobs.extend(thumbnail.as_ref().map(|thumbnail| thumbnail.blob_hash));
    let details = Details { file, shared_at_ms: shared.home_now_ms(), thumbnail };
    let draft = Draft { id: EntryId(rand::random()), access: access.clone(), details };
    Ok(NewEntry { draft, blobs })
}

/// Lists the blobs of the files in a folder of ours.
async fn files_in(node: &Node, folder: &FileEntry) -> Result<Vec<[u8; 32]>, FilesError> {
    let list = FolderList::decode(&node.open_bytes(folder).await?).map_err(StoreError::damaged)?;
    Ok(list.entries().iter().map(|entry| entry.blob_hash).collect())
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
