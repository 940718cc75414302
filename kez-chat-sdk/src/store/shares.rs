//! Files that we hold ready for others, and files that others offered to us.

use kez_core::{
    filecrypt::FileKey,
    handle::Policy,
    identity::PrimaryKey,
    payload::{Channel, Content, FileShare, Payload},
};
use rusqlite::{Connection, OptionalExtension};

use super::{Draft, Store, StoreError, contacts, outbox::queue};
use crate::{
    conversation::SendError,
    event::{Peer, ShareId},
    keys::checked,
};

/// A file of our own, sealed in the local blob store.
#[derive(Clone, Debug)]
pub(crate) struct OwnFile {
    pub(crate) blob_hash: [u8; 32],
    pub(crate) key: FileKey,
    pub(crate) plain_hash: [u8; 32],
    pub(crate) plain_len: u64,
}

/// An offer of somebody else's.
#[derive(Clone, Debug)]
pub(crate) struct OfferRow {
    pub(crate) id: ShareId,
    pub(crate) from: Peer,
    pub(crate) sent_at_ms: u64,
    pub(crate) share: FileShare,
    pub(crate) fetched: bool,
}

impl Store {
    /// Keeps a file of our own and who may fetch it, and queues the announcements to them: all or nothing.
    pub(crate) async fn keep_own_file(&self, file: OwnFile, announcements: Vec<Draft>) -> Result<(), SendError> {
        self.transact(move |db| {
            insert_own_file(db, &file)?;
            for announcement in announcements {
                allow_reader(db, &file.blob_hash, &announcement.recipient)?;
                queue(db, announcement)?;
            }
            Ok(())
        })
        .await
    }

    /// Tells whether anybody may fetch anything.
    pub(crate) async fn shares_anything(&self) -> Result<bool, StoreError> {
        self.read(|tx| {
            Ok(tx.query_row(
                "SELECT EXISTS (SELECT 1 FROM file_readers) OR EXISTS (SELECT 1 FROM published)",
                [],
                |row| row.get(0),
            )?)
        })
        .await
    }

    /// Lists who may fetch which blob. Who is blocked may again when they no longer are.
    pub(crate) async fn file_readers(&self) -> Result<Vec<(PrimaryKey, [u8; 32])>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT reader, blob_hash FROM file_readers WHERE reader NOT IN (SELECT owner FROM blocked)",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?)))?;
            rows.map(|row| {
                let (reader, hash) = row?;
                Ok((checked(&reader).map_err(StoreError::damaged)?, hash))
            })
            .collect()
        })
        .await
    }

    pub(crate) async fn offers(&self) -> Result<Vec<OfferRow>, StoreError> {
        self.read(|tx| {
            let ids = tx
                .prepare_cached("SELECT id FROM offers ORDER BY id")?
                .query_map([], |row| row.get(0).map(ShareId))?
                .collect::<Result<Vec<_>, _>>()?;
            let offers = ids.into_iter().filter_map(|id| find_offer(tx, id).transpose());
            offers.collect()
        })
        .await
    }

    pub(crate) async fn offer(&self, id: ShareId) -> Result<Option<OfferRow>, StoreError> {
        self.read(move |tx| find_offer(tx, id)).await
    }

    pub(crate) async fn set_fetched(&self, id: ShareId) -> Result<(), StoreError> {
        self.transact(move |tx| Ok(tx.execute("UPDATE offers SET fetched = 1 WHERE id = ?1", [id.0]).map(drop)?)).await
    }
}

fn insert_own_file(db: &Connection, file: &OwnFile) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO own_files (blob_hash, file_key, plain_hash, plain_len) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
        (file.blob_hash, file.key.expose_bytes(), file.plain_hash, file.plain_len),
    )?;
    Ok(())
}

fn allow_reader(db: &Connection, blob_hash: &[u8; 32], reader: &PrimaryKey) -> Result<(), StoreError> {
    db.prepare_cached("INSERT OR IGNORE INTO file_readers (blob_hash, reader) VALUES (?1, ?2)")?
        .execute((blob_hash, reader.as_bytes()))?;
    Ok(())
}

fn find_offer(tx: &Connection, id: ShareId) -> Result<Option<OfferRow>, StoreError> {
    let found = tx
        .query_row(
            "SELECT offers.author, offers.fetched, messages.payload FROM offers
             JOIN messages ON messages.author = offers.author AND messages.id = offers.message_id
             WHERE offers.id = ?1",
            [id.0],
            |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)),
        )
        .optional()?;
    let Some((author, fetched, bytes)) = found else { return Ok(None) };
    let primary = checked(&author).map_err(StoreError::damaged)?;
    let payload = Payload::decode(&bytes, Channel::Inbox, Policy::Development).map_err(StoreError::damaged)?;
    let Content::FileShare(share) = payload.content else {
        return Err(StoreError::Damaged("an offer whose message is no file share".into()));
    };
    let handle = contacts::find(tx, &primary)?.and_then(|contact| contact.handle);
    Ok(Some(OfferRow { id, from: Peer { primary, handle }, sent_at_ms: payload.sent_at_ms, share, fetched }))
}
