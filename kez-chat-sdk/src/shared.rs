//! What every part of an open account works with.

use std::collections::HashSet;
#[cfg(feature = "files")]
use std::path::PathBuf;

use kez_core::{
    handle::{Handle, Policy},
    identity::{PrimaryKey, SecretKey},
    sigchain::Install,
};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "files")]
use crate::files::{downloads::awaited::Downloads, slot::NodeSlot};
use crate::{
    account::own_chain::OwnStanding,
    config::Config,
    gossip::Gossip,
    home_dir::HomeDir,
    link::Link,
    net::{HomeClient, Http},
    peers::Peers,
    presence::Presences,
    store::Store,
};

/// What every part of a client shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) key: SecretKey,
    pub(crate) handle: Handle,
    /// Every handle that our own chain ever named.
    pub(crate) own_handles: HashSet<Handle>,
    pub(crate) install: Install,
    /// The secrets that we share with others.
    pub(crate) peers: Peers,
    /// When this installation came to be, by the home's clock: what was sent before was meant for an earlier one.
    pub(crate) born_at_ms: u64,
    /// What our own sigchain says about this installation.
    pub(crate) own: OwnStanding,
    pub(crate) policy: Policy,
    pub(crate) sigchain_url: String,
    pub(crate) http: Http,
    pub(crate) home: HomeClient,
    pub(crate) store: Store,
    /// Which chains were looked at because of what others said.
    pub(crate) gossip: Gossip,
    /// Who is there, and how we are to be seen.
    pub(crate) presences: Presences,
    /// What the connection and the rest of the client tell each other.
    pub(crate) link: Link,
    pub(crate) stop: CancellationToken,
    #[cfg(feature = "files")]
    pub(crate) node: NodeSlot,
    /// Who waits for what of others' files.
    #[cfg(feature = "files")]
    pub(crate) downloads: Downloads,
    /// Held for the lock that it is, too.
    pub(crate) home_dir: HomeDir,
}

impl Shared {
    pub(crate) fn primary(&self) -> PrimaryKey {
        self.key.primary()
    }

    #[cfg(feature = "files")]
    pub(crate) fn blobs_dir(&self) -> PathBuf {
        self.home_dir.blobs()
    }

    /// Returns the time by the home's clock, as far as it was asked.
    pub(crate) fn home_now_ms(&self) -> u64 {
        self.link.to_home_time(self.now_ms())
    }

    /// Returns the time by our own clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.config.clock.now_ms()
    }
}
