//! The backup in a file, for machines where nobody can write 24 words on paper.

use std::{fs, io, path::Path};

use kez_core::{identity::SecretKey, mnemonic::Mnemonic};
use zeroize::Zeroizing;

use crate::key_store::write_new;

/// Writes the words to a new file of mode 0600, reads them back and checks that they give the key.
pub(super) fn write_and_check(path: &Path, key: &SecretKey) -> io::Result<()> {
    let words = Zeroizing::new(Mnemonic::of(key).expose_words().join(" ") + "\n");
    write_new(path, words.as_bytes())?;
    let read = Zeroizing::new(fs::read_to_string(path)?);
    match Mnemonic::parse(&read) {
        Ok(mnemonic) if mnemonic.secret_key().primary() == key.primary() => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not read back as it was written")),
    }
}
