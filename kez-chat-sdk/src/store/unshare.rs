//! The end of shares: whose right to fetch ends with what, and what nobody may fetch any more.

use rusqlite::Connection;

use super::StoreError;

/// Ends what somebody was told of by a message. Returns what they may not fetch any more.
pub(super) fn end_message(db: &Connection, reader: &[u8; 32], id: &[u8; 16]) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut statement = db.prepare_cached("SELECT share FROM share_readers WHERE reader = ?1 AND message_id = ?2")?;
    let shares = statement.query_map((reader, id), |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    end_all(db, shares, reader)
}

/// Ends everything that somebody may fetch of us, and returns it.
pub(super) fn end_reader(db: &Connection, reader: &[u8; 32]) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut statement = db.prepare_cached("SELECT share FROM share_readers WHERE reader = ?1")?;
    let shares = statement.query_map([reader], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    end_all(db, shares, reader)
}

fn end_all(db: &Connection, shares: Vec<i64>, reader: &[u8; 32]) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut lost = Vec::new();
    for share in shares {
        lost.extend(end(db, share, reader)?);
    }
    Ok(lost)
}

/// Ends a share for one of its readers, and forgets it with the last one. Returns what that reader may not fetch any more:
/// another share may have the same files.
pub(super) fn end(db: &Connection, share: i64, reader: &[u8; 32]) -> Result<Vec<[u8; 32]>, StoreError> {
    db.prepare_cached("DELETE FROM share_readers WHERE share = ?1 AND reader = ?2")?.execute((share, reader))?;
    let mut statement = db.prepare_cached(
        "SELECT DISTINCT blob_hash FROM share_files AS file WHERE share = ?1
            AND NOT EXISTS (SELECT 1 FROM share_files JOIN share_readers USING (share)
                WHERE blob_hash = file.blob_hash AND reader = ?2)",
    )?;
    let lost = statement.query_map((share, reader), |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut statement = db.prepare_cached("SELECT DISTINCT blob_hash FROM share_files WHERE share = ?1")?;
    let blobs = statement.query_map([share], |row| row.get(0))?.collect::<Result<Vec<[u8; 32]>, _>>()?;
    let over = db
        .prepare_cached(
            "DELETE FROM shares WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM share_readers WHERE share = ?1)",
        )?
        .execute([share])?;
    if over > 0 {
        forget_unused(db, &blobs)?;
    }
    Ok(lost)
}

/// Forgets those of these files that are neither shared nor published any more.
pub(super) fn forget_unused(db: &Connection, blobs: &[[u8; 32]]) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "DELETE FROM own_files WHERE blob_hash = ?1 AND NOT EXISTS (SELECT 1 FROM share_files WHERE blob_hash = ?1)
            AND NOT EXISTS (SELECT 1 FROM published_blobs WHERE blob_hash = ?1)",
    )?;
    for blob in blobs {
        statement.execute([blob])?;
    }
    Ok(())
}
