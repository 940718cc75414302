//! Files.

use std::path::Path;

use super::{name, names};
use crate::{
    api::{
        CheckedFile, Serving,
        files::{Download, DownloadState, HeldFile, ListedEntry, Offer, PublishedEntry, Share, SharedFile, Usage},
    },
    human::{progress, size, time},
    safe,
};

/// How many digits of an entry's name are shown: two of a hundred thousand hardly begin with the same.
const SHOWN_DIGITS: usize = 10;
/// How many files of a list are named.
const NAMED_FILES: usize = 8;

pub(super) fn serving(serving: &Serving, own: &str) -> String {
    let Serving { share, pid, is_here } = serving;
    let left_out = share.left_out.iter().map(|path| format!("left out {}\n", safe::line(&path.to_string_lossy())));
    let (files, to) = (listed_of(share), names(&share.readers, own));
    let until = if *is_here { "until Ctrl-C".to_owned() } else { format!("while process {pid} runs") };
    format!("{}serving {files} to {to} {until}", left_out.collect::<String>())
}

pub(super) fn share(share: &Share, own: &str) -> String {
    let (number, time, files, readers) =
        (share.share, time(share.shared_at_ms), listed_of(share), names(&share.readers, own));
    format!("{number:>4}  {time}  to {readers}  {files}")
}

fn listed_of(share: &Share) -> String {
    if share.file_count as usize == share.files.len() {
        return listed(&share.files);
    }
    format!("{} files ({})", share.file_count, size(share.total_bytes))
}

pub(super) fn offer(offer: &Offer, own: &str) -> String {
    let fetched = if offer.fetched { ", fetched" } else { "" };
    let (number, time, from) = (offer.share_id, time(offer.sent_at_ms), name(&offer.from, own));
    format!("{number:>4}  {time}  {from}  {}{fetched}", listed(&offer.files))
}

pub(super) fn download(download: &Download, own: &str) -> String {
    let state = match &download.state {
        DownloadState::Running => format!("running: {}", progress(&download.progress)),
        DownloadState::Waiting { why } => format!("waiting: {}", safe::line(why)),
        DownloadState::Done { paths } => {
            format!("done: {}", paths.iter().map(|path| from_here(path)).collect::<Vec<_>>().join(", "))
        }
        DownloadState::Failed { message, .. } => format!("FAILED: {}", safe::line(message)),
    };
    format!("{:>4}  {}  {}  {state}", download.download, name(&download.from, own), listed(&download.files))
}

pub(super) fn published(entry: &PublishedEntry) -> String {
    let readers = match &entry.readers {
        None => "for anybody".to_owned(),
        Some(readers) if readers.len() == 1 => "for 1 contact".to_owned(),
        Some(readers) => format!("for {} contacts", readers.len()),
    };
    format!("{}  {readers}", entry_line(&entry.id, &entry.file, entry.shared_at_ms))
}

pub(super) fn listed_entry(entry: &ListedEntry) -> String {
    entry_line(&entry.id, &entry.file, entry.shared_at_ms)
}

fn entry_line(id: &str, file: &SharedFile, shared_at_ms: u64) -> String {
    let media_type = if file.media_type.is_empty() { "-" } else { &file.media_type };
    format!(
        "{}  {}  {:>9}  {}  {}",
        short(id),
        time(shared_at_ms),
        size(file.size_bytes),
        safe::line(&file.path),
        safe::line(media_type)
    )
}

pub(super) fn checked(checked: &CheckedFile) -> String {
    let CheckedFile { held: HeldFile { file, share, entry }, outcome } = checked;
    let of = match (share, entry) {
        (Some(share), _) => format!("of share {share}"),
        (None, Some(entry)) => format!("published as {}", short(entry)),
        (None, None) => String::new(),
    };
    format!("{:<8}  {}  {of}", safe::line(outcome), safe::line(&file.path))
}

/// Returns the digits of an entry's name that are shown.
fn short(id: &str) -> String {
    safe::line(&id.chars().take(SHOWN_DIGITS).collect::<String>())
}

pub(super) fn usage(usage: &Usage) -> String {
    let quota = usage.quota_bytes.map(|bytes| format!(", of {} at most", size(bytes))).unwrap_or_default();
    format!("{} held ready, {} of downloads under way{quota}", size(usage.shared_bytes), size(usage.fetching_bytes))
}

/// Writes a path as the person named the folder, where they are above it.
pub(super) fn from_here(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    safe::line(&path.to_string_lossy())
}

/// Writes what was shared: `report.pdf (1.2 MB)`, `3 files (4.5 MB; a, b, c)`.
pub(super) fn listed(files: &[SharedFile]) -> String {
    let total = size(files.iter().fold(0, |sum, file| file.size_bytes.saturating_add(sum)));
    match files {
        [file] => format!("{} ({total})", safe::line(&file.path)),
        files => {
            let mut paths: Vec<String> = files.iter().take(NAMED_FILES).map(|file| safe::line(&file.path)).collect();
            if files.len() > NAMED_FILES {
                paths.push("…".to_owned());
            }
            format!("{} files ({total}; {})", files.len(), paths.join(", "))
        }
    }
}
