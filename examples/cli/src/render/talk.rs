//! Messages.

use super::{
    INDENT,
    files::listed,
    name,
    paint::{FAINT, NAME, paint},
};
use crate::{
    api::{
        ConversationMessage,
        talk::{Content, Conversation, Hit, Message, MessageState, Sent},
    },
    human::time,
    safe,
};

pub(super) fn sent(sent: &Sent, own: &str) -> String {
    let to = name(&sent.to, own);
    match sent.state {
        MessageState::Queued => {
            format!("kept for {to}, not sent yet: it goes out when kez-chat next runs and the broker is in reach")
        }
        MessageState::InboxFull => format!("kept: the inbox of {to} is full; it is sent when there is room"),
        MessageState::Sent => format!("sent to {to}"),
        MessageState::Unconfirmed => format!("sent to {to}, but never confirmed"),
        MessageState::Delivered | MessageState::Read => format!("delivered to {to}"),
        MessageState::Withdrawn => format!("not sent: {to} is no contact any more"),
    }
}

pub(super) fn message(line: &ConversationMessage, own: &str) -> String {
    let message = &line.message;
    let doubt = if message.in_doubt { "  (in doubt)" } else { "" };
    let (place, time, who) = (message.place, time(message.sent_at_ms), author(message, &name(&line.with, own)));
    let reactions: String =
        message.reactions.iter().map(|reaction| format!(" {}", safe::line(&reaction.emoji))).collect();
    let reactions = if reactions.is_empty() { reactions } else { format!("\n{INDENT} {reactions}") };
    let (content, state) = (content(&message.content), paint(FAINT, state(message)));
    format!("{place:>5}  {time} {who}{doubt}: {content}{state}{reactions}")
}

fn author(message: &Message, with: &str) -> String {
    if message.is_own { "you".to_owned() } else { paint(NAME, with) }
}

/// Writes what a message says.
pub(super) fn content(content: &Content) -> String {
    match content {
        Content::Text { text, edited: false } => safe::block(text, INDENT),
        Content::Text { text, edited: true } => format!("{} (edited)", safe::block(text, INDENT)),
        Content::Files { share_id: Some(share), files } => format!("shared {}: kez-chat fetch {share}", listed(files)),
        Content::Files { share_id: None, files } => format!("shared {}", listed(files)),
        Content::Deleted => "(taken back)".to_owned(),
        Content::Unsupported { .. } => "something that this version can't show".to_owned(),
    }
}

/// Writes how far a message of ours came, where it has not arrived.
fn state(message: &Message) -> &'static str {
    match message.state {
        Some(MessageState::Queued) => "  [kept]",
        Some(MessageState::InboxFull) => "  [kept: their inbox is full]",
        Some(MessageState::Sent) => "  [sent]",
        Some(MessageState::Unconfirmed) => "  [sent, never confirmed]",
        Some(MessageState::Withdrawn) => "  [not sent]",
        Some(MessageState::Read) => "  [read]",
        Some(MessageState::Delivered) | None => "",
    }
}

pub(super) fn conversation(conversation: &Conversation, own: &str) -> String {
    let with = name(&conversation.with, own);
    let unread = if conversation.unread > 0 { format!("  {} unread", conversation.unread) } else { String::new() };
    let last = conversation.last.as_ref().map(|last| format!("{}: {}", author(last, &with), content(&last.content)));
    let last = last.unwrap_or_default().lines().next().unwrap_or_default().to_owned();
    let at = if conversation.last_at_ms == 0 { String::new() } else { time(conversation.last_at_ms) };
    format!("{}  {at:<16}{unread}  {last}", paint(NAME, &format!("{with:<20}")))
}

pub(super) fn hit(hit: &Hit, own: &str) -> String {
    let with = name(&hit.with, own);
    let (place, time, who) = (hit.message.place, time(hit.message.sent_at_ms), author(&hit.message, &with));
    format!("{with} {place:>5}  {time} {who}: {}", safe::line(&hit.snippet))
}
