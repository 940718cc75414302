//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  something else went wrong
    2  the command can't be understood, or lacks something it needs
    3  this account: none here yet, wrong passphrase, in use by another process, handle taken
    4  network: home server, sigchain server or broker out of reach
    5  other people: not a contact, a key or sigchain that does not check out, refused
    6  files: can't be read, written or had
    7  not now: what was waited for did not come, or who has it is away
  130  ended by Ctrl-C (143 by SIGTERM, 141 when standard output went away)

Environment:
  KEZ_HOME             the folder that holds the account, like --home
  KEZ_SERVER           the home server to register at, like --server
  KEZ_PASSPHRASE_FILE  a file with the passphrase of the seed's own file; without it the seed is kept by the
                       operating system's keyring, or the passphrase is asked for
  KEZ_LOG              what to log on standard error, such as info or kez_chat_sdk=debug
  NO_COLOR             no colours";

/// Chat and share files with people whose keys you hold, not with a company's server.
#[derive(Debug, Parser)]
#[command(name = "kez-chat", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The folder that holds the account [default: kez-chat in the XDG data folder]
    #[arg(long, global = true, value_name = "DIR", env = "KEZ_HOME", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// Writes one JSON object a line on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes an account and registers its handle
    ///
    /// Shows the words that give the account back should this device be lost, and asks some of them back. Goes on
    /// where it was if it was interrupted.
    #[command(after_help = "\
Examples:
  kez-chat register alice --server https://kez.lat
  kez-chat register @alice@kez.lat
  kez-chat register alice --server http://localhost:8080 --backup-file alice.words   (without a terminal)")]
    Register(Register),
    /// Gets an account back from its 24 words
    ///
    /// Asks for the words, or reads them from standard input, and takes the account over from wherever it was: an older
    /// installation stops. Messages that were not read yet arrive here; contacts and conversations were on the other device,
    /// and come from a backup if there is one.
    #[command(after_help = "\
Examples:
  kez-chat recover --server https://kez.lat
  kez-chat recover --server https://kez.lat --from alice.kez
  cat alice.words | kez-chat recover --server https://kez.lat")]
    Recover(Recover),
    /// Writes contacts, conversations and settings to a file that only the account's key opens
    ///
    /// It and the 24 words bring everything back: see recover --from. Nothing is overwritten.
    #[command(after_help = "\
Examples:
  kez-chat backup --to alice.kez
  kez-chat backup --to /media/stick/alice.kez --json")]
    Backup {
        /// The new file
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Adds a person to the contacts: looks the handle up and walks the sigchain
    #[command(after_help = "\
Examples:
  kez-chat add @bob
  kez-chat add bob@kez.lat")]
    Add {
        /// A handle: bare for your own home, or with its home
        who: String,
    },
    /// Forgets a contact and the key that was pinned for them
    ///
    /// After a key has changed, and you have asked the person on another way whether it is theirs, this and a new `add`
    /// is how you say that you trust it. The conversation stays.
    #[command(after_help = "\
Examples:
  kez-chat remove @bob")]
    Remove {
        /// The contact
        who: String,
    },
    /// Lists the contacts
    #[command(after_help = "\
Examples:
  kez-chat contacts
  kez-chat contacts --json")]
    Contacts,
    /// Shows the own handle, key and sigchain
    #[command(after_help = "\
Examples:
  kez-chat whoami
  kez-chat whoami --json")]
    Whoami,
    /// Sends a message to a contact
    ///
    /// It is kept until it is sent; the person need not be online.
    #[command(after_help = "\
Examples:
  kez-chat send @bob 'See you at eight'
  git log -1 | kez-chat send @bob -")]
    Send {
        /// The contact
        who: String,
        /// The text, or - for standard input
        text: String,
    },
    /// Shows what arrives, as it arrives
    #[command(after_help = "\
Examples:
  kez-chat listen
  kez-chat listen --count 1 --timeout 30
  kez-chat listen --json | jq -r 'select(.kind == \"message\").text'")]
    Listen(Listen),
    /// Shares a file or a folder with a contact, and serves it until Ctrl-C
    ///
    /// It is encrypted here; nothing is sent before the contact fetches it. Links in a folder are left out.
    #[command(after_help = "\
Examples:
  kez-chat share @bob report.pdf
  kez-chat share @bob photos")]
    Share {
        /// The contact
        who: String,
        /// The file or folder
        file: PathBuf,
    },
    /// Lists what others have shared
    #[command(after_help = "\
Examples:
  kez-chat offers
  kez-chat offers --json")]
    Offers,
    /// Fetches what somebody has shared
    #[command(after_help = "\
Examples:
  kez-chat fetch 1
  kez-chat fetch 1 --to Downloads")]
    Fetch {
        /// The number that listen and offers show
        #[arg(value_name = "SHARE-ID", value_parser = value_parser!(i64).range(1..))]
        share_id: i64,
        /// The folder to put it in
        #[arg(long, value_name = "DIR", default_value = ".")]
        to: PathBuf,
    },
}

#[derive(Debug, Args)]
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

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The home server of the account; plain http only for localhost
    #[arg(long, value_name = "URL", env = "KEZ_SERVER", hide_env_values = true)]
    pub(crate) server: String,
    /// A backup, for contacts and conversations
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// Ends after this many messages and offers
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Ends after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = format!("kez-chat {}", command.get_name());
            assert!(help.starts_with("Examples:") && help.contains(&example), "{}", command.get_name());
        }
    }

    #[test]
    fn every_example_can_be_parsed() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for example in help.lines().filter_map(|line| line.split_once("kez-chat ").map(|(_, rest)| rest)) {
                let typed = example.split(['|', '(']).next().unwrap_or_default().replace("See you at eight", "See-you");
                let words = std::iter::once("kez-chat").chain(typed.split_whitespace());
                assert!(Arguments::try_parse_from(words).is_ok(), "{example}");
            }
        }
    }

    #[test]
    fn a_dash_is_a_text_and_counts_begin_at_one() {
        assert!(Arguments::try_parse_from(["kez-chat", "send", "@bob", "-"]).is_ok());
        assert!(Arguments::try_parse_from(["kez-chat", "listen", "--count", "0"]).is_err());
        assert!(Arguments::try_parse_from(["kez-chat", "register", "alice", "--skip-backup"]).is_err());
    }
}
