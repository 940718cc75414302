//! Inbox keeping under load: what has been acknowledged is purged, and how soon, and what that costs the broker.
//!
//! The peer is the same broker under the same load while no chat-server runs: nobody purges.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use kez_testbed::{
    measure::{Usage, median, percentile},
    processes::Processes,
};
use serde_json::json;

use super::{
    progress,
    stream::Stream,
    traffic::{Traffic, Watched},
    until,
};

/// Messages a second, over all inboxes.
const PACE: u64 = 5000;
/// What is tried in this order, for so long each.
const PACES: [u64; 11] = [1000, 2000, 3500, 5000, 7500, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000];
const STEP: Duration = Duration::from_secs(6);
/// Inboxes that have many messages each, and inboxes that have a few.
const INBOXES: [usize; 2] = [100, 1000];
const ROUNDS: u32 = 3;
/// Nothing is due for purging in the first second.
const WARM_UP: Duration = Duration::from_secs(2);
/// Of how many inboxes the first message is looked at, and how often; a message seems to stay up to that much longer
/// than it does.
const WATCHED: usize = 4;
const EVERY: Duration = Duration::from_millis(20);
/// A message has to go within a second or 256 acknowledgements, and purging takes its time.
const LATEST: Duration = Duration::from_millis(1500);
/// How long purging may take that does not keep up.
const DRAIN: Duration = Duration::from_secs(60);

pub(super) async fn measure(stack: &mut Processes, length: Duration) {
    for inboxes in INBOXES {
        let mut keeping = Keeping::start(stack, inboxes).await;
        keeping.compare(stack, length / ROUNDS).await;
        keeping.find_highest_rate(stack).await;
    }
}

struct Keeping {
    name: String,
    traffic: Traffic,
    stream: Stream,
}

/// What was seen while messages passed.
#[derive(Default)]
struct Seen {
    sent_per_s: f64,
    /// Milliseconds of processor time in a second.
    broker_ms: f64,
    chat_ms: f64,
    /// Messages in the stream beside those that nobody has acknowledged yet, at each look.
    backlog: Vec<f64>,
    /// How long after its acknowledgement a message was gone.
    gone: Vec<Duration>,
}

impl Keeping {
    async fn start(stack: &Processes, inboxes: usize) -> Self {
        let name = format!("purge_{inboxes}_inboxes");
        progress(&format!("{name}: everybody registers and logs in"));
        let traffic = Traffic::start(stack, inboxes, WATCHED).await;
        Self { name, traffic, stream: Stream::connect(stack).await }
    }

    /// Has the same load pass with a chat-server and without, in turns.
    async fn compare(&mut self, stack: &mut Processes, length: Duration) {
        let name = self.name.clone();
        let (mut kept, mut unkept, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            progress(&format!("{name}: {PACE} messages a second, round {} of {ROUNDS}", round + 1));
            // Taking turns at being first.
            for is_kept in [round % 2 == 0, round % 2 != 0] {
                if is_kept {
                    kept.push(self.pass(stack, PACE, length).await);
                } else {
                    stack.chat.stop().await.unwrap();
                    unkept.push(self.pass(stack, PACE, length).await);
                    stack.chat.start().await.unwrap();
                }
            }
        }
        let mut all = Seen::default();
        for (kept, unkept) in kept.iter().zip(&unkept) {
            ratios.push(kept.broker_ms / unkept.broker_ms);
            all.backlog.extend(&kept.backlog);
            all.gone.extend(&kept.gone);
        }
        let of = |seen: &[Seen], part: fn(&Seen) -> f64| median(seen.iter().map(part).collect()).unwrap();
        println!("figure {name}_sent_per_s {:.0}", of(&kept, |seen| seen.sent_per_s));
        println!("figure {name}_backlog_mean {:.0}", all.backlog.iter().sum::<f64>() / all.backlog.len() as f64);
        println!("figure {name}_backlog_max {:.0}", all.backlog.iter().copied().fold(0.0, f64::max));
        for percent in [50, 99] {
            println!("figure {name}_gone_p{percent}_ms {}", percentile(&mut all.gone, percent).unwrap().as_millis());
        }
        println!("figure {name}_gone_last_ms {}", all.gone.iter().max().unwrap().as_millis());
        println!("figure {name}_nats_server_cpu_ms_per_s {:.0}", of(&kept, |seen| seen.broker_ms));
        println!("figure {name}_chat_server_cpu_ms_per_s {:.0}", of(&kept, |seen| seen.chat_ms));
        println!("figure {name}_unkept_sent_per_s {:.0}", of(&unkept, |seen| seen.sent_per_s));
        println!("figure {name}_unkept_nats_server_cpu_ms_per_s {:.0}", of(&unkept, |seen| seen.broker_ms));
        println!("ratio {name}_broker_cpu_vs_unkept {:.3}", median(ratios).unwrap());
    }

    /// Raises the pace until messages stay too long, or no more of them can be sent.
    async fn find_highest_rate(&mut self, stack: &Processes) {
        let (mut highest, mut ended_by) = (0.0_f64, "nothing");
        for pace in PACES {
            let mut seen = self.pass(stack, pace, STEP).await;
            let gone = percentile(&mut seen.gone, 99).unwrap();
            let name = &self.name;
            progress(&format!("{name}: {:.0} messages a second, gone within {gone:.1?} (p99)", seen.sent_per_s));
            if gone > LATEST {
                ended_by = "purging";
                break;
            }
            highest = highest.max(seen.sent_per_s);
            if seen.sent_per_s < pace as f64 * 0.95 {
                ended_by = "sending";
                break;
            }
        }
        println!("figure {}_highest_rate_per_s {highest:.0}", self.name);
        println!("figure {}_highest_rate_ended_by {ended_by}", self.name);
    }

    /// Has messages pass, until all are read and, if there is somebody who purges, gone; leaves nothing behind.
    async fn pass(&mut self, stack: &Processes, pace: u64, length: Duration) -> Seen {
        let mut seen = Seen::default();
        let Self { traffic, stream, .. } = self;
        let (watched, counts) = (traffic.watched.clone(), traffic.counts.clone());
        let chat = stack.chat.id();
        let sending = traffic.send(pace, WARM_UP + length);
        let looking = async {
            let start = Instant::now();
            let mut usage = None;
            while start.elapsed() < WARM_UP + length {
                for watched in &watched {
                    stream.look_for_gone(watched, &mut seen.gone).await;
                }
                if start.elapsed() >= WARM_UP {
                    // Before the first of these looks.
                    usage.get_or_insert_with(|| {
                        (Instant::now(), Usage::of(stack.broker_id().unwrap()).unwrap(), chat.and_then(Usage::of))
                    });
                    let backlog = stream.messages().await as f64 - counts.unread() as f64;
                    seen.backlog.push(backlog.max(0.0));
                }
                tokio::time::sleep(EVERY).await;
            }
            let (since, broker, chat) = usage.unwrap();
            let ms_per_s =
                |usage: Usage| usage.so_far().unwrap().as_secs_f64() * 1000.0 / since.elapsed().as_secs_f64();
            (ms_per_s(broker), chat.map_or(0.0, ms_per_s))
        };
        let (sent, (broker_ms, chat_ms)) = tokio::join!(sending, looking);
        until("everything is read", async || (counts.unread() == 0).then_some(())).await;
        let end = Instant::now();
        while chat.is_some() && stream.messages().await > 0 && end.elapsed() < DRAIN {
            for watched in &watched {
                stream.look_for_gone(watched, &mut seen.gone).await;
            }
            tokio::time::sleep(EVERY).await;
        }
        // What is still there counts with the time that it has stayed so far.
        for watched in &watched {
            let left = std::mem::take(&mut *watched.acknowledged.lock().unwrap());
            seen.gone.extend(left.into_iter().map(|(_, at)| at.elapsed()));
        }
        stream.clear().await;
        let sent_per_s = sent as f64 / (WARM_UP + length).as_secs_f64();
        Seen { sent_per_s, broker_ms, chat_ms, ..seen }
    }
}

impl Stream {
    /// Takes out what has been acknowledged and is in the stream no more, with the time that it stayed.
    async fn look_for_gone(&self, watched: &Watched, gone: &mut Vec<Duration>) {
        let asked = Instant::now();
        let subject = format!("kez.inbox.{}.*", watched.hex);
        let answer = self.ask("MSG.GET", &json!({ "seq": 1, "next_by_subj": subject })).await;
        // Without any message in the inbox, all that was acknowledged before the question is gone.
        let first = match answer["message"]["seq"].as_u64() {
            Some(first) => first,
            None => {
                assert_eq!(answer["error"]["code"], 404, "{answer}");
                u64::MAX
            }
        };
        let now = Instant::now();
        let mut acknowledged = watched.acknowledged.lock().unwrap();
        let is_gone = |(sequence, at): &mut (u64, Instant)| *sequence < first && *at < asked;
        while let Some((_, at)) = VecDeque::pop_front_if(&mut acknowledged, is_gone) {
            gone.push(now - at);
        }
    }
}
