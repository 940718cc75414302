//! Sites: a network for one device, and the routers between it and the open network.

use std::{net::Ipv4Addr, process::Command};

use kez_testbed::packet_filter::PacketFilter;

use crate::namespace::{Network, run};

/// What stands between a device and the open network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Router {
    /// Gives what a device sends from one port one port of its own, whoever it is for, and lets in what answers it.
    Nat,
    /// Draws another port for each whom a device speaks to.
    SymmetricNat,
    /// Does as a NAT, and lets nothing out but TCP to port 443.
    Firewall,
}

/// A device's network and its way to the open network, which is the test's own.
pub(super) struct Site {
    pub(super) device: Network,
    number: u8,
    _routers: Vec<Network>,
}

impl Site {
    /// Each site of a test has another number. The routers stand from the open network inwards; without any, the device has
    /// a public address.
    pub(super) async fn build(number: u8, routers: &[Router], filter: &PacketFilter) -> Self {
        let mut outer = Network::new().await;
        let ours = format!("site{number}");
        outer.lay_cable_from_ours(&ours, "wan");
        run("ip", &["address", "add", &format!("{}/28", public(number, 1)), "dev", &ours]);
        join(&outer, &format!("{}/28", public(number, 2)), public(number, 1));
        let mut passed = Vec::new();
        for (index, router) in routers.iter().enumerate() {
            let inner = Network::new().await;
            outer.lay_cable("lan", &inner, "wan");
            // A provider's network, or a home's: all homes have the same.
            let is_home = index + 1 == routers.len();
            let [gateway, inside] = [1, 2]
                .map(|host| if is_home { Ipv4Addr::new(192, 168, 7, host) } else { Ipv4Addr::new(100, 64, 0, host) });
            outer.run("ip", &["address", "add", &format!("{gateway}/24"), "dev", "lan"]);
            outer.run("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
            let_through(filter, &outer, *router);
            join(&inner, &format!("{inside}/24"), gateway);
            passed.push(std::mem::replace(&mut outer, inner));
        }
        Self { device: outer, number, _routers: passed }
    }

    /// Has the device send so slowly that a test can do something meanwhile.
    pub(super) fn slow_down(&self) {
        self.device.run(
            "tc",
            &"qdisc add dev wan root tbf rate 24mbit burst 64kb latency 300ms".split(' ').collect::<Vec<_>>(),
        );
    }

    /// Takes the device's public address away and gives it another one, as it gets in another place.
    pub(super) fn change_address(&self) {
        self.device.run("ip", &["address", "flush", "dev", "wan", "scope", "global"]);
        join(&self.device, &format!("{}/28", public(self.number, 3)), public(self.number, 1));
    }
}

fn public(site: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 16 * site + host)
}

fn join(network: &Network, address: &str, gateway: Ipv4Addr) {
    network.run("ip", &["address", "add", address, "dev", "wan"]);
    network.run("ip", &["route", "add", "default", "via", &gateway.to_string()]);
}

/// What nobody behind a router has asked for is dropped before it is known: a connection that were known already would take
/// the port that the device behind is about to speak from.
fn let_through(filter: &PacketFilter, router: &Network, kind: Router) {
    let ports = if kind == Router::SymmetricNat { "fully-random" } else { "" };
    let outwards = match kind {
        Router::Firewall => "iifname lan tcp dport 443 accept; iifname lan drop;",
        Router::Nat | Router::SymmetricNat => "",
    };
    let rules = format!(
        "table ip router {{
            chain leaving {{ type nat hook postrouting priority srcnat; oifname wan masquerade {ports}; }}
            chain arriving {{ type filter hook input priority filter; iifname wan ct state new drop; }}
            chain passing {{
                type filter hook forward priority filter;
                iifname wan ct state new drop;
                ct state established accept;
                {outwards}
            }}
        }}"
    );
    filter_in(filter, Some(router), &rules);
}

/// Gives the packet filter of a network, or of our own, a command, and returns what it says.
pub(super) fn filter_in(filter: &PacketFilter, network: Option<&Network>, command: &str) -> String {
    let mut nft = match network {
        Some(network) => {
            let mut nsenter = Command::new("nsenter");
            nsenter.arg(network.entrance()).arg(filter.program());
            nsenter
        }
        None => Command::new(filter.program()),
    };
    let output = nft.env("LD_LIBRARY_PATH", filter.libraries()).arg(command).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
