//! Whether anything is left to be sent.

use super::{Store, StoreError};

/// What has not been sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsent {
    /// How many messages and receipts there are.
    pub(crate) all: u64,
    /// How many of them could go now: none that waits for a later try, or behind one that does, or whose recipient can't
    /// be sent to.
    pub(crate) due: u64,
}

impl Store {
    /// Counts what has not been sent. Receipts that are owed and not written yet count as one.
    pub(crate) async fn unsent(&self, now_ms: u64) -> Result<Unsent, StoreError> {
        self.read(move |tx| {
            let owed: u64 = tx.query_row("SELECT EXISTS (SELECT 1 FROM receipts_due)", [], |row| row.get(0))?;
            let mut statement = tx.prepare_cached(
                "SELECT count(*), count(*) FILTER (WHERE next_try_ms <= ?1
                    AND NOT EXISTS (SELECT 1 FROM outbox AS older WHERE older.sent = 0
                        AND older.recipient = outbox.recipient AND older.row < outbox.row AND older.next_try_ms > ?1)
                    AND EXISTS (SELECT 1 FROM contacts
                        WHERE owner = outbox.recipient AND trouble IS NULL AND reachable = 1))
                 FROM outbox WHERE sent = 0",
            )?;
            let (all, due): (u64, u64) = statement.query_row([now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Unsent { all: all + owed, due: due + owed })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    #[tokio::test]
    async fn only_what_could_go_now_is_due() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
        assert_eq!(store.unsent(0).await.unwrap(), Unsent { all: 0, due: 0 });
        let row = |number: u8, recipient: u8, sent: u8, next_try_ms: u32| {
            format!(
                "INSERT INTO outbox (recipient, message_id, nats_msg_id, payload, awaits_receipt, sent, next_try_ms)
                 VALUES (x'{recipient:02x}', x'{number:02x}', x'', x'', 1, {sent}, {next_try_ms});"
            )
        };
        let contact = |owner: u8, trouble: &str| {
            format!(
                "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
                    reachable, trouble)
                 VALUES (x'{owner:02x}', 1, '', 0, 1, zeroblob(32), 0, 1, {trouble});"
            )
        };
        let all = [
            contact(1, "NULL"),
            contact(2, "'another key'"),
            row(1, 1, 1, 0),
            row(2, 1, 0, 0),
            row(3, 1, 0, 500),
            row(4, 1, 0, 0),
            row(5, 2, 0, 0),
        ]
        .concat();
        store.transact(move |tx| Ok(tx.execute_batch(&all)?)).await.unwrap();
        assert_eq!(store.unsent(10).await.unwrap(), Unsent { all: 4, due: 1 });
        assert_eq!(store.unsent(500).await.unwrap(), Unsent { all: 4, due: 3 });
        let owed = "INSERT INTO receipts_due (author, id) VALUES (x'01', x'01'), (x'01', x'02')";
        store.transact(move |tx| Ok(tx.execute_batch(owed)?)).await.unwrap();
        assert_eq!(store.unsent(10).await.unwrap(), Unsent { all: 5, due: 2 });
    }
}
