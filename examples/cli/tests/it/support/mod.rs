//! People, their homes, and the program at work.

mod bot;
mod person;
mod running;
pub(crate) mod schema;
pub(crate) mod stage;
mod words;

use std::{fs, path::Path, time::Duration};

pub(crate) use self::{
    bot::Bot,
    person::Person,
    running::{Ended, Running},
    words::{answer, number_in, read_words},
};

/// The program.
pub(crate) const KEZ_CHAT: &str = env!("CARGO_BIN_EXE_kez-chat");
/// No step of a test takes nearly as long, also on a busy machine. What a killed process had been handed by the broker and had
/// not acknowledged comes again after half a minute, and may be handed to the next one that is killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Adds up the sizes of the files below a folder.
pub(crate) fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() { bytes_in(&entry.path()) } else { metadata.len() }
        })
        .sum()
}
