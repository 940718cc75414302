//! Files that we hold ready for others: the blobs, who may fetch them, and which message told them.

use std::collections::HashSet;

use kez_core::{
    filecrypt::{FileKey, SEGMENT_BYTES, TAG_BYTES},
    identity::PrimaryKey,
    manifest::EntryId,
    payload::{FileEntry, MessageId, SharePath},
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Draft, Store, StoreError, contacts, outbox, unshare};
use crate::{
    conversation::SendError,
    event::{Peer, SharedFile},
    files::{BadFile, HeldFor, OwnShareId},
    keys::checked,
};

/// What tells a file that was not changed, as [`crate::files`] makes it.
type StampBytes = [u8; 40];

/// What somebody may not fetch any more.
pub(crate) type LostRights = (PrimaryKey, Vec<[u8; 32]>);

/// A file of our own, sealed in the local blob store.
#[derive(Clone)]
pub(crate) struct OwnFile {
    pub(crate) blob_hash: [u8; 32],
    pub(crate) key: FileKey,
    pub(crate) plain_hash: [u8; 32],
    pub(crate) plain_len: u64,
    /// Where it lies on this device, if that can be written down.
    pub(crate) source: Option<String>,
    /// What tells that it was not changed since, if anything does.
    pub(crate) stamp: Option<StampBytes>,
}

/// A file of a share, under the name that its readers see.
#[derive(Clone)]
pub(crate) struct ShareFile {
    pub(crate) file: OwnFile,
    pub(crate) path: SharePath,
    pub(crate) media_type: String,
    /// Whether it stands in the share's folder list, not in the message.
    pub(crate) is_listed: bool,
}

/// A share as the person sees it.
pub(crate) struct OwnShareRow {
    pub(crate) id: OwnShareId,
    pub(crate) shared_at_ms: u64,
    pub(crate) readers: Vec<Peer>,
    /// As they were announced.
    pub(crate) files: Vec<SharedFile>,
    /// Of all files, those in a folder list included.
    pub(crate) file_count: u64,
    pub(crate) total_bytes: u64,
}

impl OwnFile {
    /// Takes what is known of a file of which nobody knows where it lay.
    pub(crate) fn of(entry: &FileEntry) -> Self {
        let FileEntry { blob_hash, key, plain_hash, plain_len, .. } = entry.clone();
        Self { blob_hash, key, plain_hash, plain_len, source: None, stamp: None }
    }
}

impl ShareFile {
    pub(crate) fn entry(&self) -> FileEntry {
        FileEntry {
            path: self.path.clone(),
            media_type: self.media_type.clone(),
            blob_hash: self.file.blob_hash,
            key: self.file.key.clone(),
            plain_hash: self.file.plain_hash,
            plain_len: self.file.plain_len,
        }
    }
}

impl Store {
    /// Keeps files of our own and who may fetch them, and queues the announcements to them: all or nothing.
    pub(crate) async fn keep_share(
        &self,
        files: Vec<ShareFile>,
        shared_at_ms: u64,
        announcements: Vec<Draft>,
    ) -> Result<OwnShareId, SendError> {
        self.transact(move |db| {
            let share = insert(db, &files, shared_at_ms)?;
            for announcement in announcements {
                if outbox::named(db, &announcement.own, &announcement.id)?.is_some() {
                    return Err(SendError::NameTaken(announcement.id));
                }
                db.prepare_cached("INSERT INTO share_readers (share, reader, message_id) VALUES (?1, ?2, ?3)")
                    .and_then(|mut statement| {
                        statement.execute((share, announcement.recipient.as_bytes(), announcement.id.0))
                    })
                    .map_err(StoreError::from)?;
                outbox::queue(db, announcement)?;
            }
            Ok(OwnShareId(share))
        })
        .await
    }

    /// Looks for a share by its announcements. Tells how many of them there are or were, and returns the share if it has not
    /// ended for all of their readers.
    pub(crate) async fn announced(
        &self,
        own: PrimaryKey,
        announcements: Vec<(PrimaryKey, MessageId)>,
    ) -> Result<(usize, Option<OwnShareRow>), StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT id, shared_at_ms FROM shares JOIN share_readers ON share = id WHERE reader = ?1 AND message_id = ?2",
            )?;
            let (mut told, mut share) = (0, None);
            for (reader, message) in announcements {
                told += usize::from(outbox::named(db, &own, &message)?.is_some());
                let found = statement.query_row((reader.as_bytes(), message.0), |row| Ok((row.get(0)?, row.get(1)?)));
                share = share.or(found.optional()?);
            }
            Ok((told, share.map(|(id, shared_at_ms)| own_share(db, id, shared_at_ms)).transpose()?))
        })
        .await
    }

    /// Looks for blobs that were made of these very files as they are now, each by its path and what tells that it was not
    /// changed.
    pub(crate) async fn sealed_before(
        &self,
        sources: Vec<Option<(String, StampBytes)>>,
    ) -> Result<Vec<Option<OwnFile>>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!("{OWN_FILE} WHERE source = ?1 AND stamp = ?2 LIMIT 1"))?;
            let find = |source: Option<(String, StampBytes)>| -> Result<Option<OwnFile>, StoreError> {
                let Some(source) = source else { return Ok(None) };
                Ok(statement.query_row(source, own_file).optional()?)
            };
            sources.into_iter().map(find).collect()
        })
        .await
    }

    /// Notes that a blob is not what it was, so that its file is sealed anew when it is shared again.
    pub(crate) async fn distrust(&self, blob_hash: [u8; 32]) -> Result<(), StoreError> {
        let forget = "UPDATE own_files SET stamp = NULL WHERE blob_hash = ?1";
        self.transact(move |db| Ok(db.execute(forget, [blob_hash]).map(drop)?)).await
    }

    /// Tells whether anybody may fetch anything.
    pub(crate) async fn shares_anything(&self) -> Result<bool, StoreError> {
        self.read(|db| {
            Ok(db.query_row(
                "SELECT EXISTS (SELECT 1 FROM share_readers) OR EXISTS (SELECT 1 FROM published)",
                [],
                |row| row.get(0),
            )?)
        })
        .await
    }

    /// Lists who may fetch which blob. Who is blocked may again when they no longer are.
    pub(crate) async fn file_readers(&self) -> Result<Vec<(PrimaryKey, [u8; 32])>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
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

    /// Lists what somebody may fetch now.
    pub(crate) async fn readable_by(&self, reader: PrimaryKey) -> Result<HashSet<[u8; 32]>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT blob_hash FROM file_readers WHERE reader = ?1 AND reader NOT IN (SELECT owner FROM blocked)",
            )?;
            Ok(statement.query_map([reader.as_bytes()], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Lists the blobs of what is shared.
    pub(crate) async fn shared_blobs(&self) -> Result<HashSet<[u8; 32]>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT DISTINCT blob_hash FROM share_files")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Lists our own files: what is shared, and what is published.
    pub(crate) async fn own_files(&self) -> Result<Vec<OwnFile>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(OWN_FILE)?;
            Ok(statement.query_map([], own_file)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns how many bytes the blobs of our own files take.
    pub(crate) async fn own_bytes(&self) -> Result<u64, StoreError> {
        self.read(|db| {
            let query = "SELECT coalesce(sum(plain_len + ?2 * max(1, (plain_len + ?1 - 1) / ?1)), 0) FROM own_files";
            Ok(db.query_row(query, [SEGMENT_BYTES, TAG_BYTES], |row| row.get(0))?)
        })
        .await
    }

    /// Lists what we hold ready, oldest first.
    pub(crate) async fn own_shares(&self) -> Result<Vec<OwnShareRow>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT id, shared_at_ms FROM shares ORDER BY id")?;
            let mut rows = statement.query([])?;
            let mut shares = Vec::new();
            while let Some(row) = rows.next()? {
                shares.push(own_share(db, row.get(0)?, row.get(1)?)?);
            }
            Ok(shares)
        })
        .await
    }

    /// Ends a share for one of its readers, or for all, and takes back the announcements that were not sent yet. Returns what
    /// each of them may not fetch any more; nothing if there is no such share with them.
    pub(crate) async fn unshare(
        &self,
        own: PrimaryKey,
        share: OwnShareId,
        reader: Option<PrimaryKey>,
    ) -> Result<Option<Vec<LostRights>>, StoreError> {
        self.transact(move |db| {
            let told = readers(db, share.0)?;
            let told: Vec<_> = told.into_iter().filter(|(who, _)| reader.is_none_or(|reader| reader == *who)).collect();
            let mut lost = Vec::with_capacity(told.len());
            for (who, message) in &told {
                if let Some(id) = message {
                    outbox::cancel(db, &own, who, id)?;
                }
                lost.push((*who, unshare::end(db, share.0, who.as_bytes())?));
            }
            Ok(Some(lost).filter(|lost| !lost.is_empty()))
        })
        .await
    }

    /// Lists what can't be delivered without a blob. A picture stands for its file, and what is listed in a folder that is
    /// published for the folder.
    pub(crate) async fn uses(&self, blob_hash: [u8; 32]) -> Result<Vec<BadFile>, StoreError> {
        self.read(move |db| {
            let mut shared = db.prepare_cached(
                "SELECT path, media_type, plain_len, share FROM share_files JOIN own_files USING (blob_hash)
                 WHERE blob_hash = ?1 ORDER BY share, place",
            )?;
            let mut published = db.prepare_cached(
                "SELECT path, media_type, plain_len, id FROM published
                 WHERE id IN (SELECT entry FROM published_blobs WHERE blob_hash = ?1) ORDER BY shared_at_ms, id",
            )?;
            let shares = shared.query_map([blob_hash], |row| {
                Ok(BadFile { held_for: HeldFor::Share(OwnShareId(row.get(3)?)), file: shared_file(row)? })
            })?;
            let entries = published.query_map([blob_hash], |row| {
                Ok(BadFile { held_for: HeldFor::Published(EntryId(row.get(3)?)), file: shared_file(row)? })
            })?;
            Ok(shares.chain(entries).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the entries of the folder list that a blob is; none for a file.
    pub(crate) async fn listed_in(&self, blob_hash: [u8; 32]) -> Result<Vec<FileEntry>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT blob_hash, file_key, plain_hash, plain_len, source, stamp, path, media_type
                 FROM share_files JOIN own_files USING (blob_hash)
                 WHERE is_listed AND share = (SELECT share FROM share_files WHERE blob_hash = ?1 AND NOT is_listed LIMIT 1)
                 ORDER BY place",
            )?;
            let rows = statement
                .query_map([blob_hash], |row| Ok((own_file(row)?, row.get::<_, String>(6)?, row.get::<_, String>(7)?)))?;
            rows.map(|row| {
                let (file, path, media_type) = row?;
                let path = SharePath::parse(&path).map_err(StoreError::damaged)?;
                Ok(ShareFile { file, path, media_type, is_listed: true }.entry())
            })
            .collect()
        })
        .await
    }
}

const OWN_FILE: &str = "SELECT blob_hash, file_key, plain_hash, plain_len, source, stamp FROM own_files";

fn own_file(row: &Row<'_>) -> rusqlite::Result<OwnFile> {
    Ok(OwnFile {
        blob_hash: row.get(0)?,
        key: FileKey::from_bytes(row.get(1)?),
        plain_hash: row.get(2)?,
        plain_len: row.get(3)?,
        source: row.get(4)?,
        stamp: row.get(5)?,
    })
}

fn shared_file(row: &Row<'_>) -> rusqlite::Result<SharedFile> {
    Ok(SharedFile { path: row.get(0)?, media_type: row.get(1)?, size_bytes: row.get(2)? })
}

/// Keeps a file of our own, unless it is there already.
pub(super) fn keep(db: &Connection, file: &OwnFile) -> Result<(), StoreError> {
    let OwnFile { blob_hash, key, plain_hash, plain_len, source, stamp } = file;
    db.prepare_cached(
        "INSERT INTO own_files (blob_hash, file_key, plain_hash, plain_len, source, stamp) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO NOTHING",
    )?
    .execute((blob_hash, key.expose_bytes(), plain_hash, plain_len, source, stamp))?;
    Ok(())
}

fn insert(db: &Connection, files: &[ShareFile], shared_at_ms: u64) -> Result<i64, StoreError> {
    let share = db
        .prepare_cached("INSERT INTO shares (shared_at_ms) VALUES (?1) RETURNING id")?
        .query_row([shared_at_ms], |row| row.get(0))?;
    let mut place = db.prepare_cached(
        "INSERT INTO share_files (share, place, blob_hash, path, media_type, is_listed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (index, ShareFile { file, path, media_type, is_listed }) in files.iter().enumerate() {
        keep(db, file)?;
        place.execute((share, index, file.blob_hash, path.as_str(), media_type, is_listed))?;
    }
    Ok(share)
}

fn own_share(db: &Connection, id: i64, shared_at_ms: u64) -> Result<OwnShareRow, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT path, media_type, plain_len FROM share_files JOIN own_files USING (blob_hash)
         WHERE share = ?1 AND NOT is_listed ORDER BY place",
    )?;
    let files = statement.query_map([id], shared_file)?.collect::<Result<Vec<_>, _>>()?;
    // A folder list is no file of the person's: what stands in it is.
    let (file_count, total_bytes) = db
        .prepare_cached(
            "SELECT count(*), coalesce(sum(plain_len), 0) FROM share_files JOIN own_files USING (blob_hash)
             WHERE share = ?1 AND is_listed = (SELECT max(is_listed) FROM share_files WHERE share = ?1)",
        )?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let told = readers(db, id)?;
    let readers = told.iter().map(|(who, _)| contacts::peer(db, who.as_bytes())).collect::<Result<_, _>>()?;
    Ok(OwnShareRow { id: OwnShareId(id), shared_at_ms, readers, files, file_count, total_bytes })
}

/// Lists who may fetch a share's files, and which message told them, if that is known.
fn readers(db: &Connection, share: i64) -> Result<Vec<(PrimaryKey, Option<MessageId>)>, StoreError> {
    let mut statement = db.prepare_cached("SELECT reader, message_id FROM share_readers WHERE share = ?1")?;
    let rows =
        statement.query_map([share], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Option<[u8; 16]>>(1)?)))?;
    rows.map(|row| {
        let (reader, message) = row?;
        Ok((checked(&reader).map_err(StoreError::damaged)?, message.map(MessageId)))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn what_was_shared_before_shares_were_written_down_ends_with_its_message_too() {
        let (own, bob, carol) = ([1_u8; 32], [2_u8; 32], [3_u8; 32]);
        let mut db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "foreign_keys", true).unwrap();
        schema::migrate(&mut db, 1).unwrap();
        for (id, peer, payload) in [(7_u8, bob, [4_u8; 32]), (8, bob, [5; 32]), (9, carol, [5; 32])] {
            let payload: Vec<u8> = [2, 2].into_iter().chain(payload).chain([2]).collect();
            db.execute(
                "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state)
                 VALUES (?1, ?2, ?3, 2, ?4, 1, 1, 0)",
                (own, [id; 16], peer, payload),
            )
            .unwrap();
        }
        // The last of them may not be fetched by anybody.
        for blob in [4_u8, 5, 6] {
            db.execute("INSERT INTO own_files VALUES (?1, ?1, ?1, 4)", [[blob; 32]]).unwrap();
        }
        for (blob, reader) in [(4_u8, bob), (5, bob), (5, carol)] {
            db.execute("INSERT INTO file_readers VALUES (?1, ?2)", ([blob; 32], reader)).unwrap();
        }
        schema::migrate(&mut db, schema::KNOWN).unwrap();

        let count = |table: &str| -> u32 {
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("shares"), count("share_readers"), count("file_readers"), count("own_files")), (2, 3, 3, 2));
        assert!(unshare::end_message(&db, &carol, &[7; 16]).unwrap().is_empty(), "it was not hers");
        assert_eq!(unshare::end_message(&db, &bob, &[7; 16]).unwrap(), [[4; 32]]);
        assert_eq!(unshare::end_message(&db, &bob, &[8; 16]).unwrap(), [[5; 32]]);
        assert_eq!((count("shares"), count("file_readers"), count("own_files")), (1, 1, 1));
        assert_eq!(unshare::end_reader(&db, &carol).unwrap(), [[5; 32]]);
        assert_eq!((count("shares"), count("share_files"), count("own_files")), (0, 0, 0));
    }
}
