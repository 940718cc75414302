//! Connects through the auth callout, beside connects of nkeys that nats-server knows from its configuration.

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
use kez_testbed::{guard::Guarded, nats_server, processes::Processes};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    client::{Link, Proof},
    people::{self, Person},
    progress, until,
};
use crate::{
    load::{CONNECTIONS, MIN_ROUNDS, median, percentile},
    weight::Usage,
};

/// How often each of the connections at a time is made anew in a round. A round is longer than the second after which
/// the home looks at the inbox of who has come, so that most of that falls into its own round.
const EACH: usize = 64;
/// Everybody logs in once in two rounds.
const PEOPLE: usize = CONNECTIONS * EACH * 2;

pub(super) async fn measure(stack: &Processes, length: Duration) {
    progress(&format!("logins: {PEOPLE} people register"));
    let people = people::register(stack, PEOPLE).await;
    let peer = StaticNkeys::start(&stack.folder().join("static-nkeys"), &people).await;
    let mut ours = Side::new("login_kez", stack.broker_address(), Some(people::home()));
    let mut other = Side::new("login_static_nkey", peer.address, None);

    progress("logins: rounds of each side in turns");
    let of = |name, process: Option<u32>| (name, Usage::of(process.unwrap()));
    let ours_usage = [of("nats_server", stack.broker_id()), of("chat_server", stack.chat.id())];
    let other_usage = [of("nats_server", peer.process.id())];
    for side in [&mut ours, &mut other] {
        side.round(&people).await;
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
            let rate = ours.round(&people).await;
            rate / other.round(&people).await
        } else {
            let rate = other.round(&people).await;
            ours.round(&people).await / rate
        };
        ratios.push(ratio);
    }
    ours.show(&ours_usage);
    other.show(&other_usage);
    println!("ratio logins_vs_static_nkeys {:.3}", median(ratios));
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
}

impl Side {
    fn new(name: &'static str, broker: SocketAddr, home: Option<Home>) -> Self {
        Self { name, broker, home: home.map(Arc::new), turn: 0, took: Vec::new(), rates: Vec::new() }
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
    }

    fn show(&mut self, usage: &[(&str, Usage)]) {
        let name = self.name;
        println!("figure {name}_per_s {:.0}", median(self.rates.clone()));
        for percent in [50, 99] {
            println!("figure {name}_p{percent}_us {}", percentile(&mut self.took, percent).as_micros());
        }
        // The warm-up is in the usage too.
        let logins = (self.took.len() + CONNECTIONS * EACH) as f64;
        for (process, usage) in usage {
            println!("figure {name}_{process}_cpu_us {:.0}", usage.so_far().as_micros() as f64 / logins);
        }
    }
}

/// A nats-server that knows people by its configuration.
struct StaticNkeys {
    address: SocketAddr,
    process: Guarded,
}

impl StaticNkeys {
    async fn start(folder: &Path, people: &[Arc<Person>]) -> Self {
        fs::create_dir(folder).unwrap();
        let mut conf = "listen: \"127.0.0.1:-1\"\nauthorization {\n  timeout: 2\n  users: [\n".to_owned();
        for person in people {
            writeln!(conf, "    {{ nkey: {} }}", person.nkey).unwrap();
        }
        conf.push_str("  ]\n}\n");
        let conf_file = folder.join("nats.conf");
        fs::write(&conf_file, conf).unwrap();
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
}

/// Reads where the broker listens; `None` while it has not written that.
fn read_ports(file: &Path) -> Option<SocketAddr> {
    let ports: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.strip_prefix("nats://")?.parse().ok()
}
