//! Subject names. Users appear as 64 hex digits.

use super::Route;
use crate::identity::PrimaryKey;

/// The stream that holds messages until their readers take them.
pub const INBOX_STREAM: &str = "KEZ_INBOX";
/// The stream that hands on presence.
pub const PRESENCE_STREAM: &str = "KEZ_PRESENCE";

/// Returns the inbox that a sigchain advertises.
#[must_use]
pub fn inbox(owner: &PrimaryKey) -> String {
    format!("kez.inbox.{}", owner.to_hex())
}

/// Returns the filter that covers all routes into an inbox.
#[must_use]
pub fn inbox_filter(owner: &PrimaryKey) -> String {
    format!("{}.*", inbox(owner))
}

/// Returns where a sender with this route publishes a message.
#[must_use]
pub fn inbox_publish(recipient: &PrimaryKey, route: &Route) -> String {
    format!("{}.{route}", inbox(recipient))
}

/// Returns where the broker delivers messages to their reader.
#[must_use]
pub fn deliver(owner: &PrimaryKey) -> String {
    format!("kez.deliver.{}", owner.to_hex())
}

/// Returns where a sender with this route publishes presence.
#[must_use]
pub fn presence_publish(recipient: &PrimaryKey, route: &Route) -> String {
    format!("kez.presence.{}.{route}", recipient.to_hex())
}

/// Returns where the broker delivers presence to its reader.
#[must_use]
pub fn presence_deliver(owner: &PrimaryKey) -> String {
    format!("kez.pdeliver.{}", owner.to_hex())
}

/// Returns the prefix of a user's reply subjects.
#[must_use]
pub fn reply_prefix(owner: &PrimaryKey) -> String {
    format!("_INBOX_{}", owner.to_hex())
}
