//! The paper backup at a terminal: the words are shown, and some of them asked back.

use kez_chat_sdk::{
    BackedUpAccount, NewAccount,
    mnemonic::{Mnemonic, Quiz},
};
use zeroize::Zeroizing;

use crate::{failure::Failure, terminal::Terminal};

const ASKED: usize = 3;
const TRIES: usize = 3;
const COLUMNS: usize = 4;
const WHY: &str = "\
Write these words on paper, with their numbers. Whoever has them has the account; nobody
can give them back to you. They are what helps when this device is lost.

";
const READY: &str = "\nPress Enter when they are on the paper: ";
const DONE: &str = "\nPress Enter to hide them: ";
const ASK: &str = "Now type some of them, as they stand on the paper.\n";

/// Shows the words, hides them, and asks some back; shows them again until the answers are right.
pub(crate) async fn hold(account: NewAccount, terminal: &Terminal) -> Result<BackedUpAccount, Failure> {
    let words = account.mnemonic();
    let grid = grid(&words.expose_words());
    let screen = terminal.private_screen()?;
    loop {
        terminal.write(WHY)?;
        terminal.write(&grid)?;
        terminal.ask(READY).await?;
        screen.clear()?;
        terminal.write(ASK)?;
        let quiz = words.quiz(ASKED, &mut rand::rng());
        if let Some(answers) = ask(terminal, &quiz).await? {
            if !screen.vanishes() {
                terminal.write("The words are still on this screen: clear it.\n")?;
            }
            drop(screen);
            return Ok(account.confirm_quiz(&quiz, &answers).await?);
        }
        screen.clear()?;
    }
}

/// Shows the words again, on a screen of their own, until the person is done.
pub(crate) async fn show(words: &Mnemonic, terminal: &Terminal) -> Result<(), Failure> {
    let grid = grid(&words.expose_words());
    let screen = terminal.private_screen()?;
    terminal.write(WHY)?;
    terminal.write(&grid)?;
    terminal.ask(DONE).await?;
    screen.clear()?;
    if !screen.vanishes() {
        terminal.write("The words are still on this screen: clear it.\n")?;
    }
    Ok(())
}

/// Asks for the words of a quiz; `None` if one of them was wrong too often.
async fn ask(terminal: &Terminal, quiz: &Quiz) -> Result<Option<Zeroizing<Vec<String>>>, Failure> {
    let mut answers = Zeroizing::new(Vec::new());
    for &position in quiz.positions() {
        let mut tries = 0;
        loop {
            let answer = terminal.ask(&format!("Word {position}: ")).await?;
            if quiz.is_right(position, &answer) {
                answers.push(answer.to_string());
                break;
            }
            tries += 1;
            if tries == TRIES {
                return Ok(None);
            }
            terminal.write("That is not it.\n")?;
        }
    }
    Ok(Some(answers))
}

/// Sets the words out with their numbers, line by line.
fn grid(words: &[&str]) -> Zeroizing<String> {
    let mut grid = Zeroizing::new(String::new());
    for (index, word) in words.iter().enumerate() {
        let end = if (index + 1) % COLUMNS == 0 { "\n" } else { "" };
        grid.push_str(&format!("  {:>2}. {word:<9}{end}", index + 1));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_stand_in_rows_with_their_numbers() {
        let words: Vec<String> = (1..=24).map(|n| format!("word{n}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let grid = grid(&words);
        let rows: Vec<&str> = grid.lines().collect();
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[0].trim_end(), "   1. word1       2. word2       3. word3       4. word4");
        assert!(rows[5].trim_end().ends_with("24. word24"));
    }
}
