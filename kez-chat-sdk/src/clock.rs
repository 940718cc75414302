//! The one place that reads the machine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns milliseconds since 1970 by the machine's clock.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
