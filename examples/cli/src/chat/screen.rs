//! What the screen of a conversation shows, apart from how it is drawn.

use std::collections::BTreeMap;

use ratatui::layout::{Position, Rect, Size};

use super::{
    composer::Composer,
    draw,
    rows::{Manner, Setting},
    scrollback::{Scrollback, Wanted},
};
use crate::{
    api::{files::Progress, people::Availability, talk::Message},
    human, safe,
};

/// Which way files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Fetch,
    Share,
}

/// Files that are under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnderWay {
    pub(crate) direction: Direction,
    /// What was asked for, until it is known how far what has come.
    pub(crate) asked_for: String,
    pub(crate) progress: Option<Progress>,
}

/// What the screen of a conversation shows.
pub(crate) struct Screen {
    pub(crate) scrollback: Scrollback,
    pub(crate) composer: Composer,
    /// Whether the peer is there, and when they last showed that they were, if that is known.
    pub(crate) presence: (Availability, Option<u64>),
    /// Why there is no way to the home, if so.
    pub(crate) offline: Option<String>,
    /// Why nothing is sent to the peer, if so.
    pub(crate) trouble: Option<String>,
    /// Files under way, by numbers of the loop's.
    pub(crate) under_way: BTreeMap<u64, UnderWay>,
    /// The answer to what was last typed, until the next key.
    pub(crate) status: Option<String>,
    /// How many messages are on their way to the process that keeps them.
    pub(crate) unaccepted: usize,
    /// Whether somebody looks, as far as the terminal tells.
    pub(crate) is_watched: bool,
    /// Up to where the person has seen the conversation.
    seen: u64,
    size: Size,
    setting: Setting,
}

impl Screen {
    /// Begins with an empty conversation.
    pub(crate) fn new(setting: Setting) -> Self {
        Self {
            scrollback: Scrollback::new(),
            composer: Composer::new(),
            setting,
            presence: (Availability::Offline, None),
            offline: Some("connecting".to_owned()),
            trouble: None,
            under_way: BTreeMap::new(),
            status: None,
            unaccepted: 0,
            is_watched: true,
            seen: 0,
            size: Size::new(80, 24),
        }
    }

    pub(crate) fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Notes how large the terminal is.
    pub(crate) fn resize(&mut self, size: Size) {
        self.size = size;
    }

    /// Says up to where the conversation was read before.
    pub(crate) fn begin_at(&mut self, read_up_to: u64) {
        self.seen = read_up_to;
    }

    /// Takes the last page of the conversation; `is_all` if there is nothing before it.
    pub(crate) fn latest(&mut self, page: Vec<Message>, is_all: bool) {
        let is_first = self.scrollback.last_first().next().is_none();
        self.scrollback.latest(page, is_all);
        let (unseen, _) = self.scrollback.count_theirs_after(self.seen);
        // What comes while somebody looks is seen at once.
        let is_news = is_first || !self.is_seen();
        if unseen > 0 && is_news && !self.scrollback.has_unread_line() {
            self.scrollback.set_read_up_to(Some(self.seen));
        }
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
    pub(crate) fn newly_seen(&mut self) -> Option<u64> {
        let last = self.scrollback.last_first().find(|message| !message.is_own).map(|message| message.place)?;
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
        draw::areas(self, Rect::from((Position::ORIGIN, self.size))).view
    }

    fn with_view<T>(&mut self, work: impl FnOnce(&mut Scrollback, usize, &Manner<'_>) -> T) -> T {
        let view = self.view();
        let manner = Manner { columns: view.width.into(), setting: &self.setting };
        work(&mut self.scrollback, usize::from(view.height), &manner)
    }

    /// Returns what the first line says of the peer.
    pub(crate) fn presence_text(&self) -> String {
        match self.presence {
            (Availability::Online, _) => "online".to_owned(),
            (Availability::Away, _) => "away".to_owned(),
            (Availability::Offline, Some(seen_ms)) => format!("last seen {}", human::time(seen_ms)),
            (Availability::Offline, None) => "not there".to_owned(),
        }
    }

    /// Returns what is wrong, the worst first.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let trouble = self.trouble.as_ref().map(|trouble| format!("STOPPED: {}", safe::line(trouble)));
        trouble.into_iter().chain(self.offline.as_deref().map(safe::line)).collect()
    }
}

impl UnderWay {
    /// Writes it in one line.
    pub(crate) fn text(&self) -> String {
        let verb = match self.direction {
            Direction::Fetch => "fetching",
            Direction::Share => "sealing",
        };
        match &self.progress {
            None => format!("{verb} {}", self.asked_for),
            Some(progress) => format!("{verb} {}: {}", progress.path, human::progress(progress)),
        }
    }
}
