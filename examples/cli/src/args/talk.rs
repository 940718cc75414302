//! Commands about messages.

use clap::{Args, value_parser};

use crate::api::talk::Which;

/// Sends a message to a contact
///
/// It is kept until it is sent; the person need not be online. Without a text an editor opens, or standard input is read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat send @bob 'See you at eight'
  git log -1 | kez-chat send @bob -
  kez-chat send @bob                          (opens $EDITOR)
  kez-chat send @bob 'Yes' --reply-to 12      (history shows the numbers)")]
pub(crate) struct Send {
    /// The contact
    pub(crate) who: String,
    /// The text, or - for standard input
    pub(crate) text: Option<String>,
    /// The message that it answers: its number in history, or its name
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) reply_to: Option<Which>,
}

/// Shows what arrives, as it arrives
///
/// Messages, offers, receipts, and who comes and goes. What nobody has seen yet comes first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat listen
  kez-chat listen --count 1 --timeout 30
  kez-chat listen --json | jq -r 'select(.kind == \"message\").text'")]
pub(crate) struct Listen {
    /// Ends after this many messages and offers
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Ends after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}

/// Talks with a contact, live, in this terminal
///
/// Messages, receipts, files, and whether they are there. /help in it lists what can be typed. What was begun to be written
/// is kept for the next time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat chat @bob")]
pub(crate) struct Chat {
    /// The contact
    pub(crate) who: String,
}

/// Lists the conversations, the latest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat conversations")]
pub(crate) struct Conversations {}

/// Shows a conversation, with the number of each message
///
/// What is shown counts as read, and the other one learns of it. Your own handle shows your notes to yourself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat history @bob
  kez-chat history @bob --limit 200
  kez-chat history @bob --before 120 --json")]
pub(crate) struct History {
    /// With whom
    pub(crate) who: String,
    /// How many messages at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Only what stands before this number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<u64>,
    /// Leaves it unread: the other one is not told that you have seen it
    #[arg(long)]
    pub(crate) peek: bool,
}

/// Finds messages by their words, the latest first
///
/// All words have to be there, in any order; case and accents don't matter, and the last may be the beginning of one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat search harbour eight
  kez-chat search caf --with @bob")]
pub(crate) struct Search {
    /// The words
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
    /// Only in the conversation with them
    #[arg(long, value_name = "WHO")]
    pub(crate) with: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
}

/// Puts an emoji on a message, in place of your last one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat react @bob 12 👍
  kez-chat react @bob 12              (takes it back)")]
pub(crate) struct React {
    /// With whom the conversation is
    pub(crate) who: String,
    /// The message: its number in history, or its name
    pub(crate) message: Which,
    /// The emoji
    pub(crate) emoji: Option<String>,
}

/// Gives a message of yours another wording, here and at theirs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat edit @bob 12 'See you at nine'")]
pub(crate) struct Edit {
    /// With whom the conversation is
    pub(crate) who: String,
    /// The message: its number in history, or its name
    pub(crate) message: Which,
    /// The new text, or - for standard input
    pub(crate) text: String,
}

/// Takes a message of yours back, here and at theirs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kez-chat delete @bob 12")]
pub(crate) struct Delete {
    /// With whom the conversation is
    pub(crate) who: String,
    /// The message: its number in history, or its name
    pub(crate) message: Which,
}
