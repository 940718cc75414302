//! What is looked for, as the index takes it.

use std::fmt::Write as _;

use super::{SearchError, words::words};

/// More words than anybody looks for.
const MAX_WORDS: usize = 64;

/// Words that have to stand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) words: Vec<String>,
    /// Whether the last word may go on.
    pub(crate) is_prefix: bool,
}

/// Reads what somebody typed: terms between spaces, all of which have to be there. The last may be unfinished.
pub(crate) fn terms(typed: &str) -> Result<Vec<Term>, SearchError> {
    let mut count = 0;
    let mut terms = Vec::new();
    for part in typed.split_whitespace() {
        let mut term = Vec::new();
        for word in words(part) {
            count += 1;
            if count > MAX_WORDS {
                return Err(SearchError::TooManyWords { most: MAX_WORDS });
            }
            term.push(word.folded);
        }
        if !term.is_empty() {
            terms.push(Term { words: term, is_prefix: false });
        }
    }
    terms.last_mut().ok_or(SearchError::NoWords)?.is_prefix = true;
    Ok(terms)
}

/// Writes terms as FTS5 takes them. Words hold nothing that means something to it.
pub(crate) fn expression(terms: &[Term]) -> String {
    let mut expression = String::new();
    for Term { words, is_prefix } in terms {
        let star = if *is_prefix { "*" } else { "" };
        let _ = write!(expression, "\"{}\"{star} ", words.join(" "));
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_no_syntax() {
        let said = |typed| expression(&terms(typed).unwrap());
        assert_eq!(said("see  you"), "\"see\" \"you\"* ");
        assert_eq!(said("NOT don't OR (*"), "\"not\" \"don t\" \"or\"* ");
        assert_eq!(said("海边\" NEAR/2 -"), "\"海 边\" \"near 2\"* ");
        for nothing in ["", " ", "\"", "* - ()"] {
            assert_eq!(terms(nothing).unwrap_err().code(), "NoWords");
        }
        assert_eq!(terms(&"a ".repeat(65)).unwrap_err().code(), "TooManyWords");
        assert!(terms(&"a".repeat(100_000)).is_ok(), "one long word");
    }
}
