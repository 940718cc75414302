//! Folder lists: the content of an entry that stands for a whole folder (§7).

use zeroize::Zeroizing;

use super::{
    FileEntry, PayloadError,
    file_entry::{MIN_ENTRY_BYTES, check_paths},
};
use crate::codec::{Reader, put_varint};

/// The media type of an entry whose content is a folder list.
pub const FOLDER_MEDIA_TYPE: &str = "application/vnd.kez.folder";
/// The most files in a folder list.
pub const MAX_FOLDER_FILES: usize = 100_000;

/// The files of a folder, for folders that don't fit into a message. No folder lies in a folder: paths do that.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderList(Vec<FileEntry>);

impl FolderList {
    /// Takes the files of a folder.
    ///
    /// # Errors
    /// [`PayloadError`] if they are too many, a path occurs twice or is a directory of another, or one is a folder.
    pub fn new(entries: Vec<FileEntry>) -> Result<Self, PayloadError> {
        if entries.len() > MAX_FOLDER_FILES {
            return Err(PayloadError::BadField { field: "entries" });
        }
        entries.iter().try_for_each(check_is_file)?;
        check_paths(&entries)?;
        Ok(Self(entries))
    }

    /// Reads a folder list; one bad entry refuses it.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(MIN_ENTRY_BYTES)?;
        if count > MAX_FOLDER_FILES {
            return Err(PayloadError::BadField { field: "entries" });
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let entry = FileEntry::read(&mut reader)?;
            check_is_file(&entry)?;
            entries.push(entry);
        }
        check_paths(&entries)?;
        reader.finish()?;
        Ok(Self(entries))
    }

    /// Writes the folder list.
    ///
    /// # Errors
    /// [`PayloadError`] for an entry that no reader would take.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
        // Room for all from the start: growing would leave copies of the files' keys behind.
        let bytes: usize = self.0.iter().map(FileEntry::room_bytes).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(8 + bytes));
        put_varint(&mut out, self.0.len() as u64);
        for entry in &self.0 {
            entry.write(&mut out)?;
        }
        Ok(out)
    }

    /// Returns the files.
    #[must_use]
    pub fn entries(&self) -> &[FileEntry] {
        &self.0
    }
}

fn check_is_file(entry: &FileEntry) -> Result<(), PayloadError> {
    let folder = entry.media_type == FOLDER_MEDIA_TYPE;
    if folder { Err(PayloadError::BadField { field: "media" }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{error::Code, filecrypt::FileKey, payload::SharePath};

    fn entry(path: &str, media_type: &str) -> FileEntry {
        FileEntry {
            path: SharePath::parse(path).unwrap(),
            media_type: media_type.into(),
            blob_hash: [1; 32],
            key: FileKey::from_bytes([2; 32]),
            plain_hash: [3; 32],
            plain_len: 4,
        }
    }

    #[test]
    fn lists_read_back_whole_or_not_at_all() {
        let list = FolderList::new((0..500).map(|i| entry(&format!("a/{i}"), "")).collect()).unwrap();
        let bytes = list.encode().unwrap();
        assert_eq!(FolderList::decode(&bytes).unwrap(), list);
        assert_eq!(FolderList::decode(&[0]).unwrap().entries().len(), 0);
        let fault = |bytes: &[u8]| FolderList::decode(bytes).unwrap_err().code();
        assert_eq!(fault(&bytes[..bytes.len() - 1]), Code::Truncated);
        assert_eq!(fault(&[&bytes[..], &[0]].concat()), Code::TrailingBytes);
        assert_eq!(fault(&[0xff, 0xff, 0xff, 0xff, 0x7f]), Code::Truncated);
        assert_eq!(FolderList::new(vec![entry("a", ""), entry("a/b", "")]).unwrap_err().code(), Code::BadPath);
        assert_eq!(FolderList::new(vec![entry("a", FOLDER_MEDIA_TYPE)]).unwrap_err().code(), Code::BadPayload);
    }

    #[test]
    fn a_list_is_as_long_as_it_may_be_and_no_longer() {
        let bytes_of = |count: usize| {
            let mut out = Vec::new();
            put_varint(&mut out, count as u64);
            (0..count).for_each(|i| entry(&format!("{i}"), "").write(&mut out).unwrap());
            out
        };
        let most = FolderList::decode(&bytes_of(MAX_FOLDER_FILES)).unwrap();
        assert_eq!(most.entries().len(), MAX_FOLDER_FILES);
        let over = bytes_of(MAX_FOLDER_FILES + 1);
        assert_eq!(FolderList::decode(&over).unwrap_err().code(), Code::BadPayload);
        let mut entries = most.entries().to_vec();
        entries.push(entry("more", ""));
        assert_eq!(FolderList::new(entries).unwrap_err().code(), Code::BadPayload);
        // A count is held against the bytes before it is held against the limit.
        assert_eq!(FolderList::decode(&over[..1000]).unwrap_err().code(), Code::Truncated);
    }

    #[test]
    fn faults_are_named_in_the_order_of_the_bytes() {
        let list = |entries: &[FileEntry], rest: &[u8]| {
            let mut out = Vec::new();
            put_varint(&mut out, entries.len() as u64);
            entries.iter().for_each(|entry| entry.write(&mut out).unwrap());
            out.extend_from_slice(rest);
            FolderList::decode(&out).unwrap_err().code()
        };
        assert_eq!(list(&[entry("a", ""), entry("a", "")], &[0]), Code::BadPath);
        assert_eq!(list(&[entry("a", FOLDER_MEDIA_TYPE), entry("a", "")], &[]), Code::BadPayload);
        assert_eq!(list(&[entry("a", "")], &[0]), Code::TrailingBytes);
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(
            files in prop::collection::btree_map("[a-zä日 ]{1,40}", ("[!-~]{0,127}", any::<[[u8; 32]; 3]>(), 0..=1u64 << 48), 0..40),
            folder in "(d{1,200}/){0,4}",
        ) {
            let entries = files.into_iter().map(|(name, (media_type, [blob_hash, key, plain_hash], plain_len))| FileEntry {
                path: SharePath::parse(&format!("{folder}{name}")).unwrap(),
                media_type,
                blob_hash,
                key: FileKey::from_bytes(key),
                plain_hash,
                plain_len,
            });
            let list = FolderList::new(entries.collect()).unwrap();
            let bytes = list.encode().unwrap();
            prop_assert_eq!(FolderList::decode(&bytes).unwrap(), list);
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(at: prop::sample::Index, byte: u8) {
            let list = FolderList::new((0..3).map(|i| entry(&format!("a/{i}"), "x")).collect()).unwrap();
            let mut bytes = list.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(list) = FolderList::decode(&bytes) {
                prop_assert_eq!(list.encode().unwrap(), bytes);
            }
        }
    }
}
