//! Durable messages a second: from the first call until the reader's application is done with the last one, and the writer
//! knows it.

use std::time::{Duration, Instant};

use kez_testbed::{Testbed, measure::median};

use crate::{
    control::Order,
    pair::{self, PROCESSES, Pair, Passed},
    progress,
};

/// How many call at the same time.
const CALLERS: [usize; 2] = [64, 1];
/// How long one side's part of a round takes, roughly: so long that what the last receipt waits for hardly counts.
const TURN: Duration = Duration::from_secs(4);
const MIN_ROUNDS: usize = 5;
/// What the first rates are taken from.
const FIRST: usize = 200;

pub(crate) async fn measure(testbed: &Testbed, length: Duration) {
    let mut pairs = pair::all(testbed).await;
    for callers in CALLERS {
        progress(&format!("throughput: {callers} callers, rounds of each side in turns"));
        compare(&mut pairs, callers, length).await;
    }
    for pair in pairs {
        pair.end().await;
    }
}

/// One side's rounds.
struct Rounds<'a> {
    pair: &'a mut Pair,
    callers: usize,
    /// How many messages take about a [`TURN`].
    count: usize,
    rates: Vec<f64>,
    passed: Vec<Passed>,
}

async fn compare(pairs: &mut [Pair; 3], callers: usize, length: Duration) {
    let mut sides = Vec::new();
    for pair in pairs {
        let mut side = Rounds { pair, callers, count: FIRST, rates: Vec::new(), passed: Vec::new() };
        side.calibrate().await;
        sides.push(side);
    }
    let start = Instant::now();
    let mut round = 0;
    while round < MIN_ROUNDS || start.elapsed() < length {
        // Taking turns at being first.
        for turn in 0..sides.len() {
            let place = (round + turn) % sides.len();
            sides[place].round().await;
        }
        round += 1;
    }
    for side in &sides {
        side.show();
    }
    let [ours, others @ ..] = sides.as_slice() else { return };
    for other in others {
        let ratios = ours.rates.iter().zip(&other.rates).map(|(ours, other)| ours / other).collect();
        let name = format!("messages_by_{callers}_vs_{}", other.pair.name);
        println!("ratio {name} {:.3}", median(ratios).unwrap());
    }
}

impl Rounds<'_> {
    /// Finds out how many messages pass in a turn.
    async fn calibrate(&mut self) {
        for _ in 0..2 {
            self.round().await;
            self.count = ((self.rates.pop().unwrap() * TURN.as_secs_f64()) as usize).max(FIRST);
        }
        self.passed.clear();
    }

    async fn round(&mut self) {
        let Self { count, callers, .. } = *self;
        let passed = self.pair.pass(Order::Send { count, callers }).await;
        self.rates.push(count as f64 / passed.elapsed.as_secs_f64());
        self.passed.push(passed);
    }

    fn show(&self) {
        let name = format!("{}_by_{}", self.pair.name, self.callers);
        let rates = &self.rates;
        println!("figure {name}_per_s {:.0}", median(rates.clone()).unwrap());
        let (least, most) = (rates.iter().copied().fold(f64::MAX, f64::min), rates.iter().copied().fold(0.0, f64::max));
        println!("figure {name}_per_s_range {least:.0} {most:.0} of {} rounds of {}", rates.len(), self.count);
        let messages = (self.passed.len() * self.count) as f64;
        for (place, process) in PROCESSES.iter().enumerate() {
            let used: Duration = self.passed.iter().map(|passed| passed.cpu[place]).sum();
            println!("figure {name}_{process}_cpu_us_each {:.0}", used.as_micros() as f64 / messages);
        }
    }
}
