//! What contacts said of themselves.

use std::{collections::HashMap, time::Duration};

use kez_core::{
    identity::PrimaryKey,
    payload::{Addresses, Presence, PresenceState},
    sigchain::Install,
};
use tokio::time::Instant;

use super::Availability;

/// How far a presence may be from the home's clock.
const MAX_SKEW_MS: u64 = 600_000;
/// How much earlier than our own opening a presence may have been sent: clocks are never quite the same.
const LEEWAY_MS: u64 = 5_000;
/// How many of somebody's installations are remembered: one has the account at a time.
const INSTALLS: usize = 4;

/// Who is there. It is kept in memory only: after a restart everybody is asked anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    people: HashMap<PrimaryKey, Person>,
    /// When the home was first asked for its time; what was sent before is a replay.
    opened_at_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Person {
    availability: Availability,
    expires: Option<Instant>,
    last_seen_ms: u64,
    /// When each installation sent its last presence, by its own word.
    sent: Vec<(Install, u64)>,
    #[cfg_attr(not(feature = "files"), expect(dead_code, reason = "nothing is fetched"))]
    addresses: Addresses,
}

/// What a presence came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is old, a replay, or too far from our time.
    Ignored,
    /// They were known to be there, or say that they leave.
    Noted,
    /// They have come.
    Arrived,
}

impl Roster {
    /// Notes when the home was first asked for its time.
    pub(super) fn open(&mut self, home_now_ms: u64) {
        self.opened_at_ms.get_or_insert(home_now_ms);
    }

    /// Takes a contact's presence in.
    pub(super) fn take(
        &mut self,
        from: PrimaryKey,
        install: Install,
        sent_at_ms: u64,
        presence: &Presence,
        home_now_ms: u64,
        now: Instant,
    ) -> Taken {
        let earliest_ms = self.opened_at_ms.unwrap_or(home_now_ms).saturating_sub(LEEWAY_MS);
        if sent_at_ms.abs_diff(home_now_ms) > MAX_SKEW_MS || sent_at_ms < earliest_ms {
            return Taken::Ignored;
        }
        let was_there = self.availability(&from, now) != Availability::Offline;
        let person = self.people.entry(from).or_default();
        let last = person.sent.iter().position(|(known, _)| *known == install);
        if last.is_some_and(|index| person.sent[index].1 >= sent_at_ms) {
            return Taken::Ignored;
        }
        last.map(|index| person.sent.remove(index));
        if person.sent.len() == INSTALLS {
            person.sent.remove(0);
        }
        person.sent.push((install, sent_at_ms));
        person.availability = match presence.state {
            PresenceState::Off => Availability::Offline,
            PresenceState::Online => Availability::Online,
            PresenceState::Away => Availability::Away,
        };
        person.expires = Some(now + Duration::from_secs(presence.ttl_s));
        person.last_seen_ms = home_now_ms;
        person.addresses = presence.addresses.clone();
        if person.availability == Availability::Offline || was_there { Taken::Noted } else { Taken::Arrived }
    }

    pub(super) fn availability(&self, who: &PrimaryKey, now: Instant) -> Availability {
        self.people.get(who).map(|person| person.at(now)).unwrap_or_default()
    }

    pub(super) fn last_seen_ms(&self, who: &PrimaryKey) -> Option<u64> {
        self.people.get(who).map(|person| person.last_seen_ms)
    }

    #[cfg(feature = "files")]
    pub(super) fn addresses(&self, who: &PrimaryKey) -> Addresses {
        self.people.get(who).map(|person| person.addresses.clone()).unwrap_or_default()
    }

    /// Lists everybody who has ever said something.
    pub(super) fn everybody(&self, now: Instant) -> impl Iterator<Item = (PrimaryKey, Availability)> {
        self.people.iter().map(move |(who, person)| (*who, person.at(now)))
    }

    /// Returns when the next presence is over.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.people
            .values()
            .filter(|person| person.at(now) != Availability::Offline)
            .filter_map(|person| person.expires)
            .min()
    }
}

impl Person {
    fn at(&self, now: Instant) -> Availability {
        if self.expires.is_some_and(|at| at > now) { self.availability } else { Availability::Offline }
    }
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn presence(state: PresenceState) -> Presence {
        Presence { state, ttl_s: 150, is_answer: false, addresses: Addresses::default() }
    }

    fn who() -> PrimaryKey {
        SecretKey::from_seed([2; 32]).primary()
    }

    #[test]
    fn somebody_is_there_until_they_leave_or_say_no_more() {
        let (mut roster, begun) = (Roster::default(), Instant::now());
        roster.open(HOUR_MS);
        let install = Install::from_bytes([1; 8]);
        let at = |second| begun + Duration::from_secs(second);
        let mut take = |second: u64, state| {
            let now_ms = HOUR_MS + second * 1_000;
            let taken = roster.take(who(), install, now_ms, &presence(state), now_ms, at(second));
            (taken, roster.availability(&who(), at(second)), roster.availability(&who(), at(second + 150)))
        };
        use Availability::{Away, Offline, Online};
        assert_eq!(take(0, PresenceState::Online), (Taken::Arrived, Online, Offline));
        assert_eq!(take(149, PresenceState::Away), (Taken::Noted, Away, Offline));
        assert_eq!(take(299, PresenceState::Online), (Taken::Arrived, Online, Offline));
        assert_eq!(take(300, PresenceState::Off), (Taken::Noted, Offline, Offline));
        assert_eq!(take(301, PresenceState::Online), (Taken::Arrived, Online, Offline));
        assert_eq!(roster.next_expiry(at(301)), Some(at(451)));
        assert_eq!(roster.next_expiry(at(451)), None);
    }

    #[test]
    fn replays_and_other_times_count_for_nothing() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.open(HOUR_MS);
        let mut take = |install: u8, sent_at_ms: u64, home_now_ms: u64| {
            let install = Install::from_bytes([install; 8]);
            roster.take(who(), install, sent_at_ms, &presence(PresenceState::Online), home_now_ms, now)
        };
        assert_eq!(take(1, HOUR_MS - 5_001, HOUR_MS), Taken::Ignored, "it was sent before we were open");
        assert_eq!(take(1, HOUR_MS, HOUR_MS), Taken::Arrived);
        assert_eq!(take(1, HOUR_MS, HOUR_MS), Taken::Ignored, "the same again");
        assert_eq!(take(1, HOUR_MS - 1, HOUR_MS), Taken::Ignored);
        assert_eq!(take(2, HOUR_MS - 1, HOUR_MS), Taken::Noted, "each installation counts for itself");
        assert_eq!(take(1, HOUR_MS + 1, HOUR_MS + 1 + MAX_SKEW_MS), Taken::Noted);
        assert_eq!(take(1, HOUR_MS + 2, HOUR_MS + 3 + MAX_SKEW_MS), Taken::Ignored);
        assert_eq!(take(1, HOUR_MS + 3 + MAX_SKEW_MS, HOUR_MS + 2), Taken::Ignored);
        for install in 3..100 {
            assert_eq!(take(install, HOUR_MS + 2, HOUR_MS + 2), Taken::Noted);
        }
        assert_eq!(roster.people[&who()].sent.len(), INSTALLS, "whoever makes installations up fills no memory");
    }
}
