//! Downloads: what is being brought here or was, and how far its files came.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use kez_core::{identity::PrimaryKey, manifest::EntryId, payload::FileShare};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Store, StoreError, contacts::peer, events, timeline::Name};
use crate::{
    event::{DownloadId, DownloadOrigin, Event, Peer, ShareId},
    files::DownloadState,
};

/// How many that are over are remembered.
const REMEMBERED: u32 = 200;
/// For how long what came of one that failed is kept, for another try.
const KEPT_MS: u64 = 7 * 86_400_000;

/// The numbers of the states in the database. Those below `DONE` are not over.
const RUNNING: i64 = 0;
const WAITING: i64 = 1;
const DONE: i64 = 2;
const FAILED: i64 = 3;

/// A download that is asked for.
pub(crate) struct NewDownload {
    pub(crate) from: PrimaryKey,
    pub(crate) origin: DownloadOrigin,
    pub(crate) share: FileShare,
    /// Whether the files are all that their origin has.
    pub(crate) is_whole: bool,
    pub(crate) to_dir: String,
    pub(crate) renames: bool,
}

/// A download as it is kept.
pub(crate) struct DownloadRow {
    pub(crate) id: DownloadId,
    pub(crate) from: Peer,
    pub(crate) origin: DownloadOrigin,
    pub(crate) share: FileShare,
    pub(crate) to_dir: PathBuf,
    /// Whether another name is taken where one exists.
    pub(crate) renames: bool,
    /// What its partial files are told by.
    pub(crate) mark: String,
    pub(crate) state: DownloadState,
    /// How often it was tried since something came.
    pub(crate) tries: u32,
    /// When it is tried again at the latest, by our own clock.
    pub(crate) next_try_ms: u64,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// Why a download has stopped, and when it goes on.
pub(crate) struct Pause {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) tries: u32,
    pub(crate) next_try_ms: u64,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// A file's place in a download: of the entry, and in the entry's folder list, from 1; 0 for the entry itself.
pub(crate) type FilePlace = (u32, u32);

impl Store {
    /// Keeps a download that somebody has asked for. One that is not over and is for the same files in the same folder is
    /// that one; one that is over begins again.
    pub(crate) async fn want_download(&self, new: NewDownload, now_ms: u64) -> Result<DownloadId, StoreError> {
        let share = new.share.encode().map_err(StoreError::damaged)?;
        let mut what = blake3::Hasher::new();
        for entry in &new.share.entries {
            what.update(&entry.blob_hash).update(&entry.plain_hash).update(entry.path.as_str().as_bytes()).update(&[0]);
        }
        let what = *what.finalize().as_bytes();
        let total_bytes = to_stored(new.share.entries.iter().fold(0, |sum, entry| entry.plain_len.saturating_add(sum)));
        let mark = format!("{:08x}", rand::random::<u32>());
        self.transact(move |db| {
            let (offer, entry) = columns(new.origin);
            let known: Option<(i64, i64)> = db
                .prepare_cached(
                    "SELECT id, state FROM downloads
                     WHERE peer = ?1 AND offer IS ?2 AND entry IS ?3 AND to_dir = ?4 AND what = ?5",
                )?
                .query_row((new.from.as_bytes(), offer, entry, &new.to_dir, what), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((id, state)) = known {
                if state >= DONE {
                    db.execute(
                        "UPDATE downloads SET state = ?2, code = NULL, message = NULL, paths = NULL, tries = 0,
                            next_try_ms = 0, done_bytes = 0, total_bytes = ?3, share = ?4, renames = ?5,
                            changed_at_ms = ?6
                         WHERE id = ?1",
                        (id, RUNNING, total_bytes, &**share, new.renames, now_ms),
                    )?;
                }
                return Ok(DownloadId(id));
            }
            db.execute(
                "INSERT INTO downloads (peer, offer, entry, what, share, is_whole, to_dir, renames, mark, state,
                    changed_at_ms, total_bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                rusqlite::params![
                    new.from.as_bytes(),
                    offer,
                    entry,
                    what,
                    &**share,
                    new.is_whole,
                    new.to_dir,
                    new.renames,
                    mark,
                    RUNNING,
                    now_ms,
                    total_bytes
                ],
            )?;
            let id = db.last_insert_rowid();
            db.execute(
                "DELETE FROM downloads WHERE state >= ?1 AND id NOT IN
                    (SELECT id FROM downloads WHERE state >= ?1 ORDER BY changed_at_ms DESC, id DESC LIMIT ?2)",
                (DONE, REMEMBERED),
            )?;
            Ok(DownloadId(id))
        })
        .await
    }

    pub(crate) async fn downloads(&self) -> Result<Vec<DownloadRow>, StoreError> {
        self.read(|db| {
            let ids = db
                .prepare_cached("SELECT id FROM downloads ORDER BY id")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()?;
            ids.into_iter().filter_map(|id| find(db, id).transpose()).collect()
        })
        .await
    }

    pub(crate) async fn download(&self, id: DownloadId) -> Result<Option<DownloadRow>, StoreError> {
        self.read(move |db| find(db, id.0)).await
    }

    /// Lists which are not over.
    pub(crate) async fn open_downloads(&self) -> Result<Vec<DownloadId>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT id FROM downloads WHERE state < ?1")?;
            let ids = statement.query_map([DONE], |row| row.get(0).map(DownloadId))?;
            Ok(ids.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Lists of which ones what came is kept, if it is not all.
    pub(crate) async fn kept_downloads(&self, now_ms: u64) -> Result<Vec<i64>, StoreError> {
        self.read(move |db| {
            let mut statement =
                db.prepare_cached("SELECT id FROM downloads WHERE state < ?1 OR (state = ?2 AND changed_at_ms >= ?3)")?;
            let ids = statement.query_map((DONE, FAILED, now_ms.saturating_sub(KEPT_MS)), |row| row.get(0))?;
            Ok(ids.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Notes that a download is being worked on: it goes on by itself if that is cut short. Returns it, if it is there.
    pub(crate) async fn run_download(&self, id: DownloadId, now_ms: u64) -> Result<Option<DownloadRow>, StoreError> {
        self.transact(move |db| {
            db.execute(
                "UPDATE downloads SET state = ?2, code = NULL, message = NULL, changed_at_ms = ?3
                 WHERE id = ?1 AND state <> ?4",
                (id.0, RUNNING, now_ms, DONE),
            )?;
            find(db, id.0)
        })
        .await
    }

    /// Notes that a download waits for its peer.
    pub(crate) async fn pause_download(&self, id: DownloadId, pause: Pause, now_ms: u64) -> Result<(), StoreError> {
        self.transact(move |db| {
            db.execute(
                "UPDATE downloads SET state = ?2, code = ?3, message = ?4, tries = ?5, next_try_ms = ?6,
                    done_bytes = ?7, total_bytes = ?8, changed_at_ms = ?9
                 WHERE id = ?1 AND state < ?10",
                rusqlite::params![
                    id.0,
                    WAITING,
                    pause.code,
                    pause.message,
                    pause.tries,
                    pause.next_try_ms,
                    to_stored(pause.done_bytes),
                    to_stored(pause.total_bytes),
                    now_ms,
                    DONE
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// Notes that all files of a download are here, and tells the application if nobody waits for it.
    pub(crate) async fn finish_download(
        &self,
        id: DownloadId,
        paths: Vec<PathBuf>,
        total_bytes: u64,
        is_told: bool,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.transact(move |db| {
            let stored = serde_json::to_string(&paths).map_err(StoreError::damaged)?;
            let was_there = db.execute(
                "UPDATE downloads SET state = ?2, code = NULL, message = NULL, paths = ?3, done_bytes = ?4,
                    total_bytes = ?4, changed_at_ms = ?5
                 WHERE id = ?1 AND state < ?2",
                (id.0, DONE, stored, to_stored(total_bytes), now_ms),
            )?;
            let Some((from, origin, is_whole)) = origin_of(db, id)?.filter(|_| was_there > 0) else { return Ok(()) };
            db.execute("DELETE FROM download_files WHERE download = ?1", [id.0])?;
            if let (DownloadOrigin::Offer(offer), true) = (origin, is_whole) {
                db.execute("UPDATE offers SET fetched = 1 WHERE id = ?1", [offer.0])?;
            }
            if is_told { events::push(db, &Event::Downloaded { id, origin, from, paths }) } else { Ok(()) }
        })
        .await
    }

    /// Notes that a download has failed for good, and tells the application if nobody waits for it.
    pub(crate) async fn fail_download(
        &self,
        id: DownloadId,
        code: String,
        message: String,
        is_told: bool,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.transact(move |db| {
            let was_there = db.execute(
                "UPDATE downloads SET state = ?2, code = ?3, message = ?4, changed_at_ms = ?5
                 WHERE id = ?1 AND state < ?6",
                (id.0, FAILED, &code, &message, now_ms, DONE),
            )?;
            let found = origin_of(db, id)?.filter(|_| was_there > 0 && is_told);
            let Some((from, origin, _)) = found else { return Ok(()) };
            events::push(db, &Event::DownloadFailed { id, origin, from, code, message })
        })
        .await
    }

    /// Forgets a download; tells whether it was there.
    pub(crate) async fn forget_download(&self, id: DownloadId) -> Result<bool, StoreError> {
        self.transact(move |db| Ok(db.execute("DELETE FROM downloads WHERE id = ?1", [id.0])? > 0)).await
    }

    /// Returns where the files of a download are or were about to be, and whether they certainly are.
    pub(crate) async fn download_files(
        &self,
        id: DownloadId,
    ) -> Result<HashMap<FilePlace, (PathBuf, bool)>, StoreError> {
        self.read(move |db| {
            let mut statement =
                db.prepare_cached("SELECT entry, file, path, delivered FROM download_files WHERE download = ?1")?;
            let read = |row: &Row<'_>| {
                let path = PathBuf::from(row.get::<_, String>(2)?);
                Ok(((row.get(0)?, row.get(1)?), (path, row.get(3)?)))
            };
            Ok(statement.query_map([id.0], read)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Notes where a file is about to be, or is.
    pub(crate) async fn place_download_file(
        &self,
        id: DownloadId,
        (entry, file): FilePlace,
        path: &Path,
        is_delivered: bool,
    ) -> Result<(), StoreError> {
        // All of it is text: the folder is, and names are made here.
        let path = path.to_str().ok_or_else(|| StoreError::damaged("a path that is no text"))?.to_owned();
        let note = move |db: &Connection| {
            // The download may be gone meanwhile.
            let mut statement = db.prepare_cached(
                "INSERT OR REPLACE INTO download_files (download, entry, file, path, delivered)
                 SELECT id, ?2, ?3, ?4, ?5 FROM downloads WHERE id = ?1",
            )?;
            Ok(statement.execute((id.0, entry, file, path, is_delivered)).map(drop)?)
        };
        if is_delivered { self.transact_lazily(note).await } else { self.transact(note).await }
    }
}

/// Ends what is downloaded of an offer that is taken back or erased, and tells of it. The rows go with the offer.
pub(super) fn end_for_offer(db: &Connection, offer: Name) -> Result<(), StoreError> {
    let open = db
        .prepare_cached(
            "SELECT downloads.id FROM downloads JOIN offers ON offers.id = downloads.offer
             WHERE offers.author = ?1 AND offers.message_id = ?2 AND downloads.state < ?3",
        )?
        .query_map((offer.0, offer.1, DONE), |row| row.get(0).map(DownloadId))?
        .collect::<Result<Vec<_>, _>>()?;
    for id in open {
        let Some((from, origin, _)) = origin_of(db, id)? else { continue };
        let message = "the offer was taken back or erased before all of it had come".to_owned();
        events::push(db, &Event::DownloadFailed { id, origin, from, code: "NoSuchOffer".to_owned(), message })?;
    }
    Ok(())
}

/// Ends what is downloaded from somebody who is a contact no more, or blocked: it was the person who said so.
pub(super) fn end_for_peer(db: &Connection, peer: &PrimaryKey) -> Result<(), StoreError> {
    db.execute("DELETE FROM downloads WHERE peer = ?1 AND state < ?2", (peer.as_bytes(), DONE))?;
    Ok(())
}

fn find(db: &Connection, id: i64) -> Result<Option<DownloadRow>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT peer, offer, entry, share, to_dir, renames, mark, state, code, message, tries, next_try_ms, done_bytes,
            total_bytes, paths
         FROM downloads WHERE id = ?1",
    )?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (code, message): (Option<String>, Option<String>) = (row.get(8)?, row.get(9)?);
    let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
    let state = match row.get(7)? {
        RUNNING => DownloadState::Running,
        WAITING => DownloadState::Waiting { code, message },
        DONE => {
            let paths: Option<String> = row.get(14)?;
            let paths = serde_json::from_str(&paths.unwrap_or_default()).map_err(StoreError::damaged)?;
            DownloadState::Done { paths }
        }
        _ => DownloadState::Failed { code, message },
    };
    Ok(Some(DownloadRow {
        id: DownloadId(id),
        from: peer(db, &row.get(0)?)?,
        origin: origin(row.get(1)?, row.get(2)?)?,
        share: FileShare::decode(&row.get::<_, Vec<u8>>(3)?).map_err(StoreError::damaged)?,
        to_dir: row.get::<_, String>(4)?.into(),
        renames: row.get(5)?,
        mark: row.get(6)?,
        state,
        tries: row.get(10)?,
        next_try_ms: row.get(11)?,
        done_bytes: row.get(12)?,
        total_bytes: row.get(13)?,
    }))
}

/// Returns who a download is from, what told of it, and whether it is all of that.
fn origin_of(db: &Connection, id: DownloadId) -> Result<Option<(Peer, DownloadOrigin, bool)>, StoreError> {
    let row = db
        .prepare_cached("SELECT peer, offer, entry, is_whole FROM downloads WHERE id = ?1")?
        .query_row([id.0], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((from, offer, entry, is_whole)) = row else { return Ok(None) };
    Ok(Some((peer(db, &from)?, origin(offer, entry)?, is_whole)))
}

fn columns(origin: DownloadOrigin) -> (Option<i64>, Option<[u8; 16]>) {
    match origin {
        DownloadOrigin::Offer(id) => (Some(id.0), None),
        DownloadOrigin::Published(id) => (None, Some(id.0)),
    }
}

fn origin(offer: Option<i64>, entry: Option<[u8; 16]>) -> Result<DownloadOrigin, StoreError> {
    match (offer, entry) {
        (Some(id), None) => Ok(DownloadOrigin::Offer(ShareId(id))),
        (None, Some(id)) => Ok(DownloadOrigin::Published(EntryId(id))),
        _ => Err(StoreError::damaged("a download of nothing")),
    }
}

/// Others say how long their files are; the database counts to 2^63.
fn to_stored(bytes: u64) -> u64 {
    bytes.min(i64::MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use kez_core::{
        filecrypt::FileKey,
        payload::{Addresses, FileEntry, SharePath},
    };

    use super::*;
    use crate::{
        event::EventId,
        store::timeline::tests::{person, store},
    };

    fn wish(entry: u8, to_dir: &str) -> NewDownload {
        let file = FileEntry {
            path: SharePath::parse("film.bin").unwrap(),
            media_type: String::new(),
            blob_hash: [entry; 32],
            key: FileKey::from_bytes([7; 32]),
            plain_hash: [8; 32],
            plain_len: 1 << 48,
        };
        NewDownload {
            from: person(2),
            origin: DownloadOrigin::Published(EntryId([entry; 16])),
            share: FileShare { entries: vec![file], addresses: Addresses::default() },
            is_whole: true,
            to_dir: to_dir.to_owned(),
            renames: false,
        }
    }

    #[tokio::test]
    async fn the_same_wish_is_one_download_and_one_that_is_over_begins_again() {
        let (_dir, store) = store().await;
        let id = store.want_download(wish(1, "/a"), 1).await.unwrap();
        assert_eq!(store.want_download(wish(1, "/a"), 2).await.unwrap(), id);
        for other in [wish(2, "/a"), wish(1, "/b")] {
            assert_ne!(store.want_download(other, 2).await.unwrap(), id);
        }
        let row = store.run_download(id, 3).await.unwrap().unwrap();
        assert_eq!((row.state, row.total_bytes, row.to_dir), (DownloadState::Running, 1 << 48, "/a".into()));
        assert_eq!(row.share, wish(1, "/a").share);

        // What has failed goes on from where it was.
        store.place_download_file(id, (0, 0), Path::new("/a/film.bin"), false).await.unwrap();
        store.fail_download(id, "Gone".into(), "it is gone".into(), true, 4).await.unwrap();
        store.fail_download(id, "Gone".into(), "it is gone".into(), true, 4).await.unwrap();
        let events = store.events_after(EventId::default(), 9).await.unwrap();
        assert_eq!(events.len(), 1, "it is told once");
        assert!(matches!(&events[0].event, Event::DownloadFailed { code, .. } if code == "Gone"));
        assert_eq!(store.want_download(wish(1, "/a"), 5).await.unwrap(), id);
        assert_eq!(store.download_files(id).await.unwrap().len(), 1);
        store.place_download_file(id, (0, 0), Path::new("/a/film.bin"), true).await.unwrap();
        assert_eq!(store.download_files(id).await.unwrap()[&(0, 0)], ("/a/film.bin".into(), true));
        store.finish_download(id, vec!["/a/film.bin".into()], 1 << 48, false, 6).await.unwrap();
        let state = store.download(id).await.unwrap().unwrap().state;
        assert_eq!(state, DownloadState::Done { paths: vec!["/a/film.bin".into()] });
        assert!(store.download_files(id).await.unwrap().is_empty());
        assert_eq!(store.events_after(EventId::default(), 9).await.unwrap().len(), 1, "whoever waits for it knows");

        assert!(store.forget_download(id).await.unwrap());
        assert!(!store.forget_download(id).await.unwrap());
        store.place_download_file(id, (0, 0), Path::new("/a/film.bin"), true).await.unwrap();
        assert!(store.download_files(id).await.unwrap().is_empty(), "nothing is noted of what is gone");
        assert!(store.run_download(id, 7).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_over_is_not_remembered_for_ever() {
        let (_dir, store) = store().await;
        let first = store.want_download(wish(1, "/first"), 0).await.unwrap();
        for number in 0..u64::from(REMEMBERED) + 5 {
            let id = store.want_download(wish(2, &format!("/{number}")), number).await.unwrap();
            store.fail_download(id, "Gone".into(), String::new(), false, number).await.unwrap();
        }
        store.want_download(wish(1, "/last"), 0).await.unwrap();
        assert_eq!(store.downloads().await.unwrap().len(), REMEMBERED as usize + 2);
        assert_eq!(store.open_downloads().await.unwrap().len(), 2);
        // Nor is what came of it kept.
        assert_eq!(store.kept_downloads(300).await.unwrap().len(), REMEMBERED as usize + 2);
        let later = KEPT_MS + u64::from(REMEMBERED);
        let kept = store.kept_downloads(later).await.unwrap();
        assert!(kept.len() < 10 && kept.contains(&first.0), "{kept:?}");
        // What somebody waits for goes with them.
        store.block(person(2), 0).await.unwrap();
        assert!(store.open_downloads().await.unwrap().is_empty());
    }
}
