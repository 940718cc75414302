//! What a seed draws: who is killed when and for how long, and how wrong the clocks are.

use std::{fmt, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

const DAY_MS: u64 = 24 * 3_600_000;
/// A device's clock is off by this much at most, either way.
const CLOCK_MS: i64 = 3 * 24 * 3_600_000;
/// How long everything runs between two strikes.
const PAUSE_MS: std::ops::Range<u64> = 200..3_000;
/// How long who was killed stays away.
const AWAY_MS: std::ops::Range<u64> = 0..2_000;
/// The same, now and then.
const LONG_AWAY_MS: std::ops::Range<u64> = 4_000..12_000;
/// One time in so many.
const RARELY: f64 = 0.08;

/// Who can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Alice,
    Bob,
    Home,
    Sigchains,
    Broker,
}

impl Victim {
    const ALL: [Self; 5] = [Self::Alice, Self::Bob, Self::Home, Self::Sigchains, Self::Broker];
}

/// One process killed, and what it comes back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) victim: Victim,
    pub(crate) away: Duration,
    /// How far a client's clock will be off.
    pub(crate) clock_ms: i64,
}

/// Some processes killed at the same moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    /// How long after everything ran again.
    pub(crate) pause: Duration,
    /// In the order in which they come back.
    pub(crate) blows: Vec<Blow>,
    /// Whether the broker's disk is lost, too.
    pub(crate) wipes: bool,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blow = |Blow { victim, away, clock_ms }: &Blow| match victim {
            Victim::Alice | Victim::Bob => format!("{victim:?} for {away:?}, then {clock_ms} ms off"),
            _ => format!("{victim:?} for {away:?}"),
        };
        f.write_str(&self.blows.iter().map(blow).collect::<Vec<_>>().join("; "))?;
        f.write_str(if self.wipes { "; the broker's disk is lost" } else { "" })
    }
}

/// All that is drawn; the strikes go on as long as they are asked for.
pub(crate) struct Plan {
    strikes: StdRng,
    wipe: Option<Strike>,
    wipe_at: Duration,
    midnight_at: Duration,
    /// How far the two clients' clocks are off at first.
    pub(crate) clocks_ms: [i64; 2],
}

impl Plan {
    pub(crate) fn draw(seed: u64, length: Duration) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let clocks_ms = [(); 2].map(|()| clock(&mut rng));
        let wipe_at = length.mul_f64(rng.random_range(0.4..0.6));
        let midnight_at = length.mul_f64(rng.random_range(0.2..0.8));
        let mut wipe = strike(&mut rng);
        if !wipe.blows.iter().any(|blow| blow.victim == Victim::Broker) {
            wipe.blows.push(blow(&mut rng, Victim::Broker));
        }
        wipe.wipes = true;
        Self { strikes: StdRng::from_rng(&mut rng), wipe: Some(wipe.in_order()), wipe_at, midnight_at, clocks_ms }
    }

    /// Draws what comes so long after the beginning.
    pub(crate) fn next(&mut self, elapsed: Duration) -> Strike {
        match self.wipe.take_if(|_| elapsed >= self.wipe_at) {
            Some(wipe) => wipe,
            None => strike(&mut self.strikes),
        }
    }

    /// Tells how far the home's clock has to be ahead at `now_ms` so that its midnight comes as planned. A login ends by
    /// the broker's own clock, so the home's is never behind.
    pub(crate) fn home_ahead_ms(&self, now_ms: u64) -> u64 {
        let planned = now_ms.saturating_add(u64::try_from(self.midnight_at.as_millis()).unwrap_or(u64::MAX));
        planned.next_multiple_of(DAY_MS) - planned
    }
}

impl Strike {
    fn in_order(mut self) -> Self {
        self.blows.sort_by_key(|blow| blow.away);
        self
    }
}

/// Mostly one, now and then several or all.
fn strike(rng: &mut StdRng) -> Strike {
    let pause = Duration::from_millis(rng.random_range(PAUSE_MS));
    let victims = match rng.random_range(0..10) {
        0 => Victim::ALL.len(),
        1..=3 => 2,
        _ => 1,
    };
    let victims: Vec<Victim> = Victim::ALL.sample(rng, victims).copied().collect();
    let blows = victims.into_iter().map(|victim| blow(rng, victim)).collect();
    Strike { pause, blows, wipes: false }.in_order()
}

fn blow(rng: &mut StdRng, victim: Victim) -> Blow {
    let away = if rng.random_bool(RARELY) { LONG_AWAY_MS } else { AWAY_MS };
    Blow { victim, away: Duration::from_millis(rng.random_range(away)), clock_ms: clock(rng) }
}

fn clock(rng: &mut StdRng) -> i64 {
    rng.random_range(-CLOCK_MS..=CLOCK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(60);

    fn strikes(seed: u64) -> Vec<Strike> {
        let mut plan = Plan::draw(seed, LENGTH);
        (0..200).map(|second| plan.next(Duration::from_secs(second))).collect()
    }

    #[test]
    fn a_seed_draws_the_same_again_and_another_one_something_else() {
        assert_eq!(strikes(7), strikes(7));
        assert_ne!(strikes(7), strikes(8));
    }

    #[test]
    fn everybody_is_struck_alone_and_together_and_the_disk_is_lost_once() {
        let strikes = strikes(7);
        for victim in Victim::ALL {
            let struck = |strike: &&Strike| strike.blows.iter().any(|blow| blow.victim == victim);
            assert!(strikes.iter().any(|strike| strike.blows.len() == 1 && struck(&strike)), "{victim:?} alone");
            assert!(strikes.iter().any(|strike| strike.blows.len() == 2 && struck(&strike)), "{victim:?} and another");
        }
        assert!(strikes.iter().any(|strike| strike.blows.len() == Victim::ALL.len()));
        let wipes: Vec<_> = strikes.iter().filter(|strike| strike.wipes).collect();
        assert_eq!(wipes.len(), 1);
        assert!(wipes[0].blows.iter().any(|blow| blow.victim == Victim::Broker));
    }

    #[test]
    fn the_homes_midnight_comes_in_the_run_and_its_clock_is_never_behind() {
        let plan = Plan::draw(7, LENGTH);
        for now_ms in [1_795_398_713_000, 1_795_478_400_000 - 1, 1_795_478_400_000] {
            let ahead = plan.home_ahead_ms(now_ms);
            assert!(ahead < DAY_MS);
            let day = |elapsed: Duration| (now_ms + ahead + u64::try_from(elapsed.as_millis()).unwrap()) / DAY_MS;
            assert_eq!(day(Duration::ZERO) + 1, day(LENGTH), "{now_ms}");
        }
    }
}
