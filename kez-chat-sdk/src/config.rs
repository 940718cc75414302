//! What can be chosen about an open account.

use std::{path::PathBuf, sync::Arc, time::Duration};

#[cfg(feature = "files")]
use crate::files::{Relays, UploadLimit};
use crate::{
    client::{Client, ClientError},
    clock::Clock,
    key_store::KeyStore,
    net::Roots,
};

/// The settings of an open account.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) clock: Clock,
    pub(crate) gap_wait: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) roots: Roots,
    pub(crate) suspended: bool,
    #[cfg(feature = "files")]
    pub(crate) relays: Relays,
    #[cfg(feature = "files")]
    pub(crate) uploads: UploadLimit,
    #[cfg(feature = "files")]
    pub(crate) lan_discovery: bool,
    /// How many bytes files may take.
    #[cfg(feature = "files")]
    pub(crate) file_quota: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            gap_wait: Duration::from_secs(60),
            keep_alive: Duration::from_secs(30),
            roots: Roots::system(),
            suspended: false,
            #[cfg(feature = "files")]
            relays: Relays::default(),
            #[cfg(feature = "files")]
            uploads: UploadLimit::default(),
            #[cfg(feature = "files")]
            lan_discovery: false,
            #[cfg(feature = "files")]
            file_quota: None,
        }
    }
}

/// Opens a [`Client`] with other settings than the usual ones.
///
/// | setting | default | what it is |
/// |---|---|---|
/// | [`clock`](Self::clock) | the machine's | where the time comes from |
/// | [`gap_wait`](Self::gap_wait) | 60 s | how long, while connected, messages wait for earlier ones of the same sender |
/// | [`keep_alive`](Self::keep_alive) | 30 s | how often a silent connection is probed |
/// | [`roots`](Self::roots) | the system's | whose certificates servers may show |
/// | [`suspended`](Self::suspended) | no | whether it is opened without a connection |
/// | `relays` | the home's | through which relays files come and go where there is no direct way |
/// | `upload_limit` | none | how many bytes a second go out to all who fetch from us |
/// | `lan_discovery` | no | whether we and our contacts find each other on the local network |
/// | `file_quota` | none | how many bytes the sealed files of shares and fetches may take |
///
/// The last four are there with the feature `files`.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # stage.register("alice").await;
/// use std::time::Duration;
/// use kez_chat_sdk::{Client, ConnectionState};
///
/// # let key_store = key_store("alice");
/// let client = Client::builder("alice", key_store).gap_wait(Duration::from_secs(10)).suspended().open().await?;
/// assert_eq!(client.connection().current(), ConnectionState::Suspended);
/// client.resume();
/// client.connection().until(|state| *state == ConnectionState::Online).await;
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClientBuilder {
    home_dir: PathBuf,
    key_store: Arc<dyn KeyStore>,
    config: Config,
}

impl ClientBuilder {
    pub(crate) fn new(home_dir: PathBuf, key_store: Arc<dyn KeyStore>) -> Self {
        Self { home_dir, key_store, config: Config::default() }
    }

    /// Takes the time from another clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.config.clock = clock;
        self
    }

    /// Sets how long, while connected, a message waits for earlier ones of the same sender that have not arrived. Then it
    /// is given out all the same, and says so. A [move](crate::Account::move_to) waits as long for what may still come
    /// into the old inbox.
    #[must_use]
    pub fn gap_wait(mut self, wait: Duration) -> Self {
        self.config.gap_wait = wait;
        self
    }

    /// Sets how often a connection on which nothing comes is probed. One that is dead without saying so, as when a cable is
    /// cut, is noticed within three times as long. At least a second.
    #[must_use]
    pub fn keep_alive(mut self, every: Duration) -> Self {
        self.config.keep_alive = every.max(Duration::from_secs(1));
        self
    }

    /// Sets the certificate authorities that servers may have their certificates from.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.config.roots = roots;
        self
    }

    /// Opens the account [suspended](Client::suspend): nothing is dialled until [`Client::resume`] or
    /// [`Client::sync_once`].
    #[must_use]
    pub fn suspended(mut self) -> Self {
        self.config.suspended = true;
        self
    }

    /// Sets how many bytes the sealed files may take that are held ready for others or being fetched. What would take more is
    /// refused before anything of it is written.
    #[cfg(feature = "files")]
    #[must_use]
    pub fn file_quota(mut self, bytes: u64) -> Self {
        self.config.file_quota = Some(bytes);
        self
    }

    /// Sets the relays that files go through where there is no direct way between two people.
    #[cfg(feature = "files")]
    #[must_use]
    pub fn relays(mut self, relays: Relays) -> Self {
        self.config.relays = relays;
        self
    }

    /// Limits how many bytes a second go out to everybody who fetches from us, together. At least 16 KiB;
    /// [`Files::limit_uploads`](crate::Files::limit_uploads) changes it later.
    #[cfg(feature = "files")]
    #[must_use]
    pub fn upload_limit(self, bytes_per_s: u64) -> Self {
        self.config.uploads.set(Some(bytes_per_s));
        self
    }

    /// Looks for peers on the local network by mDNS, so that files come and go where neither the internet nor the home can be
    /// reached. It tells everybody on that network that we are there: our key and our addresses, as long as files are
    /// served or fetched.
    #[cfg(feature = "files")]
    #[must_use]
    pub fn lan_discovery(mut self) -> Self {
        self.config.lan_discovery = true;
        self
    }

    /// Opens the account. It works offline and connects in the background.
    ///
    /// # Errors
    /// [`ClientError`]; `NotRegistered` until [`BackedUpAccount::register`](crate::BackedUpAccount::register) has
    /// succeeded.
    pub async fn open(self) -> Result<Client, ClientError> {
        Client::open_with(self.home_dir, self.key_store, self.config).await
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("home_dir", &self.home_dir)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
