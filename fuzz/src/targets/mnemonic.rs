//! Words as a person types them (`docs/PROTOCOL.md` §1).

use kez_core::{
    identity::SecretKey,
    mnemonic::{Mnemonic, MnemonicError, WORDS},
};

use super::input::{Input, Seed, alice};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => {
            if let Ok(text) = std::str::from_utf8(input.rest()) {
                check(text);
            }
        }
        1 => {
            // A key's own words, spelled and spaced anyhow.
            let key = SecretKey::from_seed(input.array());
            let mut text = String::new();
            for word in Mnemonic::of(&key).expose_words() {
                let blank = [" ", "\t", "\n", "  ", "\u{a0}", "\u{3000}", "\r\n", "\u{2003}"];
                text += blank[usize::from(input.byte()) % blank.len()];
                text += &match input.byte() % 3 {
                    0 => word.to_owned(),
                    1 => word.to_uppercase(),
                    // Full-width forms are the same letters under NFKD.
                    _ => word.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect(),
                };
            }
            assert_eq!(Mnemonic::parse(&text).unwrap().secret_key().primary(), key.primary());
            check(&text);
        }
        _ => {
            // A word replaced, or two changed places: never the same key, and rarely any.
            let key = SecretKey::from_seed(input.array());
            let mut words = Mnemonic::of(&key).expose_words();
            let (at, other) = (input.below(WORDS), input.below(WORDS));
            if input.byte().is_multiple_of(2) {
                words.swap(at, other);
            } else {
                words[at] = Mnemonic::of(&SecretKey::from_seed(input.array())).expose_words()[other];
            }
            let same = words == Mnemonic::of(&key).expose_words();
            let text = words.join(" ");
            if let Ok(mnemonic) = Mnemonic::parse(&text) {
                assert_eq!(mnemonic.secret_key().primary() == key.primary(), same);
            }
            check(&text);
        }
    }
}

fn check(text: &str) {
    match Mnemonic::parse(text) {
        Ok(mnemonic) => {
            let words = mnemonic.expose_words();
            assert_eq!(words.len(), WORDS);
            let key = mnemonic.secret_key();
            assert_eq!(Mnemonic::of(&key).expose_words(), words);
            assert_eq!(Mnemonic::parse(&words.join(" ")).unwrap().secret_key().primary(), key.primary());
            assert_eq!(format!("{mnemonic:?}"), "Mnemonic(redacted)");
        }
        Err(MnemonicError::WrongCount(count)) => assert_ne!(count, WORDS),
        Err(MnemonicError::UnknownWord(position)) => assert!((1..=WORDS).contains(&position)),
        Err(_) => {}
    }
}

pub fn seeds() -> Vec<Seed> {
    let words = Mnemonic::of(&alice()).expose_words().join(" ");
    let text = |text: &str| [b"\0", text.as_bytes()].concat();
    vec![
        ("words", text(&words)),
        ("upper-case", text(&words.to_uppercase())),
        ("unknown-word", text(&words.replacen("doctor", "docter", 1))),
        ("bad-checksum", text(&words.replacen("comic", "absurd", 1))),
        ("one-more", text(&format!("{words} zoo"))),
        ("respelled", [&[1], [1; 32].as_slice(), &[0, 0, 1, 1, 2, 2, 3, 0, 4, 1, 5, 2, 6, 0, 7]].concat()),
        ("swapped", [&[2], [1; 32].as_slice(), &[1, 0, 0, 0, 2, 0, 0, 0, 0]].concat()),
        ("replaced", [&[2], [1; 32].as_slice(), &[1, 0, 0, 0, 2, 0, 0, 0, 1], &[9; 32]].concat()),
    ]
}
