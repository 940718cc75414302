//! Telling contacts that we are there, and hearing it of them, for as long as a session lasts.

use std::{
    collections::{HashSet, VecDeque},
    sync::atomic::Ordering,
    time::Duration,
};

use async_nats::{Message, Subscriber};
use futures::StreamExt;
use kez_core::{
    broker::{check_presence_frame, subject},
    envelope,
    identity::PrimaryKey,
    payload::{Address, Addresses, Channel, Content, Payload, Presence, PresenceState},
};
use tokio::time::Instant;

use super::{Availability, hearing::Allowance, roster::Taken, sleep_until, wire_state};
use crate::{
    connection::{Session, SessionError},
    message::new_id,
    shared::Shared,
    store::StoreError,
};

/// For how long a presence of ours holds, in seconds.
const TTL_S: u64 = 150;
/// How often contacts who are there hear of us again; give or take [`JITTER`].
const AGAIN: Duration = Duration::from_secs(60);
const JITTER: Duration = Duration::from_secs(10);
/// How often all contacts do.
const ALL_AGAIN: Duration = Duration::from_secs(600);
/// How long a round rests after each presence: many contacts are no reason for a burst.
const PACE: Duration = Duration::from_millis(10);
/// The longest wire, with which the broker's headers still fit.
const MAX_WIRE_BYTES: usize = 4_006;

/// Tells and hears, for as long as the session lasts. Without `frames` it begins to hear later.
///
/// # Errors
/// If the connection ends, or the store fails.
pub(crate) async fn run(
    shared: &Shared,
    session: &Session,
    mut frames: Option<Subscriber>,
) -> Result<(), SessionError> {
    let presences = &shared.presences;
    presences.roster.send_modify(|roster| roster.open(shared.home_now_ms()));
    let mut allowance = Allowance::new(Instant::now());
    let (mut visibility, mut wishes) = (presences.visibility.subscribe(), shared.link.wishes());
    let mut rounds = Rounds::new(Instant::now());
    loop {
        // An application in the background is not there.
        let wanted = wire_state(*visibility.borrow_and_update());
        let said = wanted.filter(|_| wishes.borrow_and_update().is_foreground());
        if rounds.begins(said, Instant::now()) {
            rounds.queue = recipients(shared, said, rounds.is_for_all).await?.into();
        }
        let rests_until = presences.hearing().rests_until(Instant::now());
        // In no order: whoever floods us keeps us from nothing.
        tokio::select! {
            frame = next(&mut frames) => {
                let frame = frame.ok_or(SessionError::Lost)?;
                if allowance.take(Instant::now()) {
                    hear(shared, session, frame, said).await?;
                }
            }
            () = sleep_until(rests_until.or(Some(Instant::now()))), if frames.is_none() => {
                if presences.begin_to_listen() {
                    frames = Some(session.nats.subscribe(subject::presence_deliver(&shared.primary())).await?);
                    // Whoever is there answers.
                    rounds.begin_anew(Instant::now());
                }
            }
            _ = visibility.changed() => {}
            _ = wishes.changed() => {}
            () = presences.news.notified() => {
                rounds.next_round = Instant::now();
                if presences.is_news_for_all.swap(false, Ordering::Relaxed) {
                    rounds.begin_anew(Instant::now());
                }
            }
            () = sleep_until(rounds.next_at()) => {
                // It may be long since the round began.
                if let Some(to) = rounds.pop(Instant::now())
                    && shared.store.presence_counts(to).await? == Some(true)
                {
                    tell(shared, session, &to, said.unwrap_or(PresenceState::Off), false).await;
                }
            }
        }
    }
}

/// Waits for the next frame, for ever where nothing is listened to.
async fn next(frames: &mut Option<Subscriber>) -> Option<Message> {
    match frames {
        Some(frames) => frames.next().await,
        None => std::future::pending().await,
    }
}

/// Tells every contact who believes that we are there that we are no more.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn goodbye(shared: &Shared, session: &Session) -> Result<(), StoreError> {
    for to in recipients(shared, None, true).await? {
        tell(shared, session, &to, PresenceState::Off, false).await;
    }
    shared.presences.keep_last_sent(&shared.store).await
}

/// Lists who is to hear of us in a round: whoever was told otherwise, when we say nothing; else all, or those who are there
/// and those who have heard nothing yet. Nobody who is no contact any more, whatever they were told.
async fn recipients(
    shared: &Shared,
    said: Option<PresenceState>,
    is_for_all: bool,
) -> Result<Vec<PrimaryKey>, StoreError> {
    let contacts: HashSet<PrimaryKey> = shared.store.presence_recipients().await?.into_iter().collect();
    let (roster, mut told, now) = (shared.presences.roster(), shared.presences.told(), Instant::now());
    told.retain(|who| contacts.contains(who));
    let is_concerned = |who: &PrimaryKey| match said {
        None => told.contains(who),
        Some(_) => is_for_all || !told.contains(who) || roster.availability(who, now) != Availability::Offline,
    };
    Ok(contacts.into_iter().filter(is_concerned).collect())
}

/// Takes one frame in. Whatever is wrong with it, it is nobody's presence.
async fn hear(
    shared: &Shared,
    session: &Session,
    frame: Message,
    said: Option<PresenceState>,
) -> Result<(), StoreError> {
    let Some((from, payload, presence)) = open(shared, &frame) else {
        tracing::debug!("ignored a frame that is no presence");
        return Ok(());
    };
    let Some(is_sendable) = shared.store.presence_counts(from).await? else {
        tracing::debug!("ignored the presence of somebody who is no contact");
        return Ok(());
    };
    let mut taken = Taken::Ignored;
    shared.presences.roster.send_modify(|roster| {
        let (home_now_ms, now) = (shared.home_now_ms(), Instant::now());
        taken = roster.take(from, payload.install, payload.sent_at_ms, &presence, home_now_ms, now);
    });
    if taken != Taken::Ignored && presence.state != PresenceState::Off && shared.link.saw(&from, Instant::now()) {
        shared.store.resend_to(from, shared.home_now_ms()).await?;
    }
    if let (Taken::Arrived, false, true, Some(said)) = (taken, presence.is_answer, is_sendable, said) {
        tell(shared, session, &from, said, true).await;
    }
    Ok(())
}

fn open(shared: &Shared, frame: &Message) -> Option<(PrimaryKey, Payload, Presence)> {
    check_presence_frame(&frame.subject, &shared.primary()).ok()?;
    let opened = envelope::open(&shared.key, &frame.payload, |key| shared.peers.known(key)).ok()?;
    let payload = Payload::decode(&opened.payload, Channel::Presence, shared.policy).ok()?;
    match &payload.content {
        Content::Presence(presence) => {
            let presence = presence.clone();
            Some((*opened.sender.key(), payload, presence))
        }
        _ => None,
    }
}

/// Tells one contact. What does not arrive is made good by the next round.
async fn tell(shared: &Shared, session: &Session, to: &PrimaryKey, state: PresenceState, is_answer: bool) {
    let addresses = if state == PresenceState::Off { Addresses::default() } else { own_addresses(shared) };
    let mut addresses: Vec<Address> = addresses.iter().collect();
    loop {
        let presence =
            Presence { state, ttl_s: TTL_S, is_answer, addresses: Addresses::new(addresses.iter().cloned()) };
        let Some(wire) = seal(shared, to, presence) else { return };
        if wire.len() > MAX_WIRE_BYTES && addresses.pop().is_some() {
            continue;
        }
        let Some(subject) = session.presence_subject(shared, to) else { return };
        match state {
            PresenceState::Off => shared.presences.told().remove(to),
            _ => shared.presences.told().insert(*to),
        };
        // It fails only when the connection is over, which ends the session.
        let _ = session.nats.publish(subject, wire.into()).await;
        return;
    }
}

fn seal(shared: &Shared, to: &PrimaryKey, presence: Presence) -> Option<Vec<u8>> {
    let sent_at_ms = shared.presences.next_sent_ms(shared.home_now_ms());
    let payload = Payload {
        id: new_id(sent_at_ms),
        install: shared.install,
        seq: 0,
        sent_at_ms,
        from: Some(shared.handle.clone()),
        to: None,
        content: Content::Presence(presence),
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    let bytes = payload.encode().ok()?;
    let sealed = shared
        .peers
        .with(&shared.key, to.as_bytes(), |peer| envelope::seal(&shared.key, peer, &bytes, &rand::random()));
    sealed.ok()?.ok()
}

#[cfg(feature = "files")]
fn own_addresses(shared: &Shared) -> Addresses {
    shared.node.addresses()
}

#[cfg(not(feature = "files"))]
fn own_addresses(_: &Shared) -> Addresses {
    Addresses::default()
}

/// When who is told.
struct Rounds {
    /// What the last round said, if there was one.
    said: Option<Option<PresenceState>>,
    /// Who is still to be told in this one.
    queue: VecDeque<PrimaryKey>,
    /// Whether the round is for all contacts.
    is_for_all: bool,
    /// When the next of the queue is told.
    next_one: Instant,
    next_round: Instant,
    next_for_all: Instant,
}

impl Rounds {
    fn new(now: Instant) -> Self {
        Self { said: None, queue: VecDeque::new(), is_for_all: true, next_one: now, next_round: now, next_for_all: now }
    }

    /// Tells whether a round begins now in which this is said: because it is another thing than before, or it is time.
    fn begins(&mut self, said: Option<PresenceState>, now: Instant) -> bool {
        let is_new = self.said != Some(said);
        if !is_new && (said.is_none() || now < self.next_round) {
            return false;
        }
        let is_unfinished = self.is_for_all && !self.queue.is_empty();
        self.said = Some(said);
        self.is_for_all = is_new || is_unfinished || now >= self.next_for_all;
        if self.is_for_all {
            self.next_for_all = now + ALL_AGAIN;
        }
        self.next_round = now + AGAIN - JITTER + rand::random_range(Duration::ZERO..=2 * JITTER);
        true
    }

    /// Has the next round begin at once, and be for all.
    fn begin_anew(&mut self, now: Instant) {
        (self.next_round, self.next_for_all) = (now, now);
    }

    /// Returns when there is something to do.
    fn next_at(&self) -> Option<Instant> {
        if self.queue.is_empty() { self.said.flatten().map(|_| self.next_round) } else { Some(self.next_one) }
    }

    /// Takes the next one who is to be told.
    fn pop(&mut self, now: Instant) -> Option<PrimaryKey> {
        self.next_one = now + PACE;
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    /// A day among two contacts, of whom one is there: how often each is told.
    #[test]
    fn who_is_there_hears_of_us_once_a_minute_and_others_every_ten() {
        let (begun, online) = (Instant::now(), Some(PresenceState::Online));
        let mut rounds = Rounds::new(begun);
        let (mut all, mut some) = (0, 0);
        for second in 0..86_400 {
            if rounds.begins(online, begun + Duration::from_secs(second)) {
                if rounds.is_for_all { all += 1 } else { some += 1 }
            }
        }
        assert!((130..=144).contains(&all), "{all}");
        let each_minute = f64::from(all + some) / 1_440.0;
        assert!((0.95..=1.05).contains(&each_minute), "{each_minute} a minute");
    }

    #[test]
    fn another_state_is_told_at_once_and_silence_needs_no_rounds() {
        let begun = Instant::now();
        let mut rounds = Rounds::new(begun);
        assert!(rounds.begins(Some(PresenceState::Online), begun) && rounds.is_for_all);
        assert!(!rounds.begins(Some(PresenceState::Online), begun));
        assert!(rounds.begins(Some(PresenceState::Away), begun) && rounds.is_for_all);
        rounds.queue.push_back(SecretKey::from_seed([2; 32]).primary());
        rounds.next_round = begun;
        assert!(rounds.begins(Some(PresenceState::Away), begun) && rounds.is_for_all, "news must not cut it short");
        assert!(rounds.begins(None, begun));
        rounds.queue.clear();
        let who = SecretKey::from_seed([1; 32]).primary();
        rounds.queue.push_back(who);
        assert!(rounds.next_at().is_some(), "whoever thinks that we are there is told");
        assert_eq!(rounds.pop(begun), Some(who));
        assert_eq!(rounds.next_at(), None);
        assert!(!rounds.begins(None, begun + Duration::from_secs(86_400)));
        assert!(Rounds::new(begun).begins(None, begun), "an earlier connection may have told otherwise");
    }
}
