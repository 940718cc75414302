//! Who is there, as far as what they send shows.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kez_core::identity::PrimaryKey;
use tokio::time::Instant;

/// How long somebody counts as being there after they were seen, as long as a presence holds.
const STAYS: Duration = Duration::from_secs(150);
/// How many people are remembered before those who are away are forgotten.
const REMEMBERED: usize = 1_024;
/// How long somebody has to be there until a message that they have not confirmed is taken for lost.
const LONG_ENOUGH: Duration = Duration::from_secs(120);

/// When people were seen, since this client was opened.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<HashMap<[u8; 32], Sighting>>);

#[derive(Debug)]
struct Sighting {
    since: Instant,
    last: Instant,
}

impl Sightings {
    /// Notes that somebody is there. Tells, at most every two minutes, whether they have been for two minutes.
    pub(crate) fn note(&self, who: &PrimaryKey, now: Instant) -> bool {
        let mut sightings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sightings.len() >= REMEMBERED {
            sightings.retain(|_, sighting| now.saturating_duration_since(sighting.last) <= STAYS);
        }
        let sighting = sightings.entry(*who.as_bytes()).or_insert(Sighting { since: now, last: now });
        if now.saturating_duration_since(sighting.last) > STAYS {
            sighting.since = now;
        }
        sighting.last = now;
        let is_long = now.saturating_duration_since(sighting.since) >= LONG_ENOUGH;
        if is_long {
            sighting.since = now;
        }
        is_long
    }
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    #[test]
    fn two_minutes_of_being_there_count_and_an_absence_begins_anew() {
        let sightings = Sightings::default();
        let (begun, who) = (Instant::now(), SecretKey::from_seed([1; 32]).primary());
        let seen: Vec<u64> = [0, 60, 119, 120, 180, 239, 240, 391, 500, 511]
            .into_iter()
            .filter(|second| sightings.note(&who, begun + Duration::from_secs(*second)))
            .collect();
        assert_eq!(seen, [120, 240, 511]);
    }
}
