//! The looks themselves: side by side where they don't need each other, and none for longer than a few seconds.

use std::{sync::Arc, time::Duration};

use futures::future::OptionFuture;
use kez_core::{handle::Home, identity::PrimaryKey};
use tokio::time::{Instant, timeout};

use super::{Diagnosis, Fault, Finding, Part, Seen};
use crate::{
    account::own_chain,
    clock::Clock,
    connection::SessionError,
    contacts::Contacts,
    conversation::check_sendable,
    link::ConnectionState,
    net::{HomeClient, HomeUrl, Http, Info, Roots},
    shared::Shared,
};

/// How long a server may take. What needs the home's answer begins after it.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a connection may take to be made, from asking the home to being let in by its broker.
const CONNECTION: Duration = Duration::from_secs(12);
/// By how many seconds a clock may be off: who is there counts within ten minutes of the home's (`docs/PROTOCOL.md` §8).
const MOST_OFF_S: u64 = 600;

/// Looks at all that an account needs, and at a contact.
pub(crate) async fn diagnose(shared: &Arc<Shared>, contact: Option<PrimaryKey>) -> Diagnosis {
    let (near, sigchain, broker, contact) = tokio::join!(
        home_and_endpoints(shared, contact),
        look(Part::Sigchain, ANSWER, sigchain(shared)),
        look(Part::Broker, CONNECTION, broker(shared)),
        OptionFuture::from(contact.map(|peer| look(Part::Contact, CONNECTION, person(shared, peer)))),
    );
    let ([home, clock], [relay, path]) = near;
    let servers = [home, clock, sigchain, broker].into_iter().map(Some);
    Diagnosis { findings: servers.chain([relay, contact, path]).flatten().collect() }
}

/// Looks at a home for who has no account, or can't open it.
pub(super) async fn look_at_home(server: &HomeUrl, roots: &Roots) -> Diagnosis {
    let home = HomeClient::new(server.home(), Http::new(server.policy(), roots));
    let (findings, _) = home_and_clock(&home, server.home(), &Clock::system()).await;
    Diagnosis { findings: findings.into() }
}

/// Looks for as long as is given.
pub(crate) async fn look(part: Part, within: Duration, what: impl Future<Output = Result<Seen, Fault>>) -> Finding {
    let outcome = timeout(within, what).await.unwrap_or(Err(Fault::NoAnswer { within }));
    Finding { part, outcome }
}

/// Looks at the home, and then at what is reached where it says.
async fn home_and_endpoints(shared: &Arc<Shared>, contact: Option<PrimaryKey>) -> ([Finding; 2], [Option<Finding>; 2]) {
    let (home, info) = home_and_clock(&shared.home, shared.handle.home(), &shared.config.clock).await;
    #[cfg(feature = "files")]
    let endpoints = crate::files::look_at_endpoints(shared, info.map(|info| info.relays), contact).await;
    #[cfg(not(feature = "files"))]
    let endpoints = {
        let _ = (info, contact);
        [None, None]
    };
    (home, endpoints)
}

async fn home_and_clock(home: &HomeClient, name: &Home, clock: &Clock) -> ([Finding; 2], Option<Info>) {
    let (asked_at_ms, asked) = (clock.now_ms(), Instant::now());
    let answered = timeout(ANSWER, home.info()).await;
    let took = asked.elapsed();
    let info = match answered {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(error)) => Err(SessionError::from(error).cause(name).into()),
        Err(_) => Err(Fault::NoAnswer { within: ANSWER }),
    };
    // The home has read its clock on the way there or back.
    let now_ms = asked_at_ms.saturating_add(u64::try_from(took.as_millis() / 2).unwrap_or(0));
    let clock = match &info {
        Ok(info) => judge_clock(now_ms, info.now_ms),
        Err(_) => Err(Fault::NotSeen { needs: Part::Home }),
    };
    let (home, info) = match info {
        Ok(info) => (Ok(Seen::Home { home: name.clone(), took }), Some(info)),
        Err(fault) => (Err(fault), None),
    };
    ([Finding { part: Part::Home, outcome: home }, Finding { part: Part::Clock, outcome: clock }], info)
}

fn judge_clock(now_ms: u64, home_ms: u64) -> Result<Seen, Fault> {
    let ahead_s = now_ms.wrapping_sub(home_ms).cast_signed() / 1_000;
    if ahead_s.unsigned_abs() > MOST_OFF_S { Err(Fault::ClockOff { ahead_s }) } else { Ok(Seen::Clock { ahead_s }) }
}

async fn sigchain(shared: &Shared) -> Result<Seen, Fault> {
    Ok(Seen::Sigchain { events: own_chain::look(shared).await? })
}

/// Looks at the connection. What is offline tries again now: what was wrong may be over.
async fn broker(shared: &Shared) -> Result<Seen, Fault> {
    let mut connection = shared.link.connection();
    if matches!(connection.current(), ConnectionState::Offline { .. }) {
        shared.link.reconnect_now();
        connection.changed().await;
    }
    match connection.until(|state| *state != ConnectionState::Connecting).await {
        Some(ConnectionState::Online) => Ok(Seen::Broker),
        Some(ConnectionState::Offline { cause, .. }) => Err(cause.into()),
        state => Err(Fault::NotConnecting { state: state.unwrap_or(ConnectionState::Closed) }),
    }
}

/// Looks at a contact as [`refresh`](Contacts::refresh) does, and whether they can be written to.
async fn person(shared: &Shared, peer: PrimaryKey) -> Result<Seen, Fault> {
    let contact = Contacts::new(shared).refresh(peer).await?;
    if let Some(row) = shared.store.contact(peer).await? {
        check_sendable(row, shared.handle.home())?;
    }
    Ok(Seen::Contact { events: contact.events_walked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_ten_minutes_off() {
        let home_ms: u64 = 1_000_000_000;
        for (ahead_ms, seen) in [(0, 0), (999, 0), (-600_999, -600), (600_999, 600)] {
            let judged = judge_clock(home_ms.wrapping_add_signed(ahead_ms), home_ms);
            assert_eq!(judged.unwrap(), Seen::Clock { ahead_s: seen });
        }
        for (ahead_ms, seen) in [(601_000, 601), (-601_000, -601), (-999_000_000, -999_000)] {
            match judge_clock(home_ms.wrapping_add_signed(ahead_ms), home_ms) {
                Err(Fault::ClockOff { ahead_s }) => assert_eq!(ahead_s, seen),
                other => panic!("{other:?}"),
            }
        }
    }
}
