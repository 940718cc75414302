//! The 24 words, as a terminal shows and asks for them.

use std::collections::BTreeMap;

use rexpect::session::PtySession;

/// Reads the numbered words off the screen, and the number of the word that is asked for.
pub(crate) fn read_words(terminal: &mut PtySession) -> (BTreeMap<usize, String>, usize) {
    let screen = terminal.exp_string("on the paper: ").unwrap();
    terminal.send_line("").unwrap();
    let (_, question) = terminal.exp_regex(r"Word [0-9]+: ").unwrap();
    let pieces: Vec<&str> = screen.split_whitespace().collect();
    let words: BTreeMap<usize, String> = pieces
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_suffix('.')?.parse().ok()?, pair[1].to_owned())))
        .collect();
    assert_eq!(words.keys().copied().collect::<Vec<_>>(), (1..=24).collect::<Vec<_>>(), "{screen}");
    (words, number_in(&question))
}

/// Answers the three questions of a quiz, of which the first has been asked.
pub(crate) fn answer(terminal: &mut PtySession, words: &BTreeMap<usize, String>, first: usize) {
    terminal.send_line(&words[&first]).unwrap();
    for _ in 0..2 {
        let (_, question) = terminal.exp_regex(r"Word [0-9]+: ").unwrap();
        terminal.send_line(&words[&number_in(&question)]).unwrap();
    }
}

pub(crate) fn number_in(question: &str) -> usize {
    question.trim_start_matches("Word ").trim_end_matches(": ").parse().unwrap()
}
