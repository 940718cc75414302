//! How much of what is sent as presence is listened to. Anybody with an account can send it to anybody, as often as they
//! like, so it must cost neither messages nor batteries.

use std::time::Duration;

use tokio::time::Instant;

/// How many frames are opened at once, which is as many contacts as may answer together, and how many a second later on.
const AT_ONCE: u32 = 2_000;
const EVERY: Duration = Duration::from_millis(20);
/// A connection that listens and is lost sooner than this may have been ended by a presence.
const SOON: Duration = Duration::from_secs(300);
/// How many such losses in a row are too many, and for how long nothing is listened to then.
const TOO_MANY: u32 = 3;
const REST: Duration = Duration::from_secs(600);

/// Whether presence is listened to at all.
///
/// The broker hands on whatever headers somebody puts on a presence, and the library that we speak NATS with hangs up on
/// those that it can't read. It does not say why a connection ended: so that nobody can keep us from our messages, we
/// listen no more for a while when too many end.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    since: Option<Instant>,
    losses: u32,
    rests_until: Option<Instant>,
}

impl Hearing {
    /// Tells from when on we may listen, if not yet.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.rests_until.filter(|until| *until > now)
    }

    /// Notes that a connection listens.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Notes that the connection has ended, and whether somebody may have ended it.
    pub(super) fn end(&mut self, was_lost: bool, now: Instant) {
        let Some(since) = self.since.take() else { return };
        if now.saturating_duration_since(since) >= SOON {
            self.losses = 0;
        }
        if was_lost {
            self.losses += 1;
            if self.losses >= TOO_MANY {
                self.rests_until = Some(now + REST);
            }
        }
    }
}

/// How many frames may be opened: each costs an agreement of keys, whoever sent it.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, since: now }
    }

    /// Tells whether one more frame may be opened, and counts it.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.since).as_millis() / EVERY.as_millis();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(AT_ONCE);
            self.since = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_losses_in_a_row_are_too_many_and_then_one_is() {
        let (mut hearing, begun) = (Hearing::default(), Instant::now());
        let at = |second| begun + Duration::from_secs(second);
        let mut lost = |from: u64, to: u64| {
            hearing.begin(at(from));
            hearing.end(true, at(to));
            hearing.rests_until(at(to)).is_some()
        };
        assert_eq!([lost(0, 1), lost(2, 3), lost(4, 5)], [false, false, true]);
        assert!(lost(605, 606), "whoever did it is still there");
        assert!(!lost(1_206, 1_506), "five minutes are no sign of anybody");
        assert!(!lost(1_507, 1_508));
        assert!(lost(1_509, 1_510));
        assert_eq!(hearing.rests_until(at(2_110)), None, "it ends by itself");
        hearing.begin(at(2_111));
        hearing.end(false, at(2_112));
        hearing.end(true, at(2_113));
        assert_eq!(hearing.rests_until(at(2_113)), None, "we have left, or did not listen");
    }

    #[test]
    fn a_flood_is_left_unopened_and_a_thousand_contacts_are_not() {
        let begun = Instant::now();
        let mut allowance = Allowance::new(begun);
        let mut taken = |ms: u64, frames: u32| {
            let now = begun + Duration::from_millis(ms);
            (0..frames).filter(|_| allowance.take(now)).count()
        };
        assert_eq!(taken(0, 100_000), 2_000);
        assert_eq!((taken(19, 100), taken(1_000, 100), taken(1_001, 1)), (0, 50, 0));
        // Each of a thousand who are there says so once a minute.
        assert_eq!((1..=1_000).map(|number| taken(1_000 + number * 60, 1)).sum::<usize>(), 1_000);
    }
}
