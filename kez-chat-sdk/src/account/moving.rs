//! Moving the account to another home (`docs/PROTOCOL.md` §4). From when the new home has given the handle, every step is
//! durable: an interrupted move goes on where it was, by itself.

use std::time::Duration;

use kez_core::{
    handle::Handle,
    sigchain::{ChainError, Op, State},
};
use tokio::time::{Instant, timeout};

use super::{
    AccountError, Registered,
    move_plan::{self, MovePlan, OldHandle},
    own_chain::{Standing, fetch, own_server},
    register::ask_for,
};
use crate::{
    link::ConnectionState,
    net::{HomeClient, Info, NetError, SigchainClient, check_broker_url},
    shared::Shared,
    store::{Move, StoreError},
    sync::{self, SyncOutcome},
};

/// How long the old home may take to answer, and to hand out what waits there without anything coming.
const OLD_HOME_PATIENCE: Duration = Duration::from_secs(20);
/// When a move that was cut off is tried again, and when a home that was left is.
const RETRY_AFTER: Duration = Duration::from_secs(60);
const RETRY_LEFT_AFTER: Duration = Duration::from_secs(600);

/// Has the new home register the handle, and moves.
pub(super) async fn begin(shared: &Shared, plan: MovePlan, old: OldHandle) -> Result<Registered, AccountError> {
    let _moves = shared.own.moves.lock().await;
    move_plan::check(shared, &plan.to).await?;
    ask_for(&HomeClient::new(plan.to.home(), shared.http.clone()), &shared.key, &plan.to).await?;
    let going = Move {
        from: shared.handle.clone(),
        to: plan.to,
        old_base: SigchainClient::base_of(&shared.sigchain_url, &shared.primary())?,
        gives_up: old == OldHandle::GiveUp,
        without_old: plan.without_old,
    };
    {
        // Whoever looks at the chain now would say afterwards that all is as it was.
        let _turn = shared.own.turn.lock().await;
        shared.store.begin_move(going.clone()).await?;
        shared.own.set(Standing::Moving);
    }
    let registered = go_on(shared, &going).await?;
    // Being shut out would look like a fault to the session.
    shared.link.connection().until(|state| matches!(state, ConnectionState::Moved | ConnectionState::Closed)).await;
    if !going.without_old
        && let Err(error) = leave_behind(shared, &going).await
    {
        tracing::warn!(%error, "the home that was left is told again when the account is next open");
    }
    Ok(registered)
}

/// Returns the error that says that a move is under way.
pub(super) async fn under_way(shared: &Shared) -> Result<AccountError, AccountError> {
    match shared.store.move_under_way().await? {
        Some(going) => Ok(AccountError::Moving { to: going.to }),
        None => Err(StoreError::damaged("the account moves nowhere").into()),
    }
}

/// Goes on with a move that was cut off, and with what is left to do at homes that were left, for as long as the client is
/// open.
pub(crate) async fn carry_on(shared: &Shared) {
    loop {
        match carry_on_once(shared).await {
            Ok(()) => shared.own.until_moving().await,
            Err(error) => {
                tracing::warn!(%error, "a move to another home is not done yet");
                let is_moving = shared.own.now() == Standing::Moving;
                tokio::time::sleep(if is_moving { RETRY_AFTER } else { RETRY_LEFT_AFTER }).await;
            }
        }
    }
}

async fn carry_on_once(shared: &Shared) -> Result<(), AccountError> {
    let Some(going) = shared.store.move_under_way().await? else {
        if !shared.store.homes_left().await?.is_empty() {
            shared.link.connection().until(|state| *state == ConnectionState::Online).await;
            leave_all_behind(shared).await?;
        }
        return Ok(());
    };
    let is_time = |state: &ConnectionState| match state {
        ConnectionState::Online => true,
        ConnectionState::Connecting | ConnectionState::Offline { .. } => going.without_old,
        _ => false,
    };
    shared.link.connection().until(is_time).await;
    let _moves = shared.own.moves.lock().await;
    // It may be over, or have been decided anew.
    match shared.store.move_under_way().await? {
        Some(going) if shared.own.now() == Standing::Moving => go_on(shared, &going).await.map(drop),
        _ => Ok(()),
    }
}

/// Does what is left to do until the account is at the new home.
async fn go_on(shared: &Shared, going: &Move) -> Result<Registered, AccountError> {
    let info = HomeClient::new(going.to.home(), shared.http.clone()).info().await?;
    // One connection for all of it: what one has been handed when it ends comes again only much later.
    let _visit = (!going.without_old).then(|| shared.link.visit());
    // What can't be done without the old home should show before anybody hears of the move.
    if !going.without_old {
        reach_old_home(shared).await?;
    }
    publish(shared, going, &info).await?;
    // Whoever looks from now on finds the new inbox, so little comes into the old one after this.
    if !going.without_old {
        empty_old_inbox(shared).await?;
    }
    shared.store.switch_home(&going.to, &info.sigchain_url).await?;
    tracing::info!(to = %going.to, "the account is at another home");
    shared.own.set(Standing::Moved);
    let (primary, handle) = (shared.primary(), going.to.clone());
    let sigchain_url = SigchainClient::chain_url(&info.sigchain_url, &primary);
    Ok(Registered { primary, handle, sigchain_url })
}

async fn reach_old_home(shared: &Shared) -> Result<(), AccountError> {
    let mut connection = shared.link.connection();
    // Asks for an attempt at once where the next one is due later.
    let _visit = shared.link.visit();
    let reach = async {
        let mut state = connection.current();
        // One that was offline before tries again now.
        while state != ConnectionState::Online {
            state = match connection.changed().await {
                Some(ConnectionState::Offline { cause, .. }) => return Err(old_home_away(shared, cause.to_string())),
                Some(state) if Standing::Moving == shared.own.now() => state,
                _ => return Err(AccountError::SignedInElsewhere),
            };
        }
        Ok(())
    };
    let late = |_| Err(old_home_away(shared, "it is too slow".into()));
    timeout(OLD_HOME_PATIENCE, reach).await.unwrap_or_else(late)
}

/// Receives until nothing is left. What an earlier connection was handed, and did not acknowledge, the broker hands out
/// again only after a while, so this one has to last as long as something that is missing may take to come.
async fn empty_old_inbox(shared: &Shared) -> Result<(), AccountError> {
    loop {
        let report = sync::once(shared, OLD_HOME_PATIENCE).await?;
        match report.outcome {
            SyncOutcome::Complete => {}
            SyncOutcome::OutOfTime if report.received > 0 => continue,
            SyncOutcome::OutOfTime => return Err(old_home_away(shared, "it is too slow".into())),
            SyncOutcome::Offline(cause) => return Err(old_home_away(shared, cause.to_string())),
            SyncOutcome::NotHere => return Err(AccountError::SignedInElsewhere),
        }
        let began = shared.link.traffic().borrow().began;
        let settled = began.map_or_else(Instant::now, |began| began + shared.config.gap_wait);
        if settled <= Instant::now() {
            return Ok(());
        }
        tokio::time::sleep_until(settled).await;
    }
}

fn old_home_away(shared: &Shared, detail: String) -> AccountError {
    AccountError::OldHomeAway { home: shared.handle.home().to_string(), detail }
}

/// Publishes where the account is from now on. The old home's sigchain server is asked first: another installation would
/// publish there, and it decides whose event takes a place. The new one has the whole chain before and after.
async fn publish(shared: &Shared, going: &Move, info: &Info) -> Result<(), AccountError> {
    let _turn = shared.own.turn.lock().await;
    let url = info.nats.urls.first().map_or("", String::as_str);
    check_broker_url(url, shared.policy).await?;
    let new_server = || SigchainClient::new(shared.http.clone(), &info.sigchain_url);
    let at_new = fetch(shared, new_server()).await?;
    let mut chain = match fetch(shared, own_server(shared)?).await {
        Err(AccountError::Net(NetError::Unreachable { .. } | NetError::NoAddress { .. })) if going.without_old => {
            at_new
        }
        fetched => fetched?,
    };
    let standing = Standing::of(chain.state(), shared.install, false);
    if standing != Standing::Here {
        // It is not ours to move any more.
        shared.store.end_move(&going.from).await?;
        shared.own.set(standing);
        return Err(match standing {
            Standing::Left => AccountError::Retired { primary: Box::new(shared.primary()) },
            _ => AccountError::SignedInElsewhere,
        });
    }
    if let Some(seq) = shared.store.own_fork().await? {
        return Err(ChainError::Fork { seq }.into());
    }
    chain.upload_kept().await?;
    chain.ensure_broker(going.to.home(), url).await?;
    let names_it = |state: &State| state.handle() == Some(&going.to);
    chain.ensure(Op::SetHandle(Some(Handle::clone(&going.to))), names_it).await?;
    fetch(shared, new_server()).await?;
    Ok(())
}

/// Does what is left to do at the homes that were left.
pub(super) async fn leave_all_behind(shared: &Shared) -> Result<(), AccountError> {
    let _moves = shared.own.moves.lock().await;
    for left in shared.store.homes_left().await? {
        leave_behind(shared, &left).await?;
    }
    Ok(())
}

/// Tells the old home's sigchain server what it has not heard of, for whoever still looks there, and gives the handle up if
/// that was decided.
async fn leave_behind(shared: &Shared, left: &Move) -> Result<(), AccountError> {
    let turn = shared.own.turn.lock().await;
    fetch(shared, SigchainClient::new(shared.http.clone(), &left.old_base)).await?;
    drop(turn);
    if left.gives_up {
        HomeClient::new(left.from.home(), shared.http.clone()).retire(&shared.key, &left.from).await?;
    }
    Ok(shared.store.end_move(&left.from).await?)
}
