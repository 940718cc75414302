//! Looking at somebody: their chain is walked on from where it was left, and their handle looked up at its home.

use std::collections::VecDeque;

use kez_core::{
    handle::Handle,
    identity::PrimaryKey,
    sigchain::{Chain, ChainError, Event},
};

use super::{Contact, ContactError, Trouble};
use crate::{
    net::{HomeClient, NetError, SigchainClient, WalkError},
    shared::Shared,
    store::{ContactRow, Finding, HomeSays, Kept, LookUp, Said, WalkEnd, Word},
};

/// Whom to look at, and what is known of them already.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) owner: PrimaryKey,
    pub(super) word: Word,
    /// Where their chain is said to be. Of somebody we know it is tried last, unless the person named it.
    pub(super) base: Option<String>,
    /// What a home has said.
    pub(super) looked_up: Option<LookUp>,
    /// The handle to look up if their chain names none.
    pub(super) hint: Option<Handle>,
}

/// A walk that was made.
pub(super) struct Walked {
    pub(super) new_events: Vec<Event>,
    pub(super) outcome: Result<(), WalkError>,
    /// Where.
    pub(super) base: String,
    /// What a home said that was asked where else the chain may be.
    pub(super) looked_up: Option<LookUp>,
}

impl Look {
    /// Looks at somebody who is a contact.
    pub(super) fn again(owner: PrimaryKey) -> Self {
        Self { owner, word: Word::None, base: None, looked_up: None, hint: None }
    }

    /// Looks, and keeps what it shows.
    ///
    /// # Errors
    /// [`ContactError`]; what could be seen is kept all the same.
    pub(super) async fn run(self, shared: &Shared) -> Result<Contact, ContactError> {
        loop {
            let known = shared.store.contact(self.owner).await?;
            if known.is_none() && self.word == Word::None {
                return Err(ContactError::NotAContact(self.owner.to_string()));
            }
            let mut chain = shared.store.contact_chain(self.owner, shared.policy).await?;
            let mut walked = self.walk(shared, known.as_ref(), &mut chain).await?;
            let (looked_up, base) = match walked.outcome {
                Ok(()) => self.look_up_for(shared, known.as_ref(), &chain).await,
                Err(_) => (self.looked_up.clone().or(walked.looked_up.take()), None),
            };
            walked.looked_up = looked_up;
            if let Some(base) = base {
                self.walk_on_at(shared, base, &mut chain, &mut walked).await;
            }
            match self.keep(shared, known.as_ref(), &chain, &walked).await? {
                Kept::Overtaken => {}
                Kept::Done(row) => return self.conclude(shared, Some(*row), walked, &chain),
                Kept::Nothing => return self.conclude(shared, None, walked, &chain),
            }
        }
    }

    /// Walks the chain at the first place where it can be had.
    async fn walk(
        &self,
        shared: &Shared,
        known: Option<&ContactRow>,
        chain: &mut Chain,
    ) -> Result<Walked, ContactError> {
        let stored = known.map(|known| known.sigchain_base.clone());
        let mut bases: VecDeque<String> = stored.into_iter().collect();
        match self.base.clone().filter(|said| !bases.contains(said)) {
            Some(said) if self.word == Word::Key => bases.push_front(said),
            said => bases.extend(said),
        }
        // A server that showed something wrong has to show it right.
        let known_end = known.filter(|known| known.chain_trouble.is_none()).map(|known| known.chain_head);
        let (mut new_events, mut looked_up) = (Vec::new(), None);
        while let Some(base) = bases.pop_front() {
            let (events, outcome) = SigchainClient::new(shared.http.clone(), &base).walk(chain, known_end).await;
            new_events.extend(events);
            if matches!(outcome, Err(WalkError::Net(_))) {
                if let Some(handle) = known.and_then(|known| known.handle.clone())
                    && bases.is_empty()
                    && self.looked_up.is_none()
                    && looked_up.is_none()
                {
                    let (found, elsewhere) = self.look_up(shared, handle).await;
                    looked_up = Some(found);
                    bases.extend(elsewhere.filter(|elsewhere| *elsewhere != base));
                }
                if !bases.is_empty() {
                    continue;
                }
            }
            return Ok(Walked { new_events, outcome, base, looked_up });
        }
        Err(ContactError::NotAContact(self.owner.to_string()))
    }

    /// Walks on where home and chain together say that the chain is now: of who has moved, the old server hears no more.
    async fn walk_on_at(&self, shared: &Shared, base: String, chain: &mut Chain, walked: &mut Walked) {
        let is_confirmed = walked.looked_up.as_ref().is_some_and(|looked_up| {
            looked_up.says == HomeSays::Theirs && chain.state().handle() == Some(&looked_up.handle)
        });
        if !is_confirmed || base == walked.base || self.word == Word::Key {
            return;
        }
        let (events, outcome) = SigchainClient::new(shared.http.clone(), &base).walk(chain, None).await;
        walked.new_events.extend(events);
        match outcome {
            Ok(()) => walked.base = base,
            Err(error @ WalkError::Chain { source: ChainError::Fork { .. }, .. }) => walked.outcome = Err(error),
            Err(error) => {
                tracing::debug!(%error, "a contact's chain is not where their home says; it stays where it was")
            }
        }
    }

    /// Looks up the handle that counts: the one that their chain names, if it is theirs to change to. Tells as well where
    /// its home says that their chain is.
    async fn look_up_for(
        &self,
        shared: &Shared,
        known: Option<&ContactRow>,
        chain: &Chain,
    ) -> (Option<LookUp>, Option<String>) {
        let (state, current) = (chain.state(), known.and_then(|known| known.handle.as_ref()));
        // Who was added by a handle that their chain never named goes by it until the person says otherwise.
        let may_follow = current.is_none_or(|current| state.has_had_handle(current));
        let named = state.handle().filter(|_| may_follow);
        let wanted = named.or(current).or(self.hint.as_ref());
        match &self.looked_up {
            Some(given) if known.is_none() || current != Some(&given.handle) || wanted == current => {
                (Some(given.clone()), self.base.clone())
            }
            _ if state.is_retired() => (None, None),
            _ => match wanted {
                Some(wanted) => {
                    let (found, base) = self.look_up(shared, wanted.clone()).await;
                    (Some(found), base)
                }
                None => (None, None),
            },
        }
    }

    /// Asks a handle's home whose it is, and where their chain is.
    async fn look_up(&self, shared: &Shared, handle: Handle) -> (LookUp, Option<String>) {
        let mut base = None;
        let says = match HomeClient::new(handle.home(), shared.http.clone()).profile(&handle).await {
            Ok(profile) if profile.primary == self.owner => {
                base = SigchainClient::base_of(&profile.sigchain_url, &self.owner).ok();
                HomeSays::Theirs
            }
            Ok(profile) => HomeSays::Another(profile.primary),
            Err(error) if error.is_not_found() || error.is_gone() => HomeSays::Nobody,
            Err(error) => {
                tracing::debug!(%error, "a contact's home could not be asked for their handle");
                HomeSays::Silent
            }
        };
        (LookUp { handle, says }, base)
    }

    /// Keeps what was seen, if any chain was.
    pub(super) async fn keep(
        &self,
        shared: &Shared,
        known: Option<&ContactRow>,
        chain: &Chain,
        walked: &Walked,
    ) -> Result<Kept, ContactError> {
        let Some(said) = Said::of(chain) else { return Ok(Kept::Nothing) };
        let finding = Finding {
            owner: self.owner,
            word: self.word,
            began_at: known.map(|known| known.chain_head),
            said,
            new_events: walked.new_events.clone(),
            pin: chain.pin(),
            base: walked.base.clone(),
            walk: match &walked.outcome {
                Ok(()) => WalkEnd::Sound,
                Err(WalkError::Net(_)) => WalkEnd::BrokenOff,
                Err(WalkError::Chain { source, fork }) => WalkEnd::Trouble {
                    trouble: Trouble::of(source).into(),
                    proof: fork.as_ref().map(ToString::to_string),
                },
            },
            looked_up: walked.looked_up.clone(),
            now_ms: shared.home_now_ms(),
        };
        let kept = shared.store.keep_contact(finding, shared.handle.home().clone()).await?;
        // Who could not be written to before may be told that we are there.
        if known.is_none_or(|known| known.trouble().is_some() || !(known.agreed || known.vouched)) {
            shared.presences.tell_news();
        }
        Ok(kept)
    }

    /// Says what came of it.
    pub(super) fn conclude(
        &self,
        shared: &Shared,
        row: Option<ContactRow>,
        walked: Walked,
        chain: &Chain,
    ) -> Result<Contact, ContactError> {
        let asked = walked.looked_up.as_ref().map(|looked_up| &looked_up.handle).or(self.hint.as_ref());
        let handle = row.as_ref().and_then(|row| row.handle.as_ref()).or(asked);
        let who = handle.map_or_else(|| self.owner.to_string(), |handle| format!("@{handle}"));
        if let (Some(row), Some(LookUp { handle, says: HomeSays::Another(found) })) = (&row, &walked.looked_up)
            && row.found_key == Some(*found)
        {
            let (handle, pinned, found) = (handle.clone(), Box::new(self.owner), Box::new(*found));
            return Err(ContactError::KeyChanged { handle, pinned, found });
        }
        match (walked.outcome, row) {
            (Err(WalkError::Chain { source, .. }), _) => Err(ContactError::Chain { who, source }),
            (Err(WalkError::Net(error)), _) => Err(error.into()),
            (Ok(()), Some(row)) => Ok(Contact::of(row, &shared.primary())),
            (Ok(()), None) if chain.tip().head().is_none() => Err(ContactError::NoChain(who)),
            (Ok(()), None) => Err(ContactError::NotAContact(who)),
        }
    }
}

/// Asks a handle's home for its key, and where that key's chain is.
pub(super) async fn profile(shared: &Shared, handle: &Handle) -> Result<(PrimaryKey, String), NetError> {
    let profile = HomeClient::new(handle.home(), shared.http.clone()).profile(handle).await?;
    let base = SigchainClient::base_of(&profile.sigchain_url, &profile.primary)?;
    Ok((profile.primary, base))
}
