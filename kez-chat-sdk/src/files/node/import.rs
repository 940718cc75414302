//! Sealing: a file becomes a blob in the store while it is read, without a copy in between.

use std::{
    convert::Infallible,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use iroh_blobs::{
    Hash, HashAndFormat,
    api::{Store, TempTag, blobs::AddProgressItem},
    store::fs::options::PathOptions,
};
use kez_core::filecrypt::FileKey;
use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};

use super::{
    Node, NodeError,
    garbage::Collector,
    plain::{Plain, Stamp},
    plain_bytes,
};

/// How many pieces of a file may wait for the store.
const PIECES_AHEAD: usize = 4;

/// A file that is in the store now, sealed. It stays for as long as this is held, and from [`Node::keep`] on.
#[derive(Debug)]
pub(crate) struct Imported {
    /// BLAKE3 of the blob.
    pub(crate) blob_hash: [u8; 32],
    /// BLAKE3 of the file.
    pub(crate) plain_hash: [u8; 32],
    /// The file's length in bytes.
    pub(crate) plain_len: u64,
    /// What tells that the file was not changed since, if anything does.
    pub(crate) stamp: Option<Stamp>,
    /// What holds it.
    pub(crate) held: TempTag,
}

impl Node {
    /// Seals a file into the store under a key that no other file has.
    ///
    /// `progress` hears how many bytes of the file are sealed. Dropping the future cancels: nothing stays behind.
    ///
    /// # Errors
    /// [`NodeError::Read`], [`NodeError::NotAFile`], [`NodeError::FileChanged`], [`NodeError::Unsealable`] or
    /// [`NodeError::Store`].
    pub(crate) async fn import(
        &self,
        plain: Plain,
        key: &FileKey,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Imported, NodeError> {
        let (told, mut heard) = watch::channel(0);
        let import = Import {
            store: self.store.clone(),
            paths: self.paths.clone(),
            turn: Arc::clone(&self.imports),
            collector: self.collector.clone(),
            told,
        };
        // In a task of its own, which hears when nobody waits any more, and then clears away what it made.
        let mut task = tokio::spawn(import.run(plain, key.clone()));
        let imported = loop {
            tokio::select! {
                Ok(()) = heard.changed() => progress(*heard.borrow_and_update()),
                imported = &mut task => break imported.map_err(NodeError::store)??,
            }
        };
        progress(imported.plain_len);
        Ok(imported)
    }

    /// Keeps a blob that is here in full from being collected. Tells nothing of one that is not.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn hold(&self, blob_hash: [u8; 32]) -> Result<Option<TempTag>, NodeError> {
        let held = self.store.tags().temp_tag(HashAndFormat::raw(blob_hash.into())).await.map_err(NodeError::store)?;
        Ok(self.has(blob_hash).await?.then_some(held))
    }
}

/// One import. Whoever has the turn owns the store's folder of temporary files.
struct Import {
    store: Store,
    paths: PathOptions,
    turn: Arc<Mutex<()>>,
    collector: Collector,
    /// Hears how far it has come, until nobody waits for it any more.
    told: watch::Sender<u64>,
}

impl Import {
    async fn run(self, plain: Plain, key: FileKey) -> Result<Imported, NodeError> {
        let _turn: OwnedMutexGuard<()> = Arc::clone(&self.turn).lock_owned().await;
        let (held, (sealed, stamp)) = self.add(plain, key).await?;
        write_through(&self.paths, held.hash()).await?;
        if self.told.is_closed() {
            drop(held);
            self.collector.collect_soon();
            return Err(cancelled());
        }
        let (plain_hash, plain_len) = (sealed.plain_hash, sealed.plain_len);
        Ok(Imported { blob_hash: *held.hash().as_bytes(), plain_hash, plain_len, stamp, held })
    }

    /// Has the store take a file as it is sealed; when that fails, waits until the store writes nothing more of it, and clears
    /// away what it wrote.
    async fn add(&self, plain: Plain, key: FileKey) -> Result<(TempTag, Read), NodeError> {
        let (alive, mut gone) = mpsc::channel(1);
        let (pieces, waiting) = mpsc::channel(PIECES_AHEAD);
        let mut reader = spawn_blocking({
            let pieces = pieces.clone();
            move || plain.seal(&key, |sealed| send(&pieces, Piece { sealed, _alive: alive.clone() }))
        });
        let added = self.take(pieces, waiting, &mut reader).await;
        if added.is_err() {
            while gone.recv().await.is_some() {}
            clear(&self.paths.temp_path);
        }
        added
    }

    async fn take(
        &self,
        pieces: mpsc::Sender<io::Result<Bytes>>,
        mut waiting: mpsc::Receiver<io::Result<Bytes>>,
        reader: &mut JoinHandle<Result<Read, NodeError>>,
    ) -> Result<(TempTag, Read), NodeError> {
        // As long as this end of the channel is held the store takes the blob for incomplete. A file that can't be
        // read must not end it with an error: `add_stream` panics when one meets a step that nobody took yet.
        let mut incomplete = Some(pieces);
        let sealed_pieces = stream::poll_fn(move |context| waiting.poll_recv(context));
        let mut steps = pin!(self.store.blobs().add_stream(sealed_pieces).await.stream().await);
        let (mut read, mut syncing) = (None, None);
        loop {
            tokio::select! {
                // What the store has in full it goes on with, whatever happens here: that is waited for.
                () = self.told.closed(), if read.is_none() => return Err(cancelled()),
                ended = &mut *reader, if read.is_none() => {
                    read = Some(ended.map_err(NodeError::store)??);
                    incomplete = None;
                }
                step = steps.next() => match (step, read) {
                    (Some(AddProgressItem::CopyProgress(sealed_bytes)), _) => {
                        self.told.send_replace(plain_bytes(sealed_bytes));
                    }
                    // The store reads its copy once more, to hash it: the disk has the time until then.
                    (Some(AddProgressItem::CopyDone), _) => syncing = Some(spawn_blocking(self.sync_copy())),
                    (Some(AddProgressItem::Done(held)), Some(read)) => {
                        // The system tells only once what it could not write.
                        if let Some(syncing) = syncing {
                            syncing.await.map_err(NodeError::store)?.map_err(NodeError::store)?;
                        }
                        return Ok((held, read));
                    }
                    (Some(AddProgressItem::Error(error)), _) => return Err(NodeError::store(error)),
                    (Some(AddProgressItem::Done(_)) | None, _) => break,
                    (Some(_), _) => {}
                },
            }
        }
        drop(incomplete);
        Err(NodeError::store(io::Error::other("the store ended an import early")))
    }

    /// Brings to disk what the store has copied: its temporary files are this import's.
    fn sync_copy(&self) -> impl FnOnce() -> io::Result<()> + use<> {
        let folder = self.paths.temp_path.clone();
        move || {
            // One that is gone meanwhile has got its name, and is synced under that.
            let files = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut files = files.filter_map(|file| OpenOptions::new().write(true).open(file.path()).ok());
            files.try_for_each(|file| file.sync_data())
        }
    }
}

/// What reading and sealing a file gives.
type Read = (kez_core::filecrypt::Sealed, Option<Stamp>);

/// Brings a blob's files to disk: the store leaves that to the system, and a share that was announced must
/// outlive a power cut.
pub(super) async fn write_through(paths: &PathOptions, hash: Hash) -> Result<(), NodeError> {
    let files = blob_files(paths, hash);
    let sync = move || {
        for file in files {
            match OpenOptions::new().write(true).open(file) {
                Ok(file) => file.sync_all()?,
                // Small blobs are in the database instead.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    spawn_blocking(sync).await.map_err(NodeError::store)?.map_err(NodeError::store)
}

/// What is answered to nobody.
fn cancelled() -> NodeError {
    NodeError::store(io::Error::other("nobody waits for it any more"))
}

fn blob_files(paths: &PathOptions, hash: Hash) -> [PathBuf; 2] {
    [paths.data_path(&hash), paths.outboard_path(&hash)]
}

/// Removes the temporary files of imports that are over.
pub(super) fn clear(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(%error, "a temporary file of the file store can't be removed");
        }
    }
}

/// A sealed piece of a file, which tells when the store is done with it.
struct Piece {
    sealed: Vec<u8>,
    _alive: mpsc::Sender<Infallible>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.sealed
    }
}

fn send(pieces: &mpsc::Sender<io::Result<Bytes>>, piece: Piece) -> Result<(), NodeError> {
    let piece = Ok(Bytes::from_owner(piece));
    pieces.blocking_send(piece).map_err(|_| NodeError::store(io::Error::other("the store stopped taking")))
}
