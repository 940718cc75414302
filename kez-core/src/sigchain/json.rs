//! The JSON of events: RFC 8785 canonical form, integers only, ASCII keys, 16 levels.

use std::{borrow::Cow, collections::BTreeMap, fmt, io};

use serde::{
    Deserialize, Serialize,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};

use super::ChainError;
use crate::codec::MAX_INTEGER;

/// Objects and arrays, the payload itself being the first.
const MAX_LEVELS: usize = 16;

pub(super) type Object<'a> = BTreeMap<Cow<'a, str>, Value<'a>>;

/// A JSON value of the subset that events use.
///
/// Texts without escapes are borrowed: a long walk copies only what it keeps.
///
/// Sorting keys by bytes is RFC 8785's order because keys are ASCII, and serde_json's escapes are its escapes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Integer(u64),
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Object<'a>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

/// Parses a payload and insists on its canonical form.
pub(super) fn parse(bytes: &[u8]) -> Result<Value<'_>, ChainError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ChainError::BadJson(error.to_string()))?;
    let value: Value<'_> = serde_json::from_str(text).map_err(|error| ChainError::BadJson(error.to_string()))?;
    if is_canonical(&value, bytes) { Ok(value) } else { Err(ChainError::NotCanonicalJson) }
}

/// Tells whether bytes are the RFC 8785 form of a value, without writing that form anywhere.
fn is_canonical(value: &Value<'_>, bytes: &[u8]) -> bool {
    struct Rest<'a>(&'a [u8]);

    impl io::Write for Rest<'_> {
        fn write(&mut self, written: &[u8]) -> io::Result<usize> {
            self.0 = self.0.strip_prefix(written).ok_or(io::ErrorKind::InvalidData)?;
            Ok(written.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut rest = Rest(bytes);
    serde_json::to_writer(&mut rest, value).is_ok() && rest.0.is_empty()
}

/// Writes the RFC 8785 form.
pub(super) fn to_canonical(value: &Value<'_>) -> Vec<u8> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(_) => unreachable!("a tree of texts and integers can be written to memory"),
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Level(0).deserialize(deserializer)
    }
}

/// Reads a value inside so many objects and arrays.
#[derive(Clone, Copy)]
struct Level(usize);

impl Level {
    fn enter<E: Error>(self) -> Result<Self, E> {
        if self.0 < MAX_LEVELS { Ok(Self(self.0 + 1)) } else { Err(E::custom("more than 16 levels")) }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, an integer from 0 to 2^53-1, a text, an array or an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value<'de>, E> {
        if value <= MAX_INTEGER { Ok(Value::Integer(value)) } else { Err(E::custom("an integer above 2^53-1")) }
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(value.to_owned().into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let level = self.enter()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(level)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        let level = self.enter()?;
        let mut object = Object::new();
        while let Some(Key(key)) = members.next_key()? {
            if !key.is_ascii() {
                return Err(A::Error::custom("a key that is not ASCII"));
            }
            let value = members.next_value_seed(level)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// A key, borrowed where it can be: serde's own `Cow` is always owned.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn code(text: &[u8]) -> Result<Value<'_>, Code> {
        parse(text).map_err(|error| error.code())
    }

    #[test]
    fn canonical_json_passes() {
        let text = "{\"a\":[null,true,0,9007199254740991,\"\\u001f\\b\\t\\n\\f\\r\\\"\\\\/é\u{7f}\u{2028}\"],\"b\":{}}";
        assert_eq!(to_canonical(&parse(text.as_bytes()).unwrap()), text.as_bytes());
    }

    #[test]
    fn other_forms_of_the_same_json_are_named() {
        for text in [
            "{ }",
            "{\"b\":1,\"a\":2}",
            "\"\\u0041\"",
            "\"\\/\"",
            "\"\\u001F\"",
            "{}\n",
            "\"\\u00e9\"",
            "\"\\u0008\"",
            "\"\\ud83d\\ude00\"",
            "{\"\\u0061\":1}",
        ] {
            assert_eq!(code(text.as_bytes()), Err(Code::NotCanonicalJson), "{text}");
        }
    }

    #[test]
    fn what_events_never_hold_is_refused() {
        let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
        for text in [
            "",
            "{",
            "{\"a\":1,\"a\":2}",
            "{\"é\":1}",
            "1.0",
            "1e2",
            "-1",
            "-0",
            "01",
            "9007199254740992",
            "1e400",
            "18446744073709551616",
            "\"\\ud800\"",
            "\"\u{1}\"",
            "{} {}",
            "\u{feff}{}",
            "nul",
            &deep,
            "{\"a\":1,\"\\u0061\":2}",
        ] {
            assert_eq!(code(text.as_bytes()), Err(Code::BadJson), "{text}");
        }
        assert_eq!(code(b"\"\xff\""), Err(Code::BadJson));
        assert!(code(format!("{}{}", "[".repeat(16), "]".repeat(16)).as_bytes()).is_ok());
    }
}
