//! How things are timed.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, SamplingMode};

/// What one round of a comparison takes at least on each side: enough that the clock's own cost does not show, and so
/// little that most rounds are not interrupted.
const ROUND: Duration = Duration::from_millis(1);
/// What all rounds of a comparison take, roughly.
const ALL_ROUNDS: Duration = Duration::from_secs(4);
const MIN_ROUNDS: usize = 11;
const MAX_ROUNDS: usize = 2001;

/// A name and a number, as a `ratio` line shows them.
pub(crate) type Ratio = (&'static str, f64);

/// Does a thing some number of times and says how long that took, preparations not counted.
pub(crate) struct Work<'a>(Box<dyn FnMut(u64) -> Duration + 'a>);

impl<'a> Work<'a> {
    /// Work that needs no preparation.
    pub(crate) fn new<T>(mut work: impl FnMut() -> T + 'a) -> Self {
        Self::prepared(|| (), move |()| work())
    }

    /// Work on something that is made anew each time. What the work returns is dropped off the clock.
    pub(crate) fn prepared<P, T>(mut prepare: impl FnMut() -> P + 'a, mut work: impl FnMut(P) -> T + 'a) -> Self {
        Self(Box::new(move |times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let prepared = prepare();
                let start = Instant::now();
                let done = black_box(work(black_box(prepared)));
                took += start.elapsed();
                drop(done);
            }
            took
        }))
    }

    /// Has criterion measure this, in detail and alone.
    pub(crate) fn measure(&mut self, criterion: &mut Criterion, group: &str, side: &str) {
        let mut group = criterion.benchmark_group(group);
        // Flat: with the default, a thing that takes a second would run for many minutes.
        group.sample_size(20).sampling_mode(SamplingMode::Flat);
        group.bench_function(BenchmarkId::from_parameter(side), |bencher| bencher.iter_custom(|times| (self.0)(times)));
        group.finish();
    }

    fn run(&mut self, times: u64) -> f64 {
        (self.0)(times).as_secs_f64()
    }

    /// Returns the median of a single run, in seconds.
    pub(crate) fn median(&mut self) -> f64 {
        let once = self.run(1);
        median((0..rounds(once)).map(|_| self.run(1)).collect())
    }
}

/// Ours and a peer's way to do the same.
pub(crate) struct Comparison<'a> {
    pub(crate) ours: Work<'a>,
    pub(crate) peer: Work<'a>,
}

impl Comparison<'_> {
    /// Returns our time divided by the peer's: the median over many short rounds, in each of which both sides run.
    /// So whatever else the machine does meanwhile slows both of them.
    pub(crate) fn ratio(&mut self) -> f64 {
        let once = self.ours.run(1).max(self.peer.run(1));
        let times = (ROUND.as_secs_f64() / once).ceil().max(1.0) as u64;
        let ratios = (0..rounds(2.0 * once * times as f64)).map(|round| {
            // Taking turns at being first: neither always finds the caches as the other left them.
            if round % 2 == 0 {
                let ours = self.ours.run(times);
                ours / self.peer.run(times)
            } else {
                let peer = self.peer.run(times);
                self.ours.run(times) / peer
            }
        });
        median(ratios.collect())
    }
}

fn rounds(seconds_each: f64) -> usize {
    ((ALL_ROUNDS.as_secs_f64() / seconds_each) as usize).clamp(MIN_ROUNDS, MAX_ROUNDS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
