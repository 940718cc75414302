//! Sharing: a file becomes a sealed blob in the store while it is read, without a copy in between.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use iroh_blobs::{Hash, api::blobs::AddProgressItem, store::fs::options::PathOptions};
use kez_core::filecrypt::{FileKey, SEGMENT_BYTES, Sealed, Sealer};
use tokio::{
    sync::{OwnedMutexGuard, mpsc},
    task::spawn_blocking,
};

use super::{Node, NodeError, dest::sync_folder, plain_bytes};

/// The tag of blobs that we share.
const SHARED: &str = "share";
/// How much is read at a time, and how many such pieces may wait for the store.
const PIECE_BYTES: usize = 4 * SEGMENT_BYTES;
const PIECES_AHEAD: usize = 4;

/// A file that is in the store now, sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Imported {
    /// BLAKE3 of the blob.
    pub(crate) blob_hash: [u8; 32],
    /// BLAKE3 of the file.
    pub(crate) plain_hash: [u8; 32],
    /// The file's length in bytes.
    pub(crate) plain_len: u64,
}

impl Node {
    /// Seals a file into the store under a key that no other file has, and keeps it there until [`Node::release`].
    ///
    /// It is on disk when this returns. `progress` hears how many bytes of the file are sealed. Dropping the future
    /// cancels: nothing stays behind.
    ///
    /// # Errors
    /// [`NodeError::Read`], [`NodeError::NotAFile`], [`NodeError::FileChanged`], [`NodeError::Unsealable`] or
    /// [`NodeError::Store`].
    pub(crate) async fn import(
        &self,
        path: &Path,
        key: &FileKey,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Imported, NodeError> {
        let _scratch = Scratch { dir: self.paths.temp_path.clone(), _turn: self.imports.clone().lock_owned().await };
        let (pieces, mut waiting) = mpsc::channel(PIECES_AHEAD);
        let mut reader = spawn_blocking({
            let (path, key, pieces) = (path.to_owned(), key.clone(), pieces.clone());
            move || seal_file(&path, &key, &pieces)
        });
        // As long as this end of the channel is held the store takes the blob for incomplete. A file that can't be
        // read must not end it with an error: `add_stream` panics when one meets a step that nobody took yet.
        let mut incomplete = Some(pieces);
        let sealed_pieces = stream::poll_fn(move |context| waiting.poll_recv(context));
        let mut steps = self.store.blobs().add_stream(sealed_pieces).await.stream().await;
        let (mut sealed, mut added) = (None, None);
        while added.is_none() {
            tokio::select! {
                read = &mut reader, if sealed.is_none() => {
                    sealed = Some(read.map_err(NodeError::store)??);
                    incomplete = None;
                }
                step = steps.next() => match step {
                    Some(AddProgressItem::CopyProgress(sealed_bytes)) => progress(plain_bytes(sealed_bytes)),
                    Some(AddProgressItem::Done(tag)) => added = Some(tag),
                    Some(AddProgressItem::Error(error)) => return Err(NodeError::store(error)),
                    Some(_) => {}
                    None => break,
                },
            }
        }
        drop(incomplete);
        let (Some(sealed), Some(tag)) = (sealed, added) else {
            return Err(NodeError::store(io::Error::other("the store ended an import early")));
        };
        let hash = tag.hash();
        self.write_through(hash).await?;
        self.tag(SHARED, hash).await?;
        self.store.sync_db().await.map_err(NodeError::store)?;
        Ok(Imported { blob_hash: *hash.as_bytes(), plain_hash: sealed.plain_hash, plain_len: sealed.plain_len })
    }

    /// Stops to keep a blob that [`Node::import`] made; it is removed some minutes later.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn release(&self, blob_hash: [u8; 32]) -> Result<(), NodeError> {
        self.untag(SHARED, Hash::from_bytes(blob_hash)).await
    }

    /// Brings a blob's files to disk: the store leaves that to the system, and a share that was announced must
    /// outlive a power cut.
    pub(super) async fn write_through(&self, hash: Hash) -> Result<(), NodeError> {
        let (files, folder) = (blob_files(&self.paths, hash), self.paths.data_path.clone());
        let sync = move || {
            for file in files {
                match OpenOptions::new().write(true).open(file) {
                    Ok(file) => file.sync_all()?,
                    // Small blobs are in the database instead.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            sync_folder(&folder)
        };
        spawn_blocking(sync).await.map_err(NodeError::store)?.map_err(NodeError::store)
    }
}

fn blob_files(paths: &PathOptions, hash: Hash) -> [PathBuf; 2] {
    [paths.data_path(&hash), paths.outboard_path(&hash)]
}

/// The store's temporary files, which it leaves behind when an import is cut short.
struct Scratch {
    dir: PathBuf,
    _turn: OwnedMutexGuard<()>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        clear(&self.dir);
    }
}

/// Removes the temporary files of imports that are over.
pub(super) fn clear(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(%error, "a temporary file of the file store can't be removed");
        }
    }
}

/// Reads and seals a file, piece by piece.
fn seal_file(path: &Path, key: &FileKey, pieces: &mpsc::Sender<io::Result<Bytes>>) -> Result<Sealed, NodeError> {
    let unreadable = |source| NodeError::Read { path: path.to_owned(), source };
    let unsealable = |source| NodeError::Unsealable { path: path.to_owned(), source };
    // Looked at before it is opened too: opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(NodeError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    let mut sealer = Sealer::new(key);
    let mut plain = vec![0; PIECE_BYTES];
    // One byte more than expected tells a file that grows.
    let mut rest = (&file).take(before.len().saturating_add(1));
    loop {
        let read = rest.read(&mut plain).map_err(unreadable)?;
        let mut piece = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 1024);
        if read > 0 {
            sealer.update(&plain[..read], &mut piece).map_err(unsealable)?;
            send(pieces, piece)?;
            continue;
        }
        let sealed = sealer.finish(&mut piece).map_err(unsealable)?;
        let after = file.metadata().map_err(unreadable)?;
        if sealed.plain_len != before.len() || stamp(&before) != stamp(&after) {
            return Err(NodeError::FileChanged { path: path.to_owned() });
        }
        send(pieces, piece)?;
        return Ok(sealed);
    }
}

fn stamp(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}

fn send(pieces: &mpsc::Sender<io::Result<Bytes>>, piece: Vec<u8>) -> Result<(), NodeError> {
    if piece.is_empty() {
        return Ok(());
    }
    pieces.blocking_send(Ok(piece.into())).map_err(|_| NodeError::store(io::Error::other("the store stopped taking")))
}
