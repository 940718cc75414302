//! What the inbox stream holds: how much, for whom, which consumers, and on which nodes of a cluster.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kez_core::broker::subject;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{JetStream, JsError, STREAM_TIMEOUT};

/// After so long without a sign a node of a cluster is taken for lost. Nodes speak to each other every second.
const SILENCE: Duration = Duration::from_secs(10);

/// How full a stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// The first message's sequence, or where it would be.
    #[serde(default)]
    pub(crate) first_seq: u64,
    /// The last message's sequence; 0 if there never was one.
    pub(crate) last_seq: u64,
}

/// A page of the names of consumers.
#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerNames {
    /// How many there are in all.
    pub(crate) total: usize,
    #[serde(default)]
    pub(crate) consumers: Vec<String>,
}

/// A page of consumers for which no node answers.
#[derive(Debug)]
pub(crate) struct SilentConsumers {
    /// How many consumers there are in all.
    pub(crate) total: usize,
    /// How many of them this page is about.
    pub(crate) seen: usize,
    pub(crate) names: Vec<String>,
}

/// A page of what waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The stream just before the page was read.
    pub(crate) state: StreamState,
    /// How many subjects have messages in all.
    pub(crate) total: usize,
    /// Subjects, and how many messages each has.
    pub(crate) counts: HashMap<String, u64>,
}

impl JetStream {
    /// Tells how full the inbox stream is.
    pub(crate) async fn state(&self) -> Result<StreamState, JsError> {
        #[derive(Deserialize)]
        struct Info {
            state: StreamState,
        }
        Ok(self.api::<Info>(&info_subject(), &Value::Null, STREAM_TIMEOUT).await?.state)
    }

    /// Lists subjects that have messages, from the `offset`-th of all on: 100,000 at a time, in the order of their names.
    pub(crate) async fn waiting(&self, offset: usize) -> Result<Waiting, JsError> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(flatten)]
            state: StreamState,
            #[serde(default)]
            subjects: HashMap<String, u64>,
        }
        let body = json!({ "subjects_filter": "kez.inbox.>", "offset": offset });
        let Info { state: State { state, subjects: counts }, total } =
            self.api(&info_subject(), &body, STREAM_TIMEOUT).await?;
        // Without paging there is no `total`.
        Ok(Waiting { state, total: total.max(counts.len()), counts })
    }

    /// Lists the names of consumers from the `offset`-th on, some thousand at a time, in their order.
    pub(crate) async fn consumer_names(&self, offset: usize) -> Result<ConsumerNames, JsError> {
        let subject = format!("$JS.API.CONSUMER.NAMES.{}", subject::INBOX_STREAM);
        self.api(&subject, &json!({ "offset": offset }), STREAM_TIMEOUT).await
    }

    /// Names the stream's nodes that have been silent for a while; none where there is no cluster. (nats-server itself
    /// calls a node offline only after some minutes.)
    pub(crate) async fn silent_nodes(&self) -> Result<BTreeSet<String>, JsError> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            cluster: Cluster,
        }
        #[derive(Default, Deserialize)]
        struct Cluster {
            #[serde(default)]
            replicas: Vec<Replica>,
        }
        #[derive(Deserialize)]
        struct Replica {
            name: String,
            current: bool,
            /// Nanoseconds since the stream's leader heard of it; 0 also if a new leader never has.
            active: u64,
        }
        let Info { cluster } = self.api(&info_subject(), &Value::Null, STREAM_TIMEOUT).await?;
        let silent = |replica: &Replica| {
            !replica.current && (replica.active == 0 || u128::from(replica.active) > SILENCE.as_nanos())
        };
        Ok(cluster.replicas.into_iter().filter(silent).map(|replica| replica.name).collect())
    }

    /// Looks through some hundred consumers of a cluster, from the `offset`-th on, for those that do not answer.
    pub(crate) async fn silent_consumers(&self, offset: usize) -> Result<SilentConsumers, JsError> {
        #[derive(Deserialize)]
        struct Page {
            total: usize,
            limit: usize,
            #[serde(default)]
            missing: Vec<String>,
        }
        let subject = format!("$JS.API.CONSUMER.LIST.{}", subject::INBOX_STREAM);
        let Page { total, limit, missing } = self.api(&subject, &json!({ "offset": offset }), STREAM_TIMEOUT).await?;
        Ok(SilentConsumers { total, seen: limit.max(1), names: missing })
    }
}

pub(super) fn info_subject() -> String {
    format!("$JS.API.STREAM.INFO.{}", subject::INBOX_STREAM)
}
