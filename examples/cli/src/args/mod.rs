//! What can be typed.

mod account;
mod files;
mod people;
mod talk;

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand,
    builder::{OsStringValueParser, TypedValueParser as _},
};

pub(crate) use self::{account::*, files::*, people::*, talk::*};

const EXIT_CODES: &str = "\
Start with: register, add, send, listen. With the person that you talk to most: chat.

Several at once: any number of commands work on one home. The first one owns it, and the others ask it; when it ends,
one of them takes over. `kez-chat run` is an owner for the background.

Exit codes:
    0  done
    1  something else went wrong
    2  the command can't be understood, or lacks something it needs
    3  this account: none here yet, wrong passphrase, in use by something else, handle taken
    4  network: home server, sigchain server or broker out of reach
    5  other people: not a contact, a key or sigchain that does not check out, refused
    6  files: can't be read, written or had
    7  not now: what was waited for did not come, or who has it is away
  130  ended by Ctrl-C (143 by SIGTERM, 141 when standard output went away)

Environment:
  KEZ_HOME             the folder that holds the account, like --home
  KEZ_SERVER           the home server to register at, like --server; else `server` in kez-chat/config.toml in the
                       XDG config folder
  KEZ_PASSPHRASE_FILE  a file with the passphrase of the seed's own file; without it the seed is kept by the
                       operating system's keyring, or the passphrase is asked for
  KEZ_LOG              what to log on standard error, such as info or kez_chat_sdk=debug
  NO_COLOR             no colours
  VISUAL, EDITOR       what send opens when it is given no text";

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
    // An empty one counts as none, as with other variables of the environment; clap's own parser of paths refuses it.
    #[arg(long, global = true, value_name = "DIR", env = "KEZ_HOME", hide_env_values = true)]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) home: Option<PathBuf>,
    /// Writes one JSON object a line on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // The account.
    Register(Register),
    Recover(Recover),
    Whoami(Whoami),
    Backup(Backup),
    Export(Export),
    Move(Move),
    Retire(Retire),
    Doctor(Doctor),
    // People.
    Add(Add),
    Contacts(Contacts),
    Remove(Remove),
    Verify(Verify),
    Trust(Trust),
    Nickname(Nickname),
    Block(Block),
    Unblock(Unblock),
    Requests(Requests),
    Accept(Accept),
    Decline(Decline),
    Presence(Presence),
    // Messages.
    Chat(Chat),
    Send(Send),
    Listen(Listen),
    Conversations(Conversations),
    History(History),
    Search(Search),
    React(React),
    Edit(Edit),
    Delete(Delete),
    // Files.
    Share(Share),
    Unshare(Unshare),
    Fetch(Fetch),
    Transfers(Transfers),
    Files(Files),
    Publish(Publish),
    Unpublish(Unpublish),
    Browse(Browse),
    // Programs.
    Run(Run),
    Api(Api),
    Completions(Completions),
    Man(Man),
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
                let typed = example.split(['|', '(', '>']).next().unwrap_or_default();
                let words = std::iter::once("kez-chat".to_owned()).chain(words(typed));
                assert!(Arguments::try_parse_from(words).is_ok(), "{example}");
            }
        }
    }

    /// Splits a line as a shell does that knows only single quotes.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 0 {
                words.extend(part.split_whitespace().map(ToOwned::to_owned));
            } else {
                words.push(part.to_owned());
            }
        }
        words
    }

    #[test]
    fn a_dash_is_a_text_and_counts_begin_at_one() {
        assert!(Arguments::try_parse_from(["kez-chat", "send", "@bob", "-"]).is_ok());
        assert!(Arguments::try_parse_from(["kez-chat", "listen", "--count", "0"]).is_err());
        assert!(Arguments::try_parse_from(["kez-chat", "register", "alice", "--skip-backup"]).is_err());
    }
}
