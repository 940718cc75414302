//! The registration at a terminal: the words are shown, and some asked back.

use std::{collections::BTreeMap, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rexpect::{
    ReadUntil,
    process::WaitStatus,
    reader::{Options, Regex},
    session::spawn_with_options,
};

use super::remark;

/// How long the program may be silent.
const SILENCE: Duration = Duration::from_secs(45);
/// What the program asks: whether the words are written down, then some of them, by number.
const QUESTION: &str = r"Press Enter [a-z ]+: |Word [0-9]{1,2}: ?";
const WORDS: usize = 24;

/// Registers, and answers the quiz with the words that were on the screen.
///
/// The program has a terminal of its own, which hangs up, and so ends it, when this process ends in whatever way.
pub(super) fn register(command: Command) -> Result<()> {
    let options = Options::new().timeout_ms(u64::try_from(SILENCE.as_millis()).ok()).strip_ansi_escape_codes(true);
    let mut terminal = spawn_with_options(command, options).context("no pseudo-terminal could be had")?;
    let question = Regex::new(QUESTION)?;
    let mut screen = String::new();
    let mut asked = 0;
    loop {
        let (shown, asking) = terminal.exp_any(vec![ReadUntil::Regex(question.clone()), ReadUntil::EOF])?;
        show(&shown);
        screen += &shown;
        if asking.starts_with("Press Enter") {
            remark(&format!("  {asking}"));
            terminal.send_line("")?;
            continue;
        }
        let Some(number) = asking_for(&asking) else {
            // The end: what comes with it is all that was said since the last question.
            show(&asking);
            break;
        };
        let words = words_on(&screen);
        ensure!(words.len() == WORDS, "{} of the {WORDS} words were found on the screen", words.len());
        let word = words.get(&number).with_context(|| format!("there is no word {number}"))?;
        remark(&format!("  {} {word}", asking.trim_end()));
        terminal.send_line(word)?;
        asked += 1;
    }
    let ended = terminal.process().wait()?;
    ensure!(matches!(ended, WaitStatus::Exited(_, 0)), "the command failed ({ended:?})");
    ensure!(asked > 0, "no word was asked back");
    Ok(())
}

fn show(text: &str) {
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        remark(&format!("  {line}"));
    }
}

/// Reads the number out of a question such as `Word 7:`.
fn asking_for(question: &str) -> Option<usize> {
    question.strip_prefix("Word ")?.trim_end_matches([':', ' ']).parse().ok()
}

/// Collects the numbered words, such as `7. abandon`, wherever they stand on the screen.
fn words_on(screen: &str) -> BTreeMap<usize, &str> {
    let pieces: Vec<&str> = screen.split_whitespace().collect();
    let numbered = pieces.windows(2).filter_map(|pair| {
        let number = pair[0].trim_end_matches(['.', ':', ')']).parse().ok()?;
        let is_word = (3..=8).contains(&pair[1].len()) && pair[1].bytes().all(|byte| byte.is_ascii_lowercase());
        ((1..=WORDS).contains(&number) && is_word).then_some((number, pair[1]))
    });
    // The list stands before whatever else is said about it.
    numbered.rev().collect()
}
