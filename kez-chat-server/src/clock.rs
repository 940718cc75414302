//! The one place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the milliseconds since 1970, as `/v1/info` shows them.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
