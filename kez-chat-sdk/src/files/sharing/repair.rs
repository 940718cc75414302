//! Looking after what is held ready: whether it is as it was on the disk, and making it so again.

use std::{path::PathBuf, sync::Arc};

use kez_core::{manifest::EntryId, payload::FolderList};

use super::OwnShareId;
use crate::{
    event::SharedFile,
    files::{
        FilesError, TransferError,
        compare::is_the_file,
        node::{Node, Plain, Purpose},
        slot::node,
        transfer::Meter,
    },
    shared::Shared,
    store::{OwnFile, StoreError},
};

/// What the store keeps files of ours for.
const PURPOSES: [Purpose; 2] = [Purpose::Shared, Purpose::Published];

/// Why a file of ours is held ready.
///
/// ```
/// use kez_chat_sdk::{HeldFor, OwnShareId, manifest::EntryId};
///
/// assert!(HeldFor::Share(OwnShareId::new(3)) < HeldFor::Published(EntryId([0; 16])), "shares come first");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeldFor {
    /// It was shared.
    Share(OwnShareId),
    /// It is published.
    Published(EntryId),
}

impl HeldFor {
    fn purpose(self) -> Purpose {
        match self {
            Self::Share(_) => Purpose::Shared,
            Self::Published(_) => Purpose::Published,
        }
    }
}

/// A file that can't be delivered as it is. The same damage may be of several shares and entries.
///
/// ```
/// use kez_chat_sdk::{BadFile, HeldFor, OwnShareId, SharedFile};
///
/// let file = SharedFile { path: "report.pdf".into(), media_type: String::new(), size_bytes: 12 };
/// let bad = BadFile { held_for: HeldFor::Share(OwnShareId::new(3)), file };
/// assert!(!format!("{bad:?}").contains("report"), "nothing to be read in a log");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// What it belongs to.
    pub held_for: HeldFor,
    /// The file; of an entry also if its picture is what is damaged, or one of the files of a folder that it is.
    pub file: SharedFile,
}

/// What a repair came to.
///
/// ```
/// use kez_chat_sdk::Repaired;
///
/// let all_is_well = Repaired::default();
/// assert!(all_is_well.repaired.is_empty() && all_is_well.lost.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What is as it was.
    pub repaired: Vec<BadFile>,
    /// What is gone: its file has changed, or is not where it was. Who asks for it is told so. Share or publish it again.
    pub lost: Vec<BadFile>,
}

/// Looks for files held ready whose blobs are not what they were.
pub(in crate::files) async fn verify(shared: &Arc<Shared>, mut meter: Meter) -> Result<Vec<BadFile>, FilesError> {
    let node = node(shared).await?;
    let mut bad = Vec::new();
    for file in find_bad(shared, &node, &mut meter).await? {
        bad.extend(shared.store.uses(file.blob_hash).await?);
    }
    bad.sort_unstable_by_key(|bad| bad.held_for);
    Ok(bad)
}

/// Seals again what is not what it was, from files that are.
pub(in crate::files) async fn repair(shared: &Arc<Shared>, mut meter: Meter) -> Result<Repaired, FilesError> {
    let node = node(shared).await?;
    let bad = find_bad(shared, &node, &mut meter).await?;
    meter.expect(0, bad.iter().map(|file| file.plain_len).sum());
    let (mut outcome, mut before) = (Repaired::default(), 0);
    for file in bad {
        let uses = shared.store.uses(file.blob_hash).await?;
        if let Some(used) = uses.first() {
            meter.name(&used.file.path);
        }
        let mended = mend(shared, &node, &file, |done_bytes| meter.set(before + done_bytes)).await?;
        if mended {
            outcome.repaired.extend(uses);
        } else {
            give_up(&node, &file).await?;
            outcome.lost.extend(uses);
        }
        before += file.plain_len;
        meter.set(before);
    }
    node.collect().await?;
    outcome.repaired.sort_unstable_by_key(|bad| bad.held_for);
    outcome.lost.sort_unstable_by_key(|bad| bad.held_for);
    Ok(outcome)
}

async fn find_bad(shared: &Shared, node: &Node, meter: &mut Meter) -> Result<Vec<OwnFile>, FilesError> {
    let files = shared.store.own_files().await?;
    meter.expect(0, files.iter().map(|file| file.plain_len).sum());
    let (mut bad, mut before) = (Vec::new(), 0);
    for file in files {
        let sound = node.is_sound(file.blob_hash, file.plain_len, |read| meter.set(before + read)).await?;
        before += file.plain_len;
        meter.set(before);
        if !sound {
            bad.push(file);
        }
    }
    Ok(bad)
}

/// Seals a file again. Under the same key the same file becomes the same blob; another file must not get that key, so the
/// file is looked through first.
async fn mend(
    shared: &Shared,
    node: &Node,
    file: &OwnFile,
    progress: impl FnMut(u64) + Send,
) -> Result<bool, FilesError> {
    let Some(plain) = find_plain(shared, file).await? else { return Ok(false) };
    match node.import(plain, &file.key, progress).await {
        Ok(imported) if imported.blob_hash == file.blob_hash => {
            let _turn = node.ledger().await;
            // It may have been taken back meanwhile.
            let uses = shared.store.uses(file.blob_hash).await?;
            for purpose in PURPOSES {
                if uses.iter().any(|used| used.held_for.purpose() == purpose) {
                    node.keep(&[file.blob_hash], purpose).await?;
                }
            }
            Ok(true)
        }
        Ok(_)
        | Err(TransferError::Read { .. } | TransferError::NotAFile { .. } | TransferError::FileChanged { .. }) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Finds what a blob was made of, if it is as it was.
async fn find_plain(shared: &Shared, file: &OwnFile) -> Result<Option<Plain>, FilesError> {
    if let Some(source) = &file.source {
        let path = PathBuf::from(source);
        let is_same = is_the_file(&path, file.plain_hash, file.plain_len).await;
        return Ok(is_same.then_some(Plain::File { path, found: None }));
    }
    let listed = shared.store.listed_in(file.blob_hash).await?;
    if listed.is_empty() {
        return Ok(None);
    }
    let list = FolderList::new(listed).and_then(|list| list.encode()).map_err(StoreError::damaged)?;
    let is_same = blake3::hash(&list) == file.plain_hash;
    Ok(is_same.then_some(Plain::Memory(list)))
}

/// Removes a blob that is not sound: who asks for it is told that it is gone.
async fn give_up(node: &Node, file: &OwnFile) -> Result<(), FilesError> {
    let _turn = node.ledger().await;
    // Looked at again, for what a moment's trouble is not worth.
    if !node.is_sound(file.blob_hash, file.plain_len, |_| {}).await? {
        for purpose in PURPOSES {
            node.release(file.blob_hash, purpose).await?;
        }
        node.collect().await?;
    }
    Ok(())
}
