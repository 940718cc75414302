//! What a move to another home will bring, for the person to look at before they decide.

use kez_core::{handle::Handle, sigchain::ChainError};

use super::{AccountError, moving, own_chain::Standing};
use crate::{
    contacts::Contact,
    conversation::OutboxEntry,
    net::{HomeClient, HomeUrl, SigchainClient, check_broker_url},
    shared::Shared,
};

/// What becomes of the handle at the home that is left.
///
/// ```
/// use kez_chat_sdk::OldHandle;
///
/// /// Tells whether there is a way back to the home under the old handle.
/// fn can_come_back(old: OldHandle) -> bool {
///     old == OldHandle::Keep
/// }
/// assert!(!can_come_back(OldHandle::GiveUp));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldHandle {
    /// It stays registered, so that one can move back. The home goes on taking messages for it, which nobody reads
    /// meanwhile; their senders see that they are not confirmed. They are received on coming back, if that is before
    /// the home lets them go.
    Keep,
    /// The home gives it to nobody again, nor takes this key back, and what still comes for it is gone.
    GiveUp,
}

/// What a move to another home will bring. Made by [`Account::plan_move`](crate::Account::plan_move), where an example is.
///
/// In this version messages go between people of one home only: to whom a move [loses](Self::loses), sending is
/// [`ForeignHome`](crate::SendError::ForeignHome) from then on, and so it is for them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MovePlan {
    /// The handle until now.
    pub from: Handle,
    /// The handle afterwards.
    pub to: Handle,
    /// The full URL of the sigchain afterwards.
    pub sigchain_url: String,
    /// The contacts who can be written to now, and not afterwards: they stay at the home that is left.
    pub loses: Vec<Contact>,
    /// The contacts who can be written to afterwards, and not now: they are at the new home.
    pub gains: Vec<Contact>,
    /// The messages to those who are lost that are not known to have arrived. They stay, and go out if both are at one
    /// home again.
    pub waiting: Vec<OutboxEntry>,
    /// Whether what waits at the old home is given up.
    pub(super) without_old: bool,
}

impl MovePlan {
    /// Moves also if the old home is out of reach. What waits there is lost, the move is published at the new home only
    /// until the old one answers, and of an installation that was recovered at the old home meanwhile nobody here knows.
    #[must_use]
    pub fn without_old_home(mut self) -> Self {
        self.without_old = true;
        self
    }
}

/// Asks the new home whether it takes the account, and says what follows.
pub(super) async fn make(shared: &Shared, to: &Handle) -> Result<MovePlan, AccountError> {
    check(shared, to).await?;
    let home = HomeClient::new(to.home(), shared.http.clone());
    let info = home.info().await?;
    check_broker_url(info.nats.urls.first().map_or("", String::as_str), shared.policy).await?;
    check_name(shared, &home, to).await?;

    let own = shared.primary();
    let contacts = shared.store.contacts().await?.into_iter();
    let (mut loses, mut gains) = (Vec::new(), Vec::new());
    for contact in contacts.filter(|contact| !contact.retired) {
        if contact.inbox_home.as_ref() == Some(shared.handle.home()) {
            loses.push(Contact::of(contact, &own));
        } else if contact.inbox_home.as_ref() == Some(to.home()) {
            gains.push(Contact::of(contact, &own));
        }
    }
    let mut waiting = shared.store.undelivered(own).await?;
    waiting.retain(|entry| loses.iter().any(|contact| contact.primary == entry.to.primary));
    let sigchain_url = SigchainClient::chain_url(&info.sigchain_url, &own);
    let (from, to) = (shared.handle.clone(), to.clone());
    Ok(MovePlan { from, to, sigchain_url, loses, gains, waiting, without_old: false })
}

/// Checks what is known here about whether the account can move.
pub(super) async fn check(shared: &Shared, to: &Handle) -> Result<(), AccountError> {
    match shared.own.now() {
        Standing::Here => {}
        Standing::Moving => match moving::under_way(shared).await? {
            AccountError::Moving { to: decided } if decided == *to => {}
            other => return Err(other),
        },
        Standing::Moved => return Err(AccountError::Moved),
        Standing::Elsewhere => return Err(AccountError::SignedInElsewhere),
        Standing::Leaving | Standing::Left => {
            return Err(AccountError::Retired { primary: Box::new(shared.primary()) });
        }
    }
    if let Some(seq) = shared.store.own_fork().await? {
        return Err(ChainError::Fork { seq }.into());
    }
    let cant = |why| AccountError::CantMove { to: to.clone(), why };
    if to.home() == shared.handle.home() {
        return Err(cant("it is at the home where the account is, and a home gives a key one handle"));
    }
    if HomeUrl::of(to.home().clone()).policy() != shared.policy {
        return Err(cant("one of the two homes is on somebody's own machine, for development"));
    }
    to.check_free().map_err(|_| AccountError::ReservedHandle { handle: to.clone() })
}

/// Checks that the name is free at the new home, or is ours there already.
async fn check_name(shared: &Shared, home: &HomeClient, to: &Handle) -> Result<(), AccountError> {
    match home.person(&shared.primary()).await {
        Ok((ours, _)) if ours == *to => return Ok(()),
        Ok((ours, _)) => return Err(AccountError::RegisteredAs { handle: ours }),
        Err(error) if error.is_gone() => {
            let why = "this key had a handle at that home and gave it up, and a home takes nobody back";
            return Err(AccountError::CantMove { to: to.clone(), why });
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    match home.profile(to).await {
        Err(error) if error.is_not_found() => Ok(()),
        Ok(_) => Err(AccountError::HandleTaken { handle: to.clone() }),
        Err(error) if error.is_gone() => Err(AccountError::HandleTaken { handle: to.clone() }),
        Err(error) => Err(error.into()),
    }
}
