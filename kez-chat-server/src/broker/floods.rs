//! Floods: who has more bytes waiting than anybody may, found by route, named, blocked, disconnected and purged. Who sends
//! what nobody can read is stopped in the same way.
//!
//! What has to survive a crash is in the registry: once somebody is blocked, the rest is found again as long as their
//! route is above the limit, and can be done twice.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kez_core::broker::{Day, Route};
use tokio::time::Instant;

use super::Config;
use super::jetstream::{INBOX_TTL, JetStream, MAX_MESSAGE_BYTES, Measure, StreamState};
use super::kick::{KickError, Kicker};
use super::meters::Meters;
use super::sample::Places;
use super::totals::{read_route, recipient_and_route};
use super::trouble::WorkError;
use crate::clock::Clock;
use crate::registry::{Change, Entry, Registry, RegistryError, Standing};
use crate::routes::Routes;

/// What one message takes in the store at most: with a subject as long as nats-server takes (`max_control_line`), and the
/// store's own part.
const STORED_AT_MOST: u64 = MAX_MESSAGE_BYTES as u64 + 4096 + 64;
/// How long routes are measured in one round. What is not done then goes on in the next.
const MEASURING: Duration = Duration::from_secs(5);
/// How long somebody who was stopped is looked after: a login that was judged just before comes through within
/// nats-server's `authorization.timeout` of 2 s, and the broker may not have stored yet what it had taken.
const SETTLE: Duration = Duration::from_secs(5);
/// People whose routes are derived in one go, on a thread of their own.
const PAGE: u32 = 1_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// What somebody is shut out for.
#[derive(Clone, Copy)]
enum Offence {
    Flood,
    Unreadable,
}

impl Offence {
    fn done(self) -> &'static str {
        match self {
            Self::Flood => "flooded inboxes",
            Self::Unreadable => "sent what ends the connection of its reader",
        }
    }
}

/// Finds floods and stops them.
pub(crate) struct Floods {
    js: JetStream,
    registry: Registry,
    kicker: Arc<Kicker>,
    routes: Routes,
    clock: Clock,
    meters: Meters,
    limit: u64,
    stopped: Mutex<Vec<Stopped>>,
}

/// Routes with many messages, as far as they are measured.
#[derive(Default)]
pub(crate) struct Measures(HashMap<Route, Measure>);

/// Somebody who was stopped a moment ago.
struct Stopped {
    who: Entry,
    routes: Vec<Route>,
    until: Instant,
}

impl Floods {
    pub(crate) fn new(config: &Config, js: JetStream, kicker: Arc<Kicker>) -> Self {
        Self {
            js,
            registry: config.registry.clone(),
            kicker,
            routes: config.callout.routes().clone(),
            clock: config.clock.clone(),
            meters: config.meters.clone(),
            limit: config.flood_limit_bytes,
            stopped: Mutex::default(),
        }
    }

    /// Tells whether a stream with so many bytes may hold a flood.
    pub(crate) fn may_be_in(&self, bytes: u64) -> bool {
        self.limit > 0 && bytes > self.limit
    }

    /// Returns how many messages a flood has at least.
    pub(crate) fn least_messages(&self) -> u64 {
        self.limit / STORED_AT_MOST + 1
    }

    /// Tells whether the stream has grown so much that a sample would show a flood.
    pub(crate) fn is_surge(&self, before: u64, bytes: u64) -> bool {
        self.may_be_in(bytes.saturating_sub(before) / 2)
    }

    /// Tells whether it is worth another sample after one that showed nothing.
    pub(crate) fn is_more(&self, sampled: u64, bytes: u64) -> bool {
        bytes.saturating_sub(sampled) > self.limit
    }

    /// Looks at messages at random of those that came between two states of the stream, and stops who certainly has sent
    /// too many of them: what a walk would find too, without a walk. Returns whether there was anybody.
    pub(crate) async fn sample(&self, before: &StreamState, now: &StreamState) -> Result<bool, WorkError> {
        let places = Places { after: before.last_seq, last: now.last_seq };
        let stored = self.js.stored_at(places.draw()).await?;
        let flooding = places.above(
            self.limit,
            stored.iter().filter_map(|stored| {
                let (_, route) = recipient_and_route(&stored.subject)?;
                Some((read_route(route)?, stored.bytes()))
            }),
        );
        let any = !flooding.is_empty();
        self.stop_all(flooding, Offence::Flood).await?;
        Ok(any)
    }

    /// Measures the routes with many messages, and stops those above the limit. Returns whether all were measured.
    pub(crate) async fn judge(
        &self,
        Measures(measures): &mut Measures,
        suspects: Vec<Route>,
        state: &StreamState,
    ) -> Result<bool, WorkError> {
        let known: HashSet<_> = suspects.iter().copied().collect();
        measures.retain(|route, _| known.contains(route));
        let deadline = Instant::now() + MEASURING;
        let mut flooding = HashMap::new();
        let mut all = true;
        for route in suspects {
            let measure = measures.entry(route).or_insert_with(|| Measure::new(&route, state));
            if measure.is_complete() {
                measure.extend(state);
            }
            self.js.measure(measure, self.limit + 1, deadline).await?;
            if measure.bytes() > self.limit && measure.is_estimate() {
                // Some of it may have been read meanwhile.
                *measure = Measure::new(&route, state);
                self.js.measure(measure, self.limit + 1, deadline).await?;
            }
            if measure.bytes() > self.limit {
                flooding.insert(route, measure.bytes());
            } else {
                all &= measure.is_complete();
            }
        }
        self.stop_all(flooding, Offence::Flood).await?;
        Ok(all)
    }

    /// Looks after people who were stopped a moment ago: what came through since goes too.
    pub(crate) async fn settle(&self) -> Result<(), WorkError> {
        let stopped = std::mem::take(&mut *self.lock_stopped());
        let mut outcome = Ok(());
        for stopped in stopped {
            let is_last = Instant::now() >= stopped.until;
            outcome = outcome.and(self.settle_one(&stopped).await);
            // Who is still there by then floods on and is found again.
            if !is_last {
                self.lock_stopped().push(stopped);
            }
        }
        outcome
    }

    fn lock_stopped(&self) -> MutexGuard<'_, Vec<Stopped>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn settle_one(&self, Stopped { who, routes, .. }: &Stopped) -> Result<(), WorkError> {
        let found = self.registry.by_handle(&who.handle).await?;
        // Whom the operator has let in again is left alone.
        if found.is_some_and(|found| found.primary == who.primary && found.standing == Standing::Blocked) {
            self.cut(who, routes).await?;
        }
        Ok(())
    }

    /// Stops those by whose routes there came what can't be read.
    pub(crate) async fn stop_unreadable(&self, routes: HashSet<Route>) -> Result<(), WorkError> {
        self.stop_all(routes.into_iter().map(|route| (route, 0)).collect(), Offence::Unreadable).await
    }

    async fn stop_all(&self, flooding: HashMap<Route, u64>, offence: Offence) -> Result<(), WorkError> {
        if flooding.is_empty() {
            return Ok(());
        }
        let owners = self.name(flooding.keys().copied().collect()).await?;
        let mut nobodys = Vec::new();
        let mut people: HashMap<_, (Entry, Vec<Route>, u64)> = HashMap::new();
        for (route, bytes) in flooding {
            match owners.get(&route) {
                Some(who) => {
                    let (_, routes, total) = people.entry(who.primary).or_insert_with(|| (who.clone(), Vec::new(), 0));
                    routes.push(route);
                    *total += bytes;
                }
                None => nobodys.push(route),
            }
        }
        let mut outcome = Ok(());
        for (who, routes, bytes) in people.into_values() {
            outcome = outcome.and(self.stop(who, routes, bytes, offence).await);
        }
        if !nobodys.is_empty() {
            let last_seq = self.js.state().await?.last_seq;
            let purged = self.purge(&nobodys, last_seq).await?;
            tracing::warn!(
                purged,
                "messages were purged whose sender {} and is not registered any more",
                offence.done()
            );
        }
        outcome
    }

    /// Shuts somebody out, durably and before all else, so that they do not come back.
    async fn stop(&self, who: Entry, mut routes: Vec<Route>, bytes: u64, offence: Offence) -> Result<(), WorkError> {
        let now = self.clock.now_ms();
        let primary = who.primary.to_primary().map_err(RegistryError::from)?;
        // An operator may have given the handle to somebody else since they were named.
        let change = match self.registry.by_primary(&primary).await? {
            Some(found) if found.handle == who.handle => self.registry.set_blocked(&who.handle, true, now).await?,
            _ => Change::Unknown,
        };
        // Those that a login may hold, after what was found: a purge takes as long as there are subjects, and the broker
        // stores nothing meanwhile.
        let recent = [now.saturating_sub(DAY_MS), now, now + DAY_MS].map(Day::from_unix_ms);
        for route in self.routes.of(&primary, &recent) {
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
        let cut = self.cut(&who, &routes).await;
        let handle = &who.handle;
        if change == Change::Done {
            match offence {
                Offence::Flood => self.meters.floods.inc(),
                Offence::Unreadable => self.meters.unreadable.inc(),
            };
            let done = offence.done();
            tracing::warn!(
                %handle,
                bytes_at_least = bytes,
                purged = cut.as_ref().ok(),
                "{handle} {done} and was blocked; `kez-chat-server unblock {handle}` lets them in again"
            );
        } else {
            tracing::info!(%handle, purged = cut.as_ref().ok(), "what somebody who is shut out had sent was purged");
        }
        self.lock_stopped().push(Stopped { who, routes, until: Instant::now() + SETTLE });
        cut.map(drop)
    }

    /// Disconnects somebody and purges what has come by their routes; returns how many messages went.
    async fn cut(&self, who: &Entry, routes: &[Route]) -> Result<u64, WorkError> {
        let kicked = match self.kicker.kick(&who.primary.to_primary().map_err(RegistryError::from)?).await {
            // It said so by itself, and trying again would not help.
            Err(KickError::NoSysUser) => Ok(0),
            kicked => kicked,
        };
        // Also of whom could not be disconnected, so that there is room meanwhile.
        let last_seq = self.js.state().await?.last_seq;
        let purged = self.purge(routes, last_seq).await?;
        kicked?;
        Ok(purged)
    }

    async fn purge(&self, routes: &[Route], last_seq: u64) -> Result<u64, WorkError> {
        let mut purged = 0;
        for route in routes {
            purged += self.js.purge_route(route, last_seq).await?;
        }
        self.meters.flood_purged.inc_by(purged);
        Ok(purged)
    }

    /// Finds out whose routes these are: among those first who have sent most, then among all.
    async fn name(&self, routes: HashSet<Route>) -> Result<HashMap<Route, Entry>, WorkError> {
        let mut wanted = Wanted { routes, days: days_of_waiting(self.clock.now_ms()), found: HashMap::new() };
        let mut loud = Vec::new();
        // Without the SYS user it takes longer, no more.
        for user in self.kicker.loudest().await.unwrap_or_default() {
            loud.extend(self.registry.by_primary(&user).await?);
        }
        wanted = self.look_among(loud, wanted).await?;
        let mut after = None;
        while wanted.found.len() < wanted.routes.len() {
            let page = self.registry.list(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.handle.clone());
            wanted = self.look_among(page, wanted).await?;
        }
        Ok(wanted.found)
    }

    async fn look_among(&self, people: Vec<Entry>, mut wanted: Wanted) -> Result<Wanted, WorkError> {
        let routes = self.routes.clone();
        let looking = tokio::task::spawn_blocking(move || {
            for who in people {
                wanted.look_at(&routes, &who)?;
            }
            Ok(wanted)
        });
        match looking.await {
            Ok(wanted) => wanted,
            // The runtime ends, or it panicked and that has been said.
            Err(_) => Err(WorkError::Stopping),
        }
    }
}

/// Routes whose owners are looked for.
struct Wanted {
    routes: HashSet<Route>,
    days: Vec<Day>,
    found: HashMap<Route, Entry>,
}

impl Wanted {
    fn look_at(&mut self, routes: &Routes, who: &Entry) -> Result<(), WorkError> {
        let primary = who.primary.to_primary().map_err(RegistryError::from)?;
        for route in routes.of(&primary, &self.days) {
            if self.routes.contains(&route) {
                self.found.insert(route, who.clone());
            }
        }
        Ok(())
    }
}

/// Lists the days whose routes may have something waiting, tomorrow's among them: logins have it already.
fn days_of_waiting(now_ms: u64) -> Vec<Day> {
    let back = INBOX_TTL.as_secs() / (24 * 3600) + 1;
    let mut days: Vec<_> = (0..=back).map(|n| Day::from_unix_ms(now_ms.saturating_sub(n * DAY_MS))).collect();
    days.push(Day::from_unix_ms(now_ms + DAY_MS));
    days
}

#[cfg(test)]
mod tests {
    use kez_core::handle::{Handle, Policy};
    use kez_core::identity::SecretKey;

    use super::*;

    #[test]
    fn routes_are_found_by_owner_whatever_key_and_day() {
        let now = 1_795_398_713_000;
        let servers = [1, 2].map(|seed| SecretKey::from_seed([seed; 32]));
        let routes = Routes::new(servers.to_vec());
        let people = [3, 4, 5].map(|seed| SecretKey::from_seed([seed; 32]).primary());
        let handle = |n| Handle::from_qualified(&format!("person{n}@kez.lat"), Policy::Production).unwrap();
        let entries: Vec<_> = (0..)
            .zip(people)
            .map(|(n, primary)| Entry {
                handle: handle(n),
                primary: primary.into(),
                registered_at_ms: 0,
                standing: Standing::Active,
            })
            .collect();
        let route = |person: usize, server: usize, day| {
            let (person, server) = (&people[person], &servers[server]);
            Route::derive(&server.agree(person), Day::from_unix_ms(day), person, &server.primary())
        };
        let theirs = [(0, route(0, 0, now)), (1, route(1, 1, now + DAY_MS)), (2, route(2, 0, now - 30 * DAY_MS))];
        let nobodys = [Route::from_bytes([9; 16]), route(0, 0, now + 2 * DAY_MS), route(0, 0, now - 40 * DAY_MS)];
        let asked = theirs.iter().map(|(_, route)| *route).chain(nobodys).collect();
        let mut wanted = Wanted { routes: asked, days: days_of_waiting(now), found: HashMap::new() };
        for entry in &entries {
            wanted.look_at(&routes, entry).unwrap();
        }
        let expected = theirs.map(|(person, route)| (route, entries[person].clone())).into();
        assert_eq!(wanted.found, expected);
    }
}
