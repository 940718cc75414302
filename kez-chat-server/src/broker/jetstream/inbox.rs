//! One person's inbox: their consumer, and what waits in it.

use std::time::Duration;

use kez_core::broker::{Route, subject};
use kez_core::identity::PrimaryKey;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::measure::Stored;
use super::streams::drift;
use super::{API_TIMEOUT, CONSUMER_NOT_FOUND, JetStream, JsError, STREAM_TIMEOUT, nanos};

/// How many messages a user is given before they acknowledge one.
const MAX_ACK_PENDING: usize = 256;
/// How many messages are read of those that are not acknowledged. Acknowledged ones may stand between them.
const AT_MOST: usize = 4 * MAX_ACK_PENDING;

#[derive(Deserialize)]
struct ConsumerInfo {
    config: Value,
    /// Up to where everything is acknowledged.
    ack_floor: Place,
    /// Up to where everything was delivered at least once.
    delivered: Place,
    num_ack_pending: u64,
}

#[derive(Deserialize)]
struct Place {
    stream_seq: u64,
}

#[derive(Deserialize)]
struct Purged {
    purged: u64,
}

impl JetStream {
    /// Makes the user's durable consumer, or finds it there; returns the stream sequence up to which everything in
    /// their inbox is acknowledged.
    pub(crate) async fn provision(&self, user: &PrimaryKey) -> Result<u64, JsError> {
        let name = user.to_hex();
        let body = json!({ "stream_name": subject::INBOX_STREAM, "config": consumer(user), "action": "" });
        let subject = format!("$JS.API.CONSUMER.CREATE.{}.{name}", subject::INBOX_STREAM);
        let info: ConsumerInfo = self.api(&subject, &body, API_TIMEOUT).await?;
        Ok(info.ack_floor.stream_seq)
    }

    /// Finds the user's durable consumer as it has to be, or makes it so.
    ///
    /// Does what [`provision`](Self::provision) does, at less cost where nothing is to be made: nats-server writes the
    /// file of a consumer anew that is made a second time, and works off such requests one by one.
    pub(crate) async fn ensure(&self, user: &PrimaryKey) -> Result<(), JsError> {
        match self.consumer_info(user).await {
            Ok(info) if drift(&consumer(user), &info.config).is_empty() => Ok(()),
            Ok(_) | Err(JsError::Refused { .. }) => self.provision(user).await.map(|_| ()),
            Err(error) => Err(error),
        }
    }

    /// Reads the stream sequence up to which everything in the user's inbox is acknowledged.
    pub(crate) async fn ack_floor(&self, user: &PrimaryKey) -> Result<u64, JsError> {
        Ok(self.consumer_info(user).await?.ack_floor.stream_seq)
    }

    /// Reads the messages that were delivered to the user and not acknowledged; some that were may be among them.
    pub(crate) async fn unacknowledged(&self, user: &PrimaryKey) -> Result<Vec<Stored>, JsError> {
        let info = self.consumer_info(user).await?;
        let mut found = Vec::new();
        if info.num_ack_pending == 0 {
            return Ok(found);
        }
        let filter = subject::inbox_filter(user);
        let mut next = info.ack_floor.stream_seq + 1;
        while next <= info.delivered.stream_seq && found.len() < AT_MOST {
            let Some(stored) = self.next_stored(&filter, next).await? else { break };
            next = stored.seq + 1;
            if stored.seq <= info.delivered.stream_seq {
                found.push(stored);
            }
        }
        Ok(found)
    }

    /// Tells whether there is a consumer of this name.
    pub(crate) async fn has_consumer(&self, name: &str) -> Result<bool, JsError> {
        let subject = format!("$JS.API.CONSUMER.INFO.{}.{name}", subject::INBOX_STREAM);
        match self.api::<IgnoredAny>(&subject, &Value::Null, STREAM_TIMEOUT).await {
            Ok(_) => Ok(true),
            Err(JsError::Refused { err_code: CONSUMER_NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn consumer_info(&self, user: &PrimaryKey) -> Result<ConsumerInfo, JsError> {
        let subject = format!("$JS.API.CONSUMER.INFO.{}.{}", subject::INBOX_STREAM, user.to_hex());
        self.api(&subject, &Value::Null, API_TIMEOUT).await
    }

    /// Purges the user's messages up to and including the stream sequence `last`; returns how many went.
    pub(crate) async fn purge_through(&self, user: &PrimaryKey, last: u64) -> Result<u64, JsError> {
        self.purge(&subject::inbox_filter(user), last).await
    }

    /// Purges what came by a route, to whomever, up to and including the stream sequence `last`; returns how many
    /// messages went.
    pub(crate) async fn purge_route(&self, route: &Route, last: u64) -> Result<u64, JsError> {
        self.purge(&format!("kez.inbox.*.{route}"), last).await
    }

    /// Purges the messages to a recipient that is nobody's, whatever it is called, up to and including the stream
    /// sequence `last`; returns how many went. The name has to be one that a filter takes literally.
    pub(crate) async fn purge_recipient(&self, recipient: &str, last: u64) -> Result<u64, JsError> {
        self.purge(&format!("kez.inbox.{recipient}.*"), last).await
    }

    async fn purge(&self, filter: &str, last: u64) -> Result<u64, JsError> {
        let subject = format!("$JS.API.STREAM.PURGE.{}", subject::INBOX_STREAM);
        // `seq` is the first sequence that stays.
        let body = json!({ "filter": filter, "seq": last.saturating_add(1) });
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
}

/// A push consumer that has each acknowledgement told: with a pull consumer, anybody could have somebody else's messages
/// delivered into nowhere. One replica is enough even on a cluster: what a node takes with it is made again.
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
        "max_ack_pending": MAX_ACK_PENDING,
        "sample_freq": "100",
        "num_replicas": 1,
    })
}
