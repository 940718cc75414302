//! How many messages wait on each route, in bounded memory.

use std::cmp::Reverse;
use std::collections::HashMap;

use data_encoding::HEXLOWER;
use kez_core::broker::Route;

/// Routes that are counted at the same time.
const MOST: usize = 200_000;

/// Messages by route.
///
/// When there are too many routes, the same number is taken off all of them and those at zero are forgotten (the summary
/// of Misra and Gries, in batches). So a count is short by `slack` at most, which is less than 2/`MOST` of all messages:
/// who sent many is always there.
#[derive(Debug)]
pub(crate) struct Totals {
    counts: HashMap<Route, u64>,
    slack: u64,
    most: usize,
}

impl Default for Totals {
    fn default() -> Self {
        Self { counts: HashMap::new(), slack: 0, most: MOST }
    }
}

impl Totals {
    pub(crate) fn add(&mut self, route: Route, messages: u64) {
        *self.counts.entry(route).or_default() += messages;
        if self.counts.len() > self.most {
            self.shrink();
        }
    }

    /// Returns all routes that may have so many messages, those with more before the others.
    pub(crate) fn at_least(&self, messages: u64) -> Vec<Route> {
        let mut routes: Vec<_> = self.counts.iter().filter(|(_, count)| *count + self.slack >= messages).collect();
        routes.sort_by_key(|(_, count)| Reverse(**count));
        routes.into_iter().map(|(route, _)| *route).collect()
    }

    fn shrink(&mut self) {
        let mut counts: Vec<_> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, &mut taken, _) = counts.select_nth_unstable(middle);
        self.slack += taken;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(taken);
            *count > 0
        });
    }
}

/// Takes a subject of the inbox stream apart: recipient and route, each as it stands there.
pub(crate) fn recipient_and_route(subject: &str) -> Option<(&str, &str)> {
    subject.strip_prefix("kez.inbox.")?.split_once('.')
}

/// Reads a route as subjects have it.
pub(crate) fn read_route(token: &str) -> Option<Route> {
    let bytes = HEXLOWER.decode(token.as_bytes()).ok()?;
    Some(Route::from_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(n: u32) -> Route {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Route::from_bytes(bytes)
    }

    #[test]
    fn a_route_is_read_as_it_is_written() {
        let written = route(0xab).to_string();
        assert_eq!(read_route(&written), Some(route(0xab)));
        for not in ["", "ab", &written.to_uppercase(), &written[1..], &format!("{written}0"), "*", ">"] {
            assert_eq!(read_route(not), None, "{not}");
        }
        assert_eq!(recipient_and_route("kez.inbox.a.b"), Some(("a", "b")));
        assert_eq!(recipient_and_route("kez.inbox.a"), None);
        assert_eq!(recipient_and_route("kez.presence.a.b"), None);
    }

    #[test]
    fn counts_add_up_and_come_in_order() {
        let mut totals = Totals::default();
        for (n, messages) in [(1, 5), (2, 7), (1, 4), (3, 1), (3, 1)] {
            totals.add(route(n), messages);
        }
        assert_eq!(totals.at_least(7), [route(1), route(2)]);
        assert_eq!(totals.at_least(10), []);
        assert_eq!(totals.at_least(2).len(), 3);
    }

    #[test]
    fn who_sent_many_is_found_among_more_routes_than_are_counted() {
        let mut totals = Totals { most: 100, ..Totals::default() };
        for n in 0..10_000 {
            totals.add(route(n), 1 + u64::from(n % 3));
            if n % 100 == 0 {
                totals.add(route(1_000_000), 30);
            }
            assert!(totals.counts.len() <= 100);
        }
        // 100 × 30, of some 23,000 in all.
        assert!(totals.slack <= 2 * 23_000 / 100, "{}", totals.slack);
        let found = totals.at_least(3_000);
        assert_eq!(found, [route(1_000_000)]);
    }
}
