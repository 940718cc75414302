//! Connects through the auth callout, beside connects of nkeys that nats-server knows from its configuration, and beside
//! connects through a callout that checks nothing.

use std::{
    fmt::Write as _,
    fs,
    fs::File,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use kez_core::handle::Home;
use kez_testbed::{
    guard::Guarded,
    measure::{Usage, median, percentile},
    nats_server,
    processes::Processes,
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    bare_callout::BareCallout,
    client::Link,
    people::{self, Person, Proof},
    progress, until,
};
use crate::load::{CONNECTIONS, MIN_ROUNDS};

/// How often each of the connections at a time is made anew in a round. That takes ours a second or more: as long as it
/// waits until it looks at the inbox of who has come, so that this mostly falls into its own rounds.
const EACH: usize = 32;
/// Everybody logs in once in two rounds.
const PEOPLE: usize = CONNECTIONS * EACH * 2;

pub(super) async fn measure(stack: &Processes, length: Duration) {
    progress(&format!("logins: {PEOPLE} people register"));
    let people = people::register(stack, PEOPLE).await;
    let static_nkeys = PeerBroker::start(&stack.folder().join("static-nkeys"), &static_conf(&people)).await;
    let callout = BareCallout::new(&people[0], people[0].route(stack));
    let bare = PeerBroker::start(&stack.folder().join("bare-callout"), &callout.conf()).await;
    callout.start(&format!("nats://{}", bare.address)).await;

    let home = Arc::new(people::home());
    let processes = [("nats_server", stack.broker_id().unwrap()), ("chat_server", stack.chat.id().unwrap())];
    let mut ours = Side::new("login_kez", stack.broker_address(), Some(&home), &processes);
    let mut other = Side::new("login_static_nkey", static_nkeys.address, None, &static_nkeys.processes());
    let mut floor = Side::new("login_bare_callout", bare.address, Some(&home), &bare.processes());
    compare(&people, &mut ours, &mut other, "logins_vs_static_nkeys", length).await;
    compare(&people, &mut ours, &mut floor, "logins_vs_bare_callout", length).await;
    compare(&people, &mut floor, &mut other, "bare_callout_vs_static_nkeys", length).await;
}

/// Prints one side's rate by the other's: the median of rounds in which both run.
async fn compare(people: &[Arc<Person>], ours: &mut Side, other: &mut Side, name: &str, length: Duration) {
    progress(&format!("logins: {name}, rounds of each side in turns"));
    for side in [&mut *ours, &mut *other] {
        side.round(people).await;
        side.forget();
    }
    let start = Instant::now();
    let mut ratios = Vec::new();
    for round in 0.. {
        if round >= MIN_ROUNDS && start.elapsed() >= length {
            break;
        }
        // Taking turns at being first.
        let ratio = if round % 2 == 0 {
            let rate = ours.round(people).await;
            rate / other.round(people).await
        } else {
            let rate = other.round(people).await;
            ours.round(people).await / rate
        };
        ratios.push(ratio);
    }
    ours.show();
    other.show();
    println!("ratio {name} {:.3}", median(ratios).unwrap());
}

/// A broker, and how long logins there took so far.
struct Side {
    name: &'static str,
    broker: SocketAddr,
    /// The home whose callout decides, if one does.
    home: Option<Arc<Home>>,
    /// Who is next.
    turn: usize,
    took: Vec<Duration>,
    rates: Vec<f64>,
    processes: Vec<(&'static str, u32)>,
    usage: Vec<Usage>,
}

impl Side {
    fn new(
        name: &'static str,
        broker: SocketAddr,
        home: Option<&Arc<Home>>,
        processes: &[(&'static str, u32)],
    ) -> Self {
        let (took, rates, usage) = Default::default();
        Self { name, broker, home: home.cloned(), turn: 0, took, rates, processes: processes.to_vec(), usage }
    }

    /// Connects, logs in and hangs up, again and again on each of the connections at a time; returns the rate.
    async fn round(&mut self, people: &[Arc<Person>]) -> f64 {
        let mut running = JoinSet::new();
        let start = Instant::now();
        for _ in 0..CONNECTIONS {
            let part: Vec<_> = (0..EACH).map(|next| Arc::clone(&people[(self.turn + next) % people.len()])).collect();
            self.turn += EACH;
            let (broker, home) = (self.broker, self.home.clone());
            running.spawn(async move {
                let proof = home.as_deref().map_or(Proof::Bare, Proof::Bound);
                let mut took = Vec::with_capacity(EACH);
                for person in part {
                    let start = Instant::now();
                    drop(Link::log_in(broker, &person, proof).await);
                    took.push(start.elapsed());
                }
                took
            });
        }
        self.took.extend(running.join_all().await.into_iter().flatten());
        let rate = (CONNECTIONS * EACH) as f64 / start.elapsed().as_secs_f64();
        self.rates.push(rate);
        rate
    }

    fn forget(&mut self) {
        self.took.clear();
        self.rates.clear();
        self.usage = self.processes.iter().map(|(_, process)| Usage::of(*process).unwrap()).collect();
    }

    fn show(&mut self) {
        let name = self.name;
        println!("figure {name}_per_s {:.0}", median(self.rates.clone()).unwrap());
        for percent in [50, 99] {
            println!("figure {name}_p{percent}_us {}", percentile(&mut self.took, percent).unwrap().as_micros());
        }
        for ((process, _), usage) in self.processes.iter().zip(&self.usage) {
            let each = usage.so_far().unwrap().as_micros() as f64 / self.took.len() as f64;
            println!("figure {name}_{process}_cpu_us {each:.0}");
        }
    }
}

/// A nats-server with a configuration of its own.
struct PeerBroker {
    address: SocketAddr,
    process: Guarded,
}

impl PeerBroker {
    async fn start(folder: &Path, conf: &str) -> Self {
        fs::create_dir(folder).unwrap();
        let conf_file = folder.join("nats.conf");
        fs::write(&conf_file, format!("listen: \"127.0.0.1:-1\"\n{conf}")).unwrap();
        let log = File::create(folder.join("nats.log")).unwrap();
        let process = Guarded::spawn(nats_server::find().await.unwrap(), |command| {
            command.arg("--config").arg(&conf_file).arg("--ports_file_dir").arg(folder);
            command.stdout(Stdio::null()).stderr(log);
        })
        .unwrap();
        let ports = folder.join(format!("nats-server_{}.ports", process.id().unwrap()));
        let address = until("the peer's nats-server listens", async || read_ports(&ports)).await;
        Self { address, process }
    }

    fn processes(&self) -> [(&'static str, u32); 1] {
        [("nats_server", self.process.id().unwrap())]
    }
}

/// Lists everybody's nkey, with all rights.
fn static_conf(people: &[Arc<Person>]) -> String {
    let mut conf = "authorization {\n  timeout: 2\n  users: [\n".to_owned();
    for person in people {
        writeln!(conf, "    {{ nkey: {} }}", person.nkey).unwrap();
    }
    conf + "  ]\n}\n"
}

/// Reads where the broker listens; `None` while it has not written that.
fn read_ports(file: &Path) -> Option<SocketAddr> {
    let ports: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.strip_prefix("nats://")?.parse().ok()
}
