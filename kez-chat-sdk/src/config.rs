//! What can be chosen about an open account.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    client::{Client, ClientError},
    clock::Clock,
    key_store::KeyStore,
};

/// The settings of an open account.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) clock: Clock,
    pub(crate) gap_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { clock: Clock::system(), gap_wait: Duration::from_secs(60) }
    }
}

/// Opens a [`Client`] with other settings than the usual ones.
///
/// | setting | default | what it is |
/// |---|---|---|
/// | [`clock`](Self::clock) | the machine's | where the time comes from |
/// | [`gap_wait`](Self::gap_wait) | 60 s | how long, while connected, messages wait for earlier ones of the same sender |
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
    /// is given out all the same, and says so.
    #[must_use]
    pub fn gap_wait(mut self, wait: Duration) -> Self {
        self.config.gap_wait = wait;
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
