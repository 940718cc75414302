//! What the screen shows, and what keys do to it.

mod drawing;
mod keys;
mod window;

use chrono::{DateTime, NaiveDateTime};
use ratatui::{Terminal, backend::TestBackend, buffer::CellWidth as _, layout::Size};

use super::{palette::Palette, rows::Setting, screen::Screen};
use crate::api::{
    files::SharedFile,
    people::Availability,
    talk::{Content, Message, MessageRef, MessageState, Reaction},
};

/// 2026-11-23, 14:03 UTC.
const NOON: u64 = 1_795_442_580_000;
const DAY: u64 = 86_400_000;
const OWN: &str = "ed25519:01";
const BOB: &str = "ed25519:02";

fn utc(unix_ms: u64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_millis(i64::try_from(unix_ms).ok()?).map(|moment| moment.naive_utc())
}

fn with(peer: &str, palette: Palette) -> Screen {
    let mut screen = Screen::new(Setting { own: OWN.to_owned(), peer: peer.to_owned(), palette, local: utc });
    screen.presence = (Availability::Online, None);
    screen.offline = None;
    // Everything was read.
    screen.begin_at(1_000_000);
    screen.resize(Size::new(40, 12));
    screen
}

/// Makes the screen of a conversation with Bob, who is there.
fn screen() -> Screen {
    with("@bob", Palette::plain())
}

fn theirs(place: u64, text: &str) -> Message {
    Message {
        place,
        author: BOB.to_owned(),
        id: format!("{place:032x}"),
        is_own: false,
        sent_at_ms: NOON + 60_000 * place,
        stored_at_ms: NOON + 60_000 * place,
        content: Content::Text { text: text.to_owned(), edited: false },
        reply_to: None,
        reactions: Vec::new(),
        in_doubt: false,
        state: None,
    }
}

fn ours(place: u64, text: &str, state: MessageState) -> Message {
    Message { author: OWN.to_owned(), is_own: true, state: Some(state), ..theirs(place, text) }
}

fn offer(place: u64, share_id: i64, files: &[(&str, u64)]) -> Message {
    let file = |(path, size_bytes): &(&str, u64)| SharedFile {
        path: (*path).to_owned(),
        media_type: String::new(),
        size_bytes: *size_bytes,
    };
    let files = files.iter().map(file).collect();
    Message { content: Content::Files { share_id: Some(share_id), files }, ..theirs(place, "") }
}

fn name_of(message: &Message) -> MessageRef {
    MessageRef { author: message.author.clone(), id: message.id.clone() }
}

/// Draws a screen on a terminal of a size, and returns its lines without the blanks at their ends.
fn drawn(screen: &mut Screen, columns: u16, lines: u16) -> Vec<String> {
    screen.resize(Size::new(columns, lines));
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| super::draw::draw(screen, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y: u16| {
        let (mut line, mut x) = (String::new(), 0);
        while x < columns {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // A wide letter covers the cell after it.
            x += symbol.cell_width().max(1);
        }
        line.trim_end().to_owned()
    };
    (0..lines).map(line).collect()
}

/// Returns what is between the title and the line that is being written, without empty lines.
fn view(screen: &mut Screen, columns: u16, lines: u16) -> Vec<String> {
    let drawn = drawn(screen, columns, lines);
    drawn[1..drawn.len() - 2].iter().filter(|line| !line.is_empty()).cloned().collect()
}
