//! Giving downloaded files their names, so that whoever is killed meanwhile knows afterwards which of them are here.

use std::path::PathBuf;

use futures::FutureExt;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::{
    event::DownloadId,
    files::{
        FilesError, TransferError,
        node::{Target, deliver, exists},
    },
    store::{FilePlace, Store, StoreError},
};

/// How many names are tried.
const NAMES: u32 = 10_000;

/// Refuses a file that has no place.
pub(super) fn check(target: &Target, renames: bool) -> Result<(), TransferError> {
    target.check_folders()?;
    let path = target.path(0);
    if !renames && exists(&path)? { Err(TransferError::AlreadyExists { path }) } else { Ok(()) }
}

/// Gives a complete partial file its name, or another one where that is taken, and returns where it is. The name is noted
/// before and after.
pub(super) async fn place(
    store: &Store,
    id: DownloadId,
    place: FilePlace,
    target: &Target,
    renames: bool,
    mut part: NamedTempFile,
) -> Result<PathBuf, FilesError> {
    for number in 0..if renames { NAMES } else { 1 } {
        let path = target.path(number);
        if exists(&path)? {
            continue;
        }
        store.place_download_file(id, place, &path, false).await?;
        let named = spawn_blocking({
            let path = path.clone();
            move || deliver(part, &path)
        });
        match named.await.map_err(|_| StoreError::Closed)?? {
            Some(unnamed) => part = unnamed,
            None => {
                // Nobody waits for it: if it is lost, the file is looked at again.
                let _ = store.place_download_file(id, place, &path, true).now_or_never();
                return Ok(path);
            }
        }
    }
    Err(TransferError::AlreadyExists { path: target.path(0) }.into())
}
