//! Walked sigchains: one's own, and those of contacts.

use kez_core::{
    handle::Policy,
    identity::PrimaryKey,
    sigchain::{Chain, Event, Pin},
};
use rusqlite::{Connection, OptionalExtension, Params};

use super::{Store, StoreError, events};
use crate::{account::OwnChainNotice, event};

impl Store {
    /// Walks the published part of the stored chain of `owner` again. It is work for a processor: each event's
    /// signature is checked.
    pub(crate) async fn chain(&self, owner: PrimaryKey, policy: Policy) -> Result<Chain, StoreError> {
        let events = self
            .read(move |tx| {
                let mut statement =
                    tx.prepare_cached("SELECT jws FROM chain_events WHERE owner = ?1 AND uploaded = 1 ORDER BY seq")?;
                let rows = statement.query_map([owner.as_bytes()], |row| row.get::<_, String>(0))?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?)
            })
            .await?;
        let walk = move || {
            let mut chain = Chain::new(owner, policy);
            for jws in events {
                chain.push(&jws).map_err(StoreError::damaged)?;
            }
            Ok(chain)
        };
        tokio::task::spawn_blocking(walk).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Returns the published part of one's own chain, going on from where it was left: only its last event is checked
    /// again. After an update that knows more operations it is walked anew.
    pub(crate) async fn own_chain(&self, owner: PrimaryKey, policy: Policy) -> Result<Chain, StoreError> {
        let pin = self.read(|tx| pin(tx, "SELECT chain_pin FROM account", [])).await?;
        self.resume(owner, policy, pin).await
    }

    /// Returns the chain of a contact, going on from where it was left in the same way; of somebody who is none, it is
    /// empty.
    pub(crate) async fn contact_chain(&self, owner: PrimaryKey, policy: Policy) -> Result<Chain, StoreError> {
        let query = "SELECT chain_pin FROM contacts WHERE owner = ?1";
        let pin = self.read(move |tx| pin(tx, query, [owner.as_bytes()])).await?;
        self.resume(owner, policy, pin).await
    }

    async fn resume(&self, owner: PrimaryKey, policy: Policy, pin: Option<Vec<u8>>) -> Result<Chain, StoreError> {
        match pin.map(|pin| Pin::from_bytes(&pin, policy)) {
            Some(Ok(pin)) if pin.event().primary() == &owner => Ok(Chain::resume(pin)),
            _ => self.chain(owner, policy).await,
        }
    }

    /// Keeps an event of one's own before anybody else sees it.
    pub(crate) async fn keep_own_event(&self, event: &Event) -> Result<(), StoreError> {
        let event = event.clone();
        self.transact(move |tx| insert_events(tx, &[event], false)).await
    }

    /// Keeps events of one's own chain that came from the sigchain server; it ends at `pin` now. An event of our own that
    /// waited for one of these places is discarded for good, and the application told: two events at one place would be a
    /// fork.
    pub(crate) async fn adopt_own_events(&self, events: Vec<Event>, pin: Option<Pin>) -> Result<(), StoreError> {
        let (Some(first), Some(pin)) = (events.first(), pin) else { return Ok(()) };
        let (owner, from_seq) = (*first.primary(), first.seq());
        self.transact(move |tx| {
            let mut discard = tx.prepare_cached(
                "DELETE FROM chain_events WHERE owner = ?1 AND seq >= ?2 AND uploaded = 0 RETURNING seq, jws",
            )?;
            let rows = discard.query_map((owner.as_bytes(), from_seq), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let discarded = rows.collect::<Result<Vec<(u64, String)>, _>>()?;
            // An answer may have been lost on its way, and what comes now be the very event.
            let is_another = |event: &&Event| {
                let mut at_its_place = discarded.iter().filter(|(seq, _)| *seq == event.seq());
                at_its_place.any(|(_, jws)| signing_input(jws) != signing_input(event.jws()))
            };
            if let Some(seq) = events.iter().find(is_another).map(Event::seq) {
                let notice = OwnChainNotice::Overtaken { seq };
                events::push(tx, &event::Event::OwnChain { notice })?;
            }
            insert_events(tx, &events, true)?;
            set_pin(tx, &pin)
        })
        .await
    }

    /// Lists one's own events that the sigchain server is not known to have, oldest first.
    pub(crate) async fn own_events_to_upload(&self, owner: PrimaryKey) -> Result<Vec<String>, StoreError> {
        self.read(move |tx| {
            let mut statement =
                tx.prepare_cached("SELECT jws FROM chain_events WHERE owner = ?1 AND uploaded = 0 ORDER BY seq")?;
            let rows = statement.query_map([owner.as_bytes()], |row| row.get(0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Lists one's own events after a place that the sigchain server had once, oldest first.
    pub(crate) async fn own_events_after(&self, owner: PrimaryKey, seq: u64) -> Result<Vec<String>, StoreError> {
        self.read(move |tx| {
            let mut statement = tx.prepare_cached(
                "SELECT jws FROM chain_events WHERE owner = ?1 AND seq > ?2 AND uploaded = 1 ORDER BY seq",
            )?;
            let rows = statement.query_map((owner.as_bytes(), seq), |row| row.get(0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Notes that two events of our own stand in one place, and tells the application the first time.
    pub(crate) async fn note_own_fork(&self, seq: u64, proof: String) -> Result<(), StoreError> {
        self.transact(move |tx| {
            if tx.execute("UPDATE account SET chain_fork = ?1 WHERE chain_fork IS NULL", [seq])? > 0 {
                let notice = OwnChainNotice::Forked { seq, proof };
                events::push(tx, &event::Event::OwnChain { notice })?;
            }
            Ok(())
        })
        .await
    }

    /// Returns where two events of our own were seen in one place, if they ever were.
    pub(crate) async fn own_fork(&self) -> Result<Option<u64>, StoreError> {
        self.read(|tx| {
            let fork = tx.query_row("SELECT chain_fork FROM account", [], |row| row.get(0));
            Ok(fork.optional()?.flatten())
        })
        .await
    }

    /// Notes that the sigchain server has the event at `pin`, where the published chain ends now.
    pub(crate) async fn set_uploaded(&self, pin: Pin) -> Result<(), StoreError> {
        self.transact(move |tx| {
            let (owner, seq) = (pin.event().primary().as_bytes(), pin.event().seq());
            tx.execute("UPDATE chain_events SET uploaded = 1 WHERE owner = ?1 AND seq = ?2", (owner, seq))?;
            set_pin(tx, &pin)
        })
        .await
    }
}

/// Returns what makes an event the same one; its signature does not count.
fn signing_input(jws: &str) -> &str {
    jws.rsplit_once('.').map_or(jws, |(input, _)| input)
}

fn pin(tx: &Connection, query: &str, of: impl Params) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(tx.query_row(query, of, |row| row.get(0)).optional()?.flatten())
}

fn set_pin(tx: &Connection, pin: &Pin) -> Result<(), StoreError> {
    Ok(tx.execute("UPDATE account SET chain_pin = ?1", [pin.to_bytes()]).map(drop)?)
}

pub(super) fn insert_events(tx: &Connection, events: &[Event], uploaded: bool) -> Result<(), StoreError> {
    let mut statement =
        tx.prepare_cached("INSERT INTO chain_events (owner, seq, jws, uploaded) VALUES (?1, ?2, ?3, ?4)")?;
    for event in events {
        statement.execute((event.primary().as_bytes(), event.seq(), event.jws(), uploaded))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kez_core::{
        identity::SecretKey,
        sigchain::{Install, Op, Timestamp},
    };

    use super::*;

    #[tokio::test]
    async fn the_own_chain_goes_on_from_its_pin_and_is_walked_anew_without_a_good_one() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::from_seed([1; 32]);
        let store = Store::open(&dir.path().join("kez.db"), &key).await.unwrap();
        store.begin_account(Install::from_bytes([1; 8])).await.unwrap();
        let mut chain = Chain::new(key.primary(), Policy::Production);
        let sign = |chain: &mut Chain| {
            chain.sign_next(&key, Op::SetHandle(None), &Timestamp::from_unix_ms(0)).unwrap().clone()
        };
        let published = vec![sign(&mut chain), sign(&mut chain)];
        let (tip, pin) = (chain.tip().clone(), chain.pin());
        // Nobody else sees what waits here, and it gives way to what was published in its place.
        store.keep_own_event(&sign(&mut Chain::new(key.primary(), Policy::Production))).await.unwrap();
        assert_eq!(store.own_chain(key.primary(), Policy::Production).await.unwrap().tip().seq(), 0);
        store.adopt_own_events(published, pin).await.unwrap();
        assert!(store.own_events_to_upload(key.primary()).await.unwrap().is_empty());

        for (pin, walked) in [(None, 1), (Some("NULL"), 2), (Some("x'00'"), 2)] {
            if let Some(pin) = pin {
                let set = format!("UPDATE account SET chain_pin = {pin}");
                store.transact::<_, StoreError>(move |tx| Ok(tx.execute(&set, [])?)).await.unwrap();
            }
            let chain = store.own_chain(key.primary(), Policy::Production).await.unwrap();
            assert_eq!((chain.tip(), chain.events().len()), (&tip, walked), "{pin:?}");
        }
    }
}
