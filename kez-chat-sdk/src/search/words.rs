//! What a word is: the same for the index, for what is looked for, and for what is shown of a hit.
//!
//! Words are runs of letters and digits, compared without case, accents and compatibility forms (NFKD). Scripts that write
//! no spaces between words are taken sign by sign, and so are emoji: a search for several signs then looks for them in
//! this order, side by side. An index of all three letters in a row would find parts of words too, but is several times as
//! large, and finds nothing shorter: most Chinese words.

use std::{iter, ops::Range};

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Longer words are told apart by their beginnings.
const MAX_WORD_BYTES: usize = 64;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it stands, in bytes.
    pub(crate) at: Range<usize>,
    /// How it is compared: letters, digits and their marks only.
    pub(crate) folded: String,
}

/// Lists the words of a text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let mut rest = text.char_indices().peekable();
    iter::from_fn(move || {
        loop {
            let (start, first) = rest.next()?;
            let stands_alone = is_sign(first);
            if !stands_alone && !first.is_alphanumeric() {
                continue;
            }
            let mut end = start + first.len_utf8();
            while let Some((at, next)) = rest.next_if(|(_, next)| {
                is_combining_mark(*next)
                    || is_joiner(*next)
                    || !stands_alone && next.is_alphanumeric() && !is_sign(*next)
            }) {
                end = at + next.len_utf8();
            }
            let folded = text.get(start..end).map(fold).unwrap_or_default();
            if !folded.is_empty() {
                return Some(Word { at: start..end, folded });
            }
        }
    })
}

fn fold(word: &str) -> String {
    let mut folded = String::with_capacity(word.len());
    let kept = |letter: &char| {
        (letter.is_alphanumeric() || is_sign(*letter) || is_combining_mark(*letter)) && !is_accent(*letter)
    };
    // Up and down again: ß is ss, and every sigma one.
    let letters = word.nfkd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).filter(kept);
    for letter in letters {
        if folded.len() + letter.len_utf8() > MAX_WORD_BYTES {
            break;
        }
        folded.push(letter);
    }
    folded
}

/// Tells whether a character is a word by itself.
fn is_sign(character: char) -> bool {
    matches!(character,
        // Thai and Lao, Tibetan, Burmese, Khmer.
        '\u{e00}'..='\u{fff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        // Chinese and Japanese, but for their punctuation.
        | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{30fa}' | '\u{30fc}'..='\u{312f}'
        | '\u{31a0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}'
        // Emoji and what is used like them.
        | '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}')
        && !is_combining_mark(character)
}

/// Tells whether a character only says how its neighbours are written.
fn is_joiner(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{2060}')
}

/// Tells whether a mark makes no other letter of the one that it stands on: accents, and the points of Hebrew and Arabic. The
/// vowels of Indian scripts are marks too, and no accents.
fn is_accent(mark: char) -> bool {
    matches!(mark, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).map(|word| word.folded).collect()
    }

    #[test]
    fn words_are_compared_without_case_accents_and_compatibility_forms() {
        for (text, expected) in [
            ("Meet me at the Harbour!", &["meet", "me", "at", "the", "harbour"][..]),
            ("Crème brûlée, re\u{301}sume\u{301}", &["creme", "brulee", "resume"]),
            ("STRASSE Straße", &["strasse", "strasse"]),
            ("ΟΔΟΣ οδος Ёлка", &["οδοσ", "οδοσ", "елка"]),
            ("don't foo_bar kez.lat", &["don", "t", "foo", "bar", "kez", "lat"]),
            ("ﬁne ２０２６ ⒈ x\u{ad}y", &["fine", "2026", "1", "xy"]),
            ("हिन्दी में", &["हिन्दी", "में"]),
            ("كِتَاب", &["كتاب"]),
            ("... --- !", &[]),
            ("", &[]),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
        assert_eq!(folded("한국")[0], "한국".nfkd().collect::<String>());
    }

    #[test]
    fn scripts_without_spaces_are_taken_sign_by_sign() {
        assert_eq!(folded("我想去海边。ok"), ["我", "想", "去", "海", "边", "ok"]);
        assert_eq!(folded("カタカナがｶ"), ["カ", "タ", "カ", "ナ", "が".nfkd().collect::<String>().as_str(), "カ"]);
        assert_eq!(folded("กิน").len(), 2, "a vowel belongs to its consonant");
        assert_eq!(folded("see 👍🏽❤\u{fe0f}you"), ["see", "👍", "🏽", "❤", "you"]);
    }

    #[test]
    fn places_are_those_in_the_text() {
        let text = "¡Olé, 海边 re\u{301}!";
        let found: Vec<&str> = words(text).map(|word| &text[word.at]).collect();
        assert_eq!(found, ["Olé", "海", "边", "re\u{301}"]);
        let long = "ä".repeat(1000);
        assert_eq!(folded(&long), ["a".repeat(MAX_WORD_BYTES)]);
    }

    proptest! {
        /// Whatever a text holds, its words hold nothing that means something to the index, and fold to themselves.
        #[test]
        fn any_text_has_words_that_are_only_that(text in any::<String>()) {
            let mut end = 0;
            for word in words(&text) {
                prop_assert!(word.at.start >= end && text.get(word.at.clone()).is_some());
                end = word.at.end;
                prop_assert!(!word.folded.is_empty() && word.folded.len() <= MAX_WORD_BYTES);
                prop_assert!(word.folded.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric()), "{:?}", word);
                let private = '\u{e000}'..='\u{f8ff}';
                prop_assert!(!word.folded.chars().any(|letter| private.contains(&letter)), "the index' own");
            }
        }
    }
}
