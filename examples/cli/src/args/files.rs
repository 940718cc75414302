//! Commands about files.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// Offers a file or a folder to contacts, and serves it until Ctrl-C
///
/// It is encrypted here; nothing is sent before a contact fetches it. Links in a folder are left out. If another kez-chat
/// runs on this home until it is stopped, that one serves it, and this command ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat share @bob report.pdf
  kez-chat share @bob @carol photos
  kez-chat share @bob report.pdf --publish    (they find it later too, by browse)")]
pub(crate) struct Share {
    /// The contacts, and then the file or folder
    #[arg(required = true, num_args = 2.., value_name = "WHO... PATH")]
    pub(crate) who_and_path: Vec<String>,
    /// Publishes it for them too
    #[arg(long)]
    pub(crate) publish: bool,
}

/// Ends a share: what is being fetched of it breaks off
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat unshare 3
  kez-chat unshare 3 @bob")]
pub(crate) struct Unshare {
    /// The number that files shows
    #[arg(value_name = "SHARE")]
    pub(crate) share: i64,
    /// For this contact only
    pub(crate) who: Option<String>,
}

/// Fetches what somebody has shared or publishes
///
/// If they are away it says so, and comes by itself when they are back and kez-chat runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat fetch 1                        (the number that listen and files show)
  kez-chat fetch 1 --to Downloads --rename
  kez-chat fetch @bob 4f2a91c0d3          (what browse @bob shows)")]
pub(crate) struct Fetch {
    /// The number of an offer, or who publishes it
    #[arg(value_name = "OFFER|WHO")]
    pub(crate) what: String,
    /// The entry's name, or its first digits
    pub(crate) entry: Option<String>,
    /// The folder to put it in
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) to: PathBuf,
    /// Takes another name where there is a file of that name: report (1).pdf
    #[arg(long)]
    pub(crate) rename: bool,
}

/// Lists what is being fetched, waits, or was fetched
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change"), after_help = "\
Examples:
  kez-chat transfers
  kez-chat transfers --retry 2
  kez-chat transfers --cancel 2")]
pub(crate) struct Transfers {
    /// Goes on with this one now
    #[arg(long, value_name = "NUMBER", group = "change")]
    pub(crate) retry: Option<i64>,
    /// Forgets this one; files that are complete stay
    #[arg(long, value_name = "NUMBER", group = "change")]
    pub(crate) cancel: Option<i64>,
}

/// Lists what others offer you, and what you share and publish
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("part"), after_help = "\
Examples:
  kez-chat files
  kez-chat files --offers --json
  kez-chat files --usage
  kez-chat files --repair       (reads all that you share, and seals anew what is damaged)")]
pub(crate) struct Files {
    /// Only what others offer you
    #[arg(long, group = "part")]
    pub(crate) offers: bool,
    /// Only what you share
    #[arg(long, group = "part")]
    pub(crate) shared: bool,
    /// Only what you publish
    #[arg(long, group = "part")]
    pub(crate) published: bool,
    /// Only what files take on this device
    #[arg(long, group = "part")]
    pub(crate) usage: bool,
    /// Reads all that you share, and lists what is damaged
    #[arg(long, group = "part")]
    pub(crate) check: bool,
    /// Reads all that you share, and seals anew what is damaged
    #[arg(long, group = "part")]
    pub(crate) repair: bool,
}

/// Publishes files for contacts, who find them when they browse; nobody is told
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true), after_help = "\
Examples:
  kez-chat publish report.pdf --for @bob
  kez-chat publish photos --for @bob --for @carol
  kez-chat publish song.ogg --public")]
pub(crate) struct Publish {
    /// The file or folder
    pub(crate) path: PathBuf,
    /// A contact whom it is for
    #[arg(long = "for", value_name = "WHO", group = "whom")]
    pub(crate) readers: Vec<String>,
    /// For anybody
    #[arg(long, group = "whom")]
    pub(crate) public: bool,
}

/// Takes back what you published
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat unpublish 4f2a91c0d3")]
pub(crate) struct Unpublish {
    /// The entry's name that files shows, or its first digits
    pub(crate) entry: String,
}

/// Looks at what somebody publishes for you and for anybody; nothing is fetched
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat browse @bob
  kez-chat browse @stranger@other.example --json")]
pub(crate) struct Browse {
    /// A contact, or the handle of anybody
    pub(crate) who: String,
}
