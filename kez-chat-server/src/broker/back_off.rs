//! How long the broker is left alone before it is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// A broker that is back is noticed within this time.
const LAST: Duration = Duration::from_secs(10);

/// Delays that double from failure to failure, up to a bound.
#[derive(Debug)]
pub(crate) struct BackOff(Duration);

impl BackOff {
    /// Begins anew, as after a success.
    pub(crate) fn new() -> Self {
        Self(FIRST)
    }

    /// Returns the delay after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(LAST);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound() {
        let mut back_off = BackOff::new();
        let delays: Vec<_> = (0..9).map(|_| back_off.failed().as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(BackOff::new().failed(), FIRST);
    }
}
