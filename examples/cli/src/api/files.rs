//! Calls about files.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Peer;

/// A file as it was offered. Its name is its owner's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SharedFile {
    /// Its relative path.
    pub(crate) path: String,
    /// Its media type, or empty.
    pub(crate) media_type: String,
    /// Its length in bytes.
    pub(crate) size_bytes: u64,
}

impl From<kez_chat_sdk::SharedFile> for SharedFile {
    fn from(file: kez_chat_sdk::SharedFile) -> Self {
        let kez_chat_sdk::SharedFile { path, media_type, size_bytes } = file;
        Self { path, media_type, size_bytes }
    }
}

/// Offers a file or a folder to contacts, and holds it ready for them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareFiles {
    /// The contacts: handles, nicknames or keys.
    pub(crate) with: Vec<String>,
    /// The file or folder, by its absolute path.
    pub(crate) path: PathBuf,
    /// Publishes it for them too, so that they find it when they browse.
    #[serde(default)]
    pub(crate) publish: bool,
    /// The share's name, of 32 hexadecimal digits, if the caller gives it: a call that is made again with the same name
    /// shares nothing twice.
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// Files that are held ready for others.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Share {
    /// Its number.
    pub(crate) share: i64,
    /// For whom.
    pub(crate) readers: Vec<Peer>,
    /// The files; of many only the first.
    pub(crate) files: Vec<SharedFile>,
    /// How many files they are.
    pub(crate) file_count: u64,
    /// Their length in bytes, together.
    pub(crate) total_bytes: u64,
    /// When it was shared, in milliseconds since 1970.
    pub(crate) shared_at_ms: u64,
    /// What of a folder was left out, if that is known.
    #[serde(default)]
    pub(crate) left_out: Vec<PathBuf>,
}

/// Lists what is held ready for others.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListShares {}

/// What is held ready for others.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Shares {
    /// Oldest first.
    pub(crate) shares: Vec<Share>,
}

/// Ends a share.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unshare {
    /// Its number.
    pub(crate) share: i64,
    /// For this contact only; for all if nothing is said.
    #[serde(default)]
    pub(crate) with: Option<String>,
}

/// Lists what others hold ready for us.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListOffers {}

/// What others hold ready for us.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Offers {
    /// Oldest first.
    pub(crate) offers: Vec<Offer>,
}

/// What somebody holds ready for us.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Offer {
    /// What to fetch it by.
    pub(crate) share_id: i64,
    /// Who.
    pub(crate) from: Peer,
    /// When they say they offered it, in milliseconds since 1970.
    pub(crate) sent_at_ms: u64,
    /// The files.
    pub(crate) files: Vec<SharedFile>,
    /// Whether it was fetched.
    pub(crate) fetched: bool,
}

/// Fetches offered files into a folder. It goes on by itself if it is interrupted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fetch {
    /// What the offer says.
    pub(crate) share_id: i64,
    /// The folder, by its absolute path.
    pub(crate) to: PathBuf,
    /// Takes another name where there is a file of that name, rather than refusing.
    #[serde(default)]
    pub(crate) rename: bool,
    /// Only these of the offer's files, by number from 0; all if nothing is said.
    #[serde(default)]
    pub(crate) only: Option<Vec<usize>>,
}

/// Files that were fetched.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Fetched {
    /// Where they are: one path for each file, that of the folder where it is a folder.
    pub(crate) paths: Vec<PathBuf>,
}

/// Lists downloads that are not over, and the last ones that are.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListDownloads {}

/// Downloads.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Downloads {
    /// Oldest first.
    pub(crate) downloads: Vec<Download>,
}

/// A download.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Download {
    /// Its number.
    pub(crate) download: i64,
    /// Who has the files.
    pub(crate) from: Peer,
    /// The files.
    pub(crate) files: Vec<SharedFile>,
    /// How it stands.
    pub(crate) state: DownloadState,
    /// How far it has come.
    pub(crate) progress: Progress,
}

/// How a download stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum DownloadState {
    /// It is worked on.
    Running,
    /// It waits, and goes on by itself.
    Waiting {
        /// Why.
        why: String,
    },
    /// It is done.
    Done {
        /// Where the files are.
        paths: Vec<PathBuf>,
    },
    /// It has failed for good.
    Failed {
        /// The error's stable name.
        code: String,
        /// What happened, and what to do.
        message: String,
    },
}

/// How far a transfer has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Progress {
    /// The name of the file that is under way.
    pub(crate) path: String,
    /// Bytes of all files that are done.
    pub(crate) done_bytes: u64,
    /// Bytes of all files.
    pub(crate) total_bytes: u64,
    /// Bytes a second, of the last few seconds.
    pub(crate) bytes_per_s: Option<u64>,
    /// How many seconds the rest takes at that rate.
    pub(crate) remaining_s: Option<u64>,
    /// How the peer is reached: "direct" or "relay".
    pub(crate) over: Option<String>,
}

impl From<kez_chat_sdk::TransferProgress> for Progress {
    fn from(at: kez_chat_sdk::TransferProgress) -> Self {
        let over = at.over.map(|path| match path {
            kez_chat_sdk::TransferPath::Direct => "direct",
            _ => "relay",
        });
        Self {
            path: at.path,
            done_bytes: at.done_bytes,
            total_bytes: at.total_bytes,
            bytes_per_s: at.bytes_per_s,
            remaining_s: at.remaining.map(|remaining| remaining.as_secs()),
            over: over.map(ToOwned::to_owned),
        }
    }
}

/// Goes on with a download that waits or has failed, now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryDownload {
    /// Its number.
    pub(crate) download: i64,
}

/// Forgets a download. Files that are complete stay.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelDownload {
    /// Its number.
    pub(crate) download: i64,
}

/// Publishes files: whoever they are for finds them when they browse, and nobody is told.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    /// The file or folder, by its absolute path.
    pub(crate) path: PathBuf,
    /// For these contacts: handles, nicknames or keys. With none of them it is for anybody, if `public` says so too.
    #[serde(default)]
    pub(crate) with: Vec<String>,
    /// For anybody.
    #[serde(default)]
    pub(crate) public: bool,
}

/// Lists what we publish.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListPublished {}

/// What we publish.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PublishedList {
    /// Oldest first.
    pub(crate) entries: Vec<PublishedEntry>,
    /// What of a folder was left out, of what is published just now.
    #[serde(default)]
    pub(crate) left_out: Vec<PathBuf>,
}

/// A file that we publish.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PublishedEntry {
    /// Its name, of 32 hexadecimal digits.
    pub(crate) id: String,
    /// The file.
    pub(crate) file: SharedFile,
    /// When it was published, in milliseconds since 1970.
    pub(crate) shared_at_ms: u64,
    /// The keys of whom it is for; nothing if it is for anybody.
    pub(crate) readers: Option<Vec<String>>,
    /// Whether there is a small picture of it.
    pub(crate) has_thumbnail: bool,
}

/// Takes back what was published.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unpublish {
    /// The entry's name, or its first digits.
    pub(crate) id: String,
}

/// Looks at what somebody publishes for us and for anybody. No file is fetched.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Browse {
    /// A contact, or the handle of anybody.
    pub(crate) who: String,
}

/// What somebody publishes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Listing {
    /// Who.
    pub(crate) owner: Peer,
    /// The number of the change that it is.
    pub(crate) version: u64,
    /// What is for us.
    pub(crate) entries: Vec<ListedEntry>,
}

/// A file that somebody publishes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ListedEntry {
    /// The entry's name, of 32 hexadecimal digits.
    pub(crate) id: String,
    /// The file.
    pub(crate) file: SharedFile,
    /// When they say they published it, in milliseconds since 1970.
    pub(crate) shared_at_ms: u64,
    /// Whether there is a small picture of it.
    pub(crate) has_thumbnail: bool,
}

/// Fetches a file that somebody publishes into a folder.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FetchPublished {
    /// Who publishes it.
    pub(crate) who: String,
    /// The entry's name, or its first digits.
    pub(crate) id: String,
    /// The folder, by its absolute path.
    pub(crate) to: PathBuf,
    /// Takes another name where there is a file of that name, rather than refusing.
    #[serde(default)]
    pub(crate) rename: bool,
}

/// Asks what files take on this device.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadUsage {}

/// What files take on this device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Usage {
    /// Bytes that are held ready for others.
    pub(crate) shared_bytes: u64,
    /// Bytes that came of files that are being fetched.
    pub(crate) fetching_bytes: u64,
    /// How much both may be, if there is a limit.
    pub(crate) quota_bytes: Option<u64>,
}

/// Reads everything that we hold ready from the disk.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckFiles {
    /// Seals again what is damaged, from its file.
    #[serde(default)]
    pub(crate) repair: bool,
}

/// What is not as it was.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CheckedFiles {
    /// What is damaged, and was not to be repaired.
    pub(crate) damaged: Vec<HeldFile>,
    /// What was repaired.
    pub(crate) repaired: Vec<HeldFile>,
    /// What is lost: its file has changed or is gone.
    pub(crate) lost: Vec<HeldFile>,
}

/// A file that we hold ready, and for what.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HeldFile {
    /// The file.
    pub(crate) file: SharedFile,
    /// The share that it belongs to, if it does.
    pub(crate) share: Option<i64>,
    /// The name of the published entry that it belongs to, if it does.
    pub(crate) entry: Option<String>,
}
