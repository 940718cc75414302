//! Moves of the account to another home: the one that is under way, and what is left to do at homes that were left.

use kez_core::handle::{Handle, Policy};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Store, StoreError, contacts};

/// A move that the new home has agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: Handle,
    pub(crate) to: Handle,
    /// Where the chain was published before.
    pub(crate) old_base: String,
    /// Whether the old handle is given up.
    pub(crate) gives_up: bool,
    /// Whether what waits at the old home is given up.
    pub(crate) without_old: bool,
}

const COLUMNS: &str = "from_handle, to_handle, old_base, gives_up, without_old";

impl Store {
    /// Keeps a move that begins, or how it was decided anew. A home that the account comes back to is not left any more.
    pub(crate) async fn begin_move(&self, begun: Move) -> Result<(), StoreError> {
        self.transact(move |db| {
            let Move { from, to, old_base, gives_up, without_old } = begun;
            db.execute("DELETE FROM moves WHERE from_handle = ?1", [to.to_string()])?;
            db.execute(
                &format!("INSERT OR REPLACE INTO moves ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5)"),
                (from.to_string(), to.to_string(), old_base, gives_up, without_old),
            )?;
            Ok(())
        })
        .await
    }

    /// Returns the move that is under way.
    pub(crate) async fn move_under_way(&self) -> Result<Option<Move>, StoreError> {
        self.read(|db| {
            let query = format!("SELECT {COLUMNS} FROM moves WHERE switched = 0");
            db.query_row(&query, [], read).optional()?.transpose()
        })
        .await
    }

    /// Lists the moves that are done here, and not at the homes that were left.
    pub(crate) async fn homes_left(&self) -> Result<Vec<Move>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM moves WHERE switched = 1"))?;
            statement.query_map([], read)?.map(|row| row?).collect()
        })
        .await
    }

    /// Makes the new home the account's: it is who we are, and decides whom we reach.
    pub(crate) async fn switch_home(&self, to: &Handle, sigchain_base: &str) -> Result<(), StoreError> {
        let (to, base) = (to.clone(), sigchain_base.to_owned());
        self.transact(move |db| switch(db, &to, &base)).await
    }

    /// Forgets a move: it is done everywhere, or did not come about.
    pub(crate) async fn end_move(&self, from: &Handle) -> Result<(), StoreError> {
        let from = from.to_string();
        self.transact(move |db| Ok(db.execute("DELETE FROM moves WHERE from_handle = ?1", [from]).map(drop)?)).await
    }
}

fn switch(db: &Connection, to: &Handle, base: &str) -> Result<(), StoreError> {
    // Another home's streams have nothing to do with those that were seen.
    db.execute("UPDATE account SET handle = ?1, sigchain_base = ?2, epoch = NULL", (to.to_string(), base))?;
    db.execute("DELETE FROM stream_positions", [])?;
    contacts::set_own_home(db, to.home())?;
    db.execute("UPDATE moves SET switched = 1 WHERE switched = 0", [])?;
    Ok(())
}

/// Reads a row; the inner result is whether it holds what was once written. The rules for what may enter held then.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<Move, StoreError>> {
    let (from, to): (String, String) = (row.get(0)?, row.get(1)?);
    let (old_base, gives_up, without_old) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let parse = |text: &str| Handle::from_qualified(text, Policy::Development).map_err(StoreError::damaged);
    Ok(parse(&from).and_then(|from| Ok(Move { from, to: parse(&to)?, old_base, gives_up, without_old })))
}

#[cfg(test)]
mod tests {
    use kez_core::{identity::SecretKey, sigchain::Install};

    use super::*;

    #[tokio::test]
    async fn one_move_is_under_way_and_a_home_that_is_come_back_to_was_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
        store.begin_account(Install::from_bytes([1; 8])).await.unwrap();
        let [a, b, c] = ["al@a.example", "al@b.example", "al@c.example"]
            .map(|text| Handle::from_qualified(text, Policy::Production).unwrap());
        let going = |from: &Handle, to: &Handle, without_old| Move {
            from: from.clone(),
            to: to.clone(),
            old_base: "https://sig.example".into(),
            gives_up: true,
            without_old,
        };
        assert_eq!(store.move_under_way().await.unwrap(), None);
        store.begin_move(going(&a, &b, false)).await.unwrap();
        store.begin_move(going(&a, &b, true)).await.unwrap();
        assert_eq!(store.move_under_way().await.unwrap(), Some(going(&a, &b, true)));
        assert!(store.homes_left().await.unwrap().is_empty());

        store.note_epoch("of a").await.unwrap();
        store.switch_home(&b, "https://new.example").await.unwrap();
        let row = store.account().await.unwrap().unwrap();
        assert_eq!((row.handle, row.sigchain_base.as_deref()), (Some(b.clone()), Some("https://new.example")));
        assert!(!store.note_epoch("of b").await.unwrap(), "nothing was lost there");
        assert_eq!(store.move_under_way().await.unwrap(), None);
        store.begin_move(going(&b, &c, false)).await.unwrap();
        assert_eq!(store.homes_left().await.unwrap(), [going(&a, &b, true)]);
        store.switch_home(&c, "https://new.example").await.unwrap();
        store.begin_move(going(&c, &a, false)).await.unwrap();
        assert_eq!(store.homes_left().await.unwrap(), [going(&b, &c, false)]);
        store.end_move(&b).await.unwrap();
        assert!(store.homes_left().await.unwrap().is_empty());
    }
}
