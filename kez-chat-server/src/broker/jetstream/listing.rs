//! What the inbox stream holds: how much, for whom, and which consumers.

use std::collections::HashMap;

use kez_core::broker::subject;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{JetStream, JsError, STREAM_TIMEOUT};

/// How full a stream is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
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
}

fn info_subject() -> String {
    format!("$JS.API.STREAM.INFO.{}", subject::INBOX_STREAM)
}
