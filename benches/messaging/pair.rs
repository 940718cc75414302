//! Two agents of one kind who know each other, and what passes between them.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use clap::ValueEnum as _;
use kez_testbed::{Testbed, guard::Guarded, measure::Usage};
use tokio::net::TcpListener;

use crate::{
    agent::Kind,
    control::{Order, Report},
    line::Line,
};

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(600);

/// An agent's process, online.
pub(crate) struct Agent {
    process: Guarded,
    control: Line,
    pub(crate) handle: String,
    pub(crate) primary: String,
    /// From opening the account until it was online.
    pub(crate) opening: Duration,
    /// From starting the process until it was online.
    pub(crate) start: Duration,
}

impl Agent {
    /// Starts an agent, whose account is registered if it was not there before.
    pub(crate) async fn start(testbed: &Testbed, kind: Kind, name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server_key = testbed.secret().server_keys()[0].primary().to_string();
        let start = Instant::now();
        let process = Guarded::spawn(std::env::current_exe().unwrap(), |command| {
            command.arg("agent").arg(kind.to_possible_value().unwrap().get_name());
            command.arg(testbed.folder().join(name)).arg(name).arg(testbed.home_url()).arg(server_key);
            command.arg(testbed.nats_url()).arg(listener.local_addr().unwrap().to_string()).stdout(Stdio::null());
        })
        .unwrap();
        let mut control = Line::new(listener.accept().await.unwrap().0);
        match control.hear().await {
            Some(Report::Online { handle, primary, opening }) => {
                Self { process, control, handle, primary, opening, start: start.elapsed() }
            }
            other => panic!("{name} did not come online: {other:?}"),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id().unwrap()
    }

    pub(crate) async fn order(&mut self, order: Order) -> Report {
        self.control.say(&order).await;
        tokio::time::timeout(PATIENCE, self.control.hear()).await.unwrap().unwrap()
    }

    pub(crate) async fn meet(&mut self, other: &Self) {
        let (handle, primary) = (other.handle.clone(), other.primary.clone());
        self.order(Order::Meet { handle, primary }).await;
    }

    /// Has the agent close its account and go.
    pub(crate) async fn end(self) {
        let Self { mut process, control, .. } = self;
        drop(control);
        tokio::time::timeout(PATIENCE, process.wait()).await.unwrap().unwrap();
    }
}

/// One who writes and one who reads.
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) writer: Agent,
    pub(crate) reader: Agent,
    /// The broker, and this process, in which the home server runs.
    servers: [u32; 2],
}

/// Messages that have passed.
pub(crate) struct Passed {
    /// From the first call until the last was known to have arrived and was done with, whichever came later.
    pub(crate) elapsed: Duration,
    /// How long each took to the application.
    pub(crate) took: Vec<Duration>,
    /// The processor time of writer, reader, broker and home server.
    pub(crate) cpu: [Duration; 4],
}

/// Whose processor time is looked at.
pub(crate) const PROCESSES: [&str; 4] = ["writer", "reader", "nats_server", "home_server"];

impl Pair {
    pub(crate) async fn start(testbed: &Testbed, kind: Kind, name: &'static str) -> Self {
        let mut writer = Agent::start(testbed, kind, &format!("{name}-writer")).await;
        let mut reader = Agent::start(testbed, kind, &format!("{name}-reader")).await;
        writer.meet(&reader).await;
        reader.meet(&writer).await;
        let servers = [testbed.process_ids()[0], std::process::id()];
        Self { name, writer, reader, servers }
    }

    /// Has as many messages pass as the order says.
    pub(crate) async fn pass(&mut self, order: Order) -> Passed {
        let (Order::Send { count, .. } | Order::SendSlowly { count, .. }) = order else {
            panic!("nothing passes by {order:?}");
        };
        let [broker, home] = self.servers;
        let usage = [self.writer.id(), self.reader.id(), broker, home].map(|process| Usage::of(process).unwrap());
        match tokio::join!(self.writer.order(order), self.reader.order(Order::Take { count })) {
            (Report::Sent { began_ns, ended_ns }, Report::Taken { ended_ns: taken_ns, took }) => Passed {
                elapsed: Duration::from_nanos(ended_ns.max(taken_ns) - began_ns),
                cpu: usage.map(|usage| usage.so_far().unwrap()),
                took,
            },
            other => panic!("something else was reported: {other:?}"),
        }
    }

    pub(crate) async fn end(self) {
        tokio::join!(self.writer.end(), self.reader.end());
    }
}

/// The three that are compared: ours first.
pub(crate) async fn all(testbed: &Testbed) -> [Pair; 3] {
    [
        Pair::start(testbed, Kind::Kez, "kez").await,
        Pair::start(testbed, Kind::Harness, "harness").await,
        Pair::start(testbed, Kind::Raw, "raw").await,
    ]
}
