//! What is large is asked for in several ranges at a time.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use iroh::{
    Endpoint, RelayMode,
    endpoint::{Connection, presets},
    protocol::{AcceptError, ProtocolHandler, Router},
};
use iroh_blobs::{
    ALPN,
    api::Store,
    protocol::GetRequest,
    provider::{StreamPair, events::EventSender, handle_stream},
};
use kez_core::payload::{Address, Addresses};
use kez_testbed::slow_udp::SlowUdp;

use super::*;

/// A provider of the test's own, which counts what is asked of it.
#[derive(Clone, Debug)]
struct Counting {
    store: Store,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    /// What the last connection's ways were like at its last request.
    ways: Mutex<Vec<String>>,
}

impl Counts {
    fn take(&self) -> [usize; 3] {
        [&self.connections, &self.requests, &self.most_under_way].map(|count| count.swap(0, Ordering::SeqCst))
    }
}

impl ProtocolHandler for Counting {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        self.counts.connections.fetch_add(1, Ordering::SeqCst);
        let describe = |path: iroh::endpoint::Path<'_>| {
            let stats = path.stats();
            let lost = (stats.lost_packets, stats.congestion_events, stats.spurious_congestion_events);
            format!("{:?} rtt {:?} cwnd {} lost {lost:?}", path.remote_addr(), stats.rtt, stats.cwnd)
        };
        while let Ok(streams) = StreamPair::accept(&connection, EventSender::DEFAULT).await {
            let Self { store, counts } = self.clone();
            counts.requests.fetch_add(1, Ordering::SeqCst);
            *counts.ways.lock().unwrap() = connection.paths().iter().map(describe).collect();
            let now = counts.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            counts.most_under_way.fetch_max(now, Ordering::SeqCst);
            tokio::spawn(async move {
                let _ = handle_stream(streams, store).await;
                counts.under_way.fetch_sub(1, Ordering::SeqCst);
            });
        }
        Ok(())
    }
}

/// Serves a store under a key of its own, at this address of this machine, and returns where.
async fn serve(store: Store, ip: Ipv4Addr) -> (Router, SecretKey, Arc<Counts>, SocketAddr) {
    let (key, counts) = (SecretKey::generate(&mut rand::rng()), Arc::new(Counts::default()));
    let endpoint = Endpoint::builder(presets::Minimal)
        .secret_key(iroh::SecretKey::from_bytes(key.expose_seed()))
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr((ip, 0))
        .unwrap()
        .bind()
        .await
        .unwrap();
    let address = endpoint.bound_sockets()[0];
    let provider = Counting { store, counts: Arc::clone(&counts) };
    (Router::builder(endpoint).accept(ALPN, provider).spawn(), key, counts, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pipe_is_filled_by_eight_ranges_at_a_time() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let plain = content(50 * MIB);
    let (large, small) = (alice.import(&plain).await, alice.import(&plain[..MIB]).await);
    let (provider, key, counts, address) = serve(alice.node.store.clone(), Ipv4Addr::LOCALHOST).await;
    let slow = SlowUdp::start(address, Duration::from_millis(25)).unwrap();
    let addresses = Addresses::new([Address::Ip(slow.address())]);
    let mut heard = Vec::new();
    let hear = |step| {
        if let FetchStep::Came(done) = step {
            heard.push(done);
        }
    };
    let path = bob.node.fetch(key.primary(), &addresses, &large, &bob.inbox(), hear).await.unwrap();
    assert!(fs::read(path).unwrap() == plain);
    assert!(slow.carried_bytes() > 0);
    assert!(heard.is_sorted() && heard.len() > 13, "{heard:?}");
    // Its length first, then 4 MiB at a time.
    assert_eq!(counts.take(), [1, 1 + 13, 8]);

    // What is small is one range.
    bob.node.fetch(key.primary(), &addresses, &set_path(&small, "b"), &bob.inbox(), |_| {}).await.unwrap();
    assert_eq!(counts.take(), [1, 2, 1]);
    provider.shutdown().await.unwrap();
    bob.shutdown().await;
    alice.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_fetches_from_one_peer_share_a_connection_and_its_turns() {
    let (alice, bob) = (Person::new().await, Person::new().await);
    let mut entries = Vec::new();
    for number in 0..6 {
        entries.push(set_path(&alice.import(&content(9 * MIB)).await, &number.to_string()));
    }
    let (provider, key, counts, address) = serve(alice.node.store.clone(), Ipv4Addr::LOCALHOST).await;
    let addresses = Addresses::new([Address::Ip(address)]);
    let inbox = bob.inbox();
    let fetches = entries.iter().map(|entry| bob.node.fetch(key.primary(), &addresses, entry, &inbox, |_| {}));
    for path in futures::future::join_all(fetches).await {
        path.unwrap();
    }
    assert_eq!(counts.take(), [1, 6 + 6 * 3, 8]);
    provider.shutdown().await.unwrap();
    bob.shutdown().await;
    alice.shutdown().await;
}

/// What `cargo xtask bench files` has run where nothing reaches 127.0.0.2 but what comes from 127.0.0.3, with the way in
/// between that takes its time: an endpoint would leave it for a shorter one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn how_fast_a_long_pipe_is() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let (mib, rounds) = (number("KEZ_TEST_MIB").unwrap_or(64), number("KEZ_TEST_ROUNDS").unwrap_or(3));
    let alice = Person::new().await;
    let entry = alice.import(&content(mib as usize * MIB)).await;
    let (provider, key, _, address) = serve(alice.node.store.clone(), Ipv4Addr::new(127, 0, 0, 2)).await;
    for round_trip_ms in [50, 100] {
        let one_way = Duration::from_millis(round_trip_ms / 2);
        let slow = SlowUdp::start_at(Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 3), address, one_way).unwrap();
        let addresses = Addresses::new([Address::Ip(slow.address())]);
        let (mut ratios, mut rates) = (Vec::new(), [Vec::new(), Vec::new()]);
        for round in 0..rounds {
            let mut took = [Duration::ZERO; 2];
            for turn in 0..2 {
                let (bob, before) = (Person::new().await, slow.carried_bytes());
                let (begun, is_ours) = (Instant::now(), (round + turn) % 2 == 0);
                if is_ours {
                    bob.node.fetch(key.primary(), &addresses, &entry, &bob.inbox(), |_| {}).await.unwrap();
                } else {
                    let upstream = bob.node.connect(key.primary(), &addresses).await.unwrap();
                    let whole = GetRequest::blob(iroh_blobs::Hash::from_bytes(entry.blob_hash));
                    bob.node.store.remote().execute_get(upstream.connection.clone(), whole).await.unwrap();
                }
                took[usize::from(!is_ours)] = begun.elapsed();
                assert!(slow.carried_bytes() - before > mib << 20, "it came by a shorter way");
                bob.shutdown().await;
            }
            let [ours, single] = took.map(|took| took.as_secs_f64());
            ratios.push(single / ours);
            for (rates, took) in rates.iter_mut().zip([ours, single]) {
                rates.push(mib as f64 * 1.048_576 / took);
            }
        }
        let [ours, single] = rates.map(|rates| kez_testbed::measure::median(rates).unwrap());
        let ratio = kez_testbed::measure::median(ratios).unwrap();
        println!("\nratio files_fetch_{round_trip_ms}ms_vs_one_stream {ratio:.2}");
        println!(
            "figure {round_trip_ms} ms: kez {ours:.0} MB/s, whole and opened; one stream {single:.0} MB/s, as it lies"
        );
    }
    provider.shutdown().await.unwrap();
    alice.shutdown().await;
}
