//! The byte codec that payloads and file lists share (`docs/PROTOCOL.md`, notation).
//!
//! `varint` is minimal LEB128 of at most 2^53−1; `str` is a `varint` length and UTF-8.

use thiserror::Error;

use crate::error::Code;

/// The largest integer that the formats carry: the largest that every language holds exactly.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Says why bytes are not the structure that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end before the structure does, or a count promises more than is left.
    #[error("the bytes end too early")]
    Truncated,
    /// Bytes are left over after the structure's end.
    #[error("bytes are left over at the end")]
    TrailingBytes,
    /// A varint is longer than it needs to be, or above 2^53−1.
    #[error("an integer is not in its shortest form, or above 2^53-1")]
    BadVarint,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    BadText,
}

impl CodecError {
    /// Returns the shared code, or `otherwise` for a fault that has no code of its own.
    pub(crate) fn code_or(self, otherwise: Code) -> Code {
        match self {
            Self::Truncated => Code::Truncated,
            Self::TrailingBytes => Code::TrailingBytes,
            Self::BadVarint => Code::BadVarint,
            Self::BadText => otherwise,
        }
    }
}

/// Reads a structure from the front of a byte string, without copying.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        // Eight groups of seven bits hold 2^56; whatever is above 2^53−1 is refused below.
        for shift in (0..56).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded || value > MAX_INTEGER { Err(CodecError::BadVarint) } else { Ok(value) };
            }
        }
        Err(CodecError::BadVarint)
    }

    /// Reads a `varint` length and that many bytes.
    pub(crate) fn blob(&mut self) -> Result<&'a [u8], CodecError> {
        let len = self.varint()?;
        self.bytes(usize::try_from(len).map_err(|_| CodecError::Truncated)?)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.blob()?).map_err(|_| CodecError::BadText)
    }

    /// Reads a count of items that take at least `min_bytes` each, so that no count allocates more than the
    /// bytes that back it.
    pub(crate) fn count(&mut self, min_bytes: usize) -> Result<usize, CodecError> {
        let count = usize::try_from(self.varint()?).map_err(|_| CodecError::Truncated)?;
        self.backs(count, min_bytes)?;
        Ok(count)
    }

    /// Refuses a count of items that the bytes left can't hold.
    pub(crate) fn backs(&self, count: usize, min_bytes: usize) -> Result<(), CodecError> {
        if count > self.0.len() / min_bytes { Err(CodecError::Truncated) } else { Ok(()) }
    }

    pub(crate) fn finish(self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::TrailingBytes) }
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    debug_assert!(value <= MAX_INTEGER);
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_blob(out, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<u64, CodecError> {
        let mut reader = Reader::new(bytes);
        let value = reader.varint()?;
        reader.finish()?;
        Ok(value)
    }

    #[test]
    fn varints_have_one_form() {
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0x7f]), Ok(127));
        assert_eq!(read(&[0x80, 1]), Ok(128));
        assert_eq!(read(&[0x80, 0]), Err(CodecError::BadVarint));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(MAX_INTEGER));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]), Err(CodecError::BadVarint));
        assert_eq!(read(&[0x80; 12]), Err(CodecError::BadVarint));
        assert_eq!(read(&[0x80]), Err(CodecError::Truncated));
        assert_eq!(read(&[1, 1]), Err(CodecError::TrailingBytes));
    }

    #[test]
    fn a_count_never_exceeds_what_backs_it() {
        assert_eq!(Reader::new(&[3, 0, 0]).count(1), Err(CodecError::Truncated));
        assert_eq!(Reader::new(&[2, 0, 0]).count(1), Ok(2));
        assert_eq!(Reader::new(&[2, 0, 0]).count(2), Err(CodecError::Truncated));
    }

    proptest! {
        #[test]
        fn varint_round_trips(value in 0..=MAX_INTEGER) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(read(&bytes), Ok(value));
        }

        #[test]
        fn str_round_trips(text in ".{0,200}") {
            let mut bytes = Vec::new();
            put_str(&mut bytes, &text);
            prop_assert_eq!(Reader::new(&bytes).str(), Ok(text.as_str()));
        }
    }
}
