//! What the broker denies, and the messages that it was about.
//!
//! NATS answers neither a denied publish nor a denied subscription. It writes an error that names the subject, and no
//! acknowledgement ever comes: whoever waits for it has to be told by somebody who reads the errors.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Something that the broker did not let us do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial<'a> {
    /// To publish to a subject.
    Publish(&'a str),
    /// To subscribe to a subject.
    Subscribe(&'a str),
}

impl<'a> Denial<'a> {
    /// Reads an error of the broker's, in the words of nats-server 2.10 to 2.15. `None` if it is about something else:
    /// other errors, queue groups and replies, none of which can be about what a client does.
    pub(crate) fn parse(error: &'a str) -> Option<Self> {
        let denied = error.strip_prefix("Permissions Violation for ")?;
        if let Some(publish) = denied.strip_prefix("Publish to ") {
            let (subject, rest) = quoted(publish)?;
            return rest.is_empty().then_some(Self::Publish(subject));
        }
        let (subject, rest) = quoted(denied.strip_prefix("Subscription to ")?)?;
        // The number is added when a subscription is ended that was allowed before.
        let numbered = rest.strip_prefix(" (sid ").and_then(quoted).is_some_and(|(_, rest)| rest == ")");
        (rest.is_empty() || rest == ", too many tokens" || numbered).then_some(Self::Subscribe(subject))
    }
}

/// Takes a text in quotes off the beginning. What Go would have escaped is in no subject of ours.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (inside, rest) = text.strip_prefix('"')?.split_once('"')?;
    let is_plain = !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_plain.then_some((inside, rest))
}

/// The subjects of the messages that are on their way to the broker.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    subjects: Mutex<HashMap<String, usize>>,
    denied: Notify,
}

impl UnderWay {
    pub(crate) fn begin(&self, subject: &str) {
        *self.lock().entry(subject.to_owned()).or_default() += 1;
    }

    pub(crate) fn end(&self, subject: &str) {
        let mut subjects = self.lock();
        if let Some(count) = subjects.get_mut(subject) {
            *count -= 1;
            if *count == 0 {
                subjects.remove(subject);
            }
        }
    }

    /// Tells whoever waits that the messages on `subject` were denied. `false` if none is under way there.
    pub(crate) fn deny(&self, subject: &str) -> bool {
        let is_ours = self.lock().contains_key(subject);
        if is_ours {
            self.denied.notify_one();
        }
        is_ours
    }

    /// Waits until a message is denied.
    pub(crate) async fn denied(&self) {
        self.denied.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // Nothing that holds it can panic half-way.
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_read_and_nothing_else_is() {
        for (error, denial) in [
            (r#"Permissions Violation for Publish to "kez.inbox.aa.0b""#, Denial::Publish("kez.inbox.aa.0b")),
            (
                r#"Permissions Violation for Publish to "$JS.ACK.KEZ_INBOX.aa.1.2.3.4.5""#,
                Denial::Publish("$JS.ACK.KEZ_INBOX.aa.1.2.3.4.5"),
            ),
            (r#"Permissions Violation for Subscription to "kez.deliver.aa""#, Denial::Subscribe("kez.deliver.aa")),
            (
                r#"Permissions Violation for Subscription to "_INBOX_aa.x.*" (sid "0")"#,
                Denial::Subscribe("_INBOX_aa.x.*"),
            ),
            (r#"Permissions Violation for Subscription to "a.b.c", too many tokens"#, Denial::Subscribe("a.b.c")),
        ] {
            assert_eq!(Denial::parse(error), Some(denial), "{error}");
        }
        for other in [
            "",
            "Permissions Violation",
            "Permissions Violation for Publish to ",
            "Permissions Violation for Publish to kez.inbox.aa.0b",
            "Permissions Violation for Publish to 'kez.inbox.aa.0b'",
            r#"Permissions Violation for Publish to """#,
            r#"Permissions Violation for Publish to "kez.inbox.aa.0b"#,
            r#"Permissions Violation for Publish to "kez.inbox.aa.0b" and more"#,
            r#"Permissions Violation for Publish to "kez inbox""#,
            r#"Permissions Violation for Publish to "kez.inbox.\"aa\"""#,
            r#"Permissions Violation for Publish to "kez.inbox.\x00""#,
            r#"permissions violation for publish to "kez.inbox.aa.0b""#,
            r#"nats: Permissions Violation for Publish to "kez.inbox.aa.0b""#,
            r#"Permissions Violation for Publish with Reply of "_INBOX_aa.1""#,
            r#"Permissions Violation for Subscription to "kez.deliver.aa" using queue "q""#,
            r#"Permissions Violation for Subscription to "kez.deliver.aa" (sid "1"#,
            r#"Permissions Violation for Subscription to "kez.deliver.aa" (sid 1)"#,
            "User Authentication Expired",
        ] {
            assert_eq!(Denial::parse(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_denial_is_told_for_subjects_under_way_only() {
        let under_way = UnderWay::default();
        assert!(!under_way.deny("a"), "nothing is under way");
        under_way.begin("a");
        under_way.begin("a");
        assert!(!under_way.deny("$JS.ACK.KEZ_INBOX.aa.1"));
        assert!(!under_way.deny("a.b"));
        under_way.end("a");
        assert!(under_way.deny("a"), "one of two is still under way");
        under_way.denied().await;
        under_way.end("a");
        assert!(!under_way.deny("a"), "a denial that comes late is nobody's");
    }
}
