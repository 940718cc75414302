//! The two streams, as they have to be.

use std::time::Duration;

use kez_core::broker::subject;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{API_TIMEOUT, JetStream, JsError, STREAM_TIMEOUT, StreamState, nanos};

/// How many messages of one sender wait in one inbox.
pub(crate) const INBOX_PER_ROUTE: u32 = 1000;
/// How much memory presence takes at most.
const PRESENCE_BYTES: u32 = 64 << 20;
/// How long a message waits.
pub(crate) const INBOX_TTL: Duration = Duration::from_hours(30 * 24);
/// The largest message, headers included.
pub(crate) const MAX_MESSAGE_BYTES: u32 = 65_536;

const STREAM_NAME_IN_USE: u64 = 10_058;
const STREAM_NOT_FOUND: u64 = 10_059;

#[derive(Deserialize)]
struct StreamInfo {
    config: Value,
    created: String,
    state: StreamState,
}

/// How the inbox stream was found.
#[derive(Debug)]
pub(crate) struct Reconciled {
    /// When the stream was made, which is the `epoch` of `/v1/info`: it changes exactly when the stream was made anew.
    pub(crate) epoch: String,
    /// Whether anything waits in it.
    pub(crate) is_empty: bool,
}

impl JetStream {
    /// Makes both streams as they have to be.
    pub(crate) async fn reconcile_streams(&self) -> Result<Reconciled, JsError> {
        // A full inbox stream must not stop the rest of the store. -1: the account has no limit of its own. Each replica
        // counts against the account's limit, the stream's own is that of one.
        let max_bytes = match self.max_storage().await? {
            limit if limit > 0 => limit / 5 * 4 / i64::from(self.replicas.max(1)),
            _ => -1,
        };
        let inbox = self.reconcile(subject::INBOX_STREAM, &inbox_stream(max_bytes, self.replicas)).await?;
        self.reconcile(subject::PRESENCE_STREAM, &presence_stream(self.replicas)).await?;
        Ok(Reconciled { epoch: inbox.created, is_empty: inbox.state.messages == 0 })
    }

    /// Tells whether there is such a stream.
    pub(crate) async fn has_stream(&self, stream: &str) -> Result<bool, JsError> {
        match self.api::<StreamInfo>(&format!("$JS.API.STREAM.INFO.{stream}"), &Value::Null, API_TIMEOUT).await {
            Ok(_) => Ok(true),
            Err(JsError::Refused { err_code: STREAM_NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn reconcile(&self, stream: &str, wanted: &Value) -> Result<StreamInfo, JsError> {
        let info_subject = format!("$JS.API.STREAM.INFO.{stream}");
        let found = match self.api::<StreamInfo>(&info_subject, &Value::Null, STREAM_TIMEOUT).await {
            Err(JsError::Refused { err_code: STREAM_NOT_FOUND, .. }) => {
                match self.api(&format!("$JS.API.STREAM.CREATE.{stream}"), wanted, STREAM_TIMEOUT).await {
                    // Another chat-server of an older version was faster.
                    Err(JsError::Refused { err_code: STREAM_NAME_IN_USE, .. }) => {
                        self.api(&info_subject, &Value::Null, STREAM_TIMEOUT).await?
                    }
                    created => created?,
                }
            }
            found => found?,
        };
        let drift = drift(wanted, &found.config);
        if drift.is_empty() {
            return Ok(found);
        }
        tracing::warn!(stream, fields = drift.join(","), "the stream is not as it has to be; changing it");
        self.api(&format!("$JS.API.STREAM.UPDATE.{stream}"), wanted, STREAM_TIMEOUT).await
    }
}

/// Messages wait here until they are acknowledged. Retention has to be `limits`: interest and work-queue streams stall
/// with thousands of consumers. A full (recipient, sender) pair refuses the sender, and only them.
fn inbox_stream(max_bytes: i64, replicas: u8) -> Value {
    json!({
        "name": subject::INBOX_STREAM,
        "subjects": ["kez.inbox.*.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "discard_new_per_subject": true,
        "max_msgs_per_subject": INBOX_PER_ROUTE,
        "max_bytes": max_bytes,
        "max_age": nanos(INBOX_TTL),
        "max_msg_size": MAX_MESSAGE_BYTES,
        "max_consumers": 1_000_000,
        "duplicate_window": nanos(Duration::from_secs(120)),
        "num_replicas": replicas,
        "deny_delete": true,
        "deny_purge": false,
    })
}

/// Presence passes through JetStream, so that nobody learns from the broker's answer whether somebody is online.
fn presence_stream(replicas: u8) -> Value {
    json!({
        "name": subject::PRESENCE_STREAM,
        "subjects": ["kez.presence.*.*"],
        "storage": "memory",
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "max_age": nanos(Duration::from_secs(60)),
        "max_msg_size": 4096,
        // It is handed on when it comes, and stays for nobody.
        "max_bytes": PRESENCE_BYTES,
        "num_replicas": replicas,
        "duplicate_window": nanos(Duration::from_secs(1)),
        "republish": { "src": "kez.presence.*.*", "dest": "kez.pdeliver.{{wildcard(1)}}" },
    })
}

/// Names the members of `wanted` that `found` has otherwise. nats-server leaves out what is false, zero or empty.
pub(super) fn drift(wanted: &Value, found: &Value) -> Vec<String> {
    let absent = |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || value == &json!(0);
    let Some(wanted) = wanted.as_object() else { return Vec::new() };
    wanted
        .iter()
        .filter(|(name, value)| match found.get(name) {
            Some(other) => other != *value,
            None => !absent(value),
        })
        .map(|(name, _)| name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_named() {
        let wanted = json!({ "a": 1, "b": false, "c": ["x"], "d": 5 });
        assert!(drift(&wanted, &json!({ "a": 1, "c": ["x"], "d": 5, "more": true })).is_empty());
        assert_eq!(drift(&wanted, &json!({ "a": 2, "b": true, "c": ["x"] })), ["a", "b", "d"]);
    }
}
