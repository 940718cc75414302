//! The account of an open client.

use kez_core::{
    contact_uri::ContactUri,
    mnemonic::Mnemonic,
    sigchain::{Head, Install},
};

use super::{
    AccountError,
    own_chain::{self, Standing},
};
use crate::{net::SigchainClient, shared::Shared, store::StoreError};

/// A handle on the account itself: its backup, its sigchain, and leaving for good.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let client = stage.client("alice").await;
/// // The words, for who wants to write them down again.
/// let words = client.account().mnemonic();
/// assert_eq!(words.secret_key().primary(), client.primary());
/// // Where the own sigchain ends, for who compares it on another way.
/// let head = client.account().head().await?;
/// # assert_eq!(head, client.account().head().await?);
/// // Leaving is for good: nobody gets the handle again.
/// client.account().retire().await?;
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    shared: &'a Shared,
}

impl<'a> Account<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Returns the 24 words that are the key. Whoever sees them has the account: show them only when they are asked for.
    #[must_use]
    pub fn mnemonic(&self) -> Mnemonic {
        Mnemonic::of(&self.shared.key)
    }

    /// Returns the name of this installation. The account lives in one at a time: the last that was published.
    #[must_use]
    pub fn install(&self) -> Install {
        self.shared.install
    }

    /// Returns when this installation came to be, by the home's clock, in milliseconds since 1970. What was sent before was
    /// meant for an earlier one.
    #[must_use]
    pub fn born_at_ms(&self) -> u64 {
        self.shared.born_at_ms
    }

    /// Returns what others add us by, as text or as a QR code, also while our home is down.
    #[must_use]
    pub fn contact_uri(&self) -> ContactUri {
        let (primary, url) = (self.shared.primary(), &self.shared.sigchain_url);
        // It was made of this base and key.
        let sigchain_base = SigchainClient::base_of(url, &primary).unwrap_or_else(|_| url.clone());
        ContactUri { primary, handle: Some(self.shared.handle.clone()), sigchain_base }
    }

    /// Returns where the published sigchain ends, as far as it was seen.
    ///
    /// # Errors
    /// [`AccountError::Store`].
    pub async fn head(&self) -> Result<Head, AccountError> {
        let chain = self.shared.store.own_chain(self.shared.primary(), self.shared.policy).await?;
        Ok(chain.tip().head().ok_or_else(|| StoreError::damaged("the own sigchain is missing"))?)
    }

    /// Looks at the published sigchain now: publishes what its server lacks, and the broker if the home has moved it. It
    /// happens by itself when a session begins and every ten minutes.
    ///
    /// # Errors
    /// [`AccountError`]; `SignedInElsewhere` or `Retired` if the account does not live here any more.
    pub async fn sync(&self) -> Result<(), AccountError> {
        let info = self.shared.home.info().await?;
        own_chain::check(self.shared, &info.nats.urls).await?;
        match self.shared.own.now() {
            Standing::Here => Ok(()),
            Standing::Elsewhere => Err(AccountError::SignedInElsewhere),
            Standing::Leaving | Standing::Left => {
                Err(AccountError::Retired { primary: Box::new(self.shared.primary()) })
            }
        }
    }

    /// Leaves for good: the home gives the handle to nobody again, and the sigchain ends. There is no way back.
    ///
    /// Once this was called nothing more is sent, also if it fails or is interrupted: what is left to do is done when a
    /// client is next open and the servers are in reach. Afterwards the connection is
    /// [`Retired`](crate::ConnectionState::Retired), and what is kept can still be read.
    ///
    /// # Errors
    /// [`AccountError`] if not everything is done yet.
    pub async fn retire(&self) -> Result<(), AccountError> {
        own_chain::leave(self.shared).await
    }
}
