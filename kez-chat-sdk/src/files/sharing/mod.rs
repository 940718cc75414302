//! Sharing: files are sealed into the store and announced to those who may fetch them.

mod announce;
mod held;
mod repair;

use std::{collections::BTreeSet, fmt, path::Path, sync::Arc};

use kez_core::{
    filecrypt::{FileKey, blob_len},
    identity::PrimaryKey,
    payload::{FOLDER_MEDIA_TYPE, FolderList, MessageId, PayloadError, SharePath},
};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

pub use self::{
    held::OwnShare,
    repair::{BadFile, HeldFor, Repaired},
};
pub(super) use self::{
    held::{list, unshare},
    repair::{repair, verify},
};
use super::{
    FilesError, LeftOut, TransferError,
    node::{Imported, Node, Plain, Stamp, TempTag},
    room::{self, Room},
    slot::node,
    source::{Source, SourceFile},
    transfer::Meter,
};
use crate::{
    conversation::{Conversation, SendError},
    event::SharedFile,
    shared::Shared,
    store::{OwnFile, ShareFile, StoreError},
};

/// The most files that a message names one by one.
const MAX_IN_MESSAGE: usize = 64;
/// What an entry of a folder list takes besides its path, at most.
const LIST_ENTRY_BYTES: u64 = 256;

/// Names a share of ours, on this device only; it is what unsharing takes.
///
/// ```
/// use kez_chat_sdk::OwnShareId;
///
/// assert_eq!(OwnShareId::new(3).to_string(), "3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OwnShareId(pub(crate) i64);

impl OwnShareId {
    /// Takes the number that was shown to a person.
    #[must_use]
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns its number.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for OwnShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Files of ours that were announced to their readers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Share {
    /// What to end it by.
    pub id: OwnShareId,
    /// The announcements, one for each reader.
    pub messages: Vec<MessageId>,
    /// The files, as they were announced. A large folder is one of them.
    pub files: Vec<SharedFile>,
    /// What of a folder was not shared: links are not followed.
    pub left_out: Vec<LeftOut>,
}

pub(super) async fn share(
    shared: &Arc<Shared>,
    path: &Path,
    readers: BTreeSet<PrimaryKey>,
    name: Option<MessageId>,
    mut meter: Meter,
) -> Result<Share, FilesError> {
    if readers.is_empty() {
        return Err(FilesError::NoReaders);
    }
    if let Some(name) = name
        && let Some(share) = shared_before(shared, name, &readers).await?
    {
        return Ok(share);
    }
    for &reader in &readers {
        Conversation::new(shared, reader).check_sendable().await?;
    }
    let source = look(path, &mut meter).await?;
    let node = node(shared).await?;
    let mut unfinished = Unfinished::new(&node);
    // Room is promised until rows say what is taken.
    let (held, _rooms) = seal_all(shared, &node, &source, &mut meter).await?;
    let sharing = Sharing { shared, node: &node, readers: &readers, name, source, held };
    let share = sharing.announce().await;
    if let (Some(name), Err(FilesError::Send(SendError::NameTaken(_)))) = (name, &share)
        && let Some(share) = shared_before(shared, name, &readers).await?
    {
        // Who asked at the same time was first.
        return Ok(share);
    }
    unfinished.is_finished = share.is_ok();
    share
}

/// Finds what was shared under a name.
///
/// # Errors
/// `NameTaken` if it was shared with others, or has ended.
async fn shared_before(
    shared: &Shared,
    name: MessageId,
    readers: &BTreeSet<PrimaryKey>,
) -> Result<Option<Share>, FilesError> {
    let announcements: Vec<_> = readers.iter().map(|reader| (*reader, announce::message_id(name, reader))).collect();
    let messages: Vec<_> = announcements.iter().map(|(_, message)| *message).collect();
    match shared.store.announced(shared.primary(), announcements).await? {
        (0, _) => Ok(None),
        (told, Some(row)) if told == readers.len() => {
            Ok(Some(Share { id: row.id, messages, files: row.files, left_out: Vec::new() }))
        }
        _ => Err(SendError::NameTaken(name).into()),
    }
}

/// Files that are sealed and not shared. The store holds them, and has promised them room, for as long as this is kept.
pub(super) struct Sealed {
    pub(super) files: Vec<ShareFile>,
    /// What of a folder was left out.
    pub(super) left_out: Vec<LeftOut>,
    _held: Vec<Held>,
    _rooms: Vec<Room>,
}

/// Seals a file, or all of a folder, but what was sealed before and is as it was then.
pub(super) async fn seal(
    shared: &Arc<Shared>,
    node: &Arc<Node>,
    path: &Path,
    meter: &mut Meter,
) -> Result<Sealed, FilesError> {
    let source = look(path, meter).await?;
    let (held, rooms) = seal_all(shared, node, &source, meter).await?;
    let sharing = Sharing { shared, node, readers: &BTreeSet::new(), name: None, source, held };
    let files = sharing.files(|file| Ok(file.path.clone()), false)?;
    Ok(Sealed { files, left_out: sharing.source.left_out, _held: sharing.held, _rooms: rooms })
}

/// Looks at what the person points at.
async fn look(path: &Path, meter: &mut Meter) -> Result<Source, FilesError> {
    let path = path.to_owned();
    let source = spawn_blocking(move || Source::look(&path)).await.map_err(|_| StoreError::Closed)??;
    meter.name(source.name.as_str());
    meter.expect(0, source.bytes());
    Ok(source)
}

/// A file that the store holds sealed, for as long as this is kept.
pub(super) struct Held {
    pub(super) file: OwnFile,
    _tag: TempTag,
}

/// What was sealed and does not come to be held ready goes soon.
pub(super) struct Unfinished {
    node: Arc<Node>,
    pub(super) is_finished: bool,
}

impl Unfinished {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self { node: Arc::clone(node), is_finished: false }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            self.node.collect_soon();
        }
    }
}

/// Seals what is not there sealed already.
async fn seal_all(
    shared: &Shared,
    node: &Node,
    source: &Source,
    meter: &mut Meter,
) -> Result<(Vec<Held>, Vec<Room>), FilesError> {
    let known = held_before(shared, node, &source.files).await?;
    let missing = source.files.iter().zip(&known).filter(|(_, known)| known.is_none());
    let mut needed = missing.map(|(file, _)| blob_bytes(file)).sum::<Result<u64, _>>()?;
    if source.files.len() > MAX_IN_MESSAGE {
        needed += source.files.iter().map(|file| LIST_ENTRY_BYTES + file.path.as_str().len() as u64).sum::<u64>();
    }
    let mut rooms = vec![room::make(shared, node, needed).await?];
    let (mut held, mut before) = (Vec::with_capacity(source.files.len()), 0);
    for (file, known) in source.files.iter().zip(known) {
        meter.name(file.path.as_str());
        let mut progress = |done_bytes| meter.set(before + done_bytes);
        let mut sound = None;
        if let Some(known) = known {
            let OwnFile { blob_hash, plain_len, .. } = known.file;
            // Who is asked to share again because a copy is damaged must not share that copy.
            if node.is_sound(blob_hash, plain_len, &mut progress).await? {
                sound = Some(known);
            } else {
                shared.store.distrust(blob_hash).await?;
                rooms.push(room::make(shared, node, blob_bytes(file)?).await?);
            }
        }
        held.push(match sound {
            Some(sound) => sound,
            None => {
                let key = FileKey::generate(&mut rand::rng());
                let imported = node.import(file.plain(), &key, progress).await?;
                Held::new(key, imported, file.place.to_str())
            }
        });
        before += file.len;
        meter.set(before);
    }
    Ok((held, rooms))
}

fn blob_bytes(file: &SourceFile) -> Result<u64, TransferError> {
    blob_len(file.len).map_err(|source| TransferError::Unsealable { path: file.place.clone(), source })
}

/// Finds the files that were sealed before, as they are now.
async fn held_before(shared: &Shared, node: &Node, files: &[SourceFile]) -> Result<Vec<Option<Held>>, FilesError> {
    let sources = files.iter().map(|file| Some((file.place.to_str()?.to_owned(), file.stamp.to_bytes())));
    let mut known = Vec::with_capacity(files.len());
    for file in shared.store.sealed_before(sources.collect()).await? {
        known.push(match file {
            Some(file) => node.hold(file.blob_hash).await?.map(|tag| Held { file, _tag: tag }),
            None => None,
        });
    }
    Ok(known)
}

impl Held {
    pub(super) fn new(key: FileKey, imported: Imported, source: Option<&str>) -> Self {
        let Imported { blob_hash, plain_hash, plain_len, stamp, held } = imported;
        let stamp = stamp.map(Stamp::to_bytes);
        let file = OwnFile { blob_hash, key, plain_hash, plain_len, source: source.map(str::to_owned), stamp };
        Self { file, _tag: held }
    }
}

/// A share whose files are sealed.
struct Sharing<'a> {
    shared: &'a Arc<Shared>,
    node: &'a Arc<Node>,
    readers: &'a BTreeSet<PrimaryKey>,
    /// What the caller calls it, if anything.
    name: Option<MessageId>,
    source: Source,
    held: Vec<Held>,
}

impl Sharing<'_> {
    /// Announces it: file by file if that fits into a message, else as a folder list.
    async fn announce(self) -> Result<Share, FilesError> {
        if self.source.files.len() <= MAX_IN_MESSAGE {
            let files = self.files(|file| Ok(file.path.clone()), false)?;
            match self.commit(files).await {
                Err(FilesError::Send(SendError::Payload(PayloadError::TooLarge { field: "message" })))
                    if self.source.is_folder => {}
                shared => return shared,
            }
        }
        let listed = self.files(|file| self.source.inside(file), true)?;
        let list = FolderList::new(listed.iter().map(ShareFile::entry).collect()).and_then(|list| list.encode());
        let list = list.map_err(|source| FilesError::BadName { path: self.source.name.as_str().into(), source })?;
        let key = FileKey::generate(&mut rand::rng());
        // It holds the files' keys, so it goes from memory into the store and never lies on the disk.
        let list = Held::new(key.clone(), self.node.import(Plain::Memory(list), &key, |_| {}).await?, None);
        let folder = ShareFile {
            file: list.file.clone(),
            path: self.source.name.clone(),
            media_type: FOLDER_MEDIA_TYPE.to_owned(),
            is_listed: false,
        };
        self.commit([folder].into_iter().chain(listed).collect()).await
    }

    fn files(
        &self,
        path: impl Fn(&SourceFile) -> Result<SharePath, FilesError>,
        is_listed: bool,
    ) -> Result<Vec<ShareFile>, FilesError> {
        let file = |(held, source): (&Held, &SourceFile)| {
            let media_type = mime_guess::from_path(source.path.file_name()).first_raw().unwrap_or_default();
            let (file, media_type) = (held.file.clone(), media_type.to_owned());
            Ok::<_, FilesError>(ShareFile { file, path: path(source)?, media_type, is_listed })
        };
        self.held.iter().zip(&self.source.files).map(file).collect()
    }

    async fn commit(&self, files: Vec<ShareFile>) -> Result<Share, FilesError> {
        let entries: Vec<_> = files.iter().filter(|file| !file.is_listed).map(ShareFile::entry).collect();
        let announced = entries.iter().map(SharedFile::of).collect();
        let (id, messages) = announce::commit(self.shared, self.node, files, entries, self.readers, self.name).await?;
        Ok(Share { id, messages, files: announced, left_out: self.source.left_out.clone() })
    }
}
