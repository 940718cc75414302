//! Two real nodes on this machine: what is shared arrives, and nothing else happens.

mod hostile;
mod import;
mod keeping;
mod limits;
mod ranges;
mod refusals;
mod relays;
mod transfer;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kez_core::{
    filecrypt::FileKey,
    identity::{PrimaryKey, SecretKey},
    payload::{Addresses, FileEntry, SharePath},
};
use tempfile::TempDir;

use super::{
    FetchStep, Node, NodeError, NodeSettings, Plain, Purpose, Stamp, Tag, Target, deliver, exists, pull::Arrival,
    upstream::Upstream,
};
use crate::files::TransferPath;

const MIB: usize = 1 << 20;
/// What keeps a file that is being fetched.
const TAG: Tag = Tag { download: 1, file: (0, 0) };

fn settings() -> NodeSettings {
    NodeSettings { loopback_allowed: true, connect_timeout: Duration::from_secs(5), ..NodeSettings::default() }
}

/// A person with a node, and a folder for its store and their files.
struct Person {
    key: SecretKey,
    node: Node,
    dir: TempDir,
}

impl Person {
    async fn new() -> Self {
        Self::with(settings()).await
    }

    async fn with(settings: NodeSettings) -> Self {
        let (key, dir) = (SecretKey::generate(&mut rand::rng()), tempfile::tempdir().unwrap());
        let node = Node::start(&dir.path().join("store"), &key, settings).await.unwrap();
        Self { key, node, dir }
    }

    async fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.node.shutdown().await;
        meanwhile(&self.store());
        self.node = Node::start(&self.store(), &self.key, self.node.settings.clone()).await.unwrap();
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Where fetched files go.
    fn inbox(&self) -> PathBuf {
        self.dir.path().join("inbox")
    }

    /// Imports a file of this content and describes it, without letting anybody read it.
    async fn import(&self, plain: &[u8]) -> FileEntry {
        let path = self.dir.path().join("shared");
        fs::write(&path, plain).unwrap();
        let key = FileKey::generate(&mut rand::rng());
        let imported = self.node.import(file(&path), &key, |_| {}).await.unwrap();
        self.node.keep(&[imported.blob_hash], Purpose::Shared).await.unwrap();
        assert_eq!(imported.plain_hash, *blake3::hash(plain).as_bytes());
        FileEntry {
            path: SharePath::parse("report.pdf").unwrap(),
            media_type: String::new(),
            blob_hash: imported.blob_hash,
            key,
            plain_hash: imported.plain_hash,
            plain_len: imported.plain_len,
        }
    }

    /// Imports a file and lets `reader` fetch it.
    async fn share(&self, plain: &[u8], reader: &Self) -> FileEntry {
        let entry = self.import(plain).await;
        self.node.allow(reader.key.primary(), entry.blob_hash);
        entry
    }

    async fn fetch(&self, from: &Self, entry: &FileEntry) -> Result<PathBuf, NodeError> {
        self.node.fetch(from.key.primary(), &from.node.addresses(), entry, &self.inbox(), |_| {}).await
    }

    async fn shutdown(self) {
        self.node.shutdown().await;
    }
}

impl Node {
    /// Connects to a peer, as long as the settings say.
    async fn connect(&self, peer: PrimaryKey, addresses: &Addresses) -> Result<Arc<Upstream>, NodeError> {
        self.connection(&self.line(peer, addresses.clone(), Duration::MAX)).await
    }

    /// Fetches one file over a connection of its own, under its own name or not at all.
    async fn fetch(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        entry: &FileEntry,
        to_dir: &Path,
        progress: impl FnMut(FetchStep) + Send,
    ) -> Result<PathBuf, NodeError> {
        let target = Target::new(to_dir, &entry.path, "test".to_owned());
        target.check_folders()?;
        let path = target.path(0);
        if exists(&path)? {
            return Err(NodeError::AlreadyExists { path });
        }
        let line = self.line(peer, addresses.clone(), Duration::MAX);
        let part = self.fetch_part(&line, entry, &target, TAG, progress).await?;
        assert!(deliver(part, &path)?.is_none());
        self.hang_up(&line).await;
        self.let_go(TAG).await?;
        Ok(path)
    }
}

/// Bytes that do not repeat within a segment, nor from one to the next.
fn content(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn file(path: &Path) -> Plain {
    Plain::File { path: path.to_owned(), found: None }
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let path = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path();
    entries.map(path).flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn set_path(entry: &FileEntry, path: &str) -> FileEntry {
    FileEntry { path: SharePath::parse(path).unwrap(), ..entry.clone() }
}
