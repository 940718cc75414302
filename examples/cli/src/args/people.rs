//! Commands about contacts, strangers, and who is there.

use clap::{Args, Subcommand};

use crate::api::account::Visibility;

/// Adds a person to the contacts: looks the handle up and walks the sigchain
///
/// What whoami shows as a contact URI works too, also while their home is down.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat add @bob
  kez-chat add bob@kez.lat
  kez-chat add 'kez:ed25519:…?h=bob@kez.lat&sig=https://sig.kez.lat'")]
pub(crate) struct Add {
    /// A handle: bare for your own home, or with its home; or a contact URI
    #[arg(value_name = "HANDLE|URI")]
    pub(crate) who: String,
}

/// Lists the contacts, or shows one
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  kez-chat contacts
  kez-chat contacts show @bob
  kez-chat contacts --json"
)]
pub(crate) struct Contacts {
    #[command(subcommand)]
    pub(crate) command: Option<ContactsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContactsCommand {
    /// Lists the contacts, with who is there
    List,
    /// Shows what is known of a contact
    Show {
        /// The contact
        who: String,
        /// Looks at their sigchain and their home first
        #[arg(long)]
        refresh: bool,
    },
}

/// Forgets a contact and the key that was pinned for them
///
/// The conversation stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat remove @bob")]
pub(crate) struct Remove {
    /// The contact
    pub(crate) who: String,
}

/// Shows the safety number that you and a contact compare, to know that nobody stands between you
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat verify @bob
  kez-chat verify @bob --same       (after you have compared it)
  kez-chat verify @bob --undo")]
pub(crate) struct Verify {
    /// The contact
    pub(crate) who: String,
    /// Says that both see the same
    #[arg(long, conflicts_with = "undo")]
    pub(crate) same: bool,
    /// Takes that back
    #[arg(long)]
    pub(crate) undo: bool,
}

/// Says that a contact in trouble is to be believed, after you have asked them on another way
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat trust @bob --one-sided                (the handle is theirs, though only one side says so)
  kez-chat trust @bob --new-key ed25519:4ab1…    (they have a new key)
  kez-chat trust @bob --head 5c1f…               (their sigchain ends here)")]
pub(crate) struct Trust {
    /// The contact
    pub(crate) who: String,
    #[command(flatten)]
    pub(crate) word: Word,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Word {
    /// The key that is theirs now
    #[arg(long, value_name = "KEY")]
    pub(crate) new_key: Option<String>,
    /// Where their sigchain ends
    #[arg(long, value_name = "HEAD")]
    pub(crate) head: Option<String>,
    /// The handle is theirs
    #[arg(long)]
    pub(crate) one_sided: bool,
}

/// Gives a contact a name of your own, by which commands find them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat nickname @bob brother
  kez-chat nickname @bob            (takes it away)")]
pub(crate) struct Nickname {
    /// The contact
    pub(crate) who: String,
    /// The name
    #[arg(value_name = "NAME")]
    pub(crate) nickname: Option<String>,
}

/// Blocks somebody: they reach you no more, and learn nothing of it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat block @mallory
  kez-chat block                    (who is blocked)")]
pub(crate) struct Block {
    /// A contact, a key, or the handle of somebody who wrote; nobody lists who is blocked
    pub(crate) who: Option<String>,
}

/// Ends a block
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat unblock @mallory")]
pub(crate) struct Unblock {
    /// Who is blocked
    pub(crate) who: String,
}

/// Lists strangers who wrote, or shows what one of them wrote
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat requests
  kez-chat requests @carol")]
pub(crate) struct Requests {
    /// The key, or the handle that they claim
    pub(crate) who: Option<String>,
}

/// Makes a stranger who wrote a contact
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat accept @carol")]
pub(crate) struct Accept {
    /// The key, or the handle that they claim
    pub(crate) who: String,
}

/// Forgets what a stranger wrote
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat decline @carol")]
pub(crate) struct Decline {
    /// The key, or the handle that they claim
    pub(crate) who: String,
}

/// Shows who is there, or chooses how contacts see you
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat presence
  kez-chat presence --set invisible")]
pub(crate) struct Presence {
    /// How contacts see you while kez-chat runs; to be invisible is kept until another choice is made
    #[arg(long, value_name = "HOW")]
    pub(crate) set: Option<Visibility>,
}
