//! What the broker denies, and the message that it was about.
//!
//! NATS answers neither a denied publish nor a denied subscription. It writes an error that names the subject, and a
//! request just never ends: whoever waits for it has to be told by somebody who reads the errors.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

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

/// The broker denied the message that was being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied;

/// The message that is being handed to the broker; there is one at a time.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<Option<(String, oneshot::Sender<Denied>)>>);

impl UnderWay {
    /// Waits for the broker's answer to a message on `subject`, or its denial.
    pub(crate) async fn unless_denied<T>(&self, subject: &str, answer: impl Future<Output = T>) -> Result<T, Denied> {
        let (tell, denial) = oneshot::channel();
        *self.lock() = Some((subject.to_owned(), tell));
        let outcome = tokio::select! {
            Ok(denied) = denial => Err(denied),
            answer = answer => Ok(answer),
        };
        *self.lock() = None;
        outcome
    }

    /// Tells the message on `subject` that it was denied. `false` if it is another one that is under way, or none.
    pub(crate) fn deny(&self, subject: &str) -> bool {
        let told = self.lock().take_if(|(sending, _)| sending == subject);
        told.is_some_and(|(_, tell)| tell.send(Denied).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, Option<(String, oneshot::Sender<Denied>)>> {
        // Nothing that holds it can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future;

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
    async fn a_denial_ends_the_wait_for_its_own_subject_only() {
        let under_way = UnderWay::default();
        assert!(!under_way.deny("a"), "nothing is under way");
        let denied = async {
            assert!(!under_way.deny("$JS.ACK.KEZ_INBOX.aa.1"));
            assert!(!under_way.deny("a.b"));
            assert!(under_way.deny("a"));
            assert!(!under_way.deny("a"), "it was told already");
        };
        let (outcome, ()) = tokio::join!(under_way.unless_denied("a", future::pending::<()>()), denied);
        assert_eq!(outcome, Err(Denied));

        assert_eq!(under_way.unless_denied("a", future::ready(7)).await, Ok(7));
        assert!(!under_way.deny("a"), "a denial that comes late is nobody's");
    }
}
