//! Keeping what a walk of somebody's chain and a look at their handle's home have shown, in one transaction.

use kez_core::{
    handle::{Handle, Home},
    identity::PrimaryKey,
    sigchain::{Chain, Event as ChainEvent, Head, Install, ListedClaim, Pin},
};
use rusqlite::{Connection, OptionalExtension};

use super::{ContactRow, find, pinned, refresh, write_claims};
use crate::{
    contacts::{Agreement, Notice, Trouble},
    event::{Event, Peer},
    keys::checked,
    store::{Store, StoreError, chains::insert_events, events, strangers::release},
};

/// What a look at somebody has shown.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) owner: PrimaryKey,
    /// What the person has said about them.
    pub(crate) word: Word,
    /// Where their chain ended when the look began; nothing is kept if it ends elsewhere by now.
    pub(crate) began_at: Option<Head>,
    /// What the chain says as far as it is sound.
    pub(crate) said: Said,
    pub(crate) new_events: Vec<ChainEvent>,
    pub(crate) pin: Option<Pin>,
    /// Where the chain was walked.
    pub(crate) base: String,
    pub(crate) walk: WalkEnd,
    pub(crate) looked_up: Option<LookUp>,
    /// By the home's clock.
    pub(crate) now_ms: u64,
}

/// What the person has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nothing: it is a look at somebody who is a contact.
    None,
    /// That whoever has this handle is to be a contact.
    Handle,
    /// That whoever has this key is to be a contact.
    Key,
    /// That this is the key that belongs to the handle which was looked up, and not the one before.
    NewKey {
        /// The key before.
        instead_of: PrimaryKey,
    },
    /// That this history, which was walked from its start, is the one that counts.
    History,
}

/// What a walked chain says of its owner.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) seq: u64,
    pub(crate) head: Head,
    pub(crate) handle: Option<Handle>,
    pub(crate) retired: bool,
    pub(crate) inbox_home: Option<Home>,
    pub(crate) broker_url: Option<String>,
    pub(crate) install: Option<Install>,
    pub(crate) claims: Vec<ListedClaim>,
}

impl Said {
    /// Reads a walked chain; `None` if it has no events.
    pub(crate) fn of(chain: &Chain) -> Option<Self> {
        let state = chain.state();
        Some(Self {
            seq: chain.tip().seq(),
            head: chain.tip().head()?,
            handle: state.handle().cloned(),
            retired: state.is_retired(),
            inbox_home: state.nats().map(|endpoint| endpoint.home.clone()),
            broker_url: state.nats().map(|endpoint| endpoint.url.clone()),
            install: state.iroh().map(|endpoint| endpoint.install),
            claims: state.claims().cloned().collect(),
        })
    }
}

/// How a walk ended.
#[derive(Clone, Debug)]
pub(crate) enum WalkEnd {
    /// At the chain's end.
    Sound,
    /// Before it: the server is out of reach.
    BrokenOff,
    /// Before something that does not follow.
    Trouble {
        /// What is wrong.
        trouble: Box<Trouble>,
        /// For a fork, its proof.
        proof: Option<String>,
    },
}

/// What a home says of a handle.
#[derive(Clone, Debug)]
pub(crate) struct LookUp {
    pub(crate) handle: Handle,
    pub(crate) says: HomeSays,
}

/// Whose a handle is, by its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HomeSays {
    /// The one's who was looked at.
    Theirs,
    /// Another key's.
    Another(PrimaryKey),
    /// Nobody's, or nobody's any more.
    Nobody,
    /// The home does not answer.
    Silent,
}

/// What became of a finding.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// It is kept, and this is the contact.
    Done(Box<ContactRow>),
    /// Somebody else kept another one meanwhile: look again.
    Overtaken,
    /// They are no contact, and this makes them none.
    Nothing,
}

impl Store {
    /// Keeps a finding, pins the handle, tells the application what has changed, and gives out what a new contact had sent
    /// as a stranger. Trouble that only the person can end stays.
    pub(crate) async fn keep_contact(&self, finding: Finding, own_home: Home) -> Result<Kept, StoreError> {
        self.transact(move |db| keep(db, &finding, &own_home)).await
    }

    /// Notes that a home gives another key for a handle than the one that is pinned: if the contact goes by it now,
    /// sending stops.
    pub(crate) async fn note_other_key(
        &self,
        owner: PrimaryKey,
        handle: Handle,
        found: PrimaryKey,
    ) -> Result<(), StoreError> {
        self.transact(move |db| match find(db, &owner)? {
            Some(known) if known.handle == Some(handle) => raise_key_change(db, &known, found),
            _ => Ok(()),
        })
        .await
    }
}

fn keep(db: &Connection, finding: &Finding, own_home: &Home) -> Result<Kept, StoreError> {
    let (owner, said) = (&finding.owner, &finding.said);
    let known = find(db, owner)?;
    if finding.began_at != known.as_ref().map(|known| known.chain_head) {
        return Ok(Kept::Overtaken);
    }
    let is_sound = matches!(finding.walk, WalkEnd::Sound);
    if known.is_none() && (!is_sound || matches!(finding.word, Word::None | Word::History)) {
        return Ok(Kept::Nothing);
    }
    if finding.word == Word::History {
        db.execute("DELETE FROM chain_events WHERE owner = ?1", [owner.as_bytes()])?;
        db.execute("UPDATE contacts SET trouble = NULL WHERE owner = ?1", [owner.as_bytes()])?;
    }
    insert_events(db, &finding.new_events, true)?;
    if let (Word::NewKey { instead_of }, Some(looked_up)) = (finding.word, &finding.looked_up) {
        move_pin(db, &looked_up.handle, &instead_of, owner)?;
    }
    let (handle, agreed) = name(db, known.as_ref(), finding)?;
    let names_key = matches!(finding.word, Word::Key | Word::NewKey { .. });
    // A home alone can't say where the chain of somebody we know is.
    let is_confirmed = finding
        .looked_up
        .as_ref()
        .is_some_and(|looked_up| looked_up.says == HomeSays::Theirs && said.handle.as_ref() == Some(&looked_up.handle));
    let base = match &known {
        Some(known) if !(is_sound && (is_confirmed || names_key)) => &known.sigchain_base,
        _ => &finding.base,
    };
    let reachable = !said.retired && said.inbox_home.as_ref() == Some(own_home);
    db.prepare_cached(
        "INSERT INTO contacts (owner, handle, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
            inbox_home, broker_url, install, reachable, chain_handle, claims, chain_pin, vouched)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (owner) DO UPDATE SET handle = ?2, agreed = ?3, sigchain_base = ?4, chain_seq = ?6, chain_head = ?7,
            retired = ?8, inbox_home = ?9, broker_url = ?10, install = ?11, reachable = ?12, chain_handle = ?13,
            claims = ?14, chain_pin = ?15, vouched = vouched OR ?16",
    )?
    .execute((
        owner.as_bytes(),
        handle.as_ref().map(Handle::to_string),
        agreed,
        base,
        finding.now_ms,
        said.seq,
        said.head.as_bytes(),
        said.retired,
        said.inbox_home.as_ref().map(Home::to_string),
        &said.broker_url,
        said.install.map(Install::to_bytes),
        reachable,
        said.handle.as_ref().map(Handle::to_string),
        write_claims(&said.claims)?,
        finding.pin.as_ref().map(Pin::to_bytes),
        names_key,
    ))?;
    if !matches!(finding.walk, WalkEnd::BrokenOff) {
        refresh::done(db, owner, finding.now_ms)?;
    }
    let who = Peer { primary: *owner, handle };
    match &known {
        Some(known) => tell_changes(db, known, finding, &who, agreed)?,
        None => release(db, &who)?,
    }
    let row = find(db, owner)?.ok_or_else(|| StoreError::damaged("a contact vanished"))?;
    Ok(Kept::Done(row.into()))
}

/// Decides by which handle somebody goes from now on, and whether home and chain agree on it. A home alone renames nobody
/// we know, a chain alone takes a handle from nobody, and what is pinned to another key stays with it.
fn name(db: &Connection, known: Option<&ContactRow>, finding: &Finding) -> Result<(Option<Handle>, bool), StoreError> {
    let (owner, named) = (&finding.owner, finding.said.handle.as_ref());
    let current = known.and_then(|known| known.handle.clone());
    if known.is_some() && finding.said.retired {
        return Ok((current, false));
    }
    let was_agreed = known.is_some_and(|known| known.agreed) && named == current.as_ref();
    let Some(LookUp { handle, says }) = &finding.looked_up else { return Ok((current, was_agreed)) };
    let (is_theirs, is_named) = (*says == HomeSays::Theirs, named == Some(handle));
    if is_theirs {
        pin(db, handle, owner, is_named)?;
    }
    if current.as_ref() == Some(handle) {
        return Ok(match says {
            HomeSays::Silent => (current, was_agreed),
            HomeSays::Theirs => (current, is_named),
            // Neither side says so any more.
            HomeSays::Nobody if named.is_none() => (None, false),
            // That is an alarm, and no news of the handle.
            HomeSays::Another(_) if pinned(db, handle)?.as_ref() == Some(owner) => (current, was_agreed),
            HomeSays::Nobody | HomeSays::Another(_) => (current, false),
        });
    }
    let is_meant = current.is_none() || matches!(finding.word, Word::NewKey { .. });
    let is_taken = is_named || (is_theirs && is_meant);
    if is_taken && is_free(db, owner, handle, is_theirs)? {
        return Ok((Some(handle.clone()), is_theirs && is_named));
    }
    Ok((current, was_agreed))
}

/// Tells whether a handle can be somebody's. Who had it only by their own chain loses it to one whom its home names.
fn is_free(db: &Connection, owner: &PrimaryKey, handle: &Handle, is_theirs: bool) -> Result<bool, StoreError> {
    if let Some(pinned) = pinned(db, handle)?.filter(|pinned| pinned != owner) {
        // Two keys for one handle: whoever has it is looked at.
        refresh::ask(db, pinned.as_bytes())?;
        return Ok(false);
    }
    let holder = db
        .prepare_cached("SELECT owner FROM contacts WHERE handle = ?1 AND owner <> ?2")?
        .query_row((handle.to_string(), owner.as_bytes()), |row| row.get::<_, [u8; 32]>(0))
        .optional()?;
    let Some(holder) = holder else { return Ok(true) };
    if is_theirs {
        let holder = checked(&holder).map_err(StoreError::damaged)?;
        take_handle(db, &holder, handle)?;
    }
    Ok(is_theirs)
}

fn pin(db: &Connection, handle: &Handle, owner: &PrimaryKey, is_named: bool) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO pins (handle, owner, named) VALUES (?1, ?2, ?3)
         ON CONFLICT (handle) DO UPDATE SET named = named OR ?3 WHERE owner = ?2",
    )?
    .execute((handle.to_string(), owner.as_bytes(), is_named))?;
    Ok(())
}

/// Gives a pinned handle to another key, by the person's word. The contact who had it keeps all else, and gets nothing any
/// more.
fn move_pin(db: &Connection, handle: &Handle, from: &PrimaryKey, to: &PrimaryKey) -> Result<(), StoreError> {
    if let Some(known) = find(db, from)?.filter(|known| known.handle.as_ref() == Some(handle)) {
        raise_key_change(db, &known, *to)?;
        take_handle(db, from, handle)?;
    }
    db.execute(
        "INSERT OR REPLACE INTO pins (handle, owner, named) VALUES (?1, ?2, 0)",
        (handle.to_string(), to.as_bytes()),
    )?;
    Ok(())
}

fn take_handle(db: &Connection, from: &PrimaryKey, handle: &Handle) -> Result<(), StoreError> {
    db.execute("UPDATE contacts SET handle = NULL, agreed = 0 WHERE owner = ?1", [from.as_bytes()])?;
    let who = Peer { primary: *from, handle: None };
    let notice = Notice::HandleChanged { from: Some(handle.clone()), to: None, agreement: Agreement::OneSided };
    events::push(db, &Event::Contact { who, notice })
}

/// Stops sending because the home gives another key for the handle, and says so once for each key.
fn raise_key_change(db: &Connection, known: &ContactRow, found: PrimaryKey) -> Result<(), StoreError> {
    if known.found_key == Some(found) {
        return Ok(());
    }
    db.execute(
        "UPDATE contacts SET found_key = ?2, verified = 0 WHERE owner = ?1",
        (known.owner.as_bytes(), found.as_bytes()),
    )?;
    events::push(
        db,
        &Event::Contact { who: known.peer(), notice: Notice::Stopped { trouble: Trouble::KeyChanged { found } } },
    )
}

/// Tells the application what is another than before, each once.
fn tell_changes(
    db: &Connection,
    known: &ContactRow,
    finding: &Finding,
    who: &Peer,
    agreed: bool,
) -> Result<(), StoreError> {
    let tell = |notice| events::push(db, &Event::Contact { who: who.clone(), notice });
    if finding.said.retired && !known.retired {
        db.execute("UPDATE contacts SET verified = 0 WHERE owner = ?1", [known.owner.as_bytes()])?;
        tell(Notice::Retired)?;
    } else if known.handle != who.handle || (known.agreed != agreed && !finding.said.retired) {
        let agreement = Agreement::of(agreed);
        tell(Notice::HandleChanged { from: known.handle.clone(), to: who.handle.clone(), agreement })?;
    }
    if let Some(LookUp { handle, says: HomeSays::Another(found) }) = &finding.looked_up
        && known.handle.as_ref() == Some(handle)
        && pinned(db, handle)? == Some(known.owner)
    {
        raise_key_change(db, known, *found)?;
    }
    let before = known.chain_trouble.as_ref();
    let (now, proof) = match &finding.walk {
        _ if finding.word == Word::History => (None, None),
        // It ends by the person's word alone.
        _ if before == Some(&Trouble::Forked) => return Ok(()),
        WalkEnd::BrokenOff => return Ok(()),
        WalkEnd::Sound => (None, None),
        WalkEnd::Trouble { trouble, proof } => (Some(&**trouble), proof.as_ref()),
    };
    if before == now {
        return Ok(());
    }
    let text = now.map(serde_json::to_string).transpose().map_err(StoreError::damaged)?;
    let is_fork = now == Some(&Trouble::Forked);
    db.execute(
        "UPDATE contacts SET trouble = ?2, evidence = coalesce(?3, evidence), verified = verified AND NOT ?4
         WHERE owner = ?1",
        (known.owner.as_bytes(), text, proof, is_fork),
    )?;
    tell(now.map_or(Notice::SoundAgain, |trouble| Notice::Stopped { trouble: trouble.clone() }))
}
