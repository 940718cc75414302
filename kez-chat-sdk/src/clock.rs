//! The one place that reads the machine's clock.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Where an account takes the time from: the machine's clock, unless a test or a simulation brings another.
///
/// It need not be right. Whatever others see or check is reckoned by the home's clock, which is asked at each
/// connection.
///
/// ```
/// use kez_chat_sdk::Clock;
///
/// // A device whose clock is an hour behind.
/// let slow = Clock::from_fn(|| Clock::system().now_ms() - 3_600_000);
/// assert!(slow.now_ms() < Clock::system().now_ms());
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// Takes the machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::from_fn(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
        })
    }

    /// Takes a clock that gives milliseconds since 1970.
    #[must_use]
    pub fn from_fn(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Returns milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
