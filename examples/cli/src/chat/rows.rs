//! What one thing of the scrollback looks like.
//!
//! Only what the program itself says begins left of [`TEXT_INDENT`], so that no text of a peer can pass for a message of
//! somebody else, a reaction, a quotation or a notice.

use chrono::{NaiveDate, NaiveDateTime};
use ratatui::text::{Line, Span};

use super::{
    palette::{Look, Palette},
    wrap::{fit, width, wrap},
};
use crate::{
    api::{
        files::SharedFile,
        talk::{Content, Message, MessageState},
    },
    human::size,
    safe,
};

/// Where the further lines of a text begin.
const TEXT_INDENT: usize = 6;
/// Where what is said about a message begins.
const ABOUT_INDENT: &str = "    ";
/// A head that takes more of the line gets one to itself.
const LEAST_TEXT: usize = 12;
/// How many files of an offer are named.
const MOST_NAMES: usize = 5;

/// Whose conversation it is, and how it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The own key.
    pub(crate) own: String,
    /// What the peer is called.
    pub(crate) peer: String,
    pub(crate) palette: Palette,
    /// Tells which time of the reader's a moment is, in milliseconds since 1970; nothing if there is no such moment.
    pub(crate) local: fn(u64) -> Option<NaiveDateTime>,
}

/// What rows are made with.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'a> {
    pub(crate) columns: usize,
    pub(crate) setting: &'a Setting,
}

impl Manner<'_> {
    /// Returns the day of a moment.
    pub(crate) fn day(&self, unix_ms: u64) -> Option<NaiveDate> {
        (self.setting.local)(unix_ms).map(|moment| moment.date())
    }

    fn span(&self, text: impl Into<String>, look: Look) -> Span<'static> {
        Span::styled(text.into(), self.setting.palette.style(look))
    }

    /// Makes a line across the whole width with a text in it.
    fn rule(&self, text: &str, look: Look) -> Line<'static> {
        let text = fit(text, self.columns.saturating_sub(6));
        let rest = self.columns.saturating_sub(width(&text) + 4);
        Line::from(self.span(format!("── {text} {}", "─".repeat(rest)), look))
    }

    /// Makes lines about a message.
    fn about(&self, sign: &str, text: &str, look: Look) -> Vec<Line<'static>> {
        let columns = self.columns.saturating_sub(ABOUT_INDENT.len() + sign.len() + 1);
        let lines = wrap(text, columns, columns).into_iter().enumerate();
        let line = |(at, text): (usize, String)| {
            let sign = if at == 0 { sign } else { " " };
            Line::from(self.span(format!("{ABOUT_INDENT}{sign} {text}"), look))
        };
        lines.map(line).collect()
    }

    /// Writes a moment: the time, with the date where it is of another day than `day`.
    fn time(&self, unix_ms: u64, day: Option<NaiveDate>) -> String {
        match (self.setting.local)(unix_ms) {
            Some(moment) if Some(moment.date()) == day => moment.format("%H:%M").to_string(),
            Some(moment) => moment.format("%Y-%m-%d %H:%M").to_string(),
            None => "??:??".to_owned(),
        }
    }
}

/// Says on which day what follows came to be here.
pub(crate) fn day(day: NaiveDate, manner: &Manner<'_>) -> Line<'static> {
    manner.rule(&day.format("%A %-d %B %Y").to_string(), Look::Faint)
}

/// Says that what follows was not seen yet.
pub(crate) fn unread(manner: &Manner<'_>) -> Line<'static> {
    manner.rule("new", Look::Mark)
}

/// Shows what the program itself has to say.
pub(crate) fn notice(text: &str, manner: &Manner<'_>) -> Vec<Line<'static>> {
    let columns = manner.columns.saturating_sub(3);
    let lines = wrap(text, columns, columns).into_iter().enumerate();
    let sign = |at| if at == 0 { "-- " } else { "   " };
    lines.map(|(at, text)| Line::from(manner.span(format!("{}{text}", sign(at)), Look::Faint))).collect()
}

/// Shows a message. `quoted` is the one that it answers, as far as that is known. While one is to be chosen its number
/// stands where the time does otherwise: that of its place, as `kez-chat history` shows it.
pub(crate) fn message(
    message: &Message,
    quoted: Option<&Message>,
    is_numbered: bool,
    manner: &Manner<'_>,
) -> Vec<Line<'static>> {
    let mut rows = Vec::new();
    if message.in_doubt {
        rows.extend(manner.about("!", "something is wrong with the sender's key or sigchain:", Look::Alarm));
    }
    if message.reply_to.is_some() {
        let quotation =
            quoted.map_or_else(|| "an earlier message".to_owned(), |quoted| quotation(quoted, manner.setting));
        let columns = manner.columns.saturating_sub(ABOUT_INDENT.len() + 2);
        rows.push(Line::from(manner.span(format!("{ABOUT_INDENT}> {}", fit(&quotation, columns)), Look::Faint)));
    }
    rows.extend(body(message, is_numbered, manner));
    for reaction in &message.reactions {
        let by = if reaction.by == manner.setting.own { "you" } else { &manner.setting.peer };
        rows.extend(manner.about("+", &format!("{by}: {}", safe::line(&reaction.emoji)), Look::Plain));
    }
    rows
}

/// Says in one line what a message says.
pub(crate) fn quotation(message: &Message, setting: &Setting) -> String {
    let who = if message.is_own { "you" } else { &setting.peer };
    match &message.content {
        Content::Text { text, .. } => format!("{who}: {}", text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Content::Files { files, .. } => format!("{who} shared {}", shared(files)),
        Content::Deleted => format!("{who} took this back"),
        Content::Unsupported { .. } => format!("{who} sent something that this version can't show"),
    }
}

fn body(message: &Message, is_numbered: bool, manner: &Manner<'_>) -> Vec<Line<'static>> {
    let (who, who_look) = if message.is_own { ("you", Look::Own) } else { (manner.setting.peer.as_str(), Look::Peer) };
    let who = fit(who, manner.columns / 2);
    let (time, time_look) = match is_numbered {
        true => (format!("{:>5}", format!("[{}]", message.place)), Look::Mark),
        false => (manner.time(message.sent_at_ms, manner.day(message.stored_at_ms)), Look::Faint),
    };
    let (text, colon) = match &message.content {
        Content::Text { text, .. } => (text.clone(), ":"),
        Content::Files { share_id: Some(id), files } => (format!("shared {}: /fetch {id}", shared(files)), ""),
        Content::Files { share_id: None, files } => (format!("shared {}", shared(files)), ""),
        Content::Deleted => ("took this back".to_owned(), ""),
        Content::Unsupported { .. } => ("sent something that this version can't show".to_owned(), ""),
    };
    let head = width(&time) + width(&who) + colon.len() + 2;
    let rest = manner.columns.saturating_sub(TEXT_INDENT);
    let first = manner.columns.saturating_sub(head);
    let mut row = vec![
        manner.span(time, time_look),
        manner.span(" ", Look::Plain),
        manner.span(who, who_look),
        manner.span(format!("{colon} "), Look::Plain),
    ];
    let mut rows = Vec::new();
    let indent = || manner.span(" ".repeat(TEXT_INDENT), Look::Plain);
    let first = if first < LEAST_TEXT {
        rows.push(Line::from(std::mem::replace(&mut row, vec![indent()])));
        rest
    } else {
        first
    };
    let (mut last_width, mut columns) = (0, first);
    for (at, line) in wrap(&text, first, rest).into_iter().enumerate() {
        if at > 0 {
            rows.push(Line::from(std::mem::replace(&mut row, vec![indent()])));
            columns = rest;
        }
        last_width = width(&line);
        row.push(manner.span(line, Look::Plain));
    }
    if let Some(marks) = marks(message) {
        if last_width + width(&marks) + 1 > columns {
            rows.push(Line::from(std::mem::replace(&mut row, vec![indent()])));
        } else {
            row.push(manner.span(" ", Look::Plain));
        }
        row.push(manner.span(fit(&marks, rest), Look::Faint));
    }
    rows.push(Line::from(row));
    rows
}

/// Says what became of a message.
fn marks(message: &Message) -> Option<String> {
    let edited = matches!(message.content, Content::Text { edited: true, .. }).then_some("edited");
    let state = message.state.filter(|_| message.content != Content::Deleted).map(|state| match state {
        MessageState::Queued => "kept",
        MessageState::InboxFull => "kept: their inbox is full",
        MessageState::Sent => "sent",
        MessageState::Unconfirmed => "sent, not confirmed for days",
        MessageState::Delivered => "delivered",
        MessageState::Read => "read",
        MessageState::Withdrawn => "not sent",
    });
    let marks: Vec<&str> = edited.into_iter().chain(state).collect();
    (!marks.is_empty()).then(|| format!("· {}", marks.join(" · ")))
}

/// Names files and their size.
fn shared(files: &[SharedFile]) -> String {
    let total = size(files.iter().fold(0, |sum, file| file.size_bytes.saturating_add(sum)));
    let names: Vec<String> = files.iter().take(MOST_NAMES).map(|file| safe::line(&file.path)).collect();
    match (files, files.len().checked_sub(names.len())) {
        ([_], _) => format!("{} ({total})", names.join(", ")),
        (_, None | Some(0)) => format!("{} files ({total}; {})", files.len(), names.join(", ")),
        (_, Some(more)) => format!("{} files ({total}; {} and {more} more)", files.len(), names.join(", ")),
    }
}
