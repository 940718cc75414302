//! Makes text from other people harmless for the terminal.
//!
//! A peer's text could carry escape sequences that move the cursor, set the window's title or answer in the reader's
//! name, and controls of direction that make a text look like another one. Each such character is shown as a sign that
//! stands for it.

use std::fmt::Write as _;

/// Makes a text harmless that has one line to itself: line breaks are shown as signs too.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(|c| sign(c).unwrap_or(c)).collect()
}

/// Makes a text of several lines harmless: every further line begins with `indent`, so that no text can pass for a
/// line that the program wrote.
pub(crate) fn block(text: &str, indent: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let lines: Vec<String> = text.split('\n').map(|part| line(&part.replace('\t', "    "))).collect();
    lines.join(&format!("\n{indent}"))
}

/// Writes what JSON leaves as it is, though a terminal might act on it, as JSON's own escapes. The value is the same.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        // Outside of texts JSON has no such characters, and none of them needs a surrogate pair.
        match sign(c) {
            Some(_) => {
                let _ = write!(safe, "\\u{:04x}", u32::from(c));
            }
            None => safe.push(c),
        }
    }
    safe
}

/// Returns the sign for a character that must not reach a terminal.
fn sign(c: char) -> Option<char> {
    match c {
        // Unicode's own pictures of the C0 controls.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)),
        '\x7f' => Some('\u{2421}'),
        // C1 controls, separators that some terminals take for line breaks, controls of direction, invisible characters
        // and interlinear annotations. The joiners U+200C and U+200D stay: scripts and emoji need them.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' => Some('\u{fffd}'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_escape() {
        assert_eq!(line("\x1b[2J\x1b]0;owned\x07"), "␛[2J␛]0;owned␇");
        assert_eq!(line("a\u{9b}31mb\x7f"), "a\u{fffd}31mb␡");
        assert_eq!(line("one\r\ntwo"), "one␍␊two");
    }

    #[test]
    fn direction_and_invisible_characters_are_shown() {
        for c in "\u{202e}\u{2066}\u{2069}\u{200f}\u{61c}\u{200b}\u{feff}\u{2028}\u{2060}\u{fff9}".chars() {
            assert_eq!(line(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let text = "Grüße, 世界 — שלום, می‌خواهم 👩‍🚀";
        assert_eq!(line(text), text);
        assert_eq!(json(text), text);
    }

    #[test]
    fn further_lines_are_indented_and_tabs_are_blanks() {
        assert_eq!(block("one\r\n14:00 @eve: two\n\tthree\rfour", "  "), "one\n  14:00 @eve: two\n      three␍four");
    }

    #[test]
    fn json_keeps_its_value() {
        let text = "\u{9b}31m \u{202e}gnp.exe \x7f \x1b[0m";
        let written = json(&serde_json::to_string(text).unwrap());
        assert!(!written.contains(|c: char| c.is_control() || c == '\u{202e}'), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
