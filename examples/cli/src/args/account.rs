//! Commands about the own account, and for programs.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Makes an account and registers its handle
///
/// Shows the words that give the account back should this device be lost, and asks some of them back. Goes on where it was
/// if it was interrupted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat register alice --server https://kez.lat
  kez-chat register @alice@kez.lat
  kez-chat register alice --server http://localhost:8080 --backup-file alice.words   (without a terminal)")]
pub(crate) struct Register {
    /// The name, or the handle with its home: alice, @alice@kez.lat
    #[arg(value_name = "NAME|HANDLE")]
    pub(crate) handle: String,
    /// The home server, where the handle does not name one; plain http only for localhost
    #[arg(long, value_name = "URL", env = "KEZ_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// Writes the words to this new file too; required without a terminal
    #[arg(long, value_name = "PATH")]
    pub(crate) backup_file: Option<PathBuf>,
}

/// Gets an account back from its 24 words
///
/// Asks for the words, or reads them from standard input, and takes the account over from wherever it was: an older
/// installation stops. Messages that were not read yet arrive here; contacts and conversations were on the other device, and
/// come from a backup if there is one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat recover --server https://kez.lat
  kez-chat recover --server https://kez.lat --from alice.kez
  cat alice.words | kez-chat recover --server https://kez.lat")]
pub(crate) struct Recover {
    /// The home server of the account; plain http only for localhost
    #[arg(long, value_name = "URL", env = "KEZ_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// A backup, for contacts and conversations
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

/// Shows the own handle, key and sigchain, and what others add you by
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat whoami
  kez-chat whoami --qr
  kez-chat whoami --json")]
pub(crate) struct Whoami {
    /// Shows what others add you by as a QR code too
    #[arg(long, conflicts_with = "json")]
    pub(crate) qr: bool,
}

/// Shows the account's 24 words, or writes a backup of everything else
///
/// The words are the key: whoever sees them has the account. With --to, contacts, conversations and settings go to a file
/// that only the account's key opens; it and the words bring everything back (recover --from). Nothing is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat backup                     (the words, on a screen of their own)
  kez-chat backup --to alice.kez
  kez-chat backup --to /media/stick/alice.kez --json")]
pub(crate) struct Backup {
    /// The new file
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

/// Writes all conversations to a file that anybody can read, one JSON object a line
///
/// docs/EXPORT.md says what is in it. Nothing is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat export --to conversations.jsonl")]
pub(crate) struct Export {
    /// The new file
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
}

/// Moves to another home, and stays who you are
///
/// Says what it brings, and asks. Key, contacts, conversations and shared files stay; in this version messages go between
/// people of one home only. The old handle is kept for coming back, unless it is given up.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat move @alice@other.example
  kez-chat move @alice@other.example --plan
  kez-chat move @alice@other.example --yes --give-up-old")]
pub(crate) struct Move {
    /// The handle at the new home
    #[arg(value_name = "HANDLE")]
    pub(crate) to: String,
    /// Only says what it would bring
    #[arg(long)]
    pub(crate) plan: bool,
    /// Does not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Gives the old handle up, for good
    #[arg(long)]
    pub(crate) give_up_old: bool,
    /// Moves also if the old home is out of reach: what waits there is lost
    #[arg(long)]
    pub(crate) without_old_home: bool,
}

/// Leaves for good: the handle is given to nobody again, and the sigchain ends
///
/// There is no way back. What is on this device can still be read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat retire
  kez-chat retire --confirm @alice@kez.lat")]
pub(crate) struct Retire {
    /// The own handle with its home, instead of being asked for it
    #[arg(long, value_name = "HANDLE")]
    pub(crate) confirm: Option<String>,
}

/// Looks at what works and what does not: home, clock, sigchain, broker, relay, the path to a contact
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat doctor
  kez-chat doctor @bob")]
pub(crate) struct Doctor {
    /// A contact, to whom the path is looked at too
    pub(crate) who: Option<String>,
}

/// Owns the home in the background: receives, and serves what is shared, until it is stopped
///
/// Other commands on this home ask it, and need no passphrase.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat run
  kez-chat run --unit > ~/.config/systemd/user/kez-chat.service")]
pub(crate) struct Run {
    /// Writes a unit for systemd that runs it for this user, and ends
    #[arg(long)]
    pub(crate) unit: bool,
}

/// Speaks JSON-RPC 2.0, one object a line, on standard input and output: for bots
///
/// docs/API.md has all calls and a bot in 30 lines. It ends with its standard input.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat api
  echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"whoami\"}' | kez-chat api
  kez-chat api --schema > api-schema.json")]
pub(crate) struct Api {
    /// Writes the JSON Schema of calls, answers and events, and ends
    #[arg(long)]
    pub(crate) schema: bool,
    /// Writes the tables of docs/API.md, and ends
    #[arg(long, hide = true)]
    pub(crate) markdown: bool,
}

/// Writes completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat completions bash > ~/.local/share/bash-completion/completions/kez-chat
  kez-chat completions fish > ~/.config/fish/completions/kez-chat.fish
  kez-chat completions zsh > ~/.zfunc/_kez-chat")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Writes the manual pages into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat man --to ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder, which is made if there is none
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}
