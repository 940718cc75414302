//! People who write at a given pace, and people who read and acknowledge at once.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kez_testbed::processes::Processes;
use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    client::Link,
    people::{self, Proof},
};

const SENDERS: usize = 8;
/// What an envelope with a short text takes, roughly.
const PAYLOAD_BYTES: usize = 600;
/// How many messages of a sender may be on their way without the broker's answer.
const IN_FLIGHT: u64 = 1024;
/// How often a sender looks whether something is due.
const TICK: Duration = Duration::from_millis(2);

/// An inbox whose acknowledgements are noted.
pub(super) struct Watched {
    pub(super) hex: String,
    /// The stream's sequences and when they were acknowledged, in that order; who looks takes them out.
    pub(super) acknowledged: Mutex<VecDeque<(u64, Instant)>>,
}

/// What has passed so far, over all inboxes.
#[derive(Default)]
pub(super) struct Counts {
    /// Messages that the broker said it has stored.
    stored: AtomicU64,
    /// Messages that their readers have acknowledged.
    acknowledged: AtomicU64,
}

impl Counts {
    /// Returns how many messages wait for their readers, give or take what is under way.
    pub(super) fn unread(&self) -> u64 {
        self.stored.load(Relaxed).saturating_sub(self.acknowledged.load(Relaxed))
    }
}

/// All of them, logged in.
pub(super) struct Traffic {
    senders: Vec<Sender>,
    pub(super) watched: Vec<Arc<Watched>>,
    pub(super) counts: Arc<Counts>,
    /// Stopped when this value goes away.
    _readers: JoinSet<()>,
}

impl Traffic {
    /// Registers and logs in the senders, and a reader for each inbox; so many inboxes are watched.
    pub(super) async fn start(stack: &Processes, inboxes: usize, watched: usize) -> Self {
        let (broker, home) = (stack.broker_address(), people::home());
        let people = people::register(stack, inboxes + SENDERS).await;
        let (readers, senders) = people.split_at(inboxes);
        let counts = Arc::new(Counts::default());
        let new_watched = |hex: &String| Watched { hex: hex.clone(), acknowledged: Mutex::default() };
        let watched: Vec<_> = readers.iter().take(watched).map(|reader| Arc::new(new_watched(&reader.hex))).collect();
        let mut running = JoinSet::new();
        for (place, reader) in readers.iter().enumerate() {
            let mut link = Link::log_in(broker, reader, Proof::Bound(&home)).await;
            link.send(format!("SUB kez.deliver.{} 1\r\n", reader.hex).as_bytes()).await;
            running.spawn(read(link, Arc::clone(&counts), watched.get(place).cloned()));
        }
        let inboxes: Arc<[String]> = readers.iter().map(|reader| reader.hex.clone()).collect();
        let mut logged_in = Vec::new();
        for sender in senders {
            let mut link = Link::log_in(broker, sender, Proof::Bound(&home)).await;
            link.send(format!("SUB _INBOX_{}.* 1\r\n", sender.hex).as_bytes()).await;
            let (route, hex) = (sender.route(stack).to_string(), sender.hex.clone());
            logged_in.push(Sender { link, hex, route, inboxes: Arc::clone(&inboxes), count: 0, answered: 0 });
        }
        Self { senders: logged_in, watched, counts, _readers: running }
    }

    /// Has all senders together send at a pace, in messages a second; returns how many they got rid of, when all of them
    /// are stored.
    pub(super) async fn send(&mut self, pace: u64, length: Duration) -> u64 {
        let mut running = JoinSet::new();
        for sender in self.senders.drain(..) {
            running.spawn(sender.send(pace as f64 / SENDERS as f64, length, Arc::clone(&self.counts)));
        }
        let mut sent = 0;
        for (sender, count) in running.join_all().await {
            self.senders.push(sender);
            sent += count;
        }
        sent
    }
}

struct Sender {
    link: Link,
    hex: String,
    route: String,
    inboxes: Arc<[String]>,
    /// What was sent, and what of it the broker has answered.
    count: u64,
    answered: u64,
}

impl Sender {
    async fn send(mut self, pace: f64, length: Duration, counts: Arc<Counts>) -> (Self, u64) {
        let before = self.count;
        let mut out = Vec::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let start = Instant::now();
        while start.elapsed() < length {
            tokio::select! {
                _ = ticks.tick() => {
                    let due = before + (start.elapsed().as_secs_f64() * pace) as u64;
                    while self.count < due && self.count - self.answered < IN_FLIGHT {
                        self.write(&mut out);
                    }
                }
                () = self.link.fill() => self.take_answers(&mut out, &counts),
            }
            self.link.send(&out).await;
            out.clear();
        }
        while self.answered < self.count {
            self.link.fill().await;
            self.take_answers(&mut out, &counts);
        }
        let sent = self.count - before;
        (self, sent)
    }

    /// Writes the next message, to each inbox in turn.
    fn write(&mut self, out: &mut Vec<u8>) {
        self.count += 1;
        let place = self.count % self.inboxes.len() as u64;
        let (inbox, Self { hex, route, count, .. }) = (&self.inboxes[place as usize], &*self);
        let headers = format!("NATS/1.0\r\nNats-Msg-Id: {}{count:016x}\r\n\r\n", &hex[..16]);
        let (some, all) = (headers.len(), headers.len() + PAYLOAD_BYTES);
        let line = format!("HPUB kez.inbox.{inbox}.{route} _INBOX_{hex}.a {some} {all}\r\n");
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(headers.as_bytes());
        out.resize(out.len() + PAYLOAD_BYTES, b'x');
        out.extend_from_slice(b"\r\n");
    }

    fn take_answers(&mut self, out: &mut Vec<u8>, counts: &Counts) {
        while let Some(answer) = self.link.take(out) {
            let text = String::from_utf8_lossy(answer.payload);
            assert!(text.contains("\"seq\"") && !text.contains("\"error\""), "the broker did not store: {text}");
            self.answered += 1;
            counts.stored.fetch_add(1, Relaxed);
        }
    }
}

async fn read(mut link: Link, counts: Arc<Counts>, watched: Option<Arc<Watched>>) {
    let mut out = Vec::new();
    loop {
        link.fill().await;
        let now = Instant::now();
        let mut count = 0;
        while let Some(frame) = link.take(&mut out) {
            let reply = frame.reply.unwrap();
            out.extend_from_slice(format!("PUB {reply} 4\r\n+ACK\r\n").as_bytes());
            if let Some(watched) = &watched {
                watched.acknowledged.lock().unwrap().push_back((sequence_of(reply), now));
            }
            count += 1;
        }
        link.send(&out).await;
        out.clear();
        counts.acknowledged.fetch_add(count, Relaxed);
    }
}

/// Reads the stream's sequence out of an ack subject: `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.…`, or the
/// same with domain and account hash before the stream.
fn sequence_of(reply: &str) -> u64 {
    let tokens: Vec<&str> = reply.split('.').collect();
    tokens[if tokens.len() == 9 { 5 } else { 7 }].parse().unwrap()
}
