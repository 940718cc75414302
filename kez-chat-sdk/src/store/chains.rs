//! Walked sigchains: one's own, and those of contacts.

use kez_core::{
    handle::Policy,
    identity::PrimaryKey,
    sigchain::{Chain, Event},
};
use rusqlite::Transaction;

use super::{Store, StoreError};

impl Store {
    /// Walks the stored chain of `owner` again.
    pub(crate) async fn chain(&self, owner: PrimaryKey, policy: Policy) -> Result<Chain, StoreError> {
        let events = self
            .transact(move |tx| {
                let mut statement = tx.prepare_cached("SELECT jws FROM chain_events WHERE owner = ?1 ORDER BY seq")?;
                let rows = statement.query_map([owner.as_bytes()], |row| row.get::<_, String>(0))?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?)
            })
            .await?;
        let mut chain = Chain::new(owner, policy);
        for jws in events {
            chain.push(&jws).map_err(StoreError::damaged)?;
        }
        Ok(chain)
    }

    /// Keeps an event of one's own before anybody else sees it.
    pub(crate) async fn keep_own_event(&self, event: &Event) -> Result<(), StoreError> {
        let event = event.clone();
        self.transact(move |tx| insert_events(tx, &[event], false)).await
    }

    /// Keeps events of one's own chain that came from the sigchain server.
    pub(crate) async fn adopt_own_events(&self, events: Vec<Event>) -> Result<(), StoreError> {
        self.transact(move |tx| insert_events(tx, &events, true)).await
    }

    /// Lists one's own events that the sigchain server is not known to have, oldest first.
    pub(crate) async fn own_events_to_upload(&self, owner: PrimaryKey) -> Result<Vec<(u64, String)>, StoreError> {
        self.transact(move |tx| {
            let mut statement =
                tx.prepare_cached("SELECT seq, jws FROM chain_events WHERE owner = ?1 AND uploaded = 0 ORDER BY seq")?;
            let rows = statement.query_map([owner.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    pub(crate) async fn set_uploaded(&self, owner: PrimaryKey, seq: u64) -> Result<(), StoreError> {
        self.transact(move |tx| {
            let changed = tx.execute(
                "UPDATE chain_events SET uploaded = 1 WHERE owner = ?1 AND seq = ?2",
                (owner.as_bytes(), seq),
            );
            Ok(changed.map(drop)?)
        })
        .await
    }
}

pub(super) fn insert_events(tx: &Transaction<'_>, events: &[Event], uploaded: bool) -> Result<(), StoreError> {
    let mut statement =
        tx.prepare_cached("INSERT INTO chain_events (owner, seq, jws, uploaded) VALUES (?1, ?2, ?3, ?4)")?;
    for event in events {
        statement.execute((event.primary().as_bytes(), event.seq(), event.jws(), uploaded))?;
    }
    Ok(())
}
