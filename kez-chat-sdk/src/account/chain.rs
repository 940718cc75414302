//! Publishing on one's own sigchain: an event is stored here before anybody else sees it (`docs/PROTOCOL.md` §4).

use kez_core::{
    handle::Home,
    identity::SecretKey,
    sigchain::{Chain, ChainError, Event, ForkProof, Install, Op, Pin, State, Timestamp},
};

use super::AccountError;
use crate::{
    net::{AppendOutcome, SigchainClient, WalkError},
    store::Store,
};

/// How often an event is signed anew because another installation was faster.
const MAX_TRIES: usize = 5;

/// One's own chain, with the server that publishes it.
pub(super) struct OwnChain<'a> {
    key: &'a SecretKey,
    store: &'a Store,
    server: SigchainClient,
    chain: Chain,
    /// By the home's clock: what events are dated with.
    now_ms: u64,
}

impl<'a> OwnChain<'a> {
    /// Begins with `published`, what the server is known to have, and takes over what it has more. What it has lost it
    /// gets again.
    pub(super) async fn fetch(
        key: &'a SecretKey,
        store: &'a Store,
        server: SigchainClient,
        published: Chain,
        now_ms: u64,
    ) -> Result<Self, AccountError> {
        let mut own = Self { key, store, server, chain: published, now_ms };
        own.catch_up().await?;
        Ok(own)
    }

    pub(super) fn state(&self) -> &State {
        self.chain.state()
    }

    /// Returns the walked events: all of them, if the chain was begun with all.
    pub(super) fn events(&self) -> &[Event] {
        self.chain.events()
    }

    /// Uploads what was signed here and is not known to have arrived. The same events again: what was signed for a place
    /// is the only thing that is ever shown for it.
    pub(super) async fn upload_kept(&mut self) -> Result<(), AccountError> {
        for jws in self.store.own_events_to_upload(self.key.primary()).await? {
            let before = self.chain.clone();
            self.chain.push(&jws)?;
            if !self.upload(before).await? {
                // What another installation published stands in this place, and what followed ours is discarded.
                break;
            }
        }
        Ok(())
    }

    /// Publishes an operation unless the chain says so already. Whatever is kept has to be uploaded before.
    pub(super) async fn ensure(&mut self, op: Op, is_said: impl Fn(&State) -> bool) -> Result<(), AccountError> {
        for _ in 0..MAX_TRIES {
            if is_said(self.chain.state()) {
                return Ok(());
            }
            let before = self.chain.clone();
            let event = self.chain.sign_next(self.key, op.clone(), &Timestamp::from_unix_ms(self.now_ms))?;
            self.store.keep_own_event(event).await?;
            if self.upload(before).await? {
                return Ok(());
            }
        }
        Err(AccountError::ChainConflict)
    }

    /// Publishes where our messages go, and takes back where they went before.
    pub(super) async fn ensure_broker(&mut self, home: &Home, url: &str) -> Result<(), AccountError> {
        let op = Op::AddNatsEndpoint { home: home.clone(), url: url.to_owned() };
        self.ensure(op, |state| state.nats().is_some_and(|nats| nats.home == *home && nats.url == url)).await?;
        let urls: Vec<String> = self.chain.state().nats_endpoints().map(|nats| nats.url.clone()).collect();
        for old in urls.into_iter().filter(|old| old != url) {
            let is_gone = |state: &State| state.nats_endpoints().all(|nats| nats.url != old);
            self.ensure(Op::RemoveNatsEndpoint { url: old.clone() }, is_gone).await?;
        }
        Ok(())
    }

    /// Publishes that this installation is the one that serves our files, and no other does: whichever did finds that and
    /// stops.
    pub(super) async fn ensure_install(&mut self, install: Install) -> Result<(), AccountError> {
        let op = Op::AddIrohEndpoint { install, relay_url: None };
        self.ensure(op, |state| state.iroh().is_some_and(|iroh| iroh.install == install)).await?;
        let installs: Vec<Install> = self.chain.state().iroh_endpoints().map(|iroh| iroh.install).collect();
        for old in installs.into_iter().filter(|old| *old != install) {
            let is_gone = |state: &State| state.iroh_endpoints().all(|iroh| iroh.install != old);
            self.ensure(Op::RemoveIrohEndpoint { install: old }, is_gone).await?;
        }
        Ok(())
    }

    /// Uploads the chain's last event, which is stored here. Tells whether it is published: if another one took its place
    /// meanwhile, ours is discarded for good, and the chain holds the other.
    async fn upload(&mut self, before: Chain) -> Result<bool, AccountError> {
        let Some(pin) = self.chain.pin() else { return Ok(true) };
        if self.server.append(self.chain.primary(), pin.event().jws()).await? == AppendOutcome::Stored {
            self.store.set_uploaded(pin).await?;
            return Ok(true);
        }
        self.chain = before;
        self.catch_up().await?;
        if self.chain.tip().seq() < pin.event().seq() {
            // The server refuses, but shows nothing in that place. Ours stays: a second one there would be a fork.
            return Err(AccountError::ChainConflict);
        }
        tracing::warn!(seq = pin.event().seq(), "another installation was faster to publish on our sigchain");
        Ok(self.holds(&pin))
    }

    /// Tells whether the chain has the very event that was uploaded: an answer may have been lost on the way.
    fn holds(&self, pin: &Pin) -> bool {
        self.chain.at(pin.event().seq()).is_some_and(|event| event.head() == pin.event().head())
    }

    async fn catch_up(&mut self) -> Result<(), AccountError> {
        match self.walk().await {
            Err(AccountError::Chain(ChainError::Rollback { found, .. })) => {
                self.give_back(found).await?;
                self.walk().await
            }
            walked => walked,
        }
    }

    /// Walks on from the chain's end, and keeps whatever is sound.
    async fn walk(&mut self) -> Result<(), AccountError> {
        let (new, outcome) = self.server.walk(&mut self.chain, None).await;
        self.store.adopt_own_events(new, self.chain.pin()).await?;
        match outcome {
            Ok(()) => Ok(()),
            Err(WalkError::Net(error)) => Err(error.into()),
            Err(WalkError::Chain { source, fork }) => {
                if let (ChainError::Fork { seq }, Some(proof)) = (&source, fork) {
                    self.store.note_own_fork(*seq, proof.to_string()).await?;
                }
                Err(source.into())
            }
        }
    }

    /// Uploads again what a server had and has lost after `found`.
    async fn give_back(&self, found: u64) -> Result<(), AccountError> {
        let owner = self.key.primary();
        tracing::warn!(found, "the sigchain server has lost events of ours, and gets them again");
        for jws in self.store.own_events_after(owner, found).await? {
            if self.server.append(&owner, &jws).await? == AppendOutcome::Conflict {
                return Err(self.conflict_at(found).await?);
            }
        }
        Ok(())
    }

    /// Tells why a server whose chain ends at `last` does not take what comes next: it may have another history that is
    /// shorter than ours.
    async fn conflict_at(&self, last: u64) -> Result<AccountError, AccountError> {
        let owner = self.key.primary();
        let ours = self.store.own_events_after(owner, last.saturating_sub(1)).await?.into_iter().next();
        if let (Some(ours), Some(theirs)) = (ours, self.server.event_at(&owner, last).await?)
            && let Ok(proof) = ForkProof::check(&ours, &theirs)
            && proof.primary() == &owner
        {
            self.store.note_own_fork(proof.seq(), proof.to_string()).await?;
            return Ok(ChainError::Fork { seq: proof.seq() }.into());
        }
        Ok(AccountError::ChainConflict)
    }
}
