//! How long a message takes from the call that sends it until the other's application is given it, when little is sent.

use std::time::{Duration, Instant};

use kez_testbed::{Testbed, measure::percentile};

use crate::{control::Order, pair, progress};

/// How far messages are apart on average.
const APART: Duration = Duration::from_millis(50);
/// How many messages a turn has.
const TURN: usize = 40;
const MIN_ROUNDS: usize = 10;

pub(crate) async fn measure(testbed: &Testbed, length: Duration) {
    let mut pairs = pair::all(testbed).await;
    let mut took = pairs.each_ref().map(|_| Vec::new());
    progress("latency: rounds of each side in turns");
    let start = Instant::now();
    let mut round = 0;
    while round < MIN_ROUNDS || start.elapsed() < length {
        for turn in 0..pairs.len() {
            let place = (round + turn) % pairs.len();
            let passed = pairs[place].pass(Order::SendSlowly { count: TURN, apart: APART }).await;
            took[place].extend(passed.took);
        }
        round += 1;
    }
    for (pair, took) in pairs.iter().zip(&mut took) {
        for percent in [50, 90, 99] {
            let micros = percentile(took, percent).unwrap().as_micros();
            println!("figure {}_p{percent}_us {micros} of {}", pair.name, took.len());
        }
    }
    let [ours, others @ ..] = &mut took;
    for (pair, other) in pairs[1..].iter().zip(others) {
        for percent in [50, 99] {
            let [ours, other] = [&mut *ours, other].map(|took| percentile(took, percent).unwrap().as_secs_f64());
            println!("ratio latency_p{percent}_vs_{} {:.2}", pair.name, ours / other);
        }
    }
    for pair in pairs {
        pair.end().await;
    }
}
