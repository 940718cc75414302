//! The account's one row: who we are here, and how far registration came.

use kez_core::{
    handle::{Handle, Policy},
    sigchain::Install,
};
use rusqlite::OptionalExtension;

use super::{Store, StoreError, outbox::resend_all};

/// The account as this installation knows it.
#[derive(Clone, Debug)]
pub(crate) struct AccountRow {
    pub(crate) install: Install,
    pub(crate) backed_up: bool,
    /// The handle that the home has registered, once it has.
    pub(crate) handle: Option<Handle>,
    pub(crate) sigchain_base: Option<String>,
    /// Whether endpoints and handle are on the published chain: the account is complete.
    pub(crate) published: bool,
}

impl Store {
    /// Returns the account's row, making it with a fresh installation id where there is none.
    pub(crate) async fn account(&self, fresh: Install, now_ms: u64) -> Result<AccountRow, StoreError> {
        self.transact(move |tx| {
            tx.execute(
                "INSERT INTO account (id, install, born_at_ms) VALUES (1, ?1, ?2) ON CONFLICT DO NOTHING",
                (fresh.to_bytes(), now_ms),
            )?;
            let (install, backed_up, handle, sigchain_base, published): (_, _, Option<String>, _, _) =
                tx.query_row("SELECT install, backed_up, handle, sigchain_base, published FROM account", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })?;
            // The rules for what may enter held when it was written.
            let handle = handle.map(|text| Handle::from_qualified(&text, Policy::Development)).transpose();
            Ok(AccountRow {
                install: Install::from_bytes(install),
                backed_up,
                handle: handle.map_err(StoreError::damaged)?,
                sigchain_base,
                published,
            })
        })
        .await
    }

    pub(crate) async fn set_backed_up(&self) -> Result<(), StoreError> {
        self.transact(|tx| Ok(tx.execute("UPDATE account SET backed_up = 1", []).map(drop)?)).await
    }

    pub(crate) async fn set_registered(&self, handle: &Handle) -> Result<(), StoreError> {
        let handle = handle.to_string();
        self.transact(move |tx| Ok(tx.execute("UPDATE account SET handle = ?1", [handle]).map(drop)?)).await
    }

    /// Completes the account: its chain is published at this base.
    pub(crate) async fn set_published(&self, sigchain_base: &str) -> Result<(), StoreError> {
        let base = sigchain_base.to_owned();
        self.transact(move |tx| {
            Ok(tx.execute("UPDATE account SET published = 1, sigchain_base = ?1", [base]).map(drop)?)
        })
        .await
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
