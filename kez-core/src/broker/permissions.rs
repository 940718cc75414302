//! What a user may publish and subscribe to: their own, and nothing else.

use sha2::{Digest, Sha256};

use super::{Route, subject};
use crate::identity::PrimaryKey;

/// Where JetStream lives, as newer ack subjects spell it: `$JS.ACK.<domain>.<account hash>.<stream>.<consumer>.…`.
///
/// Both tokens are granted spelled out. A wildcard there would also match an ack of another user's messages that
/// has the stream's and the user's name further on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckScope {
    domain: String,
    account_hash: String,
}

impl AckScope {
    /// Computes the scope of a nats-server account by its name; `domain` is JetStream's, if it has one.
    #[must_use]
    pub fn of_account(account: &str, domain: Option<&str>) -> Self {
        // nats-server's `getHash`: the first eight bytes of SHA-256, each as a digit of base 62.
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let hash = Sha256::digest(account);
        let account_hash = hash[..8].iter().map(|&byte| char::from(DIGITS[usize::from(byte) % DIGITS.len()])).collect();
        Self { domain: domain.unwrap_or("_").to_owned(), account_hash }
    }

    /// Returns the subject of a consumer's acks in the newer shape, ending in `.>`.
    #[must_use]
    pub fn acks_of(&self, consumer: &str) -> String {
        format!("$JS.ACK.{}.{}.{}.{consumer}.>", self.domain, self.account_hash, subject::INBOX_STREAM)
    }
}

/// The allow-lists of a user's JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects that the user may publish to.
    pub publish: Vec<String>,
    /// Subjects that the user may subscribe to.
    pub subscribe: Vec<String>,
}

impl Permissions {
    /// Returns what a registered user gets: publishing on their own routes, acknowledging their own messages, and
    /// reading what is delivered to them.
    #[must_use]
    pub fn for_user(user: &PrimaryKey, routes: &[Route], scope: &AckScope) -> Self {
        let consumer = user.to_hex();
        let inboxes = routes.iter().map(|route| format!("kez.inbox.*.{route}"));
        let presences = routes.iter().map(|route| format!("kez.presence.*.{route}"));
        let acks = [format!("$JS.ACK.{}.{consumer}.>", subject::INBOX_STREAM), scope.acks_of(&consumer)];
        Self {
            publish: inboxes.chain(presences).chain(acks).collect(),
            subscribe: vec![
                subject::deliver(user),
                subject::presence_deliver(user),
                format!("{}.>", subject::reply_prefix(user)),
            ],
        }
    }
}
