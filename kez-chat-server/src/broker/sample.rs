//! Who has sent most of what came lately, by a sample.
//!
//! With a million recipients a walk takes half a minute, and a flood has that many in less. A sample takes the same time
//! whatever came. What it says is certain but for a chance of 10⁻¹² (Hoeffding's inequality): that somebody has sent more
//! than the limit. Who is less than 1.7 times above it is left to the walk.

use std::collections::HashMap;

use kez_core::broker::Route;

/// Places that are looked at.
const DRAWN: u32 = 512;
/// The chance to be taken for a flooder wrongly: e to the minus of this.
const CERTAINTY: f64 = 27.6;
/// A message counts no more than this many limits divided by the places, which is what makes the bound independent of
/// how large single messages are.
const CLIP: f64 = 4.0;

/// Sequences of the stream between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) after: u64,
    pub(crate) last: u64,
}

impl Places {
    /// Draws places at random, with repetition; none if there are none.
    pub(crate) fn draw(self) -> Vec<u64> {
        if self.last <= self.after {
            return Vec::new();
        }
        (0..DRAWN).map(|_| rand::random_range(self.after + 1..=self.last)).collect()
    }

    /// Returns the routes that have more than `limit` bytes here, and how many at least, by what was found at the places
    /// that were drawn.
    pub(crate) fn above(self, limit: u64, found: impl Iterator<Item = (Route, u64)>) -> HashMap<Route, u64> {
        let (places, limit) = (self.last.saturating_sub(self.after) as f64, limit as f64);
        let clip = CLIP * limit / places;
        let mut sums: HashMap<Route, f64> = HashMap::new();
        for (route, bytes) in found {
            *sums.entry(route).or_default() += (bytes as f64).min(clip);
        }
        let drawn = f64::from(DRAWN);
        let doubt = places * clip * (CERTAINTY / (2.0 * drawn)).sqrt();
        let least = sums.into_iter().map(|(route, sum)| (route, places * sum / drawn - doubt));
        least.filter(|(_, least)| *least > limit).map(|(route, least)| (route, least as u64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 64 << 20;

    /// Has a stream where every `n`-th message is by route `n`, of `bytes`, and looks at a sample of it.
    fn found(places: u64, share: f64, bytes: u64) -> HashMap<Route, u64> {
        let stream = Places { after: 1_000, last: 1_000 + places };
        let drawn = stream.draw();
        assert!(drawn.iter().all(|seq| (1_001..=1_000 + places).contains(seq)));
        let theirs = drawn.iter().filter(|seq| ((**seq - 1_001) as f64) < share * places as f64);
        stream.above(LIMIT, theirs.map(|_| (Route::from_bytes([1; 16]), bytes)))
    }

    #[test]
    fn who_sent_twice_the_limit_is_found_whatever_the_size() {
        for (places, bytes) in [(2_100, 65_000), (220_000, 637), (1_000_000, 140)] {
            let least = found(places, 1.0, bytes);
            let least = least.get(&Route::from_bytes([1; 16])).copied().unwrap();
            assert!(least > LIMIT && least < places * bytes, "{least}");
        }
        assert_eq!(found(10_000, 0.9, 65_000).len(), 1);
    }

    #[test]
    fn who_is_below_the_limit_is_not() {
        // Each near the limit, alone or among many others', with messages of all sizes.
        for (places, share, bytes) in
            [(1_020, 1.0, 65_700), (100_000, 1.0, 660), (1_000_000, 0.1, 660), (1_000_000, 0.001, 65_700)]
        {
            for _ in 0..200 {
                assert!(found(places, share, bytes).is_empty(), "{places} {share} {bytes}");
            }
        }
        let nothing = Places { after: 5, last: 5 };
        assert!(nothing.draw().is_empty() && nothing.above(LIMIT, std::iter::empty()).is_empty());
    }
}
