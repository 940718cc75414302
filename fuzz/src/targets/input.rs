//! Reading structure out of a fuzzer's bytes.

use std::sync::LazyLock;

use kez_core::{
    filecrypt::FileKey,
    identity::SecretKey,
    payload::{FileEntry, SharePath},
};

/// A first input of a target, and its file's name.
pub type Seed = (&'static str, Vec<u8>);

/// The people of the examples in PROTOCOL.md.
pub fn alice() -> SecretKey {
    static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed([1; 32]));
    KEY.clone()
}

/// See [`alice`].
pub fn bob() -> SecretKey {
    static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed([2; 32]));
    KEY.clone()
}

/// Somebody whom nothing is meant for.
pub fn carol() -> SecretKey {
    static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed([3; 32]));
    KEY.clone()
}

/// Decisions and content, byte by byte; zeros once the bytes are used up.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let taken = self.take(N);
        out[..taken.len()].copy_from_slice(taken);
        out
    }

    /// Takes up to `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Takes up to 255 bytes, as many as the next one says.
    pub fn short(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Chooses a number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        u32::from_le_bytes(self.array()) as usize % end
    }

    /// Changes bytes in up to four ways; what comes out may be what went in.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.byte() % 4 {
            let (how, at) = (self.byte() % 7, self.below(bytes.len() + 1));
            let len = 1 + self.below(bytes.len() - at + 1).saturating_sub(1);
            match (how, bytes.get_mut(at)) {
                (0, Some(byte)) => *byte ^= 1 << (self.byte() % 8),
                (1, Some(byte)) => *byte = self.byte(),
                (2, _) => bytes.truncate(at),
                (3, _) => {
                    bytes.splice(at..at, self.short().iter().copied());
                }
                (4, Some(_)) => {
                    bytes.drain(at..at + len);
                }
                (5, Some(_)) => {
                    let again = bytes[at..at + len].to_vec();
                    bytes.splice(at..at, again);
                }
                (6, Some(_)) => bytes[at..at + len].reverse(),
                _ => bytes.extend_from_slice(self.short()),
            }
        }
    }
}

/// A file, as messages, folder lists and manifests describe one.
pub fn file_entry(path: &str) -> FileEntry {
    FileEntry {
        path: SharePath::parse(path).unwrap(),
        media_type: "text/plain".into(),
        blob_hash: [3; 32],
        key: FileKey::from_bytes([4; 32]),
        plain_hash: [5; 32],
        plain_len: 70_000,
    }
}

/// Fills in what a fuzzer can't guess: each of `names` (such as `$KEY`) becomes its text.
pub fn fill_in(template: &str, names: &[(&str, &str)]) -> String {
    names.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}
