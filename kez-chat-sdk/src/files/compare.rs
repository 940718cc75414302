//! Telling whether a file on the disk is the one that is meant.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

/// Tells whether there is a file of this length and BLAKE3 at a path. A link is none: it may lead anywhere.
pub(super) async fn is_the_file(path: &Path, plain_hash: [u8; 32], plain_len: u64) -> bool {
    let path = path.to_owned();
    let same = spawn_blocking(move || is_same(&path, plain_hash, plain_len).unwrap_or(false));
    same.await.unwrap_or(false)
}

fn is_same(path: &Path, plain_hash: [u8; 32], plain_len: u64) -> io::Result<bool> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() || metadata.len() != plain_len {
        return Ok(false);
    }
    let mut hasher = Zeroizing::new(blake3::Hasher::new());
    // One byte more than expected tells a file that grows.
    hasher.update_reader(File::open(path)?.take(plain_len.saturating_add(1)))?;
    Ok(hasher.finalize() == plain_hash)
}
