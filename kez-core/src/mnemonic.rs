//! The paper backup: the seed as 24 words (BIP-39; `docs/PROTOCOL.md` §1).
//!
//! The 32-byte seed *is* the BIP-39 entropy. No PBKDF2 stretches it, so the words give back the very key.

use std::{borrow::Cow, fmt};

use bip39::Language;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    error::Code,
    identity::{PrimaryKey, SecretKey},
};

/// How many words a backup has.
pub const WORDS: usize = 24;

/// Says which word, or what about the words, is wrong. Positions count from 1, as a person counts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MnemonicError {
    /// There are not 24 words.
    #[error("a backup has 24 words; these are {0}")]
    WrongCount(usize),
    /// A word is not on the list.
    #[error("word {0} is not on the BIP-39 English list; check its spelling")]
    UnknownWord(usize),
    /// All words are on the list, but they do not belong together.
    #[error("the words' checksum does not fit: one of them is wrong, or two changed places")]
    BadChecksum,
}

impl MnemonicError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::BadMnemonic
    }
}

/// A seed as 24 English words. Wiped on drop, never printed by `Debug`.
///
/// ```
/// use kez_core::{identity::SecretKey, mnemonic::Mnemonic};
///
/// let key = SecretKey::from_seed([7; 32]);
/// let words = Mnemonic::of(&key);
/// let typed = words.expose_words().join("  ").to_uppercase();
/// assert_eq!(Mnemonic::parse(&typed)?.secret_key().primary(), key.primary());
/// # Ok::<(), kez_core::mnemonic::MnemonicError>(())
/// ```
#[derive(Clone)]
pub struct Mnemonic(bip39::Mnemonic);

impl Mnemonic {
    /// Writes a key's seed as words.
    #[must_use]
    pub fn of(key: &SecretKey) -> Self {
        match bip39::Mnemonic::from_entropy_in(Language::English, key.expose_seed()) {
            Ok(mnemonic) => Self(mnemonic),
            Err(_) => unreachable!("32 bytes are a valid BIP-39 entropy"),
        }
    }

    /// Reads 24 words in any case, with any white space between and around them.
    ///
    /// # Errors
    /// [`MnemonicError`], which names the word that is wrong where one is.
    pub fn parse(input: &str) -> Result<Self, MnemonicError> {
        let words = normalize(input);
        let count = words.split_whitespace().count();
        if count != WORDS {
            return Err(MnemonicError::WrongCount(count));
        }
        match bip39::Mnemonic::parse_in_normalized(Language::English, &words) {
            Ok(mnemonic) => Ok(Self(mnemonic)),
            Err(bip39::Error::UnknownWord(index)) => Err(MnemonicError::UnknownWord(index + 1)),
            Err(_) => Err(MnemonicError::BadChecksum),
        }
    }

    /// Gives back the key.
    #[must_use]
    pub fn secret_key(&self) -> SecretKey {
        let (entropy, _) = self.0.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&entropy[..32]);
        SecretKey::from_seed(*seed)
    }

    /// Shows the words, to be written down on paper and nowhere else.
    #[must_use]
    pub fn expose_words(&self) -> Vec<&'static str> {
        self.0.words().collect()
    }

    /// Picks which words to ask back: `count` different positions, from 1 to 24, in ascending order.
    #[must_use]
    pub fn quiz(&self, count: usize, rng: &mut impl CryptoRng) -> Quiz {
        let mut left: Vec<usize> = (1..=WORDS).collect();
        let mut asked = Vec::new();
        while asked.len() < count && !left.is_empty() {
            // The bias of 2^32 modulo at most 24 is below one in a hundred million.
            let index = rng.next_u32() as usize % left.len();
            asked.push(left.swap_remove(index));
        }
        asked.sort_unstable();
        Quiz { mnemonic: self.clone(), asked }
    }
}

/// Brings what a person typed to the form of the word list: NFKD, then lower case (§1).
fn normalize(input: &str) -> Zeroizing<String> {
    let mut text = Cow::Borrowed(input);
    bip39::Mnemonic::normalize_utf8_cow(&mut text);
    let normalized = Zeroizing::new(text.into_owned());
    Zeroizing::new(normalized.to_lowercase())
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mnemonic(redacted)")
    }
}

/// The words that a person types back to show that they wrote them down.
#[derive(Clone, Debug)]
pub struct Quiz {
    mnemonic: Mnemonic,
    asked: Vec<usize>,
}

impl Quiz {
    /// Returns the positions asked for, counted from 1, ascending.
    #[must_use]
    pub fn positions(&self) -> &[usize] {
        &self.asked
    }

    /// Tells whether the quiz is about the words of this key.
    #[must_use]
    pub fn is_about(&self, key: &PrimaryKey) -> bool {
        self.mnemonic.secret_key().primary() == *key
    }

    /// Checks one answer: the word at the position, in any case, with blanks around it.
    #[must_use]
    pub fn is_right(&self, position: usize, answer: &str) -> bool {
        let answer = normalize(answer);
        let word = position.checked_sub(1).and_then(|index| self.mnemonic.0.words().nth(index));
        word.is_some_and(|word| word.as_bytes().ct_eq(answer.trim().as_bytes()).into())
    }

    /// Checks all answers, given in the order of [`Quiz::positions`].
    #[must_use]
    pub fn passes(&self, answers: &[impl AsRef<str>]) -> bool {
        answers.len() == self.asked.len()
            && self.asked.iter().zip(answers).all(|(&position, answer)| self.is_right(position, answer.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BIP-39's own vector for 32 bytes of 7f.
    const VECTOR: &str = "legal winner thank year wave sausage worth useful legal winner thank year wave sausage \
                          worth useful legal winner thank year wave sausage worth title";

    #[test]
    fn the_seed_is_the_entropy() {
        let key = SecretKey::from_seed([0x7f; 32]);
        assert_eq!(Mnemonic::of(&key).expose_words().join(" "), VECTOR);
        assert_eq!(Mnemonic::parse(VECTOR).unwrap().secret_key().expose_seed(), &[0x7f; 32]);
    }

    #[test]
    fn input_is_forgiving_and_errors_name_the_place() {
        let loose = format!("\t{}\n", VECTOR.to_uppercase().replace(' ', " \u{3000}\r\n"));
        assert!(Mnemonic::parse(&loose).is_ok());
        let styled = VECTOR.replacen("legal", "\u{1d40b}\u{1d404}\u{1d406}\u{1d400}\u{1d40b}", 1);
        assert!(Mnemonic::parse(&styled).is_ok(), "compatibility capitals are letters too");
        let fault = |text: &str| Mnemonic::parse(text).unwrap_err();
        assert_eq!(fault(""), MnemonicError::WrongCount(0));
        assert_eq!(fault("legal winner"), MnemonicError::WrongCount(2));
        assert_eq!(fault(&VECTOR.replacen("year", "yeer", 1)), MnemonicError::UnknownWord(4));
        assert_eq!(fault(&VECTOR.replacen("legal winner", "winner legal", 1)), MnemonicError::BadChecksum);
    }

    #[test]
    fn a_quiz_asks_different_words_and_takes_only_the_right_ones() {
        let mnemonic = Mnemonic::parse(VECTOR).unwrap();
        let quiz = mnemonic.quiz(4, &mut rand::rng());
        assert!(quiz.positions().is_sorted_by(|a, b| a < b) && quiz.positions().len() == 4);
        let words = mnemonic.expose_words();
        let right: Vec<String> =
            quiz.positions().iter().map(|&p| format!(" {} ", words[p - 1].to_uppercase())).collect();
        assert!(quiz.passes(&right));
        assert!(!quiz.passes(&right[..3]));
        let mut wrong = right.clone();
        wrong[2] = "zoo".into();
        assert!(!quiz.passes(&wrong));
        assert!(!quiz.is_right(0, "legal") && !quiz.is_right(25, "legal"));
    }

    #[test]
    fn words_are_not_printed() {
        assert_eq!(format!("{:?}", Mnemonic::parse(VECTOR).unwrap()), "Mnemonic(redacted)");
    }
}
