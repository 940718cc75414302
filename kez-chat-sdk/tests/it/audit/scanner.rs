//! Finds known secrets in foreign bytes, in whatever form somebody may have written them.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;
use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};
use serde::{Deserialize, Serialize};

/// A part of a secret this long is looked for: whoever writes twice as much of it, from wherever on, is found.
const PIECE_BYTES: usize = 16;
/// Words of a backup that stand side by side by chance are fewer.
const WORDS_IN_A_ROW: usize = 3;

/// Something that must not be found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Value {
    Bytes(Vec<u8>),
    /// Words that mean something in this order.
    Words(Vec<String>),
}

/// How a secret was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Raw,
    Hex,
    /// Standard or URL-safe, at any offset.
    Base64,
    /// As NATS writes seeds and Iroh tickets, at any offset.
    Base32,
    /// As `Debug` and JSON write bytes.
    List,
    /// With `\x` for what does not print.
    Escaped,
    Utf16,
    Words,
}

/// Looks for all secrets in all forms at once.
pub(crate) struct Scanner {
    automaton: AhoCorasick,
    /// What each needle of the automaton shows: secrets that come of one another can have a piece in common.
    meanings: Vec<BTreeSet<(String, Form)>>,
}

impl Scanner {
    pub(crate) fn new(secrets: &[Secret]) -> Self {
        let mut needles: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for secret in secrets {
            for (form, needle) in needles_of(&secret.value) {
                needles.entry(needle).or_default().insert((secret.name.clone(), form));
            }
        }
        let (needles, meanings): (Vec<_>, Vec<_>) = needles.into_iter().unzip();
        Self { automaton: AhoCorasick::new(needles).unwrap(), meanings }
    }

    /// Returns which secrets are in there, and in which form.
    pub(crate) fn scan(&self, bytes: &[u8]) -> BTreeSet<(String, Form)> {
        // A second look without white space finds what was broken into lines or printed as an indented list.
        let looks = [bytes, &squeezed(bytes)];
        let found = looks.into_iter().flat_map(|bytes| self.automaton.find_overlapping_iter(bytes));
        found.flat_map(|found| self.meanings[found.pattern().as_usize()].clone()).collect()
    }
}

/// Leaves out white space, also where a text in JSON has it.
fn squeezed(mut bytes: &[u8]) -> Vec<u8> {
    let mut squeezed = Vec::with_capacity(bytes.len());
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = match (first, rest) {
            (b'\\', [b'n' | b'r' | b't', rest @ ..]) => rest,
            _ => rest,
        };
        if !first.is_ascii_whitespace() && first != b'\\' {
            squeezed.push(first);
        }
    }
    squeezed
}

fn needles_of(value: &Value) -> Vec<(Form, Vec<u8>)> {
    match value {
        Value::Bytes(bytes) => pieces(bytes).into_iter().flat_map(forms_of).collect(),
        Value::Words(words) => words
            .windows(WORDS_IN_A_ROW)
            .flat_map(|row| ["", " ", ",", "\",\""].map(|between| (Form::Words, row.join(between).into_bytes())))
            .collect(),
    }
}

/// Cuts a secret into pieces; the last ends where it ends.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    assert!(bytes.len() >= 8, "too short to be told from chance");
    if bytes.len() <= PIECE_BYTES {
        return vec![bytes];
    }
    let starts = (0..=bytes.len() - PIECE_BYTES).step_by(PIECE_BYTES).chain([bytes.len() - PIECE_BYTES]);
    starts.map(|start| &bytes[start..start + PIECE_BYTES]).collect()
}

fn forms_of(piece: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let list = |write: fn(&u8) -> String| piece.iter().map(write).collect::<Vec<_>>().join(",").into_bytes();
    let utf16 = |write: fn(u16) -> [u8; 2]| {
        let text = std::str::from_utf8(piece).ok()?;
        Some((Form::Utf16, text.encode_utf16().flat_map(write).collect()))
    };
    let mut forms = vec![
        (Form::Raw, piece.to_vec()),
        (Form::Hex, HEXLOWER.encode(piece).into_bytes()),
        (Form::Hex, HEXUPPER.encode(piece).into_bytes()),
        (Form::List, list(u8::to_string)),
        (Form::List, list(|byte| format!("{byte:x}"))),
        (Form::List, list(|byte| format!("{byte:02x}"))),
        (Form::List, list(|byte| format!("0x{byte:x}"))),
        (Form::List, list(|byte| format!("0x{byte:02x}"))),
    ];
    // As the standard library writes it, as `bytes` does, and either inside a JSON text.
    let escaped = piece.escape_ascii().to_string();
    for text in [escaped.replace("\\x00", "\\0").replace("\\'", "'"), escaped] {
        let in_json = serde_json::to_string(&text).unwrap();
        forms.push((Form::Escaped, in_json[1..in_json.len() - 1].into()));
        forms.push((Form::Escaped, text.into_bytes()));
    }
    forms.extend([utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)].into_iter().flatten());
    for shift in 0..3 {
        forms.extend([BASE64_NOPAD, BASE64URL_NOPAD].map(|encoding| (Form::Base64, inside(&encoding, shift, piece))));
    }
    for shift in 0..5 {
        let upper = inside(&BASE32_NOPAD, shift, piece);
        forms.push((Form::Base32, upper.to_ascii_lowercase()));
        forms.push((Form::Base32, upper));
    }
    forms
}

/// Returns the characters that stand for nothing but the piece, wherever `shift` bytes and others precede it.
fn inside(encoding: &Encoding, shift: usize, piece: &[u8]) -> Vec<u8> {
    let bits = encoding.bit_width();
    let text = encoding.encode(&[&vec![0; shift], piece].concat());
    text.as_bytes()[(8 * shift).div_ceil(bits)..8 * (shift + piece.len()) / bits].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of every kind: such that print, such that are escaped, and zeros.
    fn seed() -> Vec<u8> {
        let mut seed: Vec<u8> = (0..32).map(|index: u8| index.wrapping_mul(89).wrapping_add(7)).collect();
        seed[3] = 0;
        seed[20] = b'\'';
        seed[21] = b'"';
        seed[22] = b'\\';
        seed
    }

    fn scanner() -> Scanner {
        let words = ["abandon", "ability", "able", "about", "above"].map(str::to_owned).to_vec();
        Scanner::new(&[
            Secret { name: "seed".into(), value: Value::Bytes(seed()) },
            Secret { name: "text".into(), value: Value::Bytes(b"the quick brown fox jumps".to_vec()) },
            Secret { name: "words".into(), value: Value::Words(words) },
        ])
    }

    #[track_caller]
    fn finds(bytes: impl AsRef<[u8]>, name: &str, form: Form) {
        let found = scanner().scan(&[b"before ", bytes.as_ref(), b" after"].concat());
        assert!(found.contains(&(name.to_owned(), form)), "{form:?} of {name}: {found:?}");
    }

    #[test]
    fn every_form_is_found() {
        let seed = seed();
        finds(&seed, "seed", Form::Raw);
        finds(HEXLOWER.encode(&seed), "seed", Form::Hex);
        finds(HEXUPPER.encode(&seed), "seed", Form::Hex);
        finds(format!("{seed:?}"), "seed", Form::List);
        finds(format!("{seed:#?}"), "seed", Form::List);
        finds(format!("{seed:x?}"), "seed", Form::List);
        finds(format!("{seed:02x?}"), "seed", Form::List);
        finds(format!("{seed:#x?}"), "seed", Form::List);
        finds(format!("{seed:#04x?}"), "seed", Form::List);
        finds(serde_json::to_string(&format!("{seed:#?}")).unwrap(), "seed", Form::List);
        finds(serde_json::to_vec(&seed).unwrap(), "seed", Form::List);
        finds(seed.escape_ascii().to_string(), "seed", Form::Escaped);
        let as_bytes = format!("{:?}", bytes::Bytes::from(seed.clone()));
        finds(&as_bytes, "seed", Form::Escaped);
        finds(serde_json::to_string(&seed.escape_ascii().to_string()).unwrap(), "seed", Form::Escaped);
        finds(b"the quick brown fox jumps", "text", Form::Raw);
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let wide: Vec<u8> = "the quick brown fox jumps".encode_utf16().flat_map(order).collect();
            finds(wide, "text", Form::Utf16);
        }
    }

    #[test]
    fn alignment_and_neighbours_do_not_matter() {
        let seed = seed();
        for before in 0..8 {
            for after in 0..8 {
                let wide = [vec![0xc5; before], seed.clone(), vec![0x5c; after]].concat();
                for encoding in [data_encoding::BASE64, BASE64_NOPAD, BASE64URL_NOPAD] {
                    finds(encoding.encode(&wide), "seed", Form::Base64);
                }
                finds(BASE32_NOPAD.encode(&wide), "seed", Form::Base32);
                finds(BASE32_NOPAD.encode(&wide).to_lowercase(), "seed", Form::Base32);
                finds(HEXLOWER.encode(&wide), "seed", Form::Hex);
            }
        }
        let text = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, seed.try_into().unwrap()).unwrap();
        finds(text.seed().unwrap(), "seed", Form::Base32);
    }

    /// As the first half of an expanded key, where clamping happens to change nothing, is the X25519 secret.
    #[test]
    fn a_piece_of_two_secrets_shows_both() {
        let named = |name: &str| Secret { name: name.to_owned(), value: Value::Bytes(seed()) };
        let found = Scanner::new(&[named("one"), named("other")]).scan(&seed());
        assert_eq!(found, ["one", "other"].map(|name| (name.to_owned(), Form::Raw)).into());
    }

    #[test]
    fn a_part_is_enough_and_lines_may_break_it() {
        let seed = seed();
        for start in 0..=1 {
            let part = &seed[start..start + 31];
            finds(part, "seed", Form::Raw);
            finds(HEXLOWER.encode(part), "seed", Form::Hex);
            finds(BASE64_NOPAD.encode(part), "seed", Form::Base64);
        }
        let broken: Vec<String> = HEXLOWER
            .encode(&seed)
            .as_bytes()
            .chunks(10)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        finds(broken.join("\r\n  "), "seed", Form::Hex);
    }

    #[test]
    fn words_in_a_row_are_found_however_they_are_parted() {
        let row = ["ability", "able", "about"];
        for text in
            [row.join(" "), row.join("\n"), row.join(", "), row.concat(), format!("{row:?}"), format!("{row:#?}")]
        {
            finds(text, "words", Form::Words);
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let seed = seed();
        let harmless = [&seed[..15], b"....", &seed[17..32], b" ability able abandon the quick brow"].concat();
        assert!(scanner().scan(&harmless).is_empty());
        assert!(scanner().scan(&[]).is_empty());
        let hash = blake3::hash(&seed);
        assert!(scanner().scan(HEXLOWER.encode(hash.as_bytes()).as_bytes()).is_empty());
    }
}
