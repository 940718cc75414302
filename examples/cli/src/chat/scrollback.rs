//! What was said, as much of it as the screen needs: a window on the conversation that moves with the view.

use std::collections::{BTreeMap, VecDeque};

use ratatui::text::Line;

use super::rows::{self, Manner};
use crate::api::{
    files::SharedFile,
    talk::{Content, Message, MessageRef, MessageState, Reaction},
};

/// How many messages are held at most, and how many bytes they take: what is further away is asked for again.
const MOST_MESSAGES: usize = 2_000;
const MOST_BYTES: usize = 8 << 20;
const MOST_NOTICES: usize = 100;
/// Among how many of the last messages one is looked for that is not sent yet.
const KEPT_AMONG: usize = 50;

/// Messages that the view needs and that are not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The last ones.
    Latest,
    /// Those before a place.
    Older(u64),
    /// Those after a place.
    Newer(u64),
}

/// Where something stands: messages by their place, what the program itself said behind the message that was last then.
type Key = (u64, u32);

enum Item {
    Message(Message),
    Notice(String),
}

/// A line of the scrollback, by the thing that it belongs to: it is the same one when others come or go above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    key: Key,
    row: usize,
}

/// A window on the conversation.
pub(crate) struct Scrollback {
    items: BTreeMap<Key, Item>,
    messages: usize,
    bytes: usize,
    notices: VecDeque<Key>,
    next_notice: u32,
    /// The first line of the view; none while it follows the end.
    top: Option<Spot>,
    has_older: bool,
    has_newer: bool,
    /// Messages were asked for, and have not come.
    is_loading: bool,
    /// Up to where the person has read; a line parts it from what they have not.
    read_up_to: Option<u64>,
    /// The first message behind that line.
    unread: Option<u64>,
    /// Whether the messages show the numbers of their places.
    pub(crate) is_numbered: bool,
}

impl Scrollback {
    pub(crate) fn new() -> Self {
        Self {
            items: BTreeMap::new(),
            messages: 0,
            bytes: 0,
            notices: VecDeque::new(),
            next_notice: 1,
            top: None,
            has_older: true,
            has_newer: false,
            is_loading: false,
            read_up_to: None,
            unread: None,
            is_numbered: false,
        }
    }

    /// Takes the last page of the conversation, in order; `is_all` if there is nothing before it.
    pub(crate) fn latest(&mut self, page: Vec<Message>, is_all: bool) {
        let is_first = self.messages == 0;
        self.is_loading = false;
        let last = self.last_place();
        // Between what is held and the page there may be more.
        let is_apart = !is_all && page.first().zip(last).is_some_and(|(first, last)| first.place > last + 1);
        if (self.has_newer || is_apart) && self.top.is_some() {
            self.has_newer |= is_apart;
            return;
        }
        if self.has_newer || is_apart {
            self.forget_messages();
        }
        if is_first || self.messages == 0 {
            self.has_older = !is_all;
        }
        let first = self.first_place();
        for message in page {
            // What is before the window comes when the view goes there, in one piece with what is between.
            if first.is_none_or(|first| message.place >= first) {
                self.insert(message);
            }
        }
        self.trim(self.top.is_some());
    }

    /// Takes the page before the window; `is_all` if there is nothing before it.
    pub(crate) fn older(&mut self, page: Vec<Message>, is_all: bool) {
        self.is_loading = false;
        self.has_older = !is_all;
        for message in page {
            self.insert(message);
        }
        self.trim(true);
    }

    /// Takes the page after the window; `is_all` if there is nothing after it.
    pub(crate) fn newer(&mut self, page: Vec<Message>, is_all: bool) {
        self.is_loading = false;
        self.has_newer = !is_all;
        for message in page {
            self.insert(message);
        }
        self.trim(false);
    }

    /// Takes a message as it is now, if it is held.
    pub(crate) fn replace(&mut self, message: Message) {
        if self.at(message.place).is_some() {
            self.insert(message);
        }
    }

    /// Notes how far a message of ours came. Tells whether it is held.
    pub(crate) fn set_state(&mut self, id: &str, state: MessageState) -> bool {
        let messages = self.items.values_mut().rev().filter_map(|item| match item {
            Item::Message(message) => Some(message),
            Item::Notice(_) => None,
        });
        let found = messages.into_iter().find(|message| message.is_own && message.id == id);
        found.map(|message| message.state = Some(state)).is_some()
    }

    /// Says something behind the last message.
    pub(crate) fn notice(&mut self, text: &str) {
        let key = (self.last_place().unwrap_or(0), self.next_notice);
        self.next_notice += 1;
        self.items.insert(key, Item::Notice(text.to_owned()));
        self.notices.push_back(key);
        if self.notices.len() > MOST_NOTICES
            && let Some(oldest) = self.notices.pop_front()
        {
            self.items.remove(&oldest);
        }
    }

    /// Returns a message that is held.
    pub(crate) fn get(&self, name: &MessageRef) -> Option<&Message> {
        self.last_first().find(|message| message.id == name.id && message.author == name.author)
    }

    /// Returns the messages that are held, the last one first.
    pub(crate) fn last_first(&self) -> impl Iterator<Item = &Message> {
        self.items.values().rev().filter_map(Item::message)
    }

    /// Returns the message at a place, if it is held.
    pub(crate) fn at(&self, place: u64) -> Option<&Message> {
        self.items.get(&(place, 0)).and_then(Item::message)
    }

    /// Tells whether one of the last messages is ours and not sent yet.
    pub(crate) fn has_kept(&self) -> bool {
        self.last_first().take(KEPT_AMONG).any(|message| message.state == Some(MessageState::Queued))
    }

    /// Parts what was read from what follows with a line; none if nothing is to be parted.
    pub(crate) fn set_read_up_to(&mut self, place: Option<u64>) {
        self.read_up_to = place;
        self.find_unread();
    }

    /// Tells whether there is a line between what was read and what was not.
    pub(crate) fn has_unread_line(&self) -> bool {
        self.unread.is_some()
    }

    /// Tells whether the last messages are held, and so which one is the last.
    pub(crate) fn holds_end(&self) -> bool {
        !self.has_newer
    }

    /// Tells whether the view shows the end of the conversation, and what comes will be seen.
    pub(crate) fn is_at_end(&self) -> bool {
        self.top.is_none() && !self.has_newer
    }

    /// Counts their messages after a place; `true` if there are more.
    pub(crate) fn count_theirs_after(&self, place: u64) -> (usize, bool) {
        (
            self.last_first().take_while(|message| message.place > place).filter(|message| !message.is_own).count(),
            self.has_newer,
        )
    }

    /// Returns what has to be loaded for the view, once.
    pub(crate) fn wanted(&mut self, height: usize, manner: &Manner<'_>) -> Option<Wanted> {
        if self.is_loading {
            return None;
        }
        let wanted = self.missing(height, manner);
        self.is_loading = wanted.is_some();
        wanted
    }

    /// Notes that what was wanted did not come, or may come now: then it is wanted again.
    pub(crate) fn try_again(&mut self) {
        self.is_loading = false;
    }

    fn missing(&self, height: usize, manner: &Manner<'_>) -> Option<Wanted> {
        let (Some(first), Some(last)) = (self.first_place(), self.last_place()) else {
            return self.has_older.then_some(Wanted::Latest);
        };
        if self.has_newer && self.top.is_none() {
            return Some(Wanted::Latest);
        }
        let end = self.up(None, height, manner);
        let top = self.top.or(end)?;
        if self.has_older && top.key.0 <= first {
            return Some(Wanted::Older(first));
        }
        (self.has_newer && end.is_none_or(|end| top >= end)).then_some(Wanted::Newer(last))
    }

    /// Returns the lines of the view, from the top.
    pub(crate) fn view(&self, height: usize, manner: &Manner<'_>) -> Vec<Line<'static>> {
        let mut lines = self.top.map_or_else(Vec::new, |top| self.lines_from(top, height, manner));
        if lines.len() < height
            && let Some(end) = self.up(None, height, manner)
        {
            lines = self.lines_from(end, height, manner);
        }
        lines
    }

    /// Moves the view towards older messages.
    pub(crate) fn scroll_up(&mut self, lines: usize, height: usize, manner: &Manner<'_>) {
        let Some(end) = self.up(None, height, manner) else { return };
        let top = self.top.unwrap_or(end);
        self.top = self.up(Some(top), lines, manner).filter(|top| *top < end);
    }

    /// Moves the view towards newer messages; at the end it stays there.
    pub(crate) fn scroll_down(&mut self, lines: usize, height: usize, manner: &Manner<'_>) {
        let (Some(top), Some(end)) = (self.top, self.up(None, height, manner)) else { return };
        let top = self.down(top, lines, manner);
        self.top = match top < end {
            true => Some(top),
            false => Some(end).filter(|_| self.has_newer),
        };
    }

    /// Moves the view to the oldest message that is held.
    pub(crate) fn scroll_to_top(&mut self, height: usize, manner: &Manner<'_>) {
        let first = self.items.keys().next().map(|key| Spot { key: *key, row: 0 });
        self.top = first.filter(|first| self.up(None, height, manner).is_some_and(|end| *first < end));
    }

    /// Moves the view to the end, where it stays.
    pub(crate) fn scroll_to_end(&mut self) {
        self.top = None;
    }

    /// Returns the lines from a spot on, up to so many.
    fn lines_from(&self, spot: Spot, height: usize, manner: &Manner<'_>) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        for (key, item) in self.items.range(spot.key..) {
            let rows = self.rows(*key, item, manner);
            let skipped = if *key == spot.key { spot.row.min(rows.len().saturating_sub(1)) } else { 0 };
            lines.extend(rows.into_iter().skip(skipped).take(height - lines.len()));
            if lines.len() == height {
                break;
            }
        }
        lines
    }

    /// Goes up from a spot, or from the end, as far as there is something.
    fn up(&self, from: Option<Spot>, mut lines: usize, manner: &Manner<'_>) -> Option<Spot> {
        let before = match from {
            Some(Spot { key, row }) if row >= lines => return Some(Spot { key, row: row - lines }),
            Some(Spot { key, row }) => {
                lines -= row;
                self.items.range(..key)
            }
            None => self.items.range(..),
        };
        let mut at = from.map(|spot| Spot { row: 0, ..spot });
        for (key, item) in before.rev() {
            let rows = self.rows(*key, item, manner).len();
            if rows >= lines {
                return Some(Spot { key: *key, row: rows - lines });
            }
            lines -= rows;
            at = Some(Spot { key: *key, row: 0 });
        }
        at
    }

    /// Goes down from a spot, as far as there is something.
    fn down(&self, from: Spot, lines: usize, manner: &Manner<'_>) -> Spot {
        let mut left = from.row.saturating_add(lines);
        let mut at = from;
        for (key, item) in self.items.range(from.key..) {
            let rows = self.rows(*key, item, manner).len();
            at = Spot { key: *key, row: left.min(rows.saturating_sub(1)) };
            if left < rows {
                break;
            }
            left -= rows;
        }
        at
    }

    fn rows(&self, key: Key, item: &Item, manner: &Manner<'_>) -> Vec<Line<'static>> {
        let message = match item {
            Item::Message(message) => message,
            Item::Notice(text) => return rows::notice(text, manner),
        };
        let mut rows = Vec::new();
        let before = self.items.range(..key).rev().find_map(|(_, item)| item.message());
        let day = manner.day(message.stored_at_ms);
        if let Some(day) = day.filter(|day| before.is_none_or(|before| manner.day(before.stored_at_ms) != Some(*day))) {
            rows.push(rows::day(day, manner));
        }
        if self.unread == Some(message.place) {
            rows.push(rows::unread(manner));
        }
        let quoted = message.reply_to.as_ref().and_then(|name| self.get(name));
        rows.extend(rows::message(message, quoted, self.is_numbered, manner));
        rows
    }

    fn insert(&mut self, message: Message) {
        self.bytes += bytes_of(&message);
        match self.items.insert((message.place, 0), Item::Message(message)) {
            Some(Item::Message(before)) => self.bytes -= bytes_of(&before),
            _ => self.messages += 1,
        }
    }

    /// Lets go of what is more than may be held: the newest or the oldest.
    fn trim(&mut self, newest: bool) {
        while self.messages > MOST_MESSAGES || self.bytes > MOST_BYTES {
            let Some((_, item)) = (if newest { self.items.pop_last() } else { self.items.pop_first() }) else { break };
            if let Item::Message(message) = item {
                self.bytes -= bytes_of(&message);
                self.messages -= 1;
                *(if newest { &mut self.has_newer } else { &mut self.has_older }) = true;
            }
        }
        self.find_unread();
    }

    fn forget_messages(&mut self) {
        self.items.clear();
        self.messages = 0;
        self.notices.clear();
        self.bytes = 0;
        self.has_newer = false;
        self.top = None;
    }

    fn find_unread(&mut self) {
        let after = self.read_up_to.map(|place| (place, u32::MAX));
        let mut later = after.into_iter().flat_map(|after| self.items.range(after..));
        let unread =
            later.find_map(|(_, item)| item.message().filter(|message| !message.is_own)).map(|message| message.place);
        let before = std::mem::replace(&mut self.unread, unread);
        // The line belongs to the message below it: where that is cut by the top of the view, it stays where it is.
        if let Some(Spot { key: (place, 0), row }) = &mut self.top
            && *row > 0
        {
            *row = *row + usize::from(unread == Some(*place)) - usize::from(before == Some(*place));
        }
    }

    fn first_place(&self) -> Option<u64> {
        self.items.values().find_map(Item::message).map(|message| message.place)
    }

    fn last_place(&self) -> Option<u64> {
        self.last_first().next().map(|message| message.place)
    }
}

impl Item {
    fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Notice(_) => None,
        }
    }
}

/// Returns about how many bytes of memory a message takes.
fn bytes_of(message: &Message) -> usize {
    let content = match &message.content {
        Content::Text { text, .. } => text.len(),
        Content::Files { files, .. } => {
            files.iter().map(|file| file.path.len() + file.media_type.len() + size_of::<SharedFile>()).sum()
        }
        Content::Deleted | Content::Unsupported { .. } => 0,
    };
    let reactions: usize =
        message.reactions.iter().map(|it| it.by.len() + it.emoji.len() + size_of::<Reaction>()).sum();
    size_of::<Message>() + message.author.len() + message.id.len() + content + reactions
}
