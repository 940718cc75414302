//! What the screen of a conversation shows, apart from how it is drawn.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use kez_chat_sdk::{Availability, MessageRef, MessageState, Place, identity::PrimaryKey};
use ratatui::layout::{Rect, Size};

use super::{
    composer::Composer,
    draw,
    entry::Entry,
    palette::Palette,
    rows::Manner,
    scrollback::{Scrollback, Wanted},
    wrap::fit,
};
use crate::{human, safe};

/// No name is shown in full that is longer.
const LONGEST_NAME: usize = 64;

/// Whether the peer is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) availability: Availability,
    /// When they last showed that they were, if that is known.
    pub(crate) last_seen_ms: Option<u64>,
}

/// The way to the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    Online,
    /// There is none, for a reason, or not yet.
    Down(String),
    /// The process that owns the account has gone, and another one is looked for.
    Reconnecting,
}

/// Which way files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Fetch,
    Share,
}

/// How far files have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) direction: Direction,
    /// What is under way: the file, or what was asked for until that is known.
    pub(crate) name: String,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
    pub(crate) bytes_per_s: Option<u64>,
    pub(crate) remaining_s: Option<u64>,
}

/// What the screen of a conversation shows.
pub(crate) struct Screen {
    pub(crate) scrollback: Scrollback,
    pub(crate) composer: Composer,
    own: PrimaryKey,
    peer: String,
    pub(crate) presence: Presence,
    pub(crate) connection: Connection,
    /// Why nothing is sent to the peer, if so.
    pub(crate) trouble: Option<String>,
    /// Files under way, by numbers of the loop's.
    pub(crate) progress: BTreeMap<u64, Progress>,
    /// The answer to what was last typed, until the next key.
    pub(crate) status: Option<String>,
    /// How many messages are on their way to the process that keeps them.
    pub(crate) unaccepted: usize,
    /// Whether somebody looks, as far as the terminal tells.
    pub(crate) is_watched: bool,
    /// Up to where the person has seen the conversation.
    seen: Place,
    size: Size,
    palette: Palette,
    local: fn(u64) -> Option<NaiveDateTime>,
}

impl Screen {
    /// Begins with an empty conversation.
    pub(crate) fn new(own: PrimaryKey, peer: &str, palette: Palette, local: fn(u64) -> Option<NaiveDateTime>) -> Self {
        Self {
            scrollback: Scrollback::new(),
            composer: Composer::new(),
            own,
            peer: fit(peer, LONGEST_NAME),
            presence: Presence::default(),
            connection: Connection::Down("connecting".to_owned()),
            trouble: None,
            progress: BTreeMap::new(),
            status: None,
            unaccepted: 0,
            is_watched: true,
            seen: Place::new(0),
            size: Size::new(80, 24),
            palette,
            local,
        }
    }

    /// Returns what the peer is called, safe to be shown.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    pub(crate) fn palette(&self) -> Palette {
        self.palette
    }

    pub(crate) fn manner(&self, columns: u16) -> Manner<'_> {
        Manner { columns: usize::from(columns), peer: &self.peer, palette: self.palette, local: self.local }
    }

    /// Notes how large the terminal is.
    pub(crate) fn resize(&mut self, size: Size) {
        self.size = size;
    }

    /// Says up to where the conversation was read before.
    pub(crate) fn begin_at(&mut self, read_up_to: Place) {
        self.seen = read_up_to;
        self.scrollback.set_read_up_to(Some(read_up_to));
    }

    /// Takes the last page of the conversation; `is_all` if there is nothing before it.
    pub(crate) fn latest(&mut self, page: Vec<Entry>, is_all: bool) {
        self.scrollback.latest(page, is_all);
        let (unseen, _) = self.scrollback.count_theirs_after(self.seen);
        if unseen > 0 && !self.is_seen() && !self.scrollback.has_unread_line() {
            self.scrollback.set_read_up_to(Some(self.seen));
        }
    }

    /// Notes how far a message of ours came.
    pub(crate) fn set_state(&mut self, id: kez_chat_sdk::payload::MessageId, state: MessageState) {
        self.scrollback.set_state(&MessageRef { author: self.own, id }, state);
    }

    /// Says something by the way.
    pub(crate) fn notice(&mut self, text: &str) {
        self.scrollback.notice(text);
    }

    /// Answers what was typed.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.status = Some(text.into());
    }

    /// Notes that the person has written: whoever does has seen what is above.
    pub(crate) fn wrote(&mut self) {
        self.scrollback.set_read_up_to(None);
        self.scrollback.scroll_to_end();
    }

    /// Returns up to where the person has seen the conversation, if that is further than when it was last asked.
    pub(crate) fn newly_seen(&mut self) -> Option<Place> {
        let last = self.scrollback.from_the_last().find(|entry| !entry.is_own).map(|entry| entry.place)?;
        let is_news = self.is_seen() && last > self.seen;
        is_news.then(|| {
            self.seen = last;
            last
        })
    }

    fn is_seen(&self) -> bool {
        self.is_watched && self.scrollback.is_at_end()
    }

    /// Says what is below the view and was not seen.
    pub(crate) fn below(&self) -> Option<String> {
        if self.scrollback.is_at_end() {
            return None;
        }
        Some(match self.scrollback.count_theirs_after(self.seen) {
            (0, _) => "End: to the last message".to_owned(),
            (count, false) => format!("{count} new below, End goes there"),
            (count, true) => format!("{count} or more new below, End goes there"),
        })
    }

    /// Returns what has to be loaded for the view, once.
    pub(crate) fn wanted(&mut self) -> Option<Wanted> {
        self.with_view(Scrollback::wanted)
    }

    pub(crate) fn scroll_up(&mut self, lines: usize) {
        self.with_view(|scrollback, height, manner| scrollback.scroll_up(lines, height, manner));
    }

    pub(crate) fn scroll_down(&mut self, lines: usize) {
        self.with_view(|scrollback, height, manner| scrollback.scroll_down(lines, height, manner));
    }

    pub(crate) fn scroll_to_top(&mut self) {
        self.with_view(Scrollback::scroll_to_top);
    }

    /// Returns how many lines a page has: one less than are seen, so that one of them is seen again.
    pub(crate) fn page(&self) -> usize {
        usize::from(self.view().height).saturating_sub(1).max(1)
    }

    fn view(&self) -> Rect {
        draw::areas(self, Rect::from((ratatui::layout::Position::ORIGIN, self.size))).view
    }

    fn with_view<T>(&mut self, work: impl FnOnce(&mut Scrollback, usize, &Manner<'_>) -> T) -> T {
        let view = self.view();
        let manner =
            Manner { columns: usize::from(view.width), peer: &self.peer, palette: self.palette, local: self.local };
        work(&mut self.scrollback, usize::from(view.height), &manner)
    }

    /// Returns what the first line says of the peer.
    pub(crate) fn presence_text(&self) -> String {
        match (self.presence.availability, self.presence.last_seen_ms) {
            (Availability::Online, _) => "online".to_owned(),
            (Availability::Away, _) => "away".to_owned(),
            (_, Some(seen_ms)) => format!("last seen {}", human::time(seen_ms)),
            (_, None) => "not there".to_owned(),
        }
    }

    /// Returns what is wrong, the worst first.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let trouble = self.trouble.as_ref().map(|trouble| format!("STOPPED: {}", safe::line(trouble)));
        let connection = match &self.connection {
            Connection::Online => None,
            Connection::Down(why) => Some(safe::line(why)),
            Connection::Reconnecting => Some("the process that kept the account has ended: reconnecting".to_owned()),
        };
        trouble.into_iter().chain(connection).collect()
    }
}

impl Progress {
    /// Writes it in one line.
    pub(crate) fn text(&self) -> String {
        let verb = match self.direction {
            Direction::Fetch => "fetching",
            Direction::Share => "sealing",
        };
        let mut text = format!("{verb} {}", safe::line(&self.name));
        if self.total_bytes > 0 {
            let percent = u128::from(self.done_bytes) * 100 / u128::from(self.total_bytes);
            text.push_str(&format!(": {percent} % of {}", human::size(self.total_bytes)));
        }
        if let Some(rate) = self.bytes_per_s {
            text.push_str(&format!(", {}/s", human::size(rate)));
        }
        if let Some(remaining) = self.remaining_s {
            text.push_str(&match remaining {
                0..60 => format!(", {remaining} s left"),
                60..3600 => format!(", {}:{:02} min left", remaining / 60, remaining % 60),
                _ => format!(", {}:{:02} h left", remaining / 3600, remaining / 60 % 60),
            });
        }
        text
    }
}
