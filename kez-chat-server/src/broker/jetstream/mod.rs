//! What the chat-server asks of JetStream: the two streams, a consumer for each user, purging, listing.
//!
//! Everything goes out as JSON to `$JS.API.…`, because async-nats' typed configurations lack fields that matter here
//! and one way is enough.

mod inbox;
mod listing;
mod measure;
mod store;
mod streams;

use std::time::Duration;

use async_nats::{Client, Request, RequestError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::listing::{StreamState, Waiting};
pub(crate) use self::measure::Measure;
pub(crate) use self::store::Store;
pub(crate) use self::streams::{INBOX_PER_ROUTE, INBOX_TTL, MAX_MESSAGE_BYTES, Reconciled};

/// Below nats-server's `authorization.timeout` of 2 s, so that a callout gets its answer in time.
const API_TIMEOUT: Duration = Duration::from_millis(1500);
/// Creating a stream on a busy disk may take longer, and nobody waits for it.
const STREAM_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const CONSUMER_NOT_FOUND: u64 = 10_014;

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
    /// Bytes on disk.
    storage: u64,
    limits: AccountLimits,
}

#[derive(Deserialize)]
struct AccountLimits {
    max_storage: i64,
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

    /// Reads how many bytes the account may store; -1: no limit of its own.
    pub(crate) async fn max_storage(&self) -> Result<i64, JsError> {
        Ok(self.account().await?.limits.max_storage)
    }

    /// Asks for the account's use and limits. A cluster that has just lost a node takes some seconds to answer.
    async fn account(&self) -> Result<AccountInfo, JsError> {
        self.api("$JS.API.INFO", &Value::Null, STREAM_TIMEOUT).await
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

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
