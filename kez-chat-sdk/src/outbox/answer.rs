//! What the broker says to a message that was handed to it.

use serde::Deserialize;

/// JetStream's answer for an inbox that holds all it may of one sender.
const INBOX_FULL: u32 = 10_077;

/// The broker's answer to a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is on the broker's disk.
    Stored {
        /// The stream that has it, one of the home's.
        stream: String,
        /// Its number there; `None` if the broker had it already.
        seq: Option<u64>,
    },
    /// The recipient's inbox holds all that it may of our messages.
    InboxFull,
    /// It was not taken.
    Refused {
        /// Why, as far as it is known.
        cause: String,
    },
}

impl Answer {
    /// Reads an answer; the broker's word counts only for the home's `streams`.
    pub(super) fn read(bytes: &[u8], streams: &[String]) -> Self {
        let refused = |cause| Self::Refused { cause };
        match serde_json::from_slice(bytes) {
            Ok(Published::Error { error }) if error.err_code == INBOX_FULL => Self::InboxFull,
            Ok(Published::Error { error }) => refused(format!("{} ({})", error.description, error.err_code)),
            Ok(Published::Stored { stream, seq, duplicate }) if streams.contains(&stream) => {
                Self::Stored { stream, seq: (!duplicate).then_some(seq) }
            }
            Ok(Published::Stored { stream, .. }) => refused(format!("an unexpected stream took it: {stream}")),
            // Where nobody serves a subject, NATS answers with a status and no body.
            Err(_) if bytes.is_empty() => refused("the broker has no inbox stream now".into()),
            Err(error) => refused(format!("the broker's acknowledgement makes no sense: {error}")),
        }
    }
}

/// JetStream's answer to a publish.
#[derive(Deserialize)]
#[serde(untagged)]
enum Published {
    Error {
        error: ApiError,
    },
    Stored {
        stream: String,
        seq: u64,
        #[serde(default)]
        duplicate: bool,
    },
}

#[derive(Deserialize)]
struct ApiError {
    err_code: u32,
    description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_homes_streams_take_a_message() {
        let streams = ["KEZ_INBOX".to_owned()];
        let read = |text: &str| Answer::read(text.as_bytes(), &streams);
        let stored = |seq| Answer::Stored { stream: "KEZ_INBOX".into(), seq };
        assert_eq!(read(r#"{"stream":"KEZ_INBOX","seq":7}"#), stored(Some(7)));
        assert_eq!(read(r#"{"stream":"KEZ_INBOX","domain":"hub","seq":3,"duplicate":true}"#), stored(None));
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"},"stream":"KEZ_INBOX","seq":0}"#;
        assert_eq!(read(full), Answer::InboxFull);
        for refused in [
            "",
            "{",
            "[]",
            "null",
            r#"{"stream":"KEZ_INBOX"}"#,
            r#"{"stream":"KEZ_INBOX","seq":-1}"#,
            r#"{"stream":"OTHER","seq":7}"#,
            r#"{"error":{"code":503,"err_code":10023,"description":"insufficient resources"}}"#,
        ] {
            assert!(matches!(read(refused), Answer::Refused { .. }), "{refused}");
        }
    }
}
