//! The part of a text that shows why it was found.

use std::ops::Range;

use serde::Serialize;

use super::{
    query::Term,
    words::{Word, words},
};

/// How much of the text before the first match is shown, in bytes.
const BEFORE: usize = 40;
/// How much of it is shown at most, in bytes.
const LENGTH: usize = 200;

/// A part of a text, and where in it is what was looked for. `Debug` shows no text.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snippet {
    /// The part; `…` stands where more was before or comes after.
    pub text: String,
    /// The bytes of `text` that match, in their order and apart from each other.
    pub matches: Vec<Range<usize>>,
}

impl std::fmt::Debug for Snippet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snippet({} bytes, redacted, {:?})", self.text.len(), self.matches)
    }
}

impl Snippet {
    pub(super) fn of(text: &str, terms: &[Term]) -> Self {
        let matches = matches(text, terms);
        let first = matches.first().map_or(0, |first| first.start);
        let start = begin(text, first.saturating_sub(BEFORE), first);
        let end = text.floor_char_boundary((start + LENGTH).min(text.len()));
        let mut part = String::new();
        if start > 0 {
            part.push('…');
        }
        let moved = part.len();
        part.push_str(text.get(start..end).unwrap_or_default());
        if end < text.len() {
            part.push('…');
        }
        let shown = matches.into_iter().filter(|found| found.end <= end);
        Self {
            text: part,
            matches: shown.map(|found| found.start - start + moved..found.end - start + moved).collect(),
        }
    }
}

/// Returns where a part begins that holds what is at `first`: with a word, if there is a space on the way.
fn begin(text: &str, from: usize, first: usize) -> usize {
    let from = text.ceil_char_boundary(from);
    let space = text.get(from..first).and_then(|before| before.find(char::is_whitespace));
    match space {
        Some(space) if from > 0 => text.ceil_char_boundary(from + space + 1),
        _ => from,
    }
}

/// Lists where terms are in a text.
fn matches(text: &str, terms: &[Term]) -> Vec<Range<usize>> {
    let words: Vec<Word> = words(text).collect();
    let mut found: Vec<Range<usize>> = terms
        .iter()
        .flat_map(|term| words.windows(term.words.len()).filter(|run| is_match(run, term)))
        .filter_map(|run| Some(run.first()?.at.start..run.last()?.at.end))
        .collect();
    found.sort_by_key(|found| (found.start, found.end));
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for next in found {
        match apart.last_mut() {
            Some(last) if next.start <= last.end => last.end = last.end.max(next.end),
            _ => apart.push(next),
        }
    }
    apart
}

fn is_match(run: &[Word], term: &Term) -> bool {
    let last = term.words.len() - 1;
    run.iter().zip(&term.words).enumerate().all(|(place, (word, wanted))| {
        word.folded == *wanted || place == last && term.is_prefix && word.folded.starts_with(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::query::terms, *};

    /// The snippet with what matches in brackets.
    fn marked(text: &str, typed: &str) -> String {
        let Snippet { text, matches } = Snippet::of(text, &terms(typed).unwrap());
        let mut marked = text.clone();
        for found in matches.into_iter().rev() {
            marked.insert(found.end, ']');
            marked.insert(found.start, '[');
        }
        marked
    }

    #[test]
    fn matches_are_marked_where_they_are() {
        assert_eq!(marked("Meet me at the Harbour", "harb"), "Meet me at the [Harbour]");
        assert_eq!(marked("a crème, and a Crème", "creme"), "a [crème], and a [Crème]");
        assert_eq!(marked("我想去海边", "海边"), "我想去[海边]");
        assert_eq!(marked("see you, you see", "you see"), "[see] [you], [you] [see]");
        assert_eq!(marked("see kez.lat now", "kez.lat no"), "see [kez.lat] [now]");
        assert_eq!(marked("nothing here", "else"), "nothing here");
        assert_eq!(marked("", "else"), "");
    }

    #[test]
    fn a_long_text_is_cut_around_the_first_match() {
        let long = format!("{}the harbour {}", "wörd ".repeat(100), "ünd so weiter ".repeat(100));
        let shown = marked(&long, "harbour");
        assert!(
            shown.starts_with("…wörd") && shown.contains("wörd the [harbour] ünd") && shown.ends_with('…'),
            "{shown}"
        );
        assert!(shown.len() < LENGTH + 20, "{}", shown.len());
        let signs = "海".repeat(500) + "边";
        let shown = marked(&signs, "边");
        assert!(shown.starts_with("…海") && shown.ends_with("海[边]"), "{shown}");
    }
}
