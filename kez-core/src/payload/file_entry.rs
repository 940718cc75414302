//! One shared file, as `file_share`, folder lists and manifests write it (§§7, 9).

use std::fmt;

use super::PayloadError;
use crate::{
    codec::{Reader, put_str, put_varint},
    filecrypt::{self, FileKey},
};

const MAX_PATH_BYTES: usize = 1024;
const MAX_PART_BYTES: usize = 255;
const MAX_MEDIA_BYTES: usize = 127;

/// The fewest bytes that an entry takes: two empty texts, two hashes, a key and a length.
pub(super) const MIN_ENTRY_BYTES: usize = 1 + 1 + 32 * 3 + 1;

/// One file: its name, what it is, where its bytes are and the key that opens them.
#[derive(Clone, Debug, PartialEq)]
pub struct FileEntry {
    /// Its relative path.
    pub path: SharePath,
    /// Its media type (RFC 6838), or empty; at most 127 of 21–7E.
    pub media_type: String,
    /// BLAKE3 of the sealed blob: what Iroh fetches and verifies.
    pub blob_hash: [u8; 32],
    /// The key that opens the blob.
    pub key: FileKey,
    /// BLAKE3 of the file.
    pub plain_hash: [u8; 32],
    /// The file's length in bytes.
    pub plain_len: u64,
}

impl FileEntry {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        let path = SharePath::parse(reader.str()?)?;
        let media_type = reader.str()?.to_owned();
        if !is_media_type(&media_type) {
            return Err(PayloadError::BadField { field: "media" });
        }
        let blob_hash = reader.array()?;
        let key = FileKey::from_bytes(reader.array()?);
        let plain_hash = reader.array()?;
        let plain_len = reader.varint()?;
        filecrypt::blob_len(plain_len)?;
        Ok(Self { path, media_type, blob_hash, key, plain_hash, plain_len })
    }

    /// Returns at least as many bytes as the entry takes.
    pub(super) fn room_bytes(&self) -> usize {
        // Media type, hashes, key and lengths take less than this.
        256 + self.path.as_str().len()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        if !is_media_type(&self.media_type) {
            return Err(PayloadError::BadField { field: "media" });
        }
        filecrypt::blob_len(self.plain_len)?;
        put_str(out, self.path.as_str());
        put_str(out, &self.media_type);
        out.extend_from_slice(&self.blob_hash);
        out.extend_from_slice(self.key.expose_bytes());
        out.extend_from_slice(&self.plain_hash);
        put_varint(out, self.plain_len);
        Ok(())
    }
}

fn is_media_type(text: &str) -> bool {
    text.len() <= MAX_MEDIA_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Refuses a list in which a path occurs twice or is a directory of another.
pub(super) fn check_paths(entries: &[FileEntry]) -> Result<(), PayloadError> {
    // With the lowest byte for `/`, which no path has, plain order puts a directory right before what lies in it. Paths
    // are compared as a whole and not part by part: a foreign list may be long, and its paths alike for most of theirs.
    const SEPARATOR: u8 = 0;
    let key = |entry: &FileEntry| -> Vec<u8> {
        entry.path.as_str().bytes().map(|byte| if byte == b'/' { SEPARATOR } else { byte }).collect()
    };
    let mut paths: Vec<(Vec<u8>, &SharePath)> = entries.iter().map(|entry| (key(entry), &entry.path)).collect();
    paths.sort_unstable();
    let clash = |pair: &&[(Vec<u8>, &SharePath)]| {
        let rest = pair[1].0.strip_prefix(pair[0].0.as_slice());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(&SEPARATOR)))
    };
    match paths.windows(2).find(clash) {
        Some(pair) => Err(PayloadError::BadPath(pair[1].1.as_str().to_owned())),
        None => Ok(()),
    }
}

/// A shared file's relative path: parts of 1–255 bytes joined by `/`, none of them `.` or `..`, no backslash,
/// no control characters, nothing invisible and nothing that turns the direction of text (§9).
///
/// It is safe to show. It is not yet safe for every file system: the receiver sees to that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharePath(String);

impl SharePath {
    /// Checks a path.
    ///
    /// # Errors
    /// [`PayloadError::BadPath`].
    pub fn parse(text: &str) -> Result<Self, PayloadError> {
        let sound_part = |part: &str| (1..=MAX_PART_BYTES).contains(&part.len()) && part != "." && part != "..";
        let sound = text.len() <= MAX_PATH_BYTES && text.split('/').all(sound_part) && !text.chars().any(is_forbidden);
        if sound { Ok(Self(text.to_owned())) } else { Err(PayloadError::BadPath(text.to_owned())) }
    }

    /// Returns the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last part.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for SharePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SharePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn is_forbidden(character: char) -> bool {
    // `char::is_control` is exactly the general category Cc.
    character == '\\'
        || character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_refused() {
        for good in ["a", "report.pdf", "a/b/c", "…", "übung/日本.txt", "..a", "a b"] {
            assert!(SharePath::parse(good).is_ok(), "{good}");
        }
        let (long_part, long_path) = ("a".repeat(256), "ab/".repeat(342) + "abc");
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{85}b",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{200b}",
            "\u{feff}a",
            "\u{61c}a",
            "a\u{2066}",
            &long_part,
            &long_path,
        ] {
            assert!(SharePath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_path_is_another_or_its_directory() {
        let entry = |path: &str| FileEntry {
            path: SharePath::parse(path).unwrap(),
            media_type: String::new(),
            blob_hash: [0; 32],
            key: FileKey::from_bytes([0; 32]),
            plain_hash: [0; 32],
            plain_len: 0,
        };
        let check = |paths: &[&str]| check_paths(&paths.iter().map(|path| entry(path)).collect::<Vec<_>>());
        assert!(check(&["a/b", "a/c", "ab", "a!", "b"]).is_ok());
        assert!(check(&["a", "b", "a"]).is_err());
        assert!(check(&["a/b/c", "a!", "a"]).is_err());
    }
}
