//! The client, and how two sides are compared.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use kez_testbed::{
    http::Connection,
    measure::{median, percentile},
};
use tokio::task::JoinSet;

/// Connections that a side is asked on at the same time, one request at a time on each.
pub(crate) const CONNECTIONS: usize = 32;
/// What all rounds of a comparison take, roughly, and how many there are at least.
const ALL_ROUNDS: Duration = Duration::from_secs(20);
pub(crate) const MIN_ROUNDS: u32 = 11;

/// What is asked in one round: for each connection its requests, in order.
pub(crate) type Requests = Vec<Vec<Vec<u8>>>;

/// A server with open connections to it, and what it took so far.
pub(crate) struct Side {
    name: &'static str,
    connections: Vec<Connection>,
    took: Vec<Duration>,
    rates: Vec<f64>,
}

impl Side {
    pub(crate) async fn connect(name: &'static str, server: SocketAddr) -> Self {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(server).await.unwrap());
        }
        Self { name, connections, took: Vec::new(), rates: Vec::new() }
    }

    /// Returns the bodies of the answers to some requests.
    pub(crate) async fn answers(&mut self, requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        for request in requests {
            bodies.push(self.connections[0].ask(request).await.unwrap().body);
        }
        bodies
    }

    /// Sends everything, and returns the rate, in requests a second.
    async fn round(&mut self, requests: Requests, status: u16) -> f64 {
        let count: usize = requests.iter().map(Vec::len).sum();
        let mut running = JoinSet::new();
        let start = Instant::now();
        for (mut connection, requests) in self.connections.drain(..).zip(requests) {
            running.spawn(async move {
                let mut took = Vec::with_capacity(requests.len());
                for request in &requests {
                    let start = Instant::now();
                    let answer = connection.ask(request).await.unwrap();
                    took.push(start.elapsed());
                    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
                }
                (connection, took)
            });
        }
        for (connection, took) in running.join_all().await {
            self.connections.push(connection);
            self.took.extend(took);
        }
        let rate = count as f64 / start.elapsed().as_secs_f64();
        self.rates.push(rate);
        rate
    }

    fn forget(&mut self) {
        self.took.clear();
        self.rates.clear();
    }

    fn show(&mut self) {
        let name = self.name;
        println!("figure {name}_per_s {:.0}", median(self.rates.clone()).unwrap());
        for percent in [50, 99] {
            println!("figure {name}_p{percent}_us {}", percentile(&mut self.took, percent).unwrap().as_micros());
        }
    }
}

/// Ours and a peer's way to answer the same.
pub(crate) struct Comparison<'a> {
    pub(crate) ours: &'a mut Side,
    pub(crate) peer: &'a mut Side,
    /// What every answer has to be.
    pub(crate) status: u16,
}

impl Comparison<'_> {
    /// Prints our rate by the peer's, the median of rounds in which both sides run, and each side's figures. So whatever
    /// else the machine does meanwhile slows both of them.
    pub(crate) async fn show(self, name: &str, mut make: impl FnMut() -> Requests) {
        let Self { ours, peer, status } = self;
        for side in [&mut *ours, &mut *peer] {
            side.round(make(), status).await;
            side.forget();
        }
        let start = Instant::now();
        let mut ratios = Vec::new();
        for round in 0.. {
            if round >= MIN_ROUNDS && start.elapsed() >= ALL_ROUNDS {
                break;
            }
            // Taking turns at being first.
            let ratio = if round % 2 == 0 {
                let rate = ours.round(make(), status).await;
                rate / peer.round(make(), status).await
            } else {
                let rate = peer.round(make(), status).await;
                ours.round(make(), status).await / rate
            };
            ratios.push(ratio);
        }
        ours.show();
        peer.show();
        println!("ratio {name} {:.3}", median(ratios).unwrap());
        ours.forget();
        peer.forget();
    }
}
