//! The inbox stream, by its own account's rights.

use std::time::{Duration, Instant};

use kez_testbed::processes::Processes;
use serde_json::{Value, json};

/// How long a broker may take that is busy with purging.
const PATIENCE: Duration = Duration::from_secs(60);

/// The inbox stream, as its owner sees it.
pub(super) struct Stream {
    nats: async_nats::Client,
}

impl Stream {
    pub(super) async fn connect(stack: &Processes) -> Self {
        let seed = stack.secret().chat_server_seed().unwrap();
        let user = async_nats::ConnectOptions::with_nkey(seed.to_string());
        Self { nats: user.connect(stack.nats_url()).await.unwrap() }
    }

    pub(super) async fn ask(&self, what: &str, body: &Value) -> Value {
        let request = async_nats::Request::new().payload(body.to_string().into()).timeout(Some(PATIENCE));
        let answer = self.nats.send_request(format!("$JS.API.STREAM.{what}.KEZ_INBOX"), request).await;
        serde_json::from_slice(&answer.unwrap().payload).unwrap()
    }

    pub(super) async fn messages(&self) -> u64 {
        self.ask("INFO", &json!({})).await["state"]["messages"].as_u64().unwrap()
    }

    pub(super) async fn clear(&self) {
        let answer = self.ask("PURGE", &json!({})).await;
        assert_eq!(answer["success"], true, "{answer}");
    }

    /// Stores two messages for somebody, has that inbox purged, and returns how long purging took.
    pub(super) async fn time_purge(&self, hex: &str) -> Duration {
        let inbox = format!("kez.inbox.{hex}");
        for _ in 0..2 {
            let answer = self.nats.request(format!("{inbox}.{}", "0".repeat(32)), "x".into()).await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            assert!(answer["seq"].is_u64(), "{answer}");
        }
        let start = Instant::now();
        let answer = self.ask("PURGE", &json!({ "filter": format!("{inbox}.*") })).await;
        assert_eq!(answer["purged"], 2, "{answer}");
        start.elapsed()
    }
}
