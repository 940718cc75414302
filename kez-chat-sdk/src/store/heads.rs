//! The heads that messages carry: what was told to whom, and what others said (`docs/PROTOCOL.md` §4).

#[cfg(test)]
mod tests;

use kez_core::{
    handle::Policy,
    identity::PrimaryKey,
    payload::{Payload, SeenHead},
    sigchain::{Event as ChainEvent, Head},
};
use rusqlite::{Connection, OptionalExtension};

use super::{Store, StoreError, contacts::peer, events};
use crate::{account::OwnChainNotice, contacts::Notice, event::Event, keys::checked};

const DAY_MS: u64 = 86_400_000;
/// How many disagreements one contact is told of within a day: whoever makes heads up has as many as they like.
const MAX_TOLD_A_DAY: u32 = 3;

/// The heads that a message names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heads {
    /// Of our own chain, as far as it is published.
    pub(super) own: Option<SeenHead>,
    /// Of the recipient's chain, as far as it was walked.
    pub(super) peer: Option<SeenHead>,
}

/// A head that somebody named, and that is not what is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeardHead {
    said_by: PrimaryKey,
    /// Whether it is of our chain; else it is of their own.
    of_ours: bool,
    seen: SeenHead,
}

impl HeardHead {
    /// Returns whose chain it is about.
    pub(crate) fn owner(&self, own: &PrimaryKey) -> PrimaryKey {
        if self.of_ours { *own } else { self.said_by }
    }
}

/// Returns the heads that a message to a contact is to name, which are told with it: when one of them is another than was
/// told last, or a day after that.
pub(super) fn to_tell(
    db: &Connection,
    own: &PrimaryKey,
    recipient: &PrimaryKey,
    now_ms: u64,
) -> Result<Heads, StoreError> {
    type Row = (u64, [u8; 32], Option<u64>, Option<[u8; 32]>, Option<u64>, Option<u64>);
    let known: Option<Row> = db
        .prepare_cached(
            "SELECT chain_seq, chain_head, own_seq, peer_head, told_at_ms,
                (SELECT seq FROM chain_events WHERE owner = ?1 AND uploaded = 1 ORDER BY seq DESC LIMIT 1)
             FROM contacts LEFT JOIN told_heads ON peer = owner WHERE owner = ?2",
        )?
        .query_row((own.as_bytes(), recipient.as_bytes()), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((peer_seq, peer_head, told_own_seq, told_peer_head, told_at_ms, own_seq)) = known else {
        return Ok(Heads::default());
    };
    let is_old = told_at_ms.is_none_or(|at| at.abs_diff(now_ms) >= DAY_MS);
    if !is_old && told_own_seq == Some(own_seq.unwrap_or(0)) && told_peer_head == Some(peer_head) {
        return Ok(Heads::default());
    }
    db.prepare_cached(
        "INSERT OR REPLACE INTO told_heads (peer, own_seq, peer_head, told_at_ms) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((recipient.as_bytes(), own_seq.unwrap_or(0), peer_head, now_ms))?;
    let own = match own_seq {
        Some(seq) => head_at(db, own, seq)?.map(|head| SeenHead { seq, head }),
        None => None,
    };
    Ok(Heads { own, peer: Some(SeenHead { seq: peer_seq, head: Head::from_bytes(peer_head) }) })
}

/// Forgets what was told to somebody, so that the next message tells it.
pub(super) fn forget_told(db: &Connection, peer: &PrimaryKey) -> Result<(), StoreError> {
    Ok(db.execute("DELETE FROM told_heads WHERE peer = ?1", [peer.as_bytes()]).map(drop)?)
}

/// Forgets what was told to somebody who is no contact any more, and what they said.
pub(super) fn forget(db: &Connection, peer: &PrimaryKey) -> Result<(), StoreError> {
    forget_told(db, peer)?;
    Ok(db.execute("DELETE FROM heard_heads WHERE said_by = ?1", [peer.as_bytes()]).map(drop)?)
}

/// Keeps which heads a contact's message names, to be looked into. Of each chain the last place that they named waits.
pub(super) fn hear(db: &Connection, from: &PrimaryKey, payload: &Payload) -> Result<(), StoreError> {
    for (of_ours, seen) in [(false, payload.own_head), (true, payload.peer_head)] {
        let Some(SeenHead { seq, head }) = seen else { continue };
        let from = from.as_bytes();
        db.prepare_cached(
            "DELETE FROM heard_heads WHERE said_by = ?1 AND of_ours = ?2 AND told_at_ms IS NULL AND seq <= ?3",
        )?
        .execute((from, of_ours, seq))?;
        // One that was told of is told of once, and an earlier place than one that waits has nothing to add.
        db.prepare_cached(
            "INSERT INTO heard_heads (said_by, of_ours, seq, head)
             SELECT owner, ?2, ?3, ?4 FROM contacts WHERE owner = ?1 ON CONFLICT DO NOTHING",
        )?
        .execute((from, of_ours, seq, head.as_bytes()))?;
    }
    Ok(())
}

impl Store {
    /// Lists the heads that contacts named and that are not what is known here; those that are, are done with.
    pub(crate) async fn doubted_heads(&self, own: PrimaryKey) -> Result<Vec<HeardHead>, StoreError> {
        if self.read(waiting).await?.is_empty() {
            return Ok(Vec::new());
        }
        self.transact(move |db| {
            let mut doubted = Vec::new();
            for heard in waiting(db)? {
                if head_at(db, &heard.owner(&own), heard.seen.seq)? == Some(heard.seen.head) {
                    drop_waiting(db, &heard)?;
                } else {
                    doubted.push(heard);
                }
            }
            Ok(doubted)
        })
        .await
    }

    /// Tells the application of heads that their chain did not show when it was looked at, each once and only a few of one
    /// contact's within a day.
    pub(crate) async fn tell_of_disagreement(
        &self,
        own: PrimaryKey,
        heard: Vec<HeardHead>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.transact(move |db| {
            for heard in heard {
                let HeardHead { said_by, of_ours, seen: SeenHead { seq, head } } = heard;
                let told: u32 = db
                    .prepare_cached(
                        "SELECT count(*) FROM heard_heads WHERE said_by = ?1 AND abs(told_at_ms - ?2) < ?3",
                    )?
                    .query_row((said_by.as_bytes(), now_ms, DAY_MS), |row| row.get(0))?;
                if told >= MAX_TOLD_A_DAY {
                    drop_waiting(db, &heard)?;
                    continue;
                }
                let told = db.execute(
                    "UPDATE heard_heads SET told_at_ms = ?5
                     WHERE said_by = ?1 AND of_ours = ?2 AND seq = ?3 AND head = ?4 AND told_at_ms IS NULL",
                    (said_by.as_bytes(), of_ours, seq, head.as_bytes(), now_ms),
                )?;
                if told == 0 {
                    continue;
                }
                let known = head_at(db, &heard.owner(&own), seq)?;
                let who = peer(db, said_by.as_bytes())?;
                events::push(
                    db,
                    &match of_ours {
                        true => {
                            let notice =
                                OwnChainNotice::HeadDisagreement { said_by: who.into(), seq, said: head, known };
                            Event::OwnChain { notice }
                        }
                        false => Event::Contact { who, notice: Notice::HeadDisagreement { seq, said: head, known } },
                    },
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Is done with heads of a chain that proved unsound, which is an alarm of its own.
    pub(crate) async fn drop_doubts(&self, heard: Vec<HeardHead>) -> Result<(), StoreError> {
        self.transact(move |db| heard.iter().try_for_each(|heard| drop_waiting(db, heard))).await
    }
}

/// Lists what was not looked into yet.
fn waiting(db: &Connection) -> Result<Vec<HeardHead>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT said_by, of_ours, seq, head FROM heard_heads WHERE told_at_ms IS NULL")?;
    let rows = statement.query_map([], |row| {
        let seen = SeenHead { seq: row.get(2)?, head: Head::from_bytes(row.get(3)?) };
        Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?, seen))
    })?;
    rows.map(|row| {
        let (said_by, of_ours, seen) = row?;
        Ok(HeardHead { said_by: checked(&said_by).map_err(StoreError::damaged)?, of_ours, seen })
    })
    .collect()
}

fn drop_waiting(db: &Connection, heard: &HeardHead) -> Result<(), StoreError> {
    let HeardHead { said_by, of_ours, seen: SeenHead { seq, head } } = heard;
    db.prepare_cached(
        "DELETE FROM heard_heads
         WHERE said_by = ?1 AND of_ours = ?2 AND seq = ?3 AND head = ?4 AND told_at_ms IS NULL",
    )?
    .execute((said_by.as_bytes(), of_ours, seq, head.as_bytes()))?;
    Ok(())
}

/// Returns the head of a chain when it ended at a place, if that is known here.
fn head_at(db: &Connection, owner: &PrimaryKey, seq: u64) -> Result<Option<Head>, StoreError> {
    let jws: Option<String> = db
        .prepare_cached("SELECT jws FROM chain_events WHERE owner = ?1 AND seq = ?2 AND uploaded = 1")?
        .query_row((owner.as_bytes(), seq), |row| row.get(0))
        .optional()?;
    // The rules for what may enter held when it was written.
    let parse = |jws: String| ChainEvent::parse(&jws, owner, Policy::Development).map_err(StoreError::damaged);
    Ok(jws.map(parse).transpose()?.map(|event| event.head()))
}
