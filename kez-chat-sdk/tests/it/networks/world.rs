//! The world of a test: the open network with a home and a relay, two sites, and a device at each.

use std::fs;

use iroh_relay::defaults::DEFAULT_RELAY_QUIC_PORT;
use kez_testbed::packet_filter::PacketFilter;

use super::{
    device::Device,
    site::{HOME_ROUTER, Router, Site, filter_in},
};
use crate::{
    namespace,
    open_network::{OpenNetwork, RELAY},
    relay::Relay,
};

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
        namespace::set_resolver(HOME_ROUTER);
        let open = OpenNetwork::start(vec![format!("https://{}", RELAY.0)]).await;
        filter_in(
            &filter,
            None,
            &format!(
                "table ip open {{
                    counter relayed {{ }}
                    counter direct {{ }}
                    counter refused {{ }}
                    counter strayed {{ }}
                    chain sent {{
                        type filter hook prerouting priority filter;
                        iifname \"site*\" ip daddr != {{
                            203.0.113.0/24, 198.51.100.0/24, 192.168.7.0/24, 100.64.0.0/24
                        }} counter name strayed;
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
        assert_eq!(self.count("strayed"), 0);
        tokio::join!(self.alice.shutdown(), self.bob.shutdown());
        drop(self.relay);
        self.open.shutdown().await;
    }
}
