//! The world of a test: the open network with a home and a relay, two sites, and a device at each.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
};

use iroh_relay::defaults::DEFAULT_RELAY_QUIC_PORT;
use kez_testbed::packet_filter::PacketFilter;

use super::{
    device::Device,
    site::{Router, Site, filter_in},
};
use crate::{namespace, open_network::OpenNetwork, relay::Relay};

const RELAY: (&str, Ipv4Addr) = ("relay.kez.test", Ipv4Addr::new(203, 0, 113, 4));
/// The devices' resolver, to which they have no way: what it would have to be asked for is not there, at once.
const RESOLVER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 53);

/// What was carried so far, in bytes, all headers included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// To the relay.
    pub(super) relayed: u64,
    /// From one site straight to the other.
    pub(super) direct: u64,
    /// From one site straight to the other, had it arrived.
    pub(super) refused: u64,
}

/// Alice shares, Bob fetches.
pub(super) struct World {
    pub(super) alice: Device,
    pub(super) bob: Device,
    pub(super) alices: Site,
    pub(super) bobs: Site,
    filter: PacketFilter,
    relay: Option<Relay>,
    open: OpenNetwork,
}

impl World {
    /// Makes a world for the test of this name, in which it runs; outside nothing is left to be done then.
    pub(super) async fn enter(test: &str, alices: &[Router], bobs: &[Router]) -> Option<Self> {
        let filter = PacketFilter::find().await.unwrap();
        if !namespace::enter(test).await {
            return None;
        }
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        namespace::set_resolver(RESOLVER.into());
        let open = OpenNetwork::start(Some(RELAY)).await;
        filter_in(
            &filter,
            None,
            &format!(
                "table ip open {{
                    counter relayed {{ }}
                    counter direct {{ }}
                    counter refused {{ }}
                    set outside {{ type ipv4_addr; flags dynamic; size 64; }}
                    chain sent {{
                        type filter hook prerouting priority filter;
                        iifname \"site*\" ip daddr != {{
                            203.0.113.0/24, 198.51.100.0/24, 192.168.7.0/24, 100.64.0.0/24
                        }} add @outside {{ ip daddr }};
                    }}
                    chain arriving {{
                        type filter hook input priority filter;
                        ip daddr {} tcp dport 443 counter name relayed;
                    }}
                    chain shut {{ }}
                    chain passing {{
                        type filter hook forward priority filter;
                        jump shut;
                        counter name direct;
                    }}
                }}",
                RELAY.1
            ),
        );
        let (alices, bobs) = (Site::build(1, alices, &filter).await, Site::build(2, bobs, &filter).await);
        let (mut alice, mut bob) =
            tokio::join!(Device::start(&alices.device, &open, "alice"), Device::start(&bobs.device, &open, "bob"));
        alice.befriend("@bob").await;
        bob.befriend("@alice").await;
        let mut world = Self { alice, bob, alices, bobs, filter, relay: None, open };
        world.start_relay().await;
        Some(world)
    }

    pub(super) async fn start_relay(&mut self) {
        let quic = (RELAY.1, DEFAULT_RELAY_QUIC_PORT).into();
        self.relay = Some(Relay::start(&self.open.authority, RELAY.0, (RELAY.1, 443).into(), Some(quic)).await);
    }

    pub(super) async fn stop_relay(&mut self) {
        self.relay.take().unwrap().shutdown().await;
    }

    /// Lets nothing pass from one site straight to the other any more.
    pub(super) fn shut_direct_way(&self) {
        filter_in(&self.filter, None, "add rule ip open shut counter name refused drop");
    }

    pub(super) fn carried(&self) -> Carried {
        let [relayed, direct, refused] = ["relayed", "direct", "refused"].map(|name| self.count(name));
        Carried { relayed, direct, refused }
    }

    /// Reads a counter of bytes.
    fn count(&self, name: &str) -> u64 {
        let said = filter_in(&self.filter, None, &format!("list counter ip open {name}"));
        let mut words = said.split_whitespace().skip_while(|word| *word != "bytes");
        words.nth(1).unwrap().parse().unwrap()
    }

    /// Ends it, and checks that no device sent anything to anybody outside of it: no public relay, no public resolver, no
    /// discovery.
    pub(super) async fn shutdown(self) {
        let outside = filter_in(&self.filter, None, "list set ip open outside");
        assert!(!outside.contains("elements"), "{outside}");
        tokio::join!(self.alice.shutdown(), self.bob.shutdown());
        drop(self.relay);
        self.open.shutdown().await;
    }
}
