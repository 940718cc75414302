//! The account of an open client.

use kez_core::{
    contact_uri::ContactUri,
    handle::Handle,
    mnemonic::Mnemonic,
    sigchain::{Head, Install},
};

use super::{
    AccountError, MovePlan, OldHandle, Registered, move_plan, moving,
    own_chain::{self, Standing},
};
use crate::{net::SigchainClient, shared::Shared, store::StoreError};

/// A handle on the account itself: its backup, its sigchain, moving to another home, and leaving for good.
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
    /// happens by itself when a session begins and every ten minutes. What is left to do at a home that the account has
    /// moved away from is done as well.
    ///
    /// # Errors
    /// [`AccountError`]; `SignedInElsewhere` or `Retired` if the account does not live here any more.
    pub async fn sync(&self) -> Result<(), AccountError> {
        let info = self.shared.home.info().await?;
        own_chain::check(self.shared, &info.nats.urls).await?;
        match self.shared.own.now() {
            Standing::Here => moving::leave_all_behind(self.shared).await,
            Standing::Moving => Ok(()),
            Standing::Moved => Err(AccountError::Moved),
            Standing::Elsewhere => Err(AccountError::SignedInElsewhere),
            Standing::Leaving | Standing::Left => {
                Err(AccountError::Retired { primary: Box::new(self.shared.primary()) })
            }
        }
    }

    /// Asks another home whether it takes the account, and says what a move there will bring, for the person to confirm.
    /// Nothing is changed.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let stage = Stage::set().await;
    /// # let other = kez_testbed::Testbed::start().await?;
    /// # let new_home = other.home_url();
    /// # stage.register("bob").await;
    /// # stage.register("alice").await;
    /// # let client = sdk::Client::builder("alice", key_store("alice")).gap_wait(std::time::Duration::ZERO).open().await?;
    /// # client.contacts().add("@bob").await?;
    /// use kez_chat_sdk::{Client, ConnectionState, HomeUrl, OldHandle, resolve_handle};
    ///
    /// // Such as alice@other.example
    /// let handle = resolve_handle("alice", Some(&HomeUrl::parse(&new_home)?))?;
    /// let plan = client.account().plan_move(&handle).await?;
    /// println!("You will be {}, and messages to {} people stop.", plan.to, plan.loses.len());
    /// # assert_eq!((plan.loses.len(), plan.gains.len(), plan.waiting.len()), (1, 0, 0));
    ///
    /// // Once the person has agreed:
    /// let moved = client.account().move_to(plan, OldHandle::Keep).await?;
    /// assert_eq!(moved.handle, handle);
    /// // The client is still at the old home: it is closed, and the account opened anew.
    /// assert_eq!(client.connection().current(), ConnectionState::Moved);
    /// client.shutdown().await;
    /// # let key_store = key_store("alice");
    /// let client = Client::open("alice", key_store).await?;
    /// assert_eq!(client.handle(), &handle);
    /// # client.shutdown().await;
    /// # other.shutdown().await?;
    /// # stage.strike().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AccountError`]: `HandleTaken`, `ReservedHandle` or `RegisteredAs` by the new home's word, `CantMove` if this can be
    /// no move, `Moving` if the account moves elsewhere already.
    pub async fn plan_move(&self, to: &Handle) -> Result<MovePlan, AccountError> {
        move_plan::make(self.shared, to).await
    }

    /// Moves to another home: registers the handle there, publishes the new inbox and handle on the same sigchain, of which
    /// the new home's server gets all, and receives what waits in the old inbox. The key stays, and with it contacts,
    /// conversations and shared files.
    ///
    /// Until the new home has registered the handle nothing has changed. From then on the move goes on by itself, also if
    /// this fails or is interrupted, whenever a client is open and the servers are in reach; calling it again waits for
    /// that, or is `Moved` if it is done. At its end the connection is [`Moved`](crate::ConnectionState::Moved): shut the
    /// client down and open the account anew. What is left to do at the old home then is done by the new client.
    ///
    /// It takes a minute if the client was not online for as long before: so late may messages come that an earlier
    /// connection was handed when it broke.
    ///
    /// # Errors
    /// [`AccountError`], as [`plan_move`](Self::plan_move), and `OldHomeAway` if the old home is out of reach: the plan can
    /// do [without](MovePlan::without_old_home).
    pub async fn move_to(&self, plan: MovePlan, old: OldHandle) -> Result<Registered, AccountError> {
        moving::begin(self.shared, plan, old).await
    }

    /// Leaves for good: the home gives the handle to nobody again, and the sigchain ends. There is no way back.
    ///
    /// Once this was called nothing more is sent, also if it fails or is interrupted: what is left to do is done when a
    /// client is next open and the servers are in reach. Afterwards the connection is
    /// [`Retired`](crate::ConnectionState::Retired), and what is kept can still be read.
    ///
    /// # Errors
    /// [`AccountError`] if not everything is done yet, or, with nothing done, `Moving` or `Moved` to another home.
    pub async fn retire(&self) -> Result<(), AccountError> {
        own_chain::leave(self.shared).await
    }
}
