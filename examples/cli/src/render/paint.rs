//! Colours. They are written always, and taken out again on the way to whatever is no terminal or wants none (`NO_COLOR`).

use anstyle::{AnsiColor, Style};

/// Somebody's name.
pub(super) const NAME: Style = AnsiColor::Cyan.on_default().bold();
/// What keeps something from going on, or may be somebody else's.
pub(super) const ALARM: Style = AnsiColor::Red.on_default().bold();
/// What is good to know.
pub(super) const FAINT: Style = Style::new().dimmed();

pub(super) fn paint(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}
