//! What inboxes cost that nobody uses.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use kez_testbed::{
    measure::{Usage, percentile, resident_mb},
    processes::Processes,
};

use super::{
    people::{self, Person},
    progress,
    stream::Stream,
};

const COUNT: usize = 20_000;
/// How long both servers have for what they do after a start or a rush.
const SETTLE: Duration = Duration::from_secs(10);
/// How often purging one inbox is timed.
const PURGES: usize = 25;

pub(super) async fn measure(stack: &Processes, length: Duration) {
    progress("consumers: how idle is it without any?");
    let before = Idle::measure(stack, length).await;
    let purge = purge_time(stack).await;
    println!("figure consumers_one_purge_p50_us_with_none {}", purge.as_micros());
    progress(&format!("consumers: {COUNT} people register"));
    let start = Instant::now();
    people::register(stack, COUNT).await;
    println!("figure consumers_registered_per_s {:.0}", COUNT as f64 / start.elapsed().as_secs_f64());
    progress("consumers: how idle is it with all of them?");
    let after = Idle::measure(stack, length).await;
    let purge = purge_time(stack).await;
    println!("figure consumers_one_purge_p50_us_with_20k {}", purge.as_micros());
    before.show("with_none");
    after.show("with_20k");
    before.show_growth(&after);
}

/// Returns how long purging two messages of one inbox takes in an empty stream.
async fn purge_time(stack: &Processes) -> Duration {
    let (stream, inbox) = (Stream::connect(stack).await, Person::generate().hex);
    let mut took = Vec::new();
    for _ in 0..PURGES {
        took.push(stream.time_purge(&inbox).await);
    }
    percentile(&mut took, 50).unwrap()
}

/// Both servers when nobody does anything.
struct Idle {
    files: usize,
    disk_mb: f64,
    broker: Process,
    chat: Process,
}

struct Process {
    resident_mb: f64,
    /// Milliseconds of processor time in a second.
    cpu_ms: f64,
}

impl Idle {
    async fn measure(stack: &Processes, length: Duration) -> Self {
        tokio::time::sleep(SETTLE).await;
        let ids = [stack.broker_id().unwrap(), stack.chat.id().unwrap()];
        let usage = ids.map(|process| Usage::of(process).unwrap());
        let start = Instant::now();
        tokio::time::sleep(length).await;
        let seconds = start.elapsed().as_secs_f64();
        let process = |place: usize| Process {
            resident_mb: resident_mb(ids[place]).unwrap(),
            cpu_ms: usage[place].so_far().unwrap().as_secs_f64() * 1000.0 / seconds,
        };
        let (broker, chat) = (process(0), process(1));
        let (files, bytes) = files(&stack.broker_store());
        Self { files, disk_mb: bytes as f64 / 1e6, broker, chat }
    }

    fn show(&self, when: &str) {
        println!("figure consumers_files_{when} {}", self.files);
        println!("figure consumers_disk_mb_{when} {:.1}", self.disk_mb);
        for (name, process) in [("nats_server", &self.broker), ("chat_server", &self.chat)] {
            println!("figure consumers_{name}_rss_mb_{when} {:.1}", process.resident_mb);
            println!("figure consumers_{name}_idle_cpu_ms_per_s_{when} {:.2}", process.cpu_ms);
        }
    }

    /// Prints what each thousand of inboxes adds.
    fn show_growth(&self, after: &Self) {
        let thousands = COUNT as f64 / 1000.0;
        println!("figure consumers_files_per_1k {:.0}", (after.files as f64 - self.files as f64) / thousands);
        println!("figure consumers_disk_mb_per_1k {:.2}", (after.disk_mb - self.disk_mb) / thousands);
        for (name, before, after) in
            [("nats_server", &self.broker, &after.broker), ("chat_server", &self.chat, &after.chat)]
        {
            println!(
                "figure consumers_{name}_rss_mb_per_1k {:.2}",
                (after.resident_mb - before.resident_mb) / thousands
            );
            println!(
                "figure consumers_{name}_idle_cpu_ms_per_s_per_1k {:.3}",
                (after.cpu_ms - before.cpu_ms) / thousands
            );
        }
    }
}

/// Counts the files in a folder and all below it, and their bytes.
fn files(folder: &Path) -> (usize, u64) {
    let mut sum = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        // The broker may put another one in its place meanwhile.
        let Ok(found) = entry.metadata() else { continue };
        let (count, bytes) = if found.is_dir() { files(&entry.path()) } else { (1, found.len()) };
        sum = (sum.0 + count, sum.1 + bytes);
    }
    sum
}
