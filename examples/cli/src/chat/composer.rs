//! The lines that are being written.

use ratatui::style::Style;
use ratatui_textarea::{CursorMove, TextArea, WrapMode};

use super::wrap::wrap;
use crate::safe;

/// How many lines are seen of what is being written.
const MOST_LINES: usize = 5;
/// What is longer is no message: 48 KiB are the most that one holds.
const MOST_BYTES: usize = 64 << 10;

/// What becomes of what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A new message.
    #[default]
    New,
    /// A new wording of the text of ours at a place.
    Edit(u64),
    /// An answer to the message at a place.
    Answer(u64),
}

/// The lines that are being written.
pub(crate) struct Composer {
    area: TextArea<'static>,
    pub(crate) purpose: Purpose,
}

impl Composer {
    pub(crate) fn new() -> Self {
        Self { area: area(), purpose: Purpose::New }
    }

    pub(crate) fn area(&self) -> &TextArea<'static> {
        &self.area
    }

    pub(crate) fn area_mut(&mut self) -> &mut TextArea<'static> {
        &mut self.area
    }

    /// Returns it as it is when nothing was ever scrolled: the library does not scroll back when there is more room again.
    pub(crate) fn unscrolled(&self) -> TextArea<'static> {
        let mut fresh = area();
        fresh.insert_str(self.text());
        let (line, column) = (self.area.cursor().0, self.area.cursor().1);
        let number = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        fresh.move_cursor(CursorMove::Jump(number(line), number(column)));
        fresh
    }

    pub(crate) fn text(&self) -> String {
        self.area.lines().join("\n")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.area.is_empty()
    }

    /// Puts a text there in place of what there was, as it is shown.
    pub(crate) fn set(&mut self, text: &str, purpose: Purpose) {
        self.area = area();
        self.area.insert_str(shown(text));
        self.purpose = purpose;
    }

    /// Takes what is written, and begins anew.
    pub(crate) fn take(&mut self) -> (String, Purpose) {
        let text = self.text();
        self.area = area();
        (text, std::mem::take(&mut self.purpose))
    }

    /// Adds a text where the cursor is. Tells whether there is room for it.
    pub(crate) fn paste(&mut self, text: &str) -> bool {
        let has_room = self.text().len().saturating_add(text.len()) <= MOST_BYTES;
        if has_room {
            self.area.insert_str(shown(text));
        }
        has_room
    }

    /// Gives back what could not be sent, above what was written since.
    pub(crate) fn give_back(&mut self, text: &str, purpose: Purpose) {
        if self.is_empty() {
            return self.set(text, purpose);
        }
        self.area.move_cursor(CursorMove::Top);
        self.area.move_cursor(CursorMove::Head);
        self.area.insert_str(format!("{}\n", shown(text)));
        self.area.move_cursor(CursorMove::Bottom);
        self.area.move_cursor(CursorMove::End);
    }

    /// Returns how many lines it takes of the screen.
    pub(crate) fn height(&self, columns: usize) -> usize {
        let mut height = 0;
        for line in self.area.lines() {
            height += wrap(line, columns, columns).len();
            if height >= MOST_LINES {
                return MOST_LINES;
            }
        }
        height.max(1)
    }
}

fn area() -> TextArea<'static> {
    let mut area = TextArea::default();
    area.set_wrap_mode(WrapMode::WordOrGlyph);
    area.set_cursor_line_style(Style::new());
    // The terminal's own cursor is there, where input methods look for it.
    area.set_cursor_style(Style::new());
    area
}

/// Makes a text what is seen of it, so that nothing is sent that nobody saw. Terminals paste line breaks as `\r`.
fn shown(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines = text.split('\n').map(|line| line.split('\t').map(safe::line).collect::<Vec<_>>().join("\t"));
    lines.collect::<Vec<_>>().join("\n")
}
