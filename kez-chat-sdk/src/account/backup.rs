//! The backup in a file, for machines where nobody can write 24 words on paper.

use std::{fs, io, path::Path};

use kez_core::{identity::SecretKey, mnemonic::Mnemonic};
use zeroize::Zeroizing;

use super::AccountError;
use crate::new_file::write_new;

/// Writes the words to a new file of mode 0600, reads them back and checks that they give the key.
///
/// A file that holds just these words already is an interrupted attempt's, and is taken; any other is left alone.
pub(super) fn write_and_check(path: &Path, key: &SecretKey) -> Result<(), AccountError> {
    let mut words = Zeroizing::new(String::with_capacity(256));
    for word in Mnemonic::of(key).expose_words() {
        words.push_str(word);
        words.push(' ');
    }
    let written = match write_new(path, words.trim_end().as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match is_private(path) {
            Ok(true) if holds(path, key).is_ok_and(|holds| holds) => Ok(()),
            _ => Err(error),
        },
        Err(error) => Err(error),
        Ok(()) => match holds(path, key) {
            Ok(false) => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not read back as it was written")),
            read => read.map(drop),
        },
    };
    written.map_err(|source| AccountError::BackupFile { path: path.to_owned(), source })
}

fn holds(path: &Path, key: &SecretKey) -> io::Result<bool> {
    // A backup is some 200 bytes; whatever else lies there need not be read whole.
    if fs::metadata(path)?.len() > 1024 {
        return Ok(false);
    }
    let read = Zeroizing::new(fs::read(path)?);
    let words = std::str::from_utf8(&read).ok().and_then(|text| Mnemonic::parse(text).ok());
    Ok(words.is_some_and(|words| words.secret_key().primary() == key.primary()))
}

#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::mode(&fs::metadata(path)?) & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> io::Result<bool> {
    Ok(true)
}
