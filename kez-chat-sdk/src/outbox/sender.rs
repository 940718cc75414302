//! The way to the broker: many messages are under way at once, and each is judged by its own acknowledgement.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::{HeaderMap, Message, Subscriber, header::NATS_MESSAGE_ID};
use data_encoding::HEXLOWER;
use futures::{StreamExt, stream::ReadyChunks};
use kez_core::{broker::subject, envelope};
use tokio::{task::JoinSet, time::Instant};

use super::answer::Answer;
use crate::{
    connection::{Session, SessionError},
    shared::Shared,
    store::{Acknowledged, OutboxRow, StoreError},
};

/// How many messages may be on their way to the broker at once, and how many bytes of them: no more than a slow line
/// carries before they are taken for lost.
const WINDOW: usize = 256;
const WINDOW_BYTES: usize = 256 << 10;
/// How long the broker may take to acknowledge a message.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(20);
/// How long sending pauses after the broker did not take a message, and at most after many.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How long a message that the broker refused is left alone, and at most after many attempts.
const FIRST_REST: Duration = Duration::from_secs(2);
const LAST_REST: Duration = Duration::from_secs(300);
/// How long a recipient is left alone at first whose inbox is full: who reads fast makes room fast.
const FIRST_FULL_REST: Duration = Duration::from_millis(100);
/// When a full inbox is told to the application.
const FULL_FOR_LONG: Duration = Duration::from_secs(2);
/// How often rows are looked at again that were passed over before.
const RESCAN: Duration = Duration::from_secs(1);

/// Sends in one session.
pub(super) struct Sender<'a> {
    shared: &'a Shared,
    session: &'a Session,
    answers: ReadyChunks<Subscriber>,
    /// Where the broker's answers go. Nobody else can guess it, or they could have their own answers sent there.
    reply_prefix: String,
    flights: BTreeMap<u64, Flight>,
    rows_in_flight: HashSet<i64>,
    bytes_in_flight: usize,
    next_flight: u64,
    /// One message is tried before the others follow.
    window: usize,
    /// Every row up to this one was looked at since `scanned_at`.
    scanned: i64,
    scanned_at: Instant,
    /// How far the home's streams have come.
    positions: Arc<BTreeMap<String, u64>>,
    pause: Pause,
    resting: HashMap<Resting, Pause>,
    /// What the broker has taken and the store is noting; each gives back its rows.
    notes: JoinSet<Result<Vec<i64>, StoreError>>,
}

/// What is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Resting {
    /// A recipient whose inbox was full: then one message tries whether there is room.
    Recipient([u8; 32]),
    /// A message that the broker refused.
    Row(i64),
}

/// A message on its way.
struct Flight {
    row: OutboxRow,
    subject: String,
    lost_at: Instant,
    /// How far the streams had come when it was handed over: it gets a higher number.
    positions: Arc<BTreeMap<String, u64>>,
}

/// A wait that doubles each time.
#[derive(Default)]
struct Pause {
    until: Option<Instant>,
    last: Duration,
}

impl Pause {
    fn lengthen(&mut self, first: Duration, longest: Duration) {
        self.last = (self.last * 2).clamp(first, longest);
        self.until = Some(Instant::now() + self.last);
    }

    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }
}

/// What the broker said about messages under way.
pub(super) enum Said {
    Answers(Vec<Message>),
    /// The store has noted what the broker has taken.
    Noted(Result<Vec<i64>, StoreError>),
    /// Nothing, for too long.
    Nothing,
    /// It does not let us publish under this route.
    Denied,
    /// The connection is over.
    Goodbye,
}

impl<'a> Sender<'a> {
    pub(super) async fn new(shared: &'a Shared, session: &'a Session) -> Result<Self, SessionError> {
        let token = HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let reply_prefix = format!("{}.{token}", subject::reply_prefix(&shared.primary()));
        let answers = session.nats.subscribe(format!("{reply_prefix}.*")).await?.ready_chunks(WINDOW);
        Ok(Self {
            shared,
            session,
            answers,
            reply_prefix,
            flights: BTreeMap::new(),
            rows_in_flight: HashSet::new(),
            bytes_in_flight: 0,
            next_flight: 0,
            window: 1,
            scanned: 0,
            scanned_at: Instant::now(),
            positions: Arc::new(shared.store.stream_positions().await?),
            pause: Pause::default(),
            resting: HashMap::new(),
            notes: JoinSet::new(),
        })
    }

    /// Tells whether the broker has something to answer, or the store to note.
    pub(super) fn is_waiting(&self) -> bool {
        !self.flights.is_empty() || !self.notes.is_empty()
    }

    /// Tells whether there is more to do now than to let rest what the broker refused.
    pub(super) fn is_busy(&self) -> bool {
        self.is_waiting() || !self.pause.is_over()
    }

    /// Tells when there is something to do although nothing happens.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let rests = self.resting.values().filter_map(|pause| pause.until);
        self.pause.until.into_iter().chain(rests).filter(|until| *until > Instant::now()).min()
    }

    /// Hands what is due to the broker, in its order, as far as the window allows.
    pub(super) async fn fill(&mut self) -> Result<(), SessionError> {
        if !self.pause.is_over() {
            return Ok(());
        }
        if self.flights.is_empty() || self.scanned_at.elapsed() > RESCAN {
            (self.scanned, self.scanned_at) = (0, Instant::now());
        }
        let (mut chosen, mut bytes) = (Vec::new(), self.bytes_in_flight);
        while let free @ 1.. = self.window.saturating_sub(self.flights.len() + chosen.len()) {
            let rows = self.shared.store.waiting(self.scanned, free).await?;
            let mut is_last = rows.len() < free;
            for row in rows {
                if bytes > 0 && bytes + row.payload.len() > WINDOW_BYTES {
                    is_last = true;
                    break;
                }
                self.scanned = row.row;
                if self.may_go(&row) {
                    bytes += row.payload.len();
                    self.rows_in_flight.insert(row.row);
                    chosen.push(row);
                }
            }
            if is_last {
                break;
            }
        }
        for row in self.hand_over(chosen).await? {
            self.publish(row).await;
        }
        Ok(())
    }

    fn may_go(&mut self, row: &OutboxRow) -> bool {
        if self.rows_in_flight.contains(&row.row) {
            return false;
        }
        let is_awake = |pause: &Pause| pause.is_over();
        if !self.resting.get(&Resting::Row(row.row)).is_none_or(is_awake) {
            return false;
        }
        match self.resting.get_mut(&Resting::Recipient(row.recipient)) {
            None => true,
            // The others wait for what becomes of this one.
            Some(pause) if pause.is_over() => {
                pause.lengthen(FIRST_FULL_REST, LAST_REST);
                true
            }
            Some(_) => false,
        }
    }

    /// Notes which rows the broker may have from now on; what was cancelled meanwhile does not go.
    async fn hand_over(&mut self, rows: Vec<OutboxRow>) -> Result<Vec<OutboxRow>, SessionError> {
        let (mut rows, new): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.handed_over);
        if !new.is_empty() {
            for row in &new {
                self.rows_in_flight.remove(&row.row);
            }
            let kept = self.shared.store.hand_over(self.shared.primary(), new).await?;
            self.rows_in_flight.extend(kept.iter().map(|row| row.row));
            rows.extend(kept);
            rows.sort_by_key(|row| row.row);
        }
        Ok(rows)
    }

    /// Seals a message and hands it to the broker. Whatever goes wrong, it is tried again.
    async fn publish(&mut self, row: OutboxRow) {
        let (shared, session) = (self.shared, self.session);
        let sealed = shared.peers.with(&shared.key, &row.recipient, |peer| {
            let subject = session.inbox_subject(shared, peer.key());
            (subject, envelope::seal(&shared.key, peer, &row.payload, &rand::random()))
        });
        let (subject, wire) = match sealed {
            Ok((Some(subject), Ok(wire))) => (subject, wire),
            Ok((None, _)) => return self.refused(row.row, "the home has no server key"),
            Ok((_, Err(error))) => return self.refused(row.row, &error.to_string()),
            Err(error) => return self.refused(row.row, &error.to_string()),
        };
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, HEXLOWER.encode(&row.nats_msg_id));
        let number = self.next_flight;
        self.next_flight += 1;
        let reply = format!("{}.{number}", self.reply_prefix);
        session.under_way.begin(&subject);
        let flight = Flight {
            row,
            subject: subject.clone(),
            lost_at: Instant::now() + PUBLISH_TIMEOUT,
            positions: Arc::clone(&self.positions),
        };
        self.bytes_in_flight += flight.row.payload.len();
        self.flights.insert(number, flight);
        // It fails only when the connection is over, which ends the session.
        let _ = session.nats.publish_with_reply_and_headers(subject, reply, headers, wire.into()).await;
    }

    /// Waits until the broker says something about what is under way. It may be dropped: nothing is lost.
    pub(super) async fn listen(&mut self) -> Said {
        // Flights are numbered in the order in which they began, so the first is the first to be given up.
        let lost_at = self.flights.first_key_value().map(|(_, flight)| flight.lost_at);
        let lost = async {
            match lost_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.session.under_way.denied() => Said::Denied,
            answers = self.answers.next() => answers.map_or(Said::Goodbye, Said::Answers),
            Some(noted) = self.notes.join_next() => Said::Noted(noted.unwrap_or(Err(StoreError::Closed))),
            () = lost => Said::Nothing,
        }
    }

    /// Notes what the broker said.
    ///
    /// # Errors
    /// If it ends the session.
    pub(super) async fn note(&mut self, said: Said) -> Result<(), SessionError> {
        match said {
            Said::Answers(answers) => self.take(answers).await,
            Said::Noted(noted) => self.note_stored(noted),
            Said::Nothing => {
                self.give_up_lost();
                Ok(())
            }
            Said::Denied => Err(SessionError::RouteDenied),
            Said::Goodbye => Err(SessionError::Lost),
        }
    }

    /// Lets rows go that the store now knows as sent.
    fn note_stored(&mut self, noted: Result<Vec<i64>, StoreError>) -> Result<(), SessionError> {
        for row in noted? {
            self.rows_in_flight.remove(&row);
        }
        Ok(())
    }

    async fn take(&mut self, answers: Vec<Message>) -> Result<(), SessionError> {
        let shared = self.shared;
        let (mut taken, mut full, mut positions) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut went_back = false;
        for answer in answers {
            let number = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok());
            let Some(flight) = number.and_then(|number| self.land(number)) else { continue };
            let OutboxRow { row, recipient, awaits_receipt, .. } = flight.row;
            match Answer::read(&answer.payload, self.session.streams()) {
                Answer::Stored { stream, seq } => {
                    self.resting.remove(&Resting::Recipient(recipient));
                    self.resting.remove(&Resting::Row(row));
                    // It is not sent again before the store knows.
                    self.rows_in_flight.insert(row);
                    taken.push(Acknowledged { row, awaits_receipt });
                    if let Some(seq) = seq {
                        went_back |= flight.positions.get(&stream).is_some_and(|before| seq <= *before);
                        positions.insert(stream, seq);
                    }
                }
                Answer::InboxFull => full.push((row, recipient)),
                Answer::Refused { cause } => self.refused(row, &cause),
            }
        }
        if went_back {
            tracing::warn!("the broker has lost messages that it had acknowledged; unconfirmed ones are sent again");
            // What was acknowledged before is noted as sent first, so that it counts as lost too.
            while let Some(noted) = self.notes.join_next().await {
                self.note_stored(noted.unwrap_or(Err(StoreError::Closed)))?;
            }
            shared.store.resend_all().await?;
        }
        if !taken.is_empty() {
            (self.window, self.pause) = (WINDOW, Pause::default());
            shared.link.forget_denials();
            shared.link.count(|traffic| traffic.sent += taken.len());
            if !positions.is_empty() {
                Arc::make_mut(&mut self.positions).extend(positions.clone());
            }
            let (store, now_ms) = (shared.store.clone(), shared.home_now_ms());
            self.notes.spawn(async move {
                let rows = taken.iter().map(|taken| taken.row).collect();
                store.set_sent(taken, positions, now_ms).await.map(|()| rows)
            });
        }
        for (row, recipient) in full {
            let pause = self.resting.entry(Resting::Recipient(recipient)).or_default();
            if pause.is_over() {
                pause.lengthen(FIRST_FULL_REST, LAST_REST);
            }
            if pause.last >= FULL_FOR_LONG {
                tracing::info!("a recipient's inbox holds all that it may of our messages");
                shared.store.set_inbox_full(row, shared.primary()).await?;
            }
        }
        Ok(())
    }

    /// Ends a flight, however it ended.
    fn land(&mut self, number: u64) -> Option<Flight> {
        let flight = self.flights.remove(&number)?;
        self.rows_in_flight.remove(&flight.row.row);
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(flight.row.payload.len());
        self.session.under_way.end(&flight.subject);
        Some(flight)
    }

    fn give_up_lost(&mut self) {
        let now = Instant::now();
        while let Some((&number, flight)) = self.flights.first_key_value()
            && flight.lost_at <= now
        {
            self.land(number);
        }
        self.not_taken("the broker did not answer in time");
    }

    /// Lets a message rest that the broker refused, and others pause: it may refuse all of them.
    fn refused(&mut self, row: i64, cause: &str) {
        self.rows_in_flight.remove(&row);
        self.resting.entry(Resting::Row(row)).or_default().lengthen(FIRST_REST, LAST_REST);
        self.not_taken(cause);
    }

    /// Pauses: what the broker did not take now is tried again a little later.
    fn not_taken(&mut self, cause: &str) {
        tracing::warn!(cause, "a message was not taken and will be tried again");
        (self.window, self.scanned) = (1, 0);
        self.pause.lengthen(FIRST_PAUSE, LAST_PAUSE);
    }
}
