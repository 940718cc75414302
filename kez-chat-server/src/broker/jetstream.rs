//! The JetStream side: the two streams, a consumer for each user, purging.
//!
//! Everything goes out as JSON to `$JS.API.…`, because async-nats' typed configurations lack fields that matter here
//! and one way is enough.

use std::time::Duration;

use async_nats::{Client, Request, RequestError};
use kez_core::broker::subject;
use kez_core::identity::PrimaryKey;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

/// Below nats-server's `authorization.timeout` of 2 s, so that a callout gets its answer in time.
const API_TIMEOUT: Duration = Duration::from_millis(1500);
/// Creating a stream on a busy disk may take longer, and nobody waits for it.
const STREAM_TIMEOUT: Duration = Duration::from_secs(10);
/// How many messages of one sender wait in one inbox.
pub(crate) const INBOX_PER_ROUTE: u32 = 1000;
/// How long a message waits.
pub(crate) const INBOX_TTL: Duration = Duration::from_hours(30 * 24);
/// The largest message, headers included.
pub(crate) const MAX_MESSAGE_BYTES: u32 = 65_536;

pub(super) const CONSUMER_NOT_FOUND: u64 = 10_014;
const STREAM_NAME_IN_USE: u64 = 10_058;
const STREAM_NOT_FOUND: u64 = 10_059;

/// Why JetStream did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum JsError {
    /// No answer: the broker is away, or JetStream is off in our account.
    #[error("JetStream does not answer {subject}; is the JS account set up as `nats-conf` prints it?")]
    Unreachable { subject: String, source: RequestError },
    /// JetStream answered with an error.
    #[error("JetStream refused {subject}: {description} ({err_code})")]
    Refused { subject: String, err_code: u64, description: String },
    /// The answer is not what nats-server 2.10 and newer send.
    #[error("JetStream's answer to {subject} is not understood")]
    Answer { subject: String, source: serde_json::Error },
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct AccountInfo {
    limits: AccountLimits,
}

#[derive(Deserialize)]
struct AccountLimits {
    max_storage: i64,
}

#[derive(Deserialize)]
struct StreamInfo {
    config: Value,
    created: String,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    ack_floor: AckFloor,
}

#[derive(Deserialize)]
struct AckFloor {
    stream_seq: u64,
}

#[derive(Deserialize)]
struct Purged {
    purged: u64,
}

/// The chat-server's connection to the JS account.
#[derive(Clone)]
pub(crate) struct JetStream {
    client: Client,
    replicas: u8,
}

impl JetStream {
    pub(crate) fn new(client: Client, replicas: u8) -> Self {
        Self { client, replicas }
    }

    /// Makes both streams as they have to be and returns the inbox stream's time of creation, which is the `epoch`
    /// of `/v1/info`: it changes exactly when the stream was made anew.
    pub(crate) async fn reconcile_streams(&self) -> Result<String, JsError> {
        let account: AccountInfo = self.api("$JS.API.INFO", &Value::Null, STREAM_TIMEOUT).await?;
        // A full inbox stream must not stop the rest of the store. -1: the account has no limit of its own.
        let max_bytes = match account.limits.max_storage {
            limit if limit > 0 => limit / 5 * 4,
            _ => -1,
        };
        let inbox = self.reconcile(subject::INBOX_STREAM, &inbox_stream(max_bytes, self.replicas)).await?;
        self.reconcile(subject::PRESENCE_STREAM, &presence_stream(self.replicas)).await?;
        Ok(inbox.created)
    }

    /// Reads how many bytes the account may store; -1: no limit of its own.
    pub(crate) async fn max_storage(&self) -> Result<i64, JsError> {
        let account: AccountInfo = self.api("$JS.API.INFO", &Value::Null, API_TIMEOUT).await?;
        Ok(account.limits.max_storage)
    }

    /// Tells whether there is such a stream.
    pub(crate) async fn has_stream(&self, stream: &str) -> Result<bool, JsError> {
        match self.api::<StreamInfo>(&format!("$JS.API.STREAM.INFO.{stream}"), &Value::Null, API_TIMEOUT).await {
            Ok(_) => Ok(true),
            Err(JsError::Refused { err_code: STREAM_NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the user's durable consumer, or finds it there; returns the stream sequence up to which everything in
    /// their inbox is acknowledged.
    pub(crate) async fn provision(&self, user: &PrimaryKey) -> Result<u64, JsError> {
        let name = user.to_hex();
        let body = json!({ "stream_name": subject::INBOX_STREAM, "config": consumer(user), "action": "" });
        let subject = format!("$JS.API.CONSUMER.CREATE.{}.{name}", subject::INBOX_STREAM);
        let info: ConsumerInfo = self.api(&subject, &body, API_TIMEOUT).await?;
        Ok(info.ack_floor.stream_seq)
    }

    /// Reads the stream sequence up to which everything in the user's inbox is acknowledged.
    pub(crate) async fn ack_floor(&self, user: &PrimaryKey) -> Result<u64, JsError> {
        let subject = format!("$JS.API.CONSUMER.INFO.{}.{}", subject::INBOX_STREAM, user.to_hex());
        let info: ConsumerInfo = self.api(&subject, &Value::Null, API_TIMEOUT).await?;
        Ok(info.ack_floor.stream_seq)
    }

    /// Purges the user's messages up to and including `floor`; returns how many went.
    pub(crate) async fn purge_acknowledged(&self, user: &PrimaryKey, floor: u64) -> Result<u64, JsError> {
        let subject = format!("$JS.API.STREAM.PURGE.{}", subject::INBOX_STREAM);
        // `seq` is the first sequence that stays.
        let body = json!({ "filter": subject::inbox_filter(user), "seq": floor + 1 });
        Ok(self.api::<Purged>(&subject, &body, STREAM_TIMEOUT).await?.purged)
    }

    /// Deletes the user's consumer, if there is one.
    pub(crate) async fn delete_consumer(&self, user: &PrimaryKey) -> Result<(), JsError> {
        let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", subject::INBOX_STREAM, user.to_hex());
        match self.api::<IgnoredAny>(&subject, &Value::Null, API_TIMEOUT).await {
            Ok(_) | Err(JsError::Refused { err_code: CONSUMER_NOT_FOUND, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Purges everything in the user's inbox, acknowledged or not; returns how many messages went.
    pub(crate) async fn purge_inbox(&self, user: &PrimaryKey) -> Result<u64, JsError> {
        let subject = format!("$JS.API.STREAM.PURGE.{}", subject::INBOX_STREAM);
        let body = json!({ "filter": subject::inbox_filter(user) });
        Ok(self.api::<Purged>(&subject, &body, STREAM_TIMEOUT).await?.purged)
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

    async fn api<T: DeserializeOwned>(&self, subject: &str, body: &Value, timeout: Duration) -> Result<T, JsError> {
        let payload = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::new().payload(payload.into()).timeout(Some(timeout));
        let message = self
            .client
            .send_request(subject.to_owned(), request)
            .await
            .map_err(|source| JsError::Unreachable { subject: subject.to_owned(), source })?;
        let not_understood = |source| JsError::Answer { subject: subject.to_owned(), source };
        let answer: Value = serde_json::from_slice(&message.payload).map_err(not_understood)?;
        if let Some(error) = answer.get("error") {
            let error = ApiError::deserialize(error).map_err(not_understood)?;
            return Err(JsError::Refused {
                subject: subject.to_owned(),
                err_code: error.err_code,
                description: error.description,
            });
        }
        T::deserialize(answer).map_err(not_understood)
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
        "num_replicas": replicas,
        "duplicate_window": nanos(Duration::from_secs(1)),
        "republish": { "src": "kez.presence.*.*", "dest": "kez.pdeliver.{{wildcard(1)}}" },
    })
}

/// A push consumer: with a pull consumer, anybody could have somebody else's messages delivered into nowhere. One
/// replica is enough even on a cluster, since it is made again at the next login.
fn consumer(user: &PrimaryKey) -> Value {
    let name = user.to_hex();
    json!({
        "durable_name": name,
        "name": name,
        "filter_subject": subject::inbox_filter(user),
        "deliver_subject": subject::deliver(user),
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "ack_wait": nanos(Duration::from_secs(30)),
        "max_ack_pending": 256,
        "num_replicas": 1,
    })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Names the members of `wanted` that `found` has otherwise. nats-server leaves out what is false, zero or empty.
fn drift(wanted: &Value, found: &Value) -> Vec<String> {
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
