//! Publishing on one's own sigchain: an event is stored here before anybody else sees it (`docs/PROTOCOL.md` §4).

use kez_core::{
    identity::SecretKey,
    sigchain::{Chain, Op, Timestamp},
};

use super::AccountError;
use crate::{
    clock::now_ms,
    net::{AppendOutcome, SigchainClient, WalkError},
    store::Store,
};

/// One's own chain, with the server that publishes it.
pub(super) struct OwnChain<'a> {
    key: &'a SecretKey,
    store: &'a Store,
    server: SigchainClient,
    chain: Chain,
}

impl<'a> OwnChain<'a> {
    /// Begins with what is stored here, uploads what the server lacks, and takes over what the server has more.
    pub(super) async fn sync(
        key: &'a SecretKey,
        store: &'a Store,
        server: SigchainClient,
        chain: Chain,
    ) -> Result<Self, AccountError> {
        let mut own = Self { key, store, server, chain };
        own.upload().await?;
        let new = match own.server.walk(&mut own.chain).await {
            Ok(new) => new,
            Err(WalkError::Net(error)) => return Err(error.into()),
            Err(WalkError::Chain(error)) => return Err(error.into()),
        };
        own.store.adopt_own_events(new).await?;
        Ok(own)
    }

    /// Publishes an operation unless the chain says so already.
    pub(super) async fn ensure(&mut self, op: Op, is_said: impl Fn(&Chain) -> bool) -> Result<(), AccountError> {
        if is_said(&self.chain) {
            return Ok(());
        }
        let event = self.chain.sign_next(self.key, op, &Timestamp::from_unix_ms(now_ms()))?.clone();
        self.store.keep_own_event(&event).await?;
        self.upload().await
    }

    async fn upload(&self) -> Result<(), AccountError> {
        let owner = self.key.primary();
        for (seq, jws) in self.store.own_events_to_upload(owner).await? {
            match self.server.append(&owner, &jws).await? {
                AppendOutcome::Stored => self.store.set_uploaded(owner, seq).await?,
                AppendOutcome::Conflict => return Err(AccountError::ChainConflict),
            }
        }
        Ok(())
    }
}
