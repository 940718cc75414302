//! What one's own sigchain says to an open account: that it lives here, that it was signed in elsewhere, or that the person
//! has left (`docs/PROTOCOL.md` §4).

use std::time::Duration;

#[cfg(feature = "files")]
use kez_core::sigchain::SharedFiles;
use kez_core::sigchain::{ChainError, Install, Op, State};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::{AccountError, chain::OwnChain, moving};
use crate::{
    conversation::SendError,
    diagnosis::Fault,
    link::ConnectionState,
    net::{SigchainClient, WalkError, check_broker_url},
    shared::Shared,
};

/// How often the chain is looked at while a session lasts.
const CHECK_EVERY: Duration = Duration::from_secs(600);
/// When it is looked at again after a session has begun, or after that failed.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// How long a session waits for a sigchain server that is slow.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// Whether the account lives in this installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Here,
    /// A later installation has it. This one only reads.
    Elsewhere,
    /// It does, and the person has decided to move to another home.
    Moving,
    /// It does, and is at another home than this client: it has to be opened anew.
    Moved,
    /// The person has decided to leave for good; not everybody who has to know was told.
    Leaving,
    /// The person has left for good.
    Left,
}

impl Standing {
    pub(crate) fn of(chain: &State, install: Install, leaving: bool) -> Self {
        match chain.iroh() {
            _ if chain.is_retired() => Self::Left,
            _ if leaving => Self::Leaving,
            Some(iroh) if iroh.install != install => Self::Elsewhere,
            _ => Self::Here,
        }
    }

    /// Returns the state in which the connection stays, if there is to be none.
    pub(crate) fn end(self) -> Option<ConnectionState> {
        match self {
            Self::Here | Self::Moving | Self::Leaving => None,
            Self::Moved => Some(ConnectionState::Moved),
            Self::Elsewhere => Some(ConnectionState::SignedInElsewhere),
            Self::Left => Some(ConnectionState::Retired),
        }
    }

    /// Returns why nothing is sent for an account that is not here any more.
    pub(crate) fn refusal(self) -> Option<SendError> {
        match self {
            Self::Here | Self::Moving => None,
            Self::Moved => Some(SendError::YouMoved),
            Self::Elsewhere => Some(SendError::SignedInElsewhere),
            Self::Leaving | Self::Left => Some(SendError::YouRetired),
        }
    }
}

/// What is known of one's own chain.
#[derive(Debug)]
pub(crate) struct OwnStanding {
    standing: watch::Sender<Standing>,
    /// Held by whoever walks or writes on the chain.
    pub(super) turn: Mutex<()>,
    /// Held by whoever moves the account, or clears up after a move; taken before the turn.
    pub(super) moves: Mutex<()>,
}

impl OwnStanding {
    pub(crate) fn new(standing: Standing) -> Self {
        Self { standing: watch::Sender::new(standing), turn: Mutex::default(), moves: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Standing {
        *self.standing.borrow()
    }

    pub(super) fn set(&self, standing: Standing) {
        self.standing.send_if_modified(|known| std::mem::replace(known, standing) != standing);
    }

    /// Waits until the person has decided to move.
    pub(super) async fn until_moving(&self) {
        // The sender is a field of this very value.
        let _ = self.standing.subscribe().wait_for(|standing| *standing == Standing::Moving).await;
    }

    /// Waits until there is to be no connection any more.
    pub(crate) async fn until_over(&self) {
        // The sender is a field of this very value.
        let _ = self.standing.subscribe().wait_for(|standing| standing.end().is_some()).await;
    }
}

/// Looks at the chain before a session begins, since an installation that was replaced must not take what is meant for the
/// later one. A sigchain server that is slow or out of reach does not keep it from beginning.
///
/// # Errors
/// Only for somebody who is leaving, and whom a server does not let go yet.
pub(crate) async fn before_session(shared: &Shared, brokers: &[String]) -> Result<(), AccountError> {
    if shared.own.now() == Standing::Leaving {
        return leave(shared).await;
    }
    match tokio::time::timeout(START_PATIENCE, check(shared, brokers)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "going online without having seen the own sigchain"),
        Err(_) => tracing::warn!("going online without having seen the own sigchain: its server is slow"),
    }
    Ok(())
}

/// Keeps an eye on the chain for as long as a session lasts. Whether there is to be no session any more is told by
/// [`OwnStanding::until_over`].
pub(crate) async fn watch(shared: &Shared, brokers: &[String]) {
    keep_looking(tokio::time::sleep, || check(shared, brokers)).await;
}

/// Looks again and again, in its intervals. It is given how to wait, so that a test has the time to see it.
async fn keep_looking<W, L>(wait: impl Fn(Duration) -> W, look: impl Fn() -> L)
where
    W: Future<Output = ()>,
    L: Future<Output = Result<(), AccountError>>,
{
    let mut after = RETRY_AFTER;
    loop {
        wait(after).await;
        after = match look().await {
            Ok(()) => CHECK_EVERY,
            Err(error) => {
                tracing::warn!(%error, "the own sigchain could not be looked at");
                // A chain that is not sound does not mend itself within a minute.
                if matches!(error, AccountError::Chain(_)) { CHECK_EVERY } else { RETRY_AFTER }
            }
        };
    }
}

/// Looks at the chain as [`writable`] does, and publishes what has changed.
pub(crate) async fn check(shared: &Shared, brokers: &[String]) -> Result<(), AccountError> {
    let Some(WritableChain { mut chain, _turn }) = writable(shared).await? else { return Ok(()) };
    let Some(first) = brokers.first() else { return Ok(()) };
    let home = shared.handle.home();
    let published = chain.state().nats().filter(|nats| nats.home == *home && brokers.contains(&nats.url));
    if published.is_some() && chain.state().nats_endpoints().count() == 1 {
        return Ok(());
    }
    let url = published.map_or(first, |nats| &nats.url).clone();
    check_broker_url(&url, shared.policy).await?;
    chain.ensure_broker(home, &url).await
}

/// One's own chain as its server has it, with the turn to write on it.
pub(crate) struct WritableChain<'a> {
    chain: OwnChain<'a>,
    _turn: MutexGuard<'a, ()>,
}

#[cfg(feature = "files")]
impl WritableChain<'_> {
    /// Returns which manifest the chain names.
    pub(crate) fn shared_files(&self) -> Option<&SharedFiles> {
        self.chain.state().shared_files()
    }

    /// Publishes which manifest is ours, by a version that is higher than any before.
    pub(crate) async fn set_shared_files(&mut self, files: SharedFiles) -> Result<(), AccountError> {
        let op = Op::SetSharedFiles { manifest: files.manifest, version: files.version };
        self.chain.ensure(op, |state| state.shared_files() == Some(&files)).await
    }
}

/// Walks on from where the chain was left, notes whether the account still lives here, and publishes what the server lacks.
/// Nothing comes of it where the account does not live here, or is moving.
pub(crate) async fn writable(shared: &Shared) -> Result<Option<WritableChain<'_>>, AccountError> {
    let turn = shared.own.turn.lock().await;
    if shared.own.now() != Standing::Here {
        return Ok(None);
    }
    let mut chain = fetch(shared, own_server(shared)?).await?;
    let standing = Standing::of(chain.state(), shared.install, false);
    shared.own.set(standing);
    if standing != Standing::Here {
        tracing::warn!(?standing, "the account does not live in this installation any more");
        return Ok(None);
    }
    // Whoever goes on with one of two histories makes it worse. Leaving for good is still possible.
    if let Some(seq) = shared.store.own_fork().await? {
        return Err(ChainError::Fork { seq }.into());
    }
    chain.upload_kept().await?;
    Ok(Some(WritableChain { chain, _turn: turn }))
}

/// Looks whether the chain's server has all that is known here, and returns how many events those are. Nothing is changed.
///
/// # Errors
/// [`Fault`].
pub(crate) async fn look(shared: &Shared) -> Result<u64, Fault> {
    // What is just being published is there in a moment.
    let _turn = shared.own.turn.lock().await;
    let mut chain = shared.store.own_chain(shared.primary(), shared.policy).await?;
    let base = SigchainClient::base_of(&shared.sigchain_url, &shared.primary())?;
    let known_end = chain.tip().head();
    match SigchainClient::new(shared.http.clone(), &base).walk(&mut chain, known_end).await.1 {
        Ok(()) => Ok(chain.tip().seq()),
        Err(WalkError::Net(error)) => Err(error.into()),
        Err(WalkError::Chain { source: source @ ChainError::Rollback { .. }, .. }) => Err(Fault::ChainLost { source }),
        Err(WalkError::Chain { source, .. }) => Err(Fault::OtherChain { source }),
    }
}

/// Tells the home and whoever reads the chain that the person has left for good.
pub(super) async fn leave(shared: &Shared) -> Result<(), AccountError> {
    let _moves = shared.own.moves.lock().await;
    let _turn = shared.own.turn.lock().await;
    match shared.own.now() {
        Standing::Left => return Ok(()),
        Standing::Moved => return Err(AccountError::Moved),
        Standing::Moving => return Err(moving::under_way(shared).await?),
        Standing::Here | Standing::Elsewhere | Standing::Leaving => {}
    }
    shared.store.set_leaving().await?;
    shared.own.set(Standing::Leaving);
    shared.home.retire(&shared.key, &shared.handle).await?;
    let mut chain = fetch(shared, own_server(shared)?).await?;
    chain.upload_kept().await?;
    chain.ensure(Op::Retire, State::is_retired).await?;
    shared.own.set(Standing::Left);
    Ok(())
}

/// Returns the sigchain server of the home that this client is at.
pub(super) fn own_server(shared: &Shared) -> Result<SigchainClient, AccountError> {
    let base = SigchainClient::base_of(&shared.sigchain_url, &shared.primary())?;
    Ok(SigchainClient::new(shared.http.clone(), &base))
}

/// Takes over what a sigchain server has more than is known here, and gives it what it has less.
pub(super) async fn fetch(shared: &Shared, server: SigchainClient) -> Result<OwnChain<'_>, AccountError> {
    let stored = shared.store.own_chain(shared.primary(), shared.policy).await?;
    OwnChain::fetch(&shared.key, &shared.store, server, stored, shared.home_now_ms()).await
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use futures::{FutureExt, future};
    use kez_core::{
        handle::Policy,
        identity::SecretKey,
        sigchain::{Chain, Timestamp},
    };

    use super::*;

    /// Ten minutes are too long for a test to wait.
    #[test]
    fn an_open_client_looks_at_its_chain_every_ten_minutes_and_sooner_after_a_failure() {
        let (waited, looks) = (RefCell::new(Vec::new()), Cell::new(0));
        let wait = |how_long: Duration| {
            waited.borrow_mut().push(how_long.as_secs());
            if waited.borrow().len() < 6 { future::ready(()).left_future() } else { future::pending().right_future() }
        };
        let look = || {
            looks.set(looks.get() + 1);
            future::ready(match looks.get() {
                3 => Err(AccountError::ChainConflict),
                5 => Err(ChainError::Fork { seq: 3 }.into()),
                _ => Ok(()),
            })
        };
        assert!(keep_looking(wait, look).now_or_never().is_none(), "it never ends by itself");
        assert_eq!((waited.into_inner(), looks.get()), (vec![60, 600, 600, 60, 600, 600], 5));
    }

    #[test]
    fn the_last_installation_has_the_account_until_the_chain_ends() {
        let key = SecretKey::from_seed([1; 32]);
        let [ours, theirs] = [1, 2].map(|byte| Install::from_bytes([byte; 8]));
        let mut chain = Chain::new(key.primary(), Policy::Production);
        let mut standing_after = |op: Option<Op>, leaving| {
            if let Some(op) = op {
                chain.sign_next(&key, op, &Timestamp::from_unix_ms(0)).unwrap();
            }
            Standing::of(chain.state(), ours, leaving)
        };
        let add = |install| Some(Op::AddIrohEndpoint { install, relay_url: None });
        assert_eq!(standing_after(None, false), Standing::Here);
        assert_eq!(standing_after(add(ours), false), Standing::Here);
        assert_eq!(standing_after(add(theirs), false), Standing::Elsewhere);
        assert_eq!(standing_after(Some(Op::RemoveIrohEndpoint { install: ours }), false), Standing::Elsewhere);
        assert_eq!(standing_after(None, true), Standing::Leaving);
        assert_eq!(standing_after(add(ours), false), Standing::Here);
        assert_eq!(standing_after(Some(Op::Retire), false), Standing::Left);
    }
}
