//! The account's one row: who we are here, and how far the way to a complete account has come.

use kez_core::{
    handle::{Handle, Policy},
    sigchain::Install,
};
use rusqlite::{Connection, OptionalExtension};

use super::{Store, StoreError, contacts, outbox::resend_all};

/// The account as this installation knows it.
#[derive(Clone, Debug)]
pub(crate) struct AccountRow {
    pub(crate) install: Install,
    /// When this installation came to be, by the home's clock; 0 until the home was asked.
    pub(crate) born_at_ms: u64,
    pub(crate) backed_up: bool,
    /// The handle that the home has registered, once it has.
    pub(crate) handle: Option<Handle>,
    pub(crate) sigchain_base: Option<String>,
    /// Whether endpoints and handle are on the published chain: the account is complete.
    pub(crate) published: bool,
    /// Whether the person has decided to leave for good.
    pub(crate) leaving: bool,
}

impl Store {
    /// Returns the account's row, if an account was begun.
    pub(crate) async fn account(&self) -> Result<Option<AccountRow>, StoreError> {
        self.read(find).await
    }

    /// Returns the account's row, making it with a fresh installation id where there is none.
    pub(crate) async fn begin_account(&self, fresh: Install) -> Result<AccountRow, StoreError> {
        self.transact(move |tx| {
            tx.execute(
                "INSERT INTO account (id, install, born_at_ms) VALUES (1, ?1, 0) ON CONFLICT DO NOTHING",
                [fresh.to_bytes()],
            )?;
            find(tx)?.ok_or_else(|| StoreError::damaged("the account's row is missing"))
        })
        .await
    }

    /// Keeps when this installation came to be, by the home's clock; the first word counts.
    pub(crate) async fn set_born(&self, home_now_ms: u64) -> Result<(), StoreError> {
        self.transact(move |tx| {
            let changed = tx.execute("UPDATE account SET born_at_ms = ?1 WHERE born_at_ms = 0", [home_now_ms]);
            Ok(changed.map(drop)?)
        })
        .await
    }

    /// Notes that a lost device had the account before: whoever wrote to it goes on counting where they were.
    pub(crate) async fn set_recovered(&self) -> Result<(), StoreError> {
        self.transact(|tx| Ok(tx.execute("UPDATE account SET recovered = 1", []).map(drop)?)).await
    }

    pub(crate) async fn set_backed_up(&self) -> Result<(), StoreError> {
        self.transact(|tx| Ok(tx.execute("UPDATE account SET backed_up = 1", []).map(drop)?)).await
    }

    pub(crate) async fn set_registered(&self, handle: &Handle) -> Result<(), StoreError> {
        let handle = handle.clone();
        self.transact(move |tx| {
            tx.execute("UPDATE account SET handle = ?1", [handle.to_string()])?;
            // Contacts out of a backup may have been at another home of ours.
            contacts::set_own_home(tx, handle.home())
        })
        .await
    }

    /// Completes the account: its chain is published at this base.
    pub(crate) async fn set_published(&self, sigchain_base: &str) -> Result<(), StoreError> {
        let base = sigchain_base.to_owned();
        self.transact(move |tx| {
            Ok(tx.execute("UPDATE account SET published = 1, sigchain_base = ?1", [base]).map(drop)?)
        })
        .await
    }

    /// Keeps the decision to leave for good, before anybody hears of it.
    pub(crate) async fn set_leaving(&self) -> Result<(), StoreError> {
        self.transact(|tx| Ok(tx.execute("UPDATE account SET leaving = 1", []).map(drop)?)).await
    }

    /// Remembers the epoch of the home's inbox stream. When it changed, whatever the old stream held is gone: every
    /// message without a delivery receipt is queued again (§8). Tells whether any was.
    pub(crate) async fn note_epoch(&self, epoch: &str) -> Result<bool, StoreError> {
        let epoch = epoch.to_owned();
        self.transact(move |tx| {
            let before: Option<String> =
                tx.query_row("SELECT epoch FROM account", [], |row| row.get(0)).optional()?.flatten();
            tx.execute("UPDATE account SET epoch = ?1", [&epoch])?;
            if before.is_none_or(|before| before == epoch) {
                return Ok(false);
            }
            tx.execute("DELETE FROM stream_positions", [])?;
            resend_all(tx)
        })
        .await
    }
}

fn find(tx: &Connection) -> Result<Option<AccountRow>, StoreError> {
    let row = tx.query_row(
        "SELECT install, born_at_ms, backed_up, handle, sigchain_base, published, leaving FROM account",
        [],
        |row| {
            let handle: Option<String> = row.get(3)?;
            let account = AccountRow {
                install: Install::from_bytes(row.get(0)?),
                born_at_ms: row.get(1)?,
                backed_up: row.get(2)?,
                handle: None,
                sigchain_base: row.get(4)?,
                published: row.get(5)?,
                leaving: row.get(6)?,
            };
            Ok((account, handle))
        },
    );
    let Some((account, handle)) = row.optional()? else { return Ok(None) };
    // The rules for what may enter held when it was written.
    let handle = handle.map(|text| Handle::from_qualified(&text, Policy::Development)).transpose();
    Ok(Some(AccountRow { handle: handle.map_err(StoreError::damaged)?, ..account }))
}
