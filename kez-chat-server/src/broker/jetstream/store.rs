//! How full the store is, and how full the inbox stream may get.

use serde::Deserialize;
use serde_json::Value;

use super::listing::{StreamState, info_subject};
use super::{JetStream, JsError, STREAM_TIMEOUT};

/// What the broker stores for us, and may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    pub(crate) inbox: StreamState,
    /// How many bytes the inbox stream may hold; -1: no limit of its own.
    pub(crate) inbox_limit: i64,
    /// The bytes that the JS account has on disk.
    pub(crate) used: u64,
    /// How many it may have; -1: no limit of its own.
    pub(crate) limit: i64,
}

impl JetStream {
    /// Tells how full the inbox stream and the store are.
    pub(crate) async fn store(&self) -> Result<Store, JsError> {
        #[derive(Deserialize)]
        struct Stream {
            config: Config,
            state: StreamState,
        }
        #[derive(Deserialize)]
        struct Config {
            max_bytes: i64,
        }
        let Stream { config, state } = self.api(&info_subject(), &Value::Null, STREAM_TIMEOUT).await?;
        let account = self.account().await?;
        Ok(Store {
            inbox: state,
            inbox_limit: config.max_bytes,
            used: account.storage,
            limit: account.limits.max_storage,
        })
    }
}
