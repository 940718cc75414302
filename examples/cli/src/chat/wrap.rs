//! The one way by which text gets onto the screen: made harmless, and cut to the columns that there are.

use ratatui::{
    buffer::CellWidth as _,
    style::Style,
    text::{Span, StyledGrapheme},
};

use crate::safe;

/// No letter of a script and no emoji has more parts; what piles up more would cover the lines above it.
const MOST_PARTS: usize = 16;

/// Breaks a text into lines: at blanks, and within words that are too long. The first line has `first` columns, the others
/// have `rest`.
pub(crate) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut columns = first;
    for paragraph in safe::block(text, "").split('\n') {
        wrap_paragraph(paragraph, &mut columns, rest, &mut lines);
    }
    lines
}

fn wrap_paragraph(paragraph: &str, columns: &mut usize, rest: usize, lines: &mut Vec<String>) {
    let paragraph = Span::raw(paragraph);
    let (mut line, mut width) = (String::new(), 0);
    // Where the last blank of the line ends: the byte, and the column.
    let mut last_blank: Option<(usize, usize)> = None;
    for letter in paragraph.styled_graphemes(Style::new()) {
        let (letter, letter_width) = letter_of(&letter);
        let mut is_broken = false;
        while width > 0 && width + letter_width > *columns {
            let mut next = String::new();
            let mut next_width = 0;
            if let Some((byte, column)) = last_blank.take_if(|_| letter != " ") {
                next = line.split_off(byte);
                next_width = width - column;
            }
            lines.push(std::mem::replace(&mut line, next).trim_end().to_owned());
            (width, last_blank, *columns, is_broken) = (next_width, None, rest, true);
        }
        if letter == " " {
            // The blank at which a line was broken has done its work.
            if is_broken {
                continue;
            }
            last_blank = Some((line.len() + 1, width + 1));
        }
        line.push_str(letter);
        width += letter_width;
    }
    *columns = rest;
    lines.push(line);
}

/// Makes a text one line of at most so many columns; what is cut off ends in an ellipsis.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let text = safe::line(text);
    let text = Span::raw(text);
    let (mut line, mut width) = (String::new(), 0);
    // Up to where the line goes if an ellipsis must follow.
    let mut short = 0;
    for letter in text.styled_graphemes(Style::new()) {
        let (letter, letter_width) = letter_of(&letter);
        if width + letter_width > columns {
            line.truncate(short);
            if columns > 0 {
                line.push('…');
            }
            return line;
        }
        line.push_str(letter);
        width += letter_width;
        if width < columns {
            short = line.len();
        }
    }
    line
}

/// Returns how many columns a text takes that is safe already.
pub(crate) fn width(text: &str) -> usize {
    let text = Span::raw(text);
    text.styled_graphemes(Style::new()).map(|letter| letter_of(&letter).1).sum()
}

fn letter_of<'a>(letter: &StyledGrapheme<'a>) -> (&'a str, usize) {
    let letter = if letter.symbol.chars().nth(MOST_PARTS).is_some() { "\u{fffd}" } else { letter.symbol };
    (letter, usize::from(letter.cell_width()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 7, 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 3, 9), ["one", "two three"]);
        assert_eq!(wrap("abcdefghij", 4, 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a bcdefghij", 4, 4), ["a", "bcde", "fghi", "j"]);
        assert_eq!(wrap("one\n\ntwo\n", 9, 9), ["one", "", "two", ""]);
        assert_eq!(wrap("", 9, 9), [""]);
        assert_eq!(wrap("ab", 0, 0), ["a", "b"]);
    }

    #[test]
    fn wide_letters_take_two_columns_and_stay_whole() {
        assert_eq!(wrap("世界世界", 5, 5), ["世界", "世界"]);
        assert_eq!(wrap("👩‍🚀👩‍🚀👩‍🚀", 4, 4), ["👩‍🚀👩‍🚀", "👩‍🚀"]);
        assert_eq!(fit("世界世界", 5), "世界…");
        assert_eq!(width("世界 e\u{301}"), 6);
    }

    #[test]
    fn a_line_that_is_too_long_says_so() {
        assert_eq!(fit("report", 6), "report");
        assert_eq!(fit("reports", 6), "repor…");
        assert_eq!(fit("ab", 1), "…");
        assert_eq!(fit("ab", 0), "");
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_comes_out() {
        let hostile = "\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}exe\r\x08\u{2028}x\n\tone";
        for text in wrap(hostile, 200, 200).into_iter().chain([fit(hostile, 200)]) {
            assert!(!text.contains(|c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}')), "{text:?}");
        }
    }

    #[test]
    fn marks_do_not_pile_up() {
        let tower = format!("a{}b", "\u{301}".repeat(1000));
        assert_eq!(wrap(&tower, 9, 9), ["\u{fffd}b"]);
        assert_eq!(fit(&tower, 9), "\u{fffd}b");
        let family = "👩🏽‍❤️‍💋‍👨🏿";
        assert_eq!(fit(family, 9), family);
    }
}
