//! Which frames off the broker count at all.
//!
//! JetStream's own answers are not permission-checked, so somebody with an account can have one sent to another's
//! subjects. A frame is taken only in the shape that a true delivery has; its headers are never believed.

use thiserror::Error;

use super::subject;
use crate::{error::Code, identity::PrimaryKey};

/// Says that a frame is no delivery to this user and is to be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The subject is not one of the user's own.
    #[error("the frame's subject is none that this user's messages have")]
    BadSubject,
    /// The reply is no ack subject of the user's own consumer.
    #[error("the frame's reply is no ack subject of this user's consumer")]
    BadReply,
}

impl FrameError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::BadFrame
    }
}

/// Where to acknowledge a message: a reply subject that was checked to be the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckSubject(String);

impl AckSubject {
    /// Returns the subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns how many more messages the broker had for the user when it sent this one, by its own word; 0 if it does
    /// not say.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let tokens: Vec<&str> = self.0.split('.').collect();
        // Delivery, stream and consumer sequence, and time come before it.
        let consumer = if tokens.len() == 9 { 3 } else { 5 };
        tokens.get(consumer + 5).and_then(|count| count.parse().ok()).unwrap_or_default()
    }
}

/// Takes an inbox frame only if its subject is `kez.inbox.<self>.<32 hex>` and its reply acknowledges a message of
/// the consumer `<self>` on one of `streams`.
///
/// # Errors
/// [`FrameError`]: ignore the frame.
pub fn check_inbox_frame(
    subject: &str,
    reply: Option<&str>,
    own: &PrimaryKey,
    streams: &[impl AsRef<str>],
) -> Result<AckSubject, FrameError> {
    let route = subject.strip_prefix(&subject::inbox(own)).and_then(|rest| rest.strip_prefix('.'));
    if !route.is_some_and(is_route) {
        return Err(FrameError::BadSubject);
    }
    let reply = reply.ok_or(FrameError::BadReply)?;
    let tokens: Vec<&str> = reply.split('.').collect();
    let (stream, consumer) = match tokens.as_slice() {
        ["$JS", "ACK", stream, consumer, _, _, _, _, _] => (stream, consumer),
        ["$JS", "ACK", _, _, stream, consumer, rest @ ..] if rest.len() >= 5 => (stream, consumer),
        _ => return Err(FrameError::BadReply),
    };
    // Wildcards and blanks cannot be published to; an empty token makes the subject invalid.
    let publishable = tokens.iter().all(|token| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>'))
    });
    let ours = **consumer == own.to_hex() && streams.iter().any(|name| name.as_ref() == *stream);
    if publishable && ours { Ok(AckSubject(reply.to_owned())) } else { Err(FrameError::BadReply) }
}

/// Takes a presence frame only if its subject is `kez.pdeliver.<self>`.
///
/// # Errors
/// [`FrameError`]: ignore the frame.
pub fn check_presence_frame(subject: &str, own: &PrimaryKey) -> Result<(), FrameError> {
    if subject == subject::presence_deliver(own) { Ok(()) } else { Err(FrameError::BadSubject) }
}

fn is_route(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;

    #[test]
    fn only_true_deliveries_count() {
        let own = SecretKey::from_seed([1; 32]).primary();
        let me = own.to_hex();
        let other = SecretKey::from_seed([2; 32]).primary().to_hex();
        let inbox = format!("kez.inbox.{me}.{}", "0a".repeat(16));
        let check = |subject: &str, reply: &str| check_inbox_frame(subject, Some(reply), &own, &["KEZ_INBOX"]);
        let ack = format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4.5");

        for reply in [
            &ack,
            &format!("$JS.ACK._.AbCdEfGh.KEZ_INBOX.{me}.1.2.3.4.5"),
            &format!("$JS.ACK.hub.AbCdEfGh.KEZ_INBOX.{me}.1.2.3.4.5.rnd"),
        ] {
            let taken = check(&inbox, reply).unwrap();
            assert_eq!((taken.as_str(), taken.behind()), (reply.as_str(), 5));
        }
        assert_eq!(check(&inbox, &format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4.many")).unwrap().behind(), 0);
        for subject in [
            format!("kez.inbox.{other}.{}", "0a".repeat(16)),
            format!("kez.inbox.{me}"),
            format!("kez.inbox.{me}."),
            format!("kez.inbox.{me}.{}", "0A".repeat(16)),
            format!("kez.inbox.{me}.{}.x", "0a".repeat(16)),
            format!("kez.deliver.{me}"),
            format!("_INBOX_{me}.1"),
        ] {
            assert_eq!(check(&subject, &ack), Err(FrameError::BadSubject), "{subject}");
        }
        for reply in [
            format!("$JS.ACK.KEZ_INBOX.{other}.1.2.3.4.5"),
            format!("$JS.ACK.OTHER.{me}.1.2.3.4.5"),
            format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4"),
            format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4.5.6"),
            format!("$JS.ACK.KEZ_INBOX.{other}.KEZ_INBOX.{me}.1.2.3.4"),
            format!("$JS.ACK.KEZ_INBOX.{me}.1.2..4.5"),
            format!("$JS.ACK.KEZ_INBOX.{me}.1.2.*.4.5"),
            format!("$JS.API.STREAM.DELETE.KEZ_INBOX.{me}.1.2.3"),
            "$JS.API.STREAM.DELETE.KEZ_INBOX".to_owned(),
            String::new(),
        ] {
            assert_eq!(check(&inbox, &reply), Err(FrameError::BadReply), "{reply}");
        }
        assert_eq!(check_inbox_frame(&inbox, None, &own, &["KEZ_INBOX"]), Err(FrameError::BadReply));
        assert!(check_presence_frame(&format!("kez.pdeliver.{me}"), &own).is_ok());
        assert!(check_presence_frame(&format!("kez.pdeliver.{other}"), &own).is_err());
    }
}
