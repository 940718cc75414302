//! When a connection is tried again.

use std::time::Duration;

use crate::offline::OfflineCause;

const FIRST: Duration = Duration::from_millis(500);
/// A device that is offline all day wakes up a few hundred times for it.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// A home that refuses an account seldom changes its mind, but it may: after a registry was restored, for instance.
const AFTER_REFUSAL: Duration = Duration::from_secs(30 * 60);

/// Waits that double, so that an outage is over for us at most about as long again after its end as it lasted.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Returns how long to wait now. When a broker comes back its clients come back too, so each waits a time of its
    /// own: between half and all of what the others wait at most.
    pub(crate) fn after(&mut self, cause: &OfflineCause) -> Duration {
        let mut longest = AFTER_REFUSAL;
        if !matches!(cause, OfflineCause::Refused(_)) {
            longest = self.next;
            self.next = (self.next * 2).min(LONGEST);
        }
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::Refusal;

    /// Returns how often a client wakes up in so many seconds offline.
    fn wakes_in(seconds: u64, cause: &OfflineCause) -> usize {
        let (mut backoff, mut passed, mut wakes) = (Backoff::default(), Duration::ZERO, 0);
        while passed < Duration::from_secs(seconds) {
            passed += backoff.after(cause);
            wakes += 1;
        }
        wakes
    }

    #[test]
    fn a_day_offline_wakes_the_device_a_few_hundred_times() {
        let away = OfflineCause::ConnectionLost;
        assert!((4..=8).contains(&wakes_in(10, &away)), "soon at first");
        assert!(wakes_in(3_600, &away) <= 35);
        assert!((250..=600).contains(&wakes_in(86_400, &away)));
        assert!((40..=100).contains(&wakes_in(86_400, &Refusal::NotRegistered.into())), "a refusal is final, almost");
    }

    #[test]
    fn no_two_wait_alike_and_a_fresh_start_waits_little() {
        let away = OfflineCause::ConnectionLost;
        let waits: Vec<_> = (0..20).map(|_| Backoff::default().after(&away)).collect();
        assert!(waits.iter().all(|wait| (FIRST / 2..=FIRST).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]));
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.after(&away);
        }
        assert!(backoff.after(&away) >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.after(&away) <= FIRST);
    }
}
