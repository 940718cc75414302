//! Walked sigchains: one's own, and those of contacts.

use kez_core::{
    handle::Policy,
    identity::PrimaryKey,
    sigchain::{Chain, Event},
};
use rusqlite::Connection;

use super::{Store, StoreError};

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

    /// Keeps an event of one's own before anybody else sees it.
    pub(crate) async fn keep_own_event(&self, event: &Event) -> Result<(), StoreError> {
        let event = event.clone();
        self.transact(move |tx| insert_events(tx, &[event], false)).await
    }

    /// Keeps events of one's own chain that came from the sigchain server. An event of our own that waited for one of
    /// these places is discarded for good: two events at one place would be a fork.
    pub(crate) async fn adopt_own_events(&self, events: Vec<Event>) -> Result<(), StoreError> {
        self.transact(move |tx| {
            if let Some(first) = events.first() {
                discard(tx, first.primary(), first.seq())?;
            }
            insert_events(tx, &events, true)
        })
        .await
    }

    /// Discards, for good, one's own events from a place on that the sigchain server did not take.
    pub(crate) async fn discard_own_events(&self, owner: PrimaryKey, from_seq: u64) -> Result<(), StoreError> {
        self.transact(move |tx| discard(tx, &owner, from_seq)).await
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

    pub(crate) async fn set_uploaded(&self, owner: PrimaryKey, seq: u64) -> Result<(), StoreError> {
        self.transact(move |tx| {
            let changed = tx
                .execute("UPDATE chain_events SET uploaded = 1 WHERE owner = ?1 AND seq = ?2", (owner.as_bytes(), seq));
            Ok(changed.map(drop)?)
        })
        .await
    }
}

fn discard(tx: &Connection, owner: &PrimaryKey, from_seq: u64) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM chain_events WHERE owner = ?1 AND seq >= ?2 AND uploaded = 0",
        (owner.as_bytes(), from_seq),
    )?;
    Ok(())
}

pub(super) fn insert_events(tx: &Connection, events: &[Event], uploaded: bool) -> Result<(), StoreError> {
    let mut statement =
        tx.prepare_cached("INSERT INTO chain_events (owner, seq, jws, uploaded) VALUES (?1, ?2, ?3, ?4)")?;
    for event in events {
        statement.execute((event.primary().as_bytes(), event.seq(), event.jws(), uploaded))?;
    }
    Ok(())
}
