//! The inboxes, as the broker shows them to the home server's own user.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use async_nats::{Client, ConnectOptions};
use kez_core::{broker::subject, identity::PrimaryKey};
use kez_testbed::processes::Processes;
use serde_json::{Value, json};

/// Asks the broker; clones share a connection.
#[derive(Clone)]
pub(super) struct Consumers(Client);

impl Consumers {
    pub(super) async fn connect(stack: &Processes) -> Result<Self> {
        let seed = stack.secret().chat_server_seed()?;
        Ok(Self(ConnectOptions::with_nkey(seed.to_string()).connect(stack.nats_url()).await?))
    }

    /// Tells whether somebody has an inbox.
    pub(super) async fn has(&self, owner: &PrimaryKey) -> Result<bool> {
        let info = self.ask(&format!("INFO.{}.{}", subject::INBOX_STREAM, owner.to_hex()), "").await?;
        Ok(info["error"].is_null())
    }

    /// Returns the names of all who have one: their keys in hex.
    pub(super) async fn all(&self) -> Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        loop {
            let from = json!({ "offset": all.len() }).to_string();
            let page = self.ask(&format!("NAMES.{}", subject::INBOX_STREAM), &from).await?;
            let names = page["consumers"].as_array().with_context(|| format!("no list of consumers: {page}"))?;
            if names.is_empty() {
                return Ok(all);
            }
            all.extend(names.iter().filter_map(Value::as_str).map(ToOwned::to_owned));
        }
    }

    async fn ask(&self, what: &str, body: &str) -> Result<Value> {
        let answer = self.0.request(format!("$JS.API.CONSUMER.{what}"), body.to_owned().into()).await?;
        serde_json::from_slice(&answer.payload).context("the broker's answer is no JSON")
    }
}
