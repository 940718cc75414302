//! Giving messages out in the order of their sender's numbers (`docs/PROTOCOL.md` §7).
//!
//! Each installation numbers its messages to us from 1. Frames are stored as they come; a message whose number is not
//! the next one is held until the numbers before it have come, or until [`Store::pass_gap`] gives up on them.

use kez_core::{
    payload::{Content, MessageId, Payload},
    sigchain::Install,
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    Store, StoreError,
    announce::{Received, announce, received},
    contacts::peer,
};
use crate::event::{Order, Peer};

/// A sequence that waits for a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Gap {
    pub(crate) author: [u8; 32],
    pub(crate) install: Install,
    /// The number that is missing.
    pub(crate) next: u64,
}

impl Store {
    /// Lists the sequences in which a message waits for an earlier one.
    pub(crate) async fn gaps(&self) -> Result<Vec<Gap>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT DISTINCT author, install, coalesce(next, 1)
                 FROM held LEFT JOIN numbering USING (author, install) WHERE NOT given_out",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(Gap { author: row.get(0)?, install: Install::from_bytes(row.get(1)?), next: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Waits no longer for the missing numbers before the first held message, unless one of them came meanwhile.
    pub(crate) async fn pass_gap(&self, gap: Gap) -> Result<(), StoreError> {
        self.transact(move |db| {
            let sequence = Sequence { author: &gap.author, install: gap.install };
            if sequence.next(db)? != gap.next {
                return Ok(());
            }
            let first: Option<u64> = db.query_row(
                "SELECT min(seq) FROM held WHERE author = ?1 AND install = ?2 AND NOT given_out",
                (sequence.author, sequence.install.to_bytes()),
                |row| row.get(0),
            )?;
            let Some(first) = first else { return Ok(()) };
            let taken: u64 = db.query_row(
                "SELECT count(DISTINCT seq) FROM held WHERE author = ?1 AND install = ?2 AND seq < ?3",
                (sequence.author, sequence.install.to_bytes(), first),
                |row| row.get(0),
            )?;
            let missing = (first - gap.next).saturating_sub(taken);
            let order = if missing == 0 { Order::InOrder } else { Order::AfterGap { missing } };
            sequence.give_out_from(db, &peer(db, sequence.author)?, first, order)
        })
        .await
    }
}

/// Takes a stored message into its sender's sequence: announces it, and what waited for it, or holds it.
pub(super) fn arrive(db: &Connection, from: &Peer, message: &Received) -> Result<(), StoreError> {
    let payload = &message.payload;
    let sequence = Sequence { author: from.primary.as_bytes(), install: payload.install };
    let next = sequence.next(db)?;
    // A kind that this version does not know may be numbered or not: it waits for nobody.
    let waits = !matches!(payload.content, Content::Unsupported(_));
    // Nor does it tell where a sequence stands of which the lost device had the beginning.
    let counts = waits || next > 1 || !is_recovered(db)?;
    if payload.seq == next && counts {
        announce(db, from, message, Order::InOrder)?;
        sequence.set_next(db, next + 1)?;
        return sequence.give_out_from(db, from, next + 1, Order::InOrder);
    }
    if payload.seq > next {
        db.prepare_cached("INSERT INTO held (author, install, seq, id, given_out) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((sequence.author, sequence.install.to_bytes(), payload.seq, payload.id.0, !waits))?;
    }
    match (waits, payload.seq > next) {
        (true, true) => Ok(()),
        (true, false) => announce(db, from, message, Order::Late),
        (false, _) => announce(db, from, message, Order::InOrder),
    }
}

/// Takes the number of a message that is here already: its sender has numbered it anew, after they were recovered from a
/// backup. Nothing waits for it any more.
pub(super) fn take_number(db: &Connection, from: &Peer, known: &Payload) -> Result<(), StoreError> {
    let sequence = Sequence { author: from.primary.as_bytes(), install: known.install };
    let next = sequence.next(db)?;
    if known.seq == next {
        sequence.set_next(db, next + 1)?;
        return sequence.give_out_from(db, from, next + 1, Order::InOrder);
    }
    if known.seq > next {
        db.prepare_cached(
            "INSERT OR IGNORE INTO held (author, install, seq, id, given_out) VALUES (?1, ?2, ?3, ?4, 1)",
        )?
        .execute((sequence.author, sequence.install.to_bytes(), known.seq, known.id.0))?;
    }
    Ok(())
}

/// Passes over the number of a message that was refused, so that none of those that follow waits for it. A sequence that is
/// new here is begun only for the few messages that were kept before: whoever is dropped could make up as many as they like.
pub(super) fn pass_over(
    db: &Connection,
    author: &[u8; 32],
    payload: &Payload,
    was_kept: bool,
) -> Result<(), StoreError> {
    let sequence = Sequence { author, install: payload.install };
    let next = sequence.known_next(db)?;
    if matches!(payload.content, Content::Unsupported(_)) || next.is_none() && !was_kept {
        return Ok(());
    }
    sequence.set_next(db, next.unwrap_or(1).max(payload.seq.saturating_add(1)))
}

fn is_recovered(db: &Connection) -> Result<bool, StoreError> {
    let recovered = db.prepare_cached("SELECT recovered FROM account")?.query_row([], |row| row.get(0));
    Ok(recovered.optional()?.unwrap_or(false))
}

/// On a device that got its account back from the words, begins the sequences that are new to it where the first
/// messages stand: those before went to the lost device. It is called when all that came together was taken in, so that the
/// lowest number of it comes first. A lower one that comes after all is late.
pub(super) fn begin_where_others_ended(db: &Connection) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT author, install, min(seq) FROM held LEFT JOIN numbering USING (author, install)
         WHERE next IS NULL AND NOT given_out AND (SELECT recovered FROM account) GROUP BY author, install",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, Install::from_bytes(row.get(1)?), row.get(2)?)))?;
    for row in rows.collect::<Result<Vec<([u8; 32], _, _)>, _>>()? {
        let (author, install, first) = row;
        Sequence { author: &author, install }.give_out_from(db, &peer(db, &author)?, first, Order::InOrder)?;
    }
    Ok(())
}

/// Gives out all that still waits for earlier messages of somebody's: nobody will wait for them any more.
pub(super) fn give_out_held(db: &Connection, author: &[u8; 32]) -> Result<(), StoreError> {
    let mut statement =
        db.prepare_cached("SELECT install, seq FROM held WHERE author = ?1 ORDER BY install, seq LIMIT 1")?;
    let mut first = || {
        let first = statement.query_row([author], |row| Ok((Install::from_bytes(row.get(0)?), row.get(1)?)));
        first.optional()
    };
    let from = peer(db, author)?;
    while let Some((install, seq)) = first()? {
        Sequence { author, install }.give_out_from(db, &from, seq, Order::Late)?;
    }
    Ok(())
}

/// The numbers of one installation's messages to us.
struct Sequence<'a> {
    author: &'a [u8; 32],
    install: Install,
}

impl Sequence<'_> {
    fn next(&self, db: &Connection) -> Result<u64, StoreError> {
        Ok(self.known_next(db)?.unwrap_or(1))
    }

    /// Returns the next number; `None` if nothing of the sequence was given out yet.
    fn known_next(&self, db: &Connection) -> Result<Option<u64>, StoreError> {
        let next = db
            .prepare_cached("SELECT next FROM numbering WHERE author = ?1 AND install = ?2")?
            .query_row((self.author, self.install.to_bytes()), |row| row.get(0));
        Ok(next.optional()?)
    }

    fn set_next(&self, db: &Connection, next: u64) -> Result<(), StoreError> {
        db.prepare_cached(
            "INSERT INTO numbering (author, install, next) VALUES (?1, ?2, ?3)
             ON CONFLICT (author, install) DO UPDATE SET next = ?3",
        )?
        .execute((self.author, self.install.to_bytes(), next))?;
        Ok(())
    }

    /// Announces the unbroken run of held messages that begins at `next`; the first of them as `order` says.
    fn give_out_from(&self, db: &Connection, from: &Peer, mut next: u64, mut order: Order) -> Result<(), StoreError> {
        let begun_at = next;
        loop {
            let mut statement = db.prepare_cached(
                "DELETE FROM held WHERE author = ?1 AND install = ?2 AND seq = ?3 RETURNING id, given_out",
            )?;
            let rows = statement.query_map((self.author, self.install.to_bytes(), next), |row| {
                Ok((MessageId(row.get(0)?), row.get::<_, bool>(1)?))
            })?;
            let run = rows.collect::<Result<Vec<_>, _>>()?;
            if run.is_empty() {
                break;
            }
            for (id, given_out) in run {
                // What was erased while it waited has nothing to say.
                if !given_out && let Some(message) = received(db, self.author, &id)? {
                    announce(db, from, &message, std::mem::take(&mut order))?;
                }
            }
            next += 1;
        }
        if next > begun_at {
            db.prepare_cached("DELETE FROM held WHERE author = ?1 AND install = ?2 AND seq < ?3")?.execute((
                self.author,
                self.install.to_bytes(),
                next,
            ))?;
            self.set_next(db, next)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kez_core::{
        identity::{PrimaryKey, SecretKey},
        payload::UnsupportedReason,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{
        event::{Event, EventId},
        store::{Frame, Incoming},
    };

    fn author() -> PrimaryKey {
        SecretKey::from_seed([2; 32]).primary()
    }

    fn own() -> PrimaryKey {
        SecretKey::from_seed([1; 32]).primary()
    }

    async fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
        let contact = "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
            reachable) VALUES (?1, 1, '', 0, 1, zeroblob(32), 0, 1)";
        store.transact::<_, StoreError>(|db| Ok(db.execute(contact, [author().as_bytes()])?)).await.unwrap();
        (dir, store)
    }

    /// The message of that number of an installation; its text is the number.
    fn message(install: u8, seq: u64) -> Frame {
        let mut id = [install; 16];
        id[..8].copy_from_slice(&seq.to_le_bytes());
        let payload = Payload {
            id: MessageId(id),
            install: Install::from_bytes([install; 8]),
            seq,
            sent_at_ms: 1,
            from: None,
            to: None,
            content: Content::Text(seq.to_string()),
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        let bytes = payload.encode().unwrap();
        let author = author();
        Frame::Message(Incoming { author, payload, bytes, wire: Bytes::new(), misaddressed: false }.into())
    }

    /// A message of a kind that this version does not know.
    fn unknown(seq: u64) -> Frame {
        let Frame::Message(mut incoming) = message(1, seq) else { unreachable!() };
        incoming.payload.content = Content::Unsupported(UnsupportedReason::Kind(40));
        Frame::Message(incoming)
    }

    /// What the application was told, as number and order.
    async fn told(store: &Store) -> Vec<(String, Order)> {
        let events = store.events_after(EventId::default(), 1000).await.unwrap();
        let tell = |event| match event {
            Event::Message { text, order, .. } => (text, order),
            Event::Unsupported { order, .. } => ("?".to_owned(), order),
            other => panic!("{other:?}"),
        };
        events.into_iter().map(|pending| tell(pending.event)).collect()
    }

    fn in_order(numbers: &[u64]) -> Vec<(String, Order)> {
        numbers.iter().map(|number| (number.to_string(), Order::InOrder)).collect()
    }

    #[tokio::test]
    async fn a_message_waits_for_earlier_ones_of_its_installation_only() {
        let (_dir, store) = store().await;
        store.receive(own(), vec![message(1, 3), message(1, 2), message(2, 1)], 1).await.unwrap();
        assert_eq!(told(&store).await, in_order(&[1]), "another installation counts for itself");
        let gap = Gap { author: *author().as_bytes(), install: Install::from_bytes([1; 8]), next: 1 };
        assert_eq!(store.gaps().await.unwrap(), [gap]);
        store.receive(own(), vec![message(1, 1)], 1).await.unwrap();
        assert_eq!(told(&store).await, in_order(&[1, 1, 2, 3]));
        assert!(store.gaps().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_waited_in_vain_goes_out_marked_and_so_does_what_comes_too_late() {
        let (_dir, store) = store().await;
        store.receive(own(), vec![message(1, 1), message(1, 4), message(1, 5), message(1, 8)], 1).await.unwrap();
        let gap = Gap { author: *author().as_bytes(), install: Install::from_bytes([1; 8]), next: 2 };
        store.pass_gap(gap).await.unwrap();
        let marked = |number: u64, order| vec![(number.to_string(), order)];
        let missing = |missing| Order::AfterGap { missing };
        let mut expected = [in_order(&[1]), marked(4, missing(2)), in_order(&[5])].concat();
        assert_eq!(told(&store).await, expected);
        store.pass_gap(gap).await.unwrap();
        assert_eq!(told(&store).await, expected, "that gap is passed already");

        store.receive(own(), vec![message(1, 2)], 1).await.unwrap();
        store.pass_gap(Gap { next: 6, ..gap }).await.unwrap();
        expected.extend([marked(2, Order::Late), marked(8, missing(2))].concat());
        assert_eq!(told(&store).await, expected);
        store.receive(own(), vec![message(1, 9)], 1).await.unwrap();
        expected.extend(in_order(&[9]));
        assert_eq!(told(&store).await, expected);
    }

    #[tokio::test]
    async fn an_unknown_kind_waits_for_nobody_and_takes_its_number() {
        let (_dir, store) = store().await;
        store.receive(own(), vec![unknown(2), message(1, 3)], 1).await.unwrap();
        assert_eq!(told(&store).await, [("?".to_owned(), Order::InOrder)]);
        store.receive(own(), vec![message(1, 1)], 1).await.unwrap();
        assert_eq!(told(&store).await[1..], in_order(&[1, 3]));

        // Whatever number it names, it holds up nobody else.
        store.receive(own(), vec![unknown((1 << 53) - 1), message(1, 4)], 1).await.unwrap();
        assert!(store.gaps().await.unwrap().is_empty());
        assert_eq!(told(&store).await[4..], in_order(&[4]));
    }

    #[tokio::test]
    async fn what_waits_is_given_out_before_its_sender_is_forgotten() {
        let (_dir, store) = store().await;
        store.receive(own(), vec![message(1, 2), message(1, 5), message(2, 9)], 1).await.unwrap();
        assert!(told(&store).await.is_empty());
        store.forget_contact(author()).await.unwrap();
        let late = |number: u64| (number.to_string(), Order::Late);
        assert_eq!(told(&store).await, [late(2), late(5), late(9)]);
        assert!(store.gaps().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn after_a_recovery_a_sequence_begins_where_its_first_messages_stand() {
        let (_dir, store) = store().await;
        store.begin_account(Install::from_bytes([9; 8])).await.unwrap();
        store.set_recovered().await.unwrap();
        // A kind that may have no number does not say where.
        store.receive(own(), vec![unknown(1), unknown(40)], 1).await.unwrap();
        assert_eq!(told(&store).await.len(), 2);
        store.receive(own(), vec![message(1, 57), message(1, 55), message(1, 59), message(1, 56)], 1).await.unwrap();
        assert_eq!(told(&store).await[2..], in_order(&[55, 56, 57]), "what came together is put in order");
        assert_eq!(store.gaps().await.unwrap().len(), 1, "from there on it is as ever");
        store.receive(own(), vec![message(1, 58), message(1, 54)], 1).await.unwrap();
        let late = vec![("54".to_owned(), Order::Late)];
        assert_eq!(told(&store).await[5..], [in_order(&[58, 59]), late].concat());
        // Who begins anew begins at 1.
        store.receive(own(), vec![message(2, 1), message(2, 3)], 1).await.unwrap();
        assert_eq!(told(&store).await[8..], in_order(&[1]));
        assert_eq!(store.gaps().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_known_message_under_another_number_takes_that_one_too() {
        let (_dir, store) = store().await;
        let again = |seq| {
            let (Frame::Message(mut known), Frame::Message(numbered)) = (message(1, 1), message(2, seq)) else {
                unreachable!()
            };
            (known.payload.install, known.payload.seq) = (numbered.payload.install, seq);
            Frame::Message(known)
        };
        store.receive(own(), vec![message(1, 1), message(2, 2), message(2, 4)], 1).await.unwrap();
        store.receive(own(), vec![again(1), again(3), again(3)], 1).await.unwrap();
        assert_eq!(told(&store).await, in_order(&[1, 2, 4]));
        assert!(store.gaps().await.unwrap().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever comes first, twice or in pieces: each number is given out once, and in order.
        #[test]
        fn any_order_of_arrival_gives_one_order(
            shuffled in Just((1..=20_u64).collect::<Vec<_>>()).prop_shuffle(),
            again in prop::collection::vec(1..=20_u64, 0..10),
            batch in 1..7_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (_dir, store) = store().await;
                let arrivals = [shuffled, again].concat();
                for numbers in arrivals.chunks(batch) {
                    let frames = numbers.iter().map(|number| message(1, *number)).collect();
                    store.receive(own(), frames, 1).await.unwrap();
                }
                assert_eq!(told(&store).await, in_order(&(1..=20).collect::<Vec<_>>()));
                assert!(store.gaps().await.unwrap().is_empty());
            });
        }
    }
}
