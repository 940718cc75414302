//! Frames that end the connection of whoever reads them, since their headers are none: the broker takes them and
//! delivers them again and again, and client libraries hang up on them.
//!
//! Whoever was cut off by one logs in again, with what they had been given still un-acknowledged. So that is looked at
//! after a login. What can't be read goes, and its sender is shut out: no honest client makes such a frame.

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;

use data_encoding::BASE64;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kez_core::broker::Route;
use kez_core::identity::PrimaryKey;
use tokio::sync::mpsc;

use super::floods::Floods;
use super::jetstream::JetStream;
use super::totals::{read_route, recipient_and_route};
use super::trouble::WorkError;

/// Inboxes that are looked at at the same time.
const AT_ONCE: usize = 8;

/// Looks for unreadable frames.
pub(crate) struct Unreadable {
    js: JetStream,
    floods: Arc<Floods>,
}

impl Unreadable {
    pub(crate) fn new(js: JetStream, floods: Arc<Floods>) -> Self {
        Self { js, floods }
    }

    /// Looks after each of the `logins`, until there are no more.
    pub(crate) async fn run(&self, mut logins: mpsc::Receiver<PrimaryKey>) {
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                user = logins.recv(), if running.len() < AT_ONCE => match user {
                    Some(user) => running.push(self.look_after(user)),
                    None => return,
                },
                Some(()) = running.next() => {}
            }
        }
    }

    async fn look_after(&self, user: PrimaryKey) {
        if let Err(error) = self.clear(&user).await {
            let error = &error as &dyn Error;
            tracing::warn!(error, "what somebody has not acknowledged was not looked at; their next login tries again");
        }
    }

    async fn clear(&self, user: &PrimaryKey) -> Result<(), WorkError> {
        let mut routes = HashSet::<Route>::new();
        for stored in self.js.unacknowledged(user).await? {
            if !is_readable(&stored.hdrs)
                && let Some((_, route)) = recipient_and_route(&stored.subject)
                && let Some(route) = read_route(route)
            {
                routes.insert(route);
            }
        }
        if routes.is_empty() { Ok(()) } else { self.floods.stop_unreadable(routes).await }
    }
}

/// Tells whether a message's headers, in base64, are such that every client reads them: the version, then names and
/// values, a line each.
fn is_readable(headers: &str) -> bool {
    if headers.is_empty() {
        return true;
    }
    let Ok(headers) = BASE64.decode(headers.as_bytes()) else { return false };
    let Ok(headers) = std::str::from_utf8(&headers) else { return false };
    let Some(lines) = headers.strip_prefix("NATS/1.0\r\n").and_then(|rest| rest.strip_suffix("\r\n")) else {
        return false;
    };
    // What ends each line is left at the last one.
    let lines = lines.strip_suffix("\r\n").unwrap_or(lines);
    lines.is_empty() || lines.split("\r\n").all(is_header)
}

fn is_header(line: &str) -> bool {
    let Some((name, value)) = line.split_once(':') else { return false };
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) && !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_headers_are_readable() {
        for (headers, expected) in [
            (&b""[..], true),
            (b"NATS/1.0\r\n\r\n", true),
            (b"NATS/1.0\r\nNats-Msg-Id: 0a\r\n\r\n", true),
            (b"NATS/1.0\r\nA:\r\nB: \xc3\xa9: c\r\n\r\n", true),
            (b"NATS/1.0\r\nA: \xff\r\n\r\n", false),
            (b"NATS/1.0\r\nno colon\r\n\r\n", false),
            (b"NATS/1.0\r\n: no name\r\n\r\n", false),
            (b"NATS/1.0\r\na name: x\r\n\r\n", false),
            (b"NATS/1.0\r\nA: x\rB: y\r\n\r\n", false),
            (b"NATS/1.0\r\nA: x\nB: y\r\n\r\n", false),
            (b"NATS/1.0 abc\r\n\r\n", false),
            (b"NATS/1.0 503\r\n\r\n", false),
            (b"NATS/2.0\r\n\r\n", false),
            (b"NATS/1.0", false),
            (b"\r\n\r\n", false),
        ] {
            assert_eq!(is_readable(&BASE64.encode(headers)), expected, "{}", headers.escape_ascii());
        }
        assert!(!is_readable("no base64"));
    }
}
