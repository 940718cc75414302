//! What the person publishes, for whom, and what of it the sigchain says.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use kez_core::{
    filecrypt::FileKey,
    identity::PrimaryKey,
    manifest::{
        Access, Collection, Details, Draft, EntryId, MAX_ENTRIES, MAX_MANIFEST_BYTES, ManifestError, Thumbnail,
    },
    payload::{FileEntry, SharePath},
    sigchain::SharedFiles,
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{OwnFile, Store, StoreError, events, own_shares, unshare::forget_unused};
use crate::{account::OwnChainNotice, event::Event, files::FilesError, keys::checked};

/// What a manifest takes before its first entry.
const HEAD_BYTES: usize = 81;

/// Whom a published blob is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) anybody: bool,
    /// By the bytes of their keys: they are compared, and nothing else.
    pub(crate) readers: BTreeSet<[u8; 32]>,
}

impl Audience {
    pub(crate) fn has(&self, reader: &[u8; 32]) -> bool {
        self.anybody || self.readers.contains(reader)
    }
}

/// An entry to publish, with everything that whoever reads it may fetch: the file, its picture, the files of a folder.
#[derive(Clone)]
pub(crate) struct NewEntry {
    pub(crate) draft: Draft,
    pub(crate) files: Vec<OwnFile>,
}

/// How far publishing has come.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    /// How often what is published was changed.
    pub(crate) changes: u64,
    /// Whether nothing is published any more.
    pub(crate) is_empty: bool,
    /// The last version that was seen on the sigchain after it was made here.
    pub(crate) settled_version: u64,
    /// When that was, by our own clock; 0 if there is none.
    pub(crate) settled_at_ms: u64,
    /// The manifests that were made here and not let go.
    pub(crate) manifests: Vec<ManifestRow>,
}

/// A manifest that was made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ManifestRow {
    pub(crate) version: u64,
    /// Nothing, if it says that nothing is published.
    pub(crate) hash: Option<[u8; 32]>,
    /// The last change that is in it.
    pub(crate) change: u64,
    /// Whether some entry in it is public.
    pub(crate) is_public: bool,
    /// Whether it takes the place of one that is not here: a lost device had made it.
    pub(crate) replaces_lost: bool,
}

impl Store {
    /// Publishes entries.
    pub(crate) async fn keep_published(&self, entries: Vec<NewEntry>) -> Result<(), FilesError> {
        self.transact(move |db| {
            entries.iter().try_for_each(|entry| insert(db, entry))?;
            note_change(db)?;
            check_room(db)
        })
        .await
    }

    /// Takes an entry back, and returns its blobs.
    pub(crate) async fn unpublish(&self, id: EntryId) -> Result<Option<Vec<[u8; 32]>>, StoreError> {
        self.transact(move |db| {
            let blobs = blobs_of(db, id)?;
            if db.execute("DELETE FROM published WHERE id = ?1", [id.0])? == 0 {
                return Ok(None);
            }
            forget_unused(db, &blobs)?;
            note_change(db)?;
            Ok(Some(blobs))
        })
        .await
    }

    /// Changes whom an entry is for, and returns its blobs.
    pub(crate) async fn set_published_access(
        &self,
        id: EntryId,
        access: Access,
    ) -> Result<Option<Vec<[u8; 32]>>, FilesError> {
        self.transact(move |db| {
            let update = "UPDATE published SET is_public = ?2, access_bytes = ?3 WHERE id = ?1";
            let row = (id.0, matches!(access, Access::Public), access_bytes(&access));
            if db.execute(update, row).map_err(StoreError::from)? == 0 {
                return Ok(None);
            }
            db.execute("DELETE FROM published_readers WHERE entry = ?1", [id.0]).map_err(StoreError::from)?;
            insert_readers(db, id, &access)?;
            note_change(db)?;
            check_room(db)?;
            Ok(Some(blobs_of(db, id)?))
        })
        .await
    }

    /// Lists what is published, oldest first.
    pub(crate) async fn published(&self) -> Result<Vec<Draft>, StoreError> {
        self.read(drafts).await
    }

    /// Returns what is published, and how often it was changed until then.
    pub(crate) async fn collection(&self) -> Result<(u64, Collection), StoreError> {
        self.read(|db| {
            let mut collection = Collection::new();
            for draft in drafts(db)? {
                collection.put(draft).map_err(StoreError::damaged)?;
            }
            Ok((publication(db)?.changes, collection))
        })
        .await
    }

    /// Returns how far publishing has come.
    pub(crate) async fn publication(&self) -> Result<Publication, StoreError> {
        self.read(publication).await
    }

    /// Keeps that a manifest was made, before the sigchain says so.
    pub(crate) async fn begin_manifest(&self, row: ManifestRow) -> Result<(), StoreError> {
        self.transact(move |db| {
            db.execute(
                "INSERT INTO manifests (version, hash, change, is_public, replaces_lost) VALUES (?1, ?2, ?3, ?4, ?5)",
                (row.version, row.hash, row.change, row.is_public, row.replaces_lost),
            )?;
            Ok(())
        })
        .await
    }

    /// Notes that the sigchain says a manifest that was made here, and forgets the others, whose blobs are returned.
    /// Whoever's lost device had made the one before is told.
    pub(crate) async fn settle_manifest(&self, version: u64, now_ms: u64) -> Result<Vec<[u8; 32]>, StoreError> {
        self.transact(move |db| {
            let is_new = db.execute(
                "UPDATE publication SET settled_version = ?1, settled_at_ms = ?2 WHERE settled_version <> ?1",
                (version, now_ms),
            )? > 0;
            let replaces_lost = "SELECT replaces_lost FROM manifests WHERE version = ?1";
            if is_new && db.query_row(replaces_lost, [version], |row| row.get(0)).optional()?.unwrap_or(false) {
                events::push(db, &Event::OwnChain { notice: OwnChainNotice::PublishedFilesLost { version } })?;
            }
            let mut statement = db.prepare_cached("DELETE FROM manifests WHERE version <> ?1 RETURNING hash")?;
            let hashes = statement.query_map([version], |row| row.get(0))?.collect::<Result<Vec<Option<_>>, _>>()?;
            Ok(hashes.into_iter().flatten().collect())
        })
        .await
    }

    /// Returns whom a blob is published for.
    pub(crate) async fn audience(&self, blob_hash: [u8; 32]) -> Result<Audience, StoreError> {
        self.read(move |db| audience(db, &blob_hash)).await
    }

    /// Returns whom each published blob is for, files and manifests apart.
    pub(crate) async fn audiences(&self) -> Result<[HashMap<[u8; 32], Audience>; 2], StoreError> {
        self.read(|db| {
            let mut files = HashMap::<_, Audience>::new();
            let mut statement = db.prepare(
                "SELECT published_blobs.blob_hash, is_public, reader FROM published_blobs
                 JOIN published ON published.id = published_blobs.entry
                 LEFT JOIN published_readers ON published_readers.entry = published.id",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let audience = files.entry(row.get(0)?).or_default();
                audience.anybody |= row.get::<_, bool>(1)?;
                audience.readers.extend(row.get::<_, Option<[u8; 32]>>(2)?);
            }
            let mut manifests = HashMap::new();
            for hash in publication(db)?.manifests.iter().filter_map(|row| row.hash) {
                manifests.insert(hash, audience(db, &hash)?);
            }
            Ok([files, manifests])
        })
        .await
    }

    /// Tells which of these blobs no entry has any more.
    pub(crate) async fn unpublished_of(&self, blobs: Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, StoreError> {
        self.read(move |db| {
            let mut statement =
                db.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM published_blobs WHERE blob_hash = ?1)")?;
            let mut over = Vec::new();
            for blob in blobs {
                if statement.query_row([blob], |row| row.get(0))? {
                    over.push(blob);
                }
            }
            Ok(over)
        })
        .await
    }
}

impl Publication {
    /// Finds the manifest that the sigchain says, if it was made here.
    pub(crate) fn said(&self, says: Option<&SharedFiles>) -> Option<ManifestRow> {
        let says = says?;
        self.manifests.iter().copied().find(|row| (row.version, row.hash) == (says.version, says.manifest))
    }

    /// Tells whether it was noted that the sigchain says its manifest, where that was made here.
    pub(crate) fn is_settled(&self, says: Option<&SharedFiles>) -> bool {
        self.said(says).is_none_or(|row| row.version == self.settled_version)
    }

    /// Tells whether the sigchain says what is published now.
    pub(crate) fn is_said(&self, says: Option<&SharedFiles>) -> bool {
        match says.and_then(|says| says.manifest) {
            None => self.is_empty,
            Some(_) => self.said(says).is_some_and(|row| row.change == self.changes),
        }
    }
}

/// Takes somebody away from all that is published, and forgets what they publish: they are no contact any more.
pub(super) fn forget(db: &Connection, who: &[u8; 32]) -> Result<(), StoreError> {
    db.execute("DELETE FROM browsed WHERE owner = ?1", [who])?;
    match db.execute("DELETE FROM published_readers WHERE reader = ?1", [who])? {
        0 => Ok(()),
        _ => note_change(db),
    }
}

fn note_change(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute("UPDATE publication SET changes = changes + 1", []).map(drop)?)
}

/// Refuses what no manifest has room for.
fn check_room(db: &Connection) -> Result<(), FilesError> {
    let sum = "SELECT count(*), coalesce(sum(access_bytes + details_bytes), 0) FROM published";
    let (entries, bytes): (usize, usize) =
        db.query_row(sum, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(StoreError::from)?;
    if entries > MAX_ENTRIES {
        return Err(ManifestError::BadField { field: "number of entries" }.into());
    }
    if HEAD_BYTES + bytes > MAX_MANIFEST_BYTES {
        return Err(ManifestError::BadField { field: "length" }.into());
    }
    Ok(())
}

/// Returns how many bytes of a manifest an entry takes for its readers (`docs/PROTOCOL.md` §9).
fn access_bytes(access: &Access) -> usize {
    match access {
        Access::Public => 32,
        Access::Readers(readers) => 2 + 64 * readers.len().next_power_of_two(),
    }
}

/// Returns how many it takes for all else, at most.
fn details_bytes(file: &FileEntry) -> usize {
    // Hashes and keys of file and thumbnail, numbers, lengths and the padding's first byte.
    let said = file.path.as_str().len() + file.media_type.len() + 5 * 32 + 50;
    16 + 1 + 4 + said.next_multiple_of(256) + 16
}

fn insert(db: &Connection, NewEntry { draft, files }: &NewEntry) -> Result<(), StoreError> {
    let Draft { id, access, details: Details { file, shared_at_ms, thumbnail } } = draft;
    db.prepare_cached(
        "INSERT INTO published (id, path, media_type, blob_hash, file_key, plain_hash, plain_len, shared_at_ms,
            is_public, thumb_hash, thumb_key, thumb_len, access_bytes, details_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute((
        id.0,
        file.path.as_str(),
        &file.media_type,
        file.blob_hash,
        file.key.expose_bytes(),
        file.plain_hash,
        file.plain_len,
        shared_at_ms,
        matches!(access, Access::Public),
        thumbnail.as_ref().map(|thumbnail| thumbnail.blob_hash),
        thumbnail.as_ref().map(|thumbnail| thumbnail.key.expose_bytes()),
        thumbnail.as_ref().map(|thumbnail| thumbnail.plain_len),
        access_bytes(access),
        details_bytes(file),
    ))?;
    let mut statement =
        db.prepare_cached("INSERT OR IGNORE INTO published_blobs (entry, blob_hash) VALUES (?1, ?2)")?;
    for file in files {
        own_shares::keep(db, file)?;
        statement.execute((id.0, file.blob_hash))?;
    }
    insert_readers(db, *id, access)
}

fn insert_readers(db: &Connection, id: EntryId, access: &Access) -> Result<(), StoreError> {
    let Access::Readers(readers) = access else { return Ok(()) };
    let mut statement = db.prepare_cached("INSERT INTO published_readers (entry, reader) VALUES (?1, ?2)")?;
    readers.iter().try_for_each(|reader| Ok(statement.execute((id.0, reader.as_bytes())).map(drop)?))
}

fn blobs_of(db: &Connection, id: EntryId) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut statement = db.prepare_cached("SELECT blob_hash FROM published_blobs WHERE entry = ?1")?;
    let blobs = statement.query_map([id.0], |row| row.get(0))?;
    Ok(blobs.collect::<Result<_, _>>()?)
}

fn audience(db: &Connection, blob_hash: &[u8; 32]) -> Result<Audience, StoreError> {
    let is_public_manifest = db
        .prepare_cached("SELECT is_public FROM manifests WHERE hash = ?1")?
        .query_row([blob_hash], |row| row.get::<_, bool>(0))
        .optional()?;
    // A manifest is for everybody who reads any entry.
    let (is_public, readers) = match is_public_manifest {
        Some(true) => ("EXISTS (SELECT 1 FROM published WHERE is_public)", "?1 NOTNULL"),
        Some(false) => ("0", "?1 NOTNULL"),
        None => (
            "EXISTS (SELECT 1 FROM published_blobs AS held JOIN published ON id = entry
                WHERE held.blob_hash = ?1 AND is_public)",
            "entry IN (SELECT entry FROM published_blobs WHERE blob_hash = ?1)",
        ),
    };
    let anybody =
        db.prepare_cached(&format!("SELECT {is_public} WHERE ?1 NOTNULL"))?.query_row([blob_hash], |row| row.get(0))?;
    let mut statement = db.prepare_cached(&format!("SELECT DISTINCT reader FROM published_readers WHERE {readers}"))?;
    let readers = statement.query_map([blob_hash], |row| row.get(0))?;
    Ok(Audience { anybody, readers: readers.collect::<Result<_, _>>()? })
}

fn publication(db: &Connection) -> Result<Publication, StoreError> {
    let (changes, settled_version, settled_at_ms, is_empty) = db
        .prepare_cached(
            "SELECT changes, settled_version, settled_at_ms, NOT EXISTS (SELECT 1 FROM published) FROM publication",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let mut statement =
        db.prepare_cached("SELECT version, hash, change, is_public, replaces_lost FROM manifests ORDER BY version")?;
    let manifests = statement.query_map([], |row| {
        Ok(ManifestRow {
            version: row.get(0)?,
            hash: row.get(1)?,
            change: row.get(2)?,
            is_public: row.get(3)?,
            replaces_lost: row.get(4)?,
        })
    })?;
    let manifests = manifests.collect::<Result<_, _>>()?;
    Ok(Publication { changes, is_empty, settled_version, settled_at_ms, manifests })
}

fn drafts(db: &Connection) -> Result<Vec<Draft>, StoreError> {
    let mut readers = HashMap::<[u8; 16], Vec<PrimaryKey>>::new();
    let mut statement = db.prepare("SELECT entry, reader FROM published_readers ORDER BY entry, reader")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let reader = checked(&row.get(1)?).map_err(StoreError::damaged)?;
        readers.entry(row.get(0)?).or_default().push(reader);
    }
    let mut statement = db.prepare("SELECT * FROM published ORDER BY shared_at_ms, id")?;
    let drafts = statement.query_map([], |row| Ok((row.get("is_public")?, id_of(row)?, details(row)?)))?;
    drafts
        .map(|draft| {
            let (is_public, id, details) = draft?;
            let listed = |readers: Option<Vec<_>>| Access::Readers(readers.unwrap_or_default());
            let access = if is_public { Access::Public } else { listed(readers.remove(&id.0)) };
            Ok(Draft { id, access, details: details? })
        })
        .collect()
}

fn id_of(row: &Row<'_>) -> rusqlite::Result<EntryId> {
    row.get("id").map(EntryId)
}

/// Reads what an entry says; the inner result is whether it is what was once written.
fn details(row: &Row<'_>) -> rusqlite::Result<Result<Details, StoreError>> {
    let path: String = row.get("path")?;
    let thumbnail = match row.get("thumb_hash")? {
        Some(blob_hash) => Some(Thumbnail {
            blob_hash,
            key: FileKey::from_bytes(row.get("thumb_key")?),
            plain_len: row.get("thumb_len")?,
        }),
        None => None,
    };
    let (media_type, blob_hash, plain_hash) = (row.get("media_type")?, row.get("blob_hash")?, row.get("plain_hash")?);
    let (key, plain_len) = (FileKey::from_bytes(row.get("file_key")?), row.get("plain_len")?);
    let shared_at_ms = row.get("shared_at_ms")?;
    Ok(SharePath::parse(&path).map_err(StoreError::damaged).map(|path| Details {
        file: FileEntry { path, media_type, blob_hash, key, plain_hash, plain_len },
        shared_at_ms,
        thumbnail,
    }))
}
