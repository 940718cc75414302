//! Foreign bytes as a folder list (`docs/PROTOCOL.md` §§7, 9).

use std::collections::BTreeSet;

use kez_core::payload::{FOLDER_MEDIA_TYPE, FolderList};

use super::input::{Seed, file_entry};

pub fn run(bytes: &[u8]) {
    let Ok(list) = FolderList::decode(bytes) else { return };
    assert_eq!(*list.encode().unwrap(), bytes);
    assert_eq!(FolderList::new(list.entries().to_vec()).as_ref(), Ok(&list));
    // No path is another's directory, asked the slow way.
    let paths: BTreeSet<&str> = list.entries().iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths.len(), list.entries().len());
    for path in &paths {
        assert!(!path.starts_with('/') && !path.split('/').any(|part| matches!(part, "" | "." | "..")));
        assert!(path.match_indices('/').all(|(end, _)| !paths.contains(&path[..end])), "{path}");
    }
    assert!(list.entries().iter().all(|entry| entry.media_type != FOLDER_MEDIA_TYPE && entry.plain_len <= 1 << 48));
}

pub fn seeds() -> Vec<Seed> {
    let encode = |paths: &[&str]| {
        let entries = paths.iter().map(|path| file_entry(path)).collect();
        FolderList::new(entries).unwrap().encode().unwrap().to_vec()
    };
    let two = encode(&["a/b", "a/c"]);
    let mut directory = two.clone();
    let second = directory.iter().rposition(|&byte| byte == b'c').unwrap();
    // "a/c" becomes "a", so that the first entry lies in the second.
    directory[second - 3] = 1;
    directory.drain(second - 1..=second);
    vec![
        ("empty", encode(&[])),
        ("one", encode(&["report.pdf"])),
        ("unicode", encode(&["übung/日本.txt"])),
        ("directory", directory),
        ("two", two),
    ]
}
