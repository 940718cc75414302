//! Publishing on one's own sigchain: an event is stored here before anybody else sees it (`docs/PROTOCOL.md` §4).

use kez_core::{
    identity::SecretKey,
    sigchain::{Chain, Op, Timestamp},
};

use super::AccountError;
use crate::{
    clock::Clock,
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
    /// Begins with `published`, what the server is known to have; takes over what it has more, then uploads what was
    /// signed here and still follows. What no longer follows is discarded and signed anew when it is needed.
    pub(super) async fn sync(
        key: &'a SecretKey,
        store: &'a Store,
        server: SigchainClient,
        published: Chain,
    ) -> Result<Self, AccountError> {
        let mut own = Self { key, store, server, chain: published };
        let (new, outcome) = own.server.walk(&mut own.chain).await;
        match outcome {
            Ok(()) => {}
            Err(WalkError::Net(error)) => return Err(error.into()),
            Err(WalkError::Chain { source, .. }) => return Err(source.into()),
        }
        own.store.adopt_own_events(new).await?;
        for jws in own.store.own_events_to_upload(key.primary()).await? {
            let next = own.chain.tip().seq() + 1;
            match own.chain.push(&jws).map(|event| event.seq()) {
                Ok(seq) => own.upload(seq, &jws).await?,
                Err(_) => {
                    own.store.discard_own_events(key.primary(), next).await?;
                    break;
                }
            }
        }
        Ok(own)
    }

    /// Publishes an operation unless the chain says so already.
    pub(super) async fn ensure(&mut self, op: Op, is_said: impl Fn(&Chain) -> bool) -> Result<(), AccountError> {
        if is_said(&self.chain) {
            return Ok(());
        }
        let event = self.chain.sign_next(self.key, op, &Timestamp::from_unix_ms(Clock::system().now_ms()))?.clone();
        self.store.keep_own_event(&event).await?;
        self.upload(event.seq(), event.jws()).await
    }

    /// Uploads an event that is stored here. If another one took its place meanwhile, it is discarded for good; the next
    /// attempt begins with the server's.
    async fn upload(&self, seq: u64, jws: &str) -> Result<(), AccountError> {
        let owner = self.key.primary();
        match self.server.append(&owner, jws).await? {
            AppendOutcome::Stored => Ok(self.store.set_uploaded(owner, seq).await?),
            AppendOutcome::Conflict => {
                self.store.discard_own_events(owner, seq).await?;
                Err(AccountError::ChainConflict)
            }
        }
    }
}
