//! Browsing: what others publish is looked at when the person asks for it, and only what is for us is seen of it.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use kez_core::{
    identity::PrimaryKey,
    manifest::{Details, EntryId, MAX_MANIFEST_BYTES, Manifest, ManifestError, Published},
    payload::{Address, Addresses, FileShare},
    sigchain::Chain,
};
use tokio::task::spawn_blocking;

use super::{
    FetchOptions, FilesError, Thumbnail, Transfer, TransferError,
    downloads::{Wanted, download},
    node::{Node, Purpose},
    slot::node,
    thumbnail,
};
use crate::{
    contacts::{Glance, relays_of},
    event::{DownloadOrigin, Peer, SharedFile},
    shared::Shared,
    store::{BrowsedRow, StoreError},
};

/// What somebody publishes, as far as it is for us.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listing {
    /// Who. The handle is theirs by their home's word and their own.
    pub owner: Peer,
    /// The number of their manifest, which rises with each; 0 if they never published one.
    pub version: u64,
    /// What is for us, and what is for anybody.
    pub entries: Vec<ListedEntry>,
}

/// A file that somebody publishes. The name is their word: make it safe before it is shown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListedEntry {
    /// What to fetch it by.
    pub id: EntryId,
    /// What it is.
    pub file: SharedFile,
    /// When they say that they published it, in milliseconds since 1970.
    pub shared_at_ms: u64,
    /// Whether a small picture goes with it.
    pub has_thumbnail: bool,
}

impl ListedEntry {
    fn new((id, details): (EntryId, Details)) -> Self {
        let Details { file, shared_at_ms, thumbnail } = details;
        Self { id, file: SharedFile::of(&file), shared_at_ms, has_thumbnail: thumbnail.is_some() }
    }
}

/// Looks at what somebody publishes, whose chain was looked at just now.
pub(super) async fn browse(shared: &Arc<Shared>, glance: Glance) -> Result<Listing, FilesError> {
    let Glance { who, handle, chain } = glance;
    let version = chain.state().shared_files().map_or(0, |files| files.version);
    let Some(published) = published(&chain) else {
        return Ok(Listing { owner: who, version, entries: Vec::new() });
    };
    let node = node(shared).await?;
    let known = node.read(published.manifest, MAX_MANIFEST_BYTES as u64).await?;
    let relay = chain.state().iroh().and_then(|iroh| iroh.relay_url.clone());
    let mut addresses = Addresses::new(relay.map(Address::Relay));
    let bytes = match known {
        Some(bytes) => {
            // It was reached somehow.
            let before = shared.store.browsed(who.primary).await?;
            addresses = before.map_or(addresses, |before| before.addresses);
            bytes
        }
        None => {
            let mut reached = reach(shared, who.primary, &addresses).await?;
            if reached.iter().next().is_none()
                && let Some(handle) = &handle
            {
                addresses = Addresses::new(relays_of(shared, handle).await.into_iter().map(Address::Relay));
                reached = addresses.clone();
            }
            let brought = node.bring_small(who.primary, &reached, published.manifest, MAX_MANIFEST_BYTES as u64).await;
            brought.map_err(|error| away(&who, error))?
        }
    };
    let opened = open(shared, bytes, published, |manifest, key| manifest.open_all(key)).await?;
    let opened = opened.map_err(|source| FilesError::BadManifest { peer: who.clone().into(), source })?;
    node.keep(&[published.manifest], Purpose::Browsed).await?;
    for over in shared.store.keep_browsed(BrowsedRow { published, addresses }).await? {
        node.release(over, Purpose::Browsed).await?;
    }
    Ok(Listing { owner: who, version, entries: opened.into_iter().map(ListedEntry::new).collect() })
}

/// Fetches a file that was listed.
pub(super) fn fetch_entry(
    shared: &Arc<Shared>,
    peer: PrimaryKey,
    id: EntryId,
    options: FetchOptions,
) -> Transfer<Vec<PathBuf>> {
    let listed = Arc::clone(shared);
    download(shared, async move {
        let (details, addresses) = entry(&listed, &*node(&listed).await?, peer, id).await?;
        let share = FileShare { entries: vec![details.file], addresses };
        Ok(Wanted { from: peer, origin: DownloadOrigin::Published(id), share, options })
    })
}

/// Returns the small picture of an entry that was listed. It is fetched the first time; nothing, if there is none.
pub(super) async fn thumbnail(
    shared: &Arc<Shared>,
    peer: PrimaryKey,
    id: EntryId,
) -> Result<Option<Thumbnail>, FilesError> {
    let node = node(shared).await?;
    let (details, addresses) = entry(shared, &node, peer, id).await?;
    let Some(promised) = details.thumbnail else { return Ok(None) };
    let who = named(shared, peer).await?;
    let bad = |source| FilesError::BadThumbnail { peer: who.clone().into(), source };
    if let Some(jpeg) = shared.store.seen_thumbnail(promised.blob_hash).await? {
        return thumbnail::drawn_before(jpeg).map(Some).map_err(bad);
    }
    let max_len = thumbnail::sealed_len(&promised).map_err(bad)?;
    let sealed =
        node.bring_small(peer, &addresses, promised.blob_hash, max_len).await.map_err(|error| away(&who, error))?;
    let drawn = thumbnail::redraw(&promised, sealed).await.map_err(bad)?;
    shared.store.keep_thumbnail(promised.blob_hash, drawn.jpeg.clone()).await?;
    Ok(Some(drawn))
}

/// Returns what a listed entry says, and where its owner is reached.
async fn entry(
    shared: &Arc<Shared>,
    node: &Node,
    peer: PrimaryKey,
    id: EntryId,
) -> Result<(Details, Addresses), FilesError> {
    let who = named(shared, peer).await?;
    let not_browsed = || FilesError::NotBrowsed { peer: who.clone().into() };
    let row = shared.store.browsed(peer).await?.ok_or_else(not_browsed)?;
    let bytes = node.read(row.published.manifest, MAX_MANIFEST_BYTES as u64).await?.ok_or_else(not_browsed)?;
    let opened = open(shared, bytes, row.published, move |manifest, key| manifest.open(&id, key)).await?;
    let details = opened.map_err(|error| match error {
        ManifestError::NotAReader => FilesError::NoSuchEntry(id),
        source => FilesError::BadManifest { peer: who.clone().into(), source },
    })?;
    Ok((details, reach(shared, peer, &row.addresses).await?))
}

/// Opens a manifest, which is work for a processor.
async fn open<T: Send + 'static>(
    shared: &Shared,
    bytes: Bytes,
    published: Published,
    what: impl FnOnce(&Manifest<'_>, &kez_core::identity::SecretKey) -> Result<T, ManifestError> + Send + 'static,
) -> Result<Result<T, ManifestError>, FilesError> {
    let key = shared.key.clone();
    let opened = spawn_blocking(move || what(&Manifest::parse(&bytes, &published)?, &key)).await;
    opened.map_err(|_| StoreError::Closed.into())
}

/// Returns where a peer's endpoint may be: what they said last comes before what they said when they offered something,
/// and that before what others say.
pub(super) async fn reach(shared: &Shared, peer: PrimaryKey, others: &Addresses) -> Result<Addresses, StoreError> {
    let fresh = shared.presences.sight(&peer).addresses;
    let offered = shared.store.last_offered_from(peer).await?;
    Ok(Addresses::new(fresh.iter().chain(offered.iter()).chain(others.iter())))
}

async fn named(shared: &Shared, peer: PrimaryKey) -> Result<Peer, StoreError> {
    let contact = shared.store.contact(peer).await?;
    Ok(Peer { primary: peer, handle: contact.and_then(|contact| contact.handle) })
}

fn published(chain: &Chain) -> Option<Published> {
    let files = chain.state().shared_files()?;
    Some(Published { owner: *chain.primary(), manifest: files.manifest?, version: files.version })
}

fn away(who: &Peer, error: TransferError) -> FilesError {
    match error {
        source @ TransferError::Unreachable { .. } => FilesError::Waiting { peer: who.clone().into(), source },
        other => other.into(),
    }
}
