//! Who calls peers and relays: the node, or an endpoint that is there for one look at them.

use std::{error::Error, sync::Arc, time::Duration};

use futures::StreamExt as _;
use iroh::{Endpoint, EndpointId, RelayUrl, Watcher as _, endpoint::Connection};
use iroh_blobs::ALPN;
use kez_core::{
    identity::{PrimaryKey, SecretKey},
    payload::Addresses,
};
use tokio::time::timeout;

use super::{NodeError, NodeSettings, addresses, network, upstream::path_of};
use crate::files::TransferPath;

/// For how long a connection through a relay may come to be a direct one.
const SETTLED: Duration = Duration::from_secs(1);
pub(super) const NOBODY: &str = "nobody answers at their addresses";

/// An endpoint that calls others.
pub(crate) struct Caller {
    pub(super) endpoint: Endpoint,
    pub(super) relays: Vec<RelayUrl>,
    pub(super) loopback_allowed: bool,
    pub(super) lan_discovery: bool,
    /// Whether it ends with the look for which it was made.
    pub(super) is_passing: bool,
}

impl Caller {
    /// Makes an endpoint for one look, which serves nothing and tells nobody that it is there.
    pub(crate) async fn bind(
        key: &SecretKey,
        settings: NodeSettings,
        home_relays: &[String],
    ) -> Result<Self, NodeError> {
        let settings = NodeSettings { lan_discovery: false, ..settings };
        let mode = network::relay_mode(&settings)?;
        let mut relays: Vec<RelayUrl> = mode.relay_map().urls();
        let endpoint = network::bind(key, mode, &settings).await?;
        for relay in home_relays.iter().filter_map(|url| addresses::relay(url, settings.loopback_allowed)) {
            endpoint.insert_relay(relay.clone(), Arc::new(relay.clone().into())).await;
            relays.push(relay);
        }
        let NodeSettings { loopback_allowed, lan_discovery, .. } = settings;
        Ok(Self { endpoint, relays, loopback_allowed, lan_discovery, is_passing: true })
    }

    /// Returns the relays that are used.
    pub(crate) fn relays(&self) -> Vec<String> {
        self.relays.iter().map(ToString::to_string).collect()
    }

    /// Waits until the endpoint is at a relay, and returns which. Meanwhile `failure` has what is in the way.
    pub(crate) async fn until_at_relay(&self, failure: &mut Option<String>) -> String {
        let mut watcher = self.endpoint.home_relay_status();
        let mut relays = watcher.get();
        loop {
            if let Some(relay) = relays.iter().find(|relay| relay.is_connected()) {
                return relay.url().to_string();
            }
            let failed = relays.iter().find_map(|relay| Some((relay.url(), relay.last_error()?)));
            if let Some((url, error)) = failed {
                *failure = Some(format!("{url}: {error:#}"));
            }
            relays = match watcher.updated().await {
                Ok(relays) => relays,
                // It goes with the endpoint, which is ours.
                Err(_) => std::future::pending().await,
            };
        }
    }

    /// Calls a peer, and hangs up once it is seen how they are reached.
    pub(crate) async fn look_at(
        &self,
        peer: PrimaryKey,
        at: &Addresses,
        within: Duration,
    ) -> Result<Option<TransferPath>, NodeError> {
        let connection = self.call(peer, at, within).await?;
        let mut paths = connection.paths_stream();
        let mut over = path_of(&connection.paths());
        let settle = async {
            while over != Some(TransferPath::Direct)
                && let Some(paths) = paths.next().await
            {
                over = path_of(&paths).or(over);
            }
        };
        let _ = timeout(SETTLED, settle).await;
        connection.close(0u32.into(), b"done");
        Ok(over)
    }

    /// Connects to a peer, who has so long to answer.
    pub(super) async fn call(
        &self,
        peer: PrimaryKey,
        at: &Addresses,
        within: Duration,
    ) -> Result<Connection, NodeError> {
        let unreachable =
            |source: Box<dyn Error + Send + Sync>| NodeError::Unreachable { peer: Box::new(peer), source };
        let id = EndpointId::from_bytes(peer.as_bytes()).map_err(|error| unreachable(error.into()))?;
        let dialled = addresses::of_peer(id, at, !self.relays.is_empty(), self.loopback_allowed);
        if dialled.is_empty() && !self.lan_discovery {
            return Err(unreachable("no address of theirs is known that may be dialled".into()));
        }
        match timeout(within, self.endpoint.connect(dialled, ALPN)).await {
            Ok(connected) => connected.map_err(|error| unreachable(error.into())),
            Err(_) => Err(unreachable(NOBODY.into())),
        }
    }

    /// Ends the endpoint, if it was made for one look.
    pub(crate) async fn end(self) {
        if self.is_passing {
            self.endpoint.close().await;
        }
    }
}
