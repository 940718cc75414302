//! Backups: the account's database in a file of its own, under a key of its own, less what belongs to the device
//! (`docs/PROTOCOL.md` §12).

#[cfg(test)]
mod tests;

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use kez_core::{identity::SecretKey, sigchain::Install};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension,
    types::{ToSqlOutput, ValueRef},
};
use zeroize::Zeroizing;

use super::{
    StoreError, announce::decode, database_key, file_key, remove_unfinished, rename_durably, schema, unfinished, unlock,
};
use crate::event::MessageState;

/// Tables of which a backup holds nothing: what is so on one device only, and what can be made anew.
///
/// `account`: an installation has its own. `sequences`, `stream_positions`: so are its numbers, and how far it saw its
/// home's streams come. `moves`: so is a move to another home. `downloads`, `download_files`: what was to come to its disk
/// is asked for again on another. `own_files`, `shares`, `share_files`, `share_readers`: the files that it held ready are
/// gone with it, and must not be served by a key that turns up. `published` and its like, `publication`, `manifests`: so is
/// what it published. `browsed`, `thumbnails`: what others publish is looked at anew. `indexing`: the words of messages are
/// found again. `backup`: says which one this is.
const LEFT_OUT: &[&str] = &[
    "account",
    "backup",
    "browsed",
    "download_files",
    "downloads",
    "indexing",
    "manifests",
    "moves",
    "own_files",
    "publication",
    "published",
    "published_blobs",
    "published_readers",
    "sequences",
    "share_files",
    "share_readers",
    "shares",
    "stream_positions",
    "thumbnails",
];
/// The full-text index, and the tables that it is kept in.
const INDEX: &str = "message_texts*";

/// Says which backup it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupMark {
    /// Whose.
    pub(crate) owner: [u8; 32],
    /// The installation that made it.
    pub(crate) install: Install,
    /// When, by the home's clock.
    pub(crate) made_at_ms: u64,
}

/// Writes a backup of the database at `live` into an empty file, and returns how many messages conversations show in it. It
/// is one state of the database, whatever is written to that meanwhile, and keeps nobody from writing.
pub(crate) fn write_backup(live: &Path, key: &SecretKey, into: &Path, mark: &BackupMark) -> Result<u64, StoreError> {
    let mut connection = unlock(Connection::open(into)?, &backup_key(key))?;
    // A file that does not get whole is thrown away.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    schema::migrate(&mut connection, schema::KNOWN)?;
    let live = ToSqlOutput::Borrowed(ValueRef::Text(live.as_os_str().as_encoded_bytes()));
    connection.execute("ATTACH ?1 AS live KEY ?2", (live, database_key(key).as_str()))?;
    let transaction = connection.transaction()?;
    for table in kept_tables(&transaction)? {
        transaction.execute(&format!("INSERT INTO main.{table} SELECT * FROM live.{table}"), [])?;
    }
    let shown = transaction.query_row("SELECT count(*) FROM messages WHERE place IS NOT NULL", [], |row| row.get(0))?;
    leave_device(&transaction, &mark.owner)?;
    transaction.execute(
        "INSERT INTO backup (id, owner, install, made_at_ms) VALUES (1, ?1, ?2, ?3)",
        (mark.owner, mark.install.to_bytes(), mark.made_at_ms),
    )?;
    transaction.commit()?;
    connection.execute("DETACH live", [])?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(shown)
}

/// Returns which backup a file is. Nothing else of it is looked at.
pub(crate) fn read_mark(file: &Path, key: &SecretKey) -> Result<BackupMark, StoreError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    mark_of(&unlock(connection, &backup_key(key))?)
}

/// Makes a database out of a backup for a new installation, beside the place where it belongs. What was not known to have
/// arrived is there, to be sent again by hand.
pub(crate) fn prepare_restored(
    file: &Path,
    key: &SecretKey,
    database: &Path,
    install: Install,
) -> Result<(), StoreError> {
    remove_unfinished(database).map_err(StoreError::NotMade)?;
    let prepared = prepare(file, key, &unfinished(database), install);
    if prepared.is_err() {
        // The first error is the one that counts.
        let _ = remove_unfinished(database);
    }
    prepared
}

/// Puts a database that was prepared where it belongs: from now on it is the account's.
pub(crate) fn put_in_place(database: &Path) -> Result<(), StoreError> {
    rename_durably(&unfinished(database), database).map_err(StoreError::NotMade)
}

impl super::Store {
    /// Returns which backup the database was restored from, if it was.
    pub(crate) async fn restored_from(&self) -> Result<Option<BackupMark>, StoreError> {
        self.read(find_mark).await
    }
}

/// Derives the key of backups from the seed.
fn backup_key(key: &SecretKey) -> Zeroizing<String> {
    file_key(key, b"kez/backup/1")
}

/// Lists the attached database's tables that are kept.
fn kept_tables(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = db.prepare(
        "SELECT name FROM live.sqlite_schema
         WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB ?1 ORDER BY name",
    )?;
    let names = statement.query_map([INDEX], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(names.into_iter().filter(|name| !LEFT_OUT.contains(&name.as_str())).collect())
}

/// Leaves behind, in a copy, what only the device can go on with.
fn leave_device(db: &Connection, owner: &[u8; 32]) -> Result<(), StoreError> {
    // Receipts are written anew where they are asked for. Of messages nobody knows whether they went out meanwhile: two
    // devices must not send them both by themselves.
    db.execute("DELETE FROM outbox WHERE NOT awaits_receipt", [])?;
    db.execute("UPDATE outbox SET sent = 2, handed_over = 1", [])?;
    db.execute(
        "UPDATE messages SET state = ?2 WHERE author = ?1 AND state < ?2 AND id IN (SELECT message_id FROM outbox)",
        (owner, MessageState::Unconfirmed.to_stored()),
    )?;
    // An event of our chain that nobody has seen may still be let out from there, with another one before it.
    db.execute("DELETE FROM chain_events WHERE NOT uploaded", [])?;
    // What has not been handled is no news any more.
    db.execute(
        "UPDATE events SET body = json_set(body, '$.earlier', json('true'))
         WHERE json_valid(body) AND json_type(body, '$.earlier') = 'false'",
        [],
    )?;
    Ok(())
}

fn prepare(file: &Path, key: &SecretKey, new: &Path, install: Install) -> Result<(), StoreError> {
    copy_private(file, new).map_err(StoreError::NotMade)?;
    let mut connection = unlock(Connection::open(new)?, &backup_key(key))?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    mark_of(&connection)?;
    check_whole(&connection)?;
    schema::migrate(&mut connection, schema::KNOWN)?;
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT INTO account (id, install, born_at_ms, backed_up) VALUES (1, ?1, 0, 1)",
        [install.to_bytes()],
    )?;
    take_over_unnumbered(&transaction, install)?;
    transaction.commit()?;
    connection.pragma_update(None, "rekey", database_key(key).as_str())?;
    connection.close().map_err(|(_, error)| error)?;
    OpenOptions::new().write(true).open(new).and_then(|file| file.sync_all()).map_err(StoreError::NotMade)
}

/// Copies a file to one that is not there, readable by its owner only.
fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::copy(&mut fs::File::open(from)?, &mut options.open(to)?).map(drop)
}

/// Gives messages that got no number yet to the installation that will number them.
fn take_over_unnumbered(db: &Connection, install: Install) -> Result<(), StoreError> {
    let rows = db
        .prepare("SELECT row, message_id, payload FROM outbox WHERE NOT numbered")?
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 16]>(1)?, row.get::<_, Vec<u8>>(2)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    for (row, id, bytes) in rows {
        let mut payload = decode(&bytes)?;
        payload.install = install;
        let bytes = payload.encode().map_err(StoreError::damaged)?;
        db.execute("UPDATE outbox SET payload = ?2 WHERE row = ?1", (row, &**bytes))?;
        db.execute("UPDATE messages SET payload = ?2 WHERE id = ?1 AND author <> peer", (id, &**bytes))?;
    }
    Ok(())
}

/// Reads every page.
fn check_whole(db: &Connection) -> Result<(), StoreError> {
    for check in ["PRAGMA cipher_integrity_check", "PRAGMA integrity_check(1)"] {
        let fault: Option<String> = db.query_row(check, [], |row| row.get(0)).optional()?;
        if let Some(fault) = fault.filter(|fault| fault != "ok") {
            return Err(StoreError::damaged(fault));
        }
    }
    Ok(())
}

fn mark_of(db: &Connection) -> Result<BackupMark, StoreError> {
    let found = schema::version(db)?;
    if found > schema::KNOWN {
        return Err(StoreError::TooNew { found, known: schema::KNOWN });
    }
    // One without the table was written by somebody else, or not to its end.
    let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'backup')";
    let mark = if db.query_row(is_there, [], |row| row.get(0))? { find_mark(db)? } else { None };
    mark.ok_or_else(|| StoreError::damaged("it is no backup"))
}

fn find_mark(db: &Connection) -> Result<Option<BackupMark>, StoreError> {
    let mark = db.query_row("SELECT owner, install, made_at_ms FROM backup", [], |row| {
        let install = Install::from_bytes(row.get(1)?);
        Ok(BackupMark { owner: row.get(0)?, install, made_at_ms: row.get(2)? })
    });
    Ok(mark.optional()?)
}
