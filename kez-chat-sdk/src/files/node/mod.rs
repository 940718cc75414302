//! The Iroh node of a client: one endpoint and one store of sealed blobs (`docs/PROTOCOL.md` §9).
//!
//! The endpoint's id is the account's primary key. What the store holds is sealed already: plaintext is read from
//! the file that is shared and written to the file that is fetched, and is nowhere in between. [`provider`] answers
//! [`readers`] from an allow-list, at the rate of [`uploads`], [`import`] seals what [`plain`] reads into the store,
//! [`kept`] says why blobs stay, [`garbage`] and [`check`] look after them. [`fetch`] brings a blob from a peer: [`upstream`]
//! and [`caller`] connect to them, [`pull`] asks for what is missing, [`open`] opens it as it comes, [`dest`] decides where it
//! goes. [`small`] makes and brings what is held in memory. [`network`] opens the endpoint, and [`addresses`] decides which
//! addresses are dialled and told.
//!
//! Only relays that the settings name are used, and no discovery unless they ask for that of the local network: a peer is
//! found through the addresses in its messages.

mod addresses;
mod caller;
mod check;
mod dest;
mod error;
mod fetch;
mod garbage;
mod import;
mod kept;
mod network;
mod open;
mod plain;
mod provider;
mod pull;
mod readers;
mod small;
#[cfg(test)]
mod tests;
mod uploads;
mod upstream;

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use iroh::{Endpoint, RelayUrl, protocol::Router};
use iroh_blobs::{
    ALPN, Hash,
    api::Store,
    store::fs::{
        FsStore,
        options::{Options, PathOptions},
    },
};
use kez_core::{
    filecrypt::{SEGMENT_BYTES, TAG_BYTES},
    identity::{PrimaryKey, SecretKey},
    payload::Addresses,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub(crate) use iroh_blobs::api::TempTag;

pub use self::error::NodeError;
pub(crate) use self::{
    caller::Caller,
    dest::{Target, clear_parts, deliver, exists},
    fetch::{FetchStep, Line},
    import::Imported,
    kept::Purpose,
    open::Tag,
    plain::{Plain, Stamp},
    uploads::UploadLimit,
};
use self::{garbage::Collector, provider::Provider, readers::Readers, upstream::Upstreams};
use super::Relays;
use crate::{net::Roots, store::Audience};

/// What a node may do on the network.
#[derive(Clone, Debug)]
pub(crate) struct NodeSettings {
    /// Through which relays peers are reached who can't be reached directly. A node knows no home: `Home` stands for none
    /// yet, until [`Node::learn_relays`].
    pub(crate) relays: Relays,
    /// Whose certificates they may show.
    pub(crate) roots: Roots,
    /// Whether addresses on this machine are told and dialled: for development.
    pub(crate) loopback_allowed: bool,
    /// Whether peers on the local network are looked for, and told that we are there.
    pub(crate) lan_discovery: bool,
    /// How fast everything that others fetch may go out.
    pub(crate) uploads: UploadLimit,
    /// How long a peer may take to answer before they count as away.
    pub(crate) connect_timeout: Duration,
    /// How long a connected peer may send nothing before a fetch ends.
    pub(crate) stall_timeout: Duration,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            relays: Relays::None,
            roots: Roots::system(),
            loopback_allowed: false,
            lan_discovery: false,
            uploads: UploadLimit::default(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// A running node. [`Node::shutdown`] ends it cleanly.
pub(crate) struct Node {
    router: Router,
    store: Store,
    paths: PathOptions,
    readers: Arc<Readers>,
    upstreams: Upstreams,
    settings: NodeSettings,
    collector: Collector,
    /// The relays that are used.
    relays: RwLock<Vec<RelayUrl>>,
    /// One import at a time: whoever holds this owns the store's folder of temporary files.
    imports: Arc<Mutex<()>>,
    /// Whoever changes what is kept for others holds this until tags, readers and the account's database agree again.
    ledger: Arc<Mutex<()>>,
}

impl Node {
    /// Opens the store in `dir`, which nobody else has open, and starts to listen as the holder of `key`.
    ///
    /// Nothing is served until [`Node::allow`] said to whom.
    ///
    /// # Errors
    /// [`NodeError::StoreUnavailable`], [`NodeError::BadRelay`] or [`NodeError::NoSocket`].
    pub(crate) async fn start(dir: &Path, key: &SecretKey, settings: NodeSettings) -> Result<Self, NodeError> {
        let relay_mode = network::relay_mode(&settings)?;
        let unavailable = |source| NodeError::StoreUnavailable { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(|error| unavailable(error.into()))?;
        let mut options = Options::new(dir);
        let (collector, garbage) = Collector::new();
        options.gc = Some(garbage);
        let paths = options.path.clone();
        let database = dir.join("blobs.db");
        garbage::remove_unmade(&database).map_err(|error| unavailable(error.into()))?;
        let store = FsStore::load_with_opts(database, options).await.map_err(|error| unavailable(error.into()))?;
        // The store is open, so it is ours alone: what lies here is left from imports that were cut short.
        import::clear(&paths.temp_path);
        let store = Store::from(store);
        if let Err(error) = garbage::remove_strays(&store, &paths.data_path).await {
            tracing::warn!(%error, "what a killed process left in the file store stays");
        }

        let relays = RwLock::new(relay_mode.relay_map().urls());
        let endpoint = match network::bind(key, relay_mode, &settings).await {
            Ok(endpoint) => endpoint,
            Err(error) => {
                let _ = store.shutdown().await;
                return Err(error);
            }
        };
        let readers = Arc::new(Readers::default());
        let provider = Provider::new(store.clone(), readers.clone(), settings.uploads.clone());
        let known = Arc::clone(&readers);
        let router = Router::builder(endpoint)
            .incoming_filter(Arc::new(move |incoming| known.admit(&incoming.remote_addr())))
            .accept(ALPN, provider)
            .spawn();
        let (upstreams, imports, ledger) = (Upstreams::default(), Arc::default(), Arc::default());
        Ok(Self { router, store, paths, readers, upstreams, settings, collector, relays, imports, ledger })
    }

    /// Returns where this endpoint can be reached now.
    pub(crate) fn addresses(&self) -> Addresses {
        let relays = self.relays.read().unwrap_or_else(PoisonError::into_inner).clone();
        addresses::own(self.endpoint(), relays, self.settings.loopback_allowed)
    }

    /// Lets a reader fetch a blob, until [`Node::revoke`] or the node's end.
    pub(crate) fn allow(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        self.readers.allow(reader, blob_hash);
    }

    /// Takes back what [`Node::allow`] gave. Transfers that are under way are cut.
    pub(crate) fn revoke(&self, reader: PrimaryKey, blob_hash: [u8; 32]) {
        self.readers.revoke(reader, blob_hash);
    }

    /// Sets whom a published blob is for; with nobody, it is published no more. What was shared is served all the same.
    pub(crate) fn set_audience(&self, blob_hash: [u8; 32], audience: Audience) {
        self.readers.set_audience(blob_hash, audience);
    }

    /// Sets whom all published blobs are for. Those that are not named are published no more.
    pub(crate) fn set_audiences(&self, audiences: HashMap<[u8; 32], Audience>) {
        self.readers.set_audiences(audiences);
    }

    /// Serves somebody nothing any more, whatever is shared with them or public, until [`Node::let_in`].
    pub(crate) fn shut_out(&self, reader: PrimaryKey) {
        self.readers.shut_out(reader);
    }

    /// Ends what [`Node::shut_out`] began.
    pub(crate) fn let_in(&self, reader: PrimaryKey) {
        self.readers.let_in(reader);
    }

    /// Tells whether any relay is used.
    pub(crate) fn has_relays(&self) -> bool {
        !self.relays.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Uses the home's relays too, from now on.
    pub(crate) async fn learn_relays(&self, urls: &[String]) {
        for url in urls {
            let Some(relay) = addresses::relay(url, self.settings.loopback_allowed) else {
                tracing::warn!(url, "the home names a relay that can't be one");
                continue;
            };
            self.endpoint().insert_relay(relay.clone(), Arc::new(relay.clone().into())).await;
            self.relays.write().unwrap_or_else(PoisonError::into_inner).push(relay);
        }
    }

    /// Tells whether a blob is here in full.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn has(&self, blob_hash: [u8; 32]) -> Result<bool, NodeError> {
        self.store.blobs().has(Hash::from_bytes(blob_hash)).await.map_err(NodeError::store)
    }

    /// Waits until nobody else changes what is kept for others, and keeps them from it.
    pub(crate) async fn ledger(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.ledger).lock_owned().await
    }

    /// Ends the transfers, closes the endpoint and writes the store to disk.
    pub(crate) async fn shutdown(&self) {
        if let Err(error) = self.router.shutdown().await {
            tracing::warn!(%error, "the file node did not end cleanly");
        }
    }

    /// Returns who calls others for this node.
    pub(crate) fn caller(&self) -> Caller {
        let relays = self.relays.read().unwrap_or_else(PoisonError::into_inner).clone();
        let NodeSettings { loopback_allowed, lan_discovery, .. } = self.settings;
        Caller { endpoint: self.endpoint().clone(), relays, loopback_allowed, lan_discovery, is_passing: false }
    }

    fn endpoint(&self) -> &Endpoint {
        self.router.endpoint()
    }
}

/// Returns how many bytes of the file so many bytes of its blob stand for.
fn plain_bytes(sealed_bytes: u64) -> u64 {
    let (segment, tag) = (SEGMENT_BYTES as u64, TAG_BYTES as u64);
    let (whole, rest) = (sealed_bytes / (segment + tag), sealed_bytes % (segment + tag));
    whole * segment + rest.saturating_sub(tag)
}
