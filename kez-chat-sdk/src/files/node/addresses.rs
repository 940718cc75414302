//! Which addresses are dialled, and which are told to others (`docs/PROTOCOL.md` §§3, 7).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayUrl, TransportAddr, Watcher};
use kez_core::payload::{Address, Addresses};

use super::Node;

/// Much changes at once when a device comes into another network: it is told together.
const SETTLED: Duration = Duration::from_secs(1);

impl Node {
    /// Calls `tell` whenever this endpoint has come to be reached elsewhere, until the node ends.
    pub(crate) fn when_moved(&self, tell: impl Fn() + Send + 'static) {
        let mut moves = self.endpoint().watch_addr().stream_updates_only();
        let following = async move {
            while moves.next().await.is_some() {
                tokio::time::sleep(SETTLED).await;
                let _ = moves.next().now_or_never();
                tell();
            }
        };
        tokio::spawn(self.endpoint().closed().run_until(following));
    }
}

/// Returns where an endpoint can be reached now, relays first: the others may be cut from a full list.
///
/// Until it has chosen one of the relays that it may use, all of them stand there: it is on its way to one.
pub(super) fn own(endpoint: &Endpoint, relays: Vec<RelayUrl>, loopback_allowed: bool) -> Addresses {
    let current = endpoint.addr();
    let mut at: Vec<RelayUrl> = current.relay_urls().cloned().collect();
    if at.is_empty() {
        at = relays;
    }
    let relays = at.into_iter().map(|url| Address::Relay(url.to_string()));
    let direct = current.ip_addrs().copied().filter(|socket| is_dialable(socket.ip(), loopback_allowed));
    let local = endpoint.bound_sockets().into_iter().filter(|socket| loopback_allowed && socket.is_ipv4());
    let local = local.map(|socket| SocketAddr::from((Ipv4Addr::LOCALHOST, socket.port())));
    let mut addresses: Vec<_> = relays.chain(local.chain(direct).map(Address::Ip)).collect();
    addresses.dedup();
    Addresses::new(addresses)
}

/// Keeps of a peer's addresses what may be dialled.
pub(super) fn of_peer(
    peer: EndpointId,
    addresses: &Addresses,
    relays_used: bool,
    loopback_allowed: bool,
) -> EndpointAddr {
    let accept = |address| match address {
        Address::Ip(socket) => is_dialable(socket.ip(), loopback_allowed).then_some(TransportAddr::Ip(socket)),
        Address::Relay(url) if relays_used => relay(&url, loopback_allowed).map(TransportAddr::Relay),
        Address::Relay(_) => None,
    };
    EndpointAddr::from_parts(peer, addresses.iter().filter_map(accept))
}

/// Reads a relay's URL: `https`, without user information, not on this machine.
pub(super) fn relay(url: &str, loopback_allowed: bool) -> Option<RelayUrl> {
    let url: RelayUrl = url.parse().ok()?;
    let host = url.host_str()?.trim_end_matches('.');
    let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let is_local_name = host == "localhost" || host.ends_with(".localhost");
    let reachable = match literal {
        Some(ip) => is_dialable(ip, loopback_allowed),
        None => loopback_allowed || !is_local_name,
    };
    let is_plain = url.username().is_empty() && url.password().is_none();
    (url.scheme() == "https" && is_plain && reachable).then_some(url)
}

/// Tells whether an address may be dialled. Private networks may, that is what a LAN is; what may not can make a
/// peer's message reach services on this machine or beside it.
pub(super) fn is_dialable(ip: IpAddr, loopback_allowed: bool) -> bool {
    if ip.is_loopback() {
        return loopback_allowed;
    }
    match ip {
        IpAddr::V4(ip) => is_dialable_v4(ip),
        IpAddr::V6(ip) => is_dialable_v6(ip),
    }
}

fn is_dialable_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = matches!((a, b, c), (0 | 224..=255, _, _) | (169, 254, _) | (192, 0, 0) | (198, 18 | 19, _));
    !is_special
}

fn is_dialable_v6(ip: Ipv6Addr) -> bool {
    let is_special = matches!(
        ip.segments(),
        // Unspecified and IPv4-compatible, IPv4-mapped, NAT64, Teredo, 6to4.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, ..] | [0x2001, 0, ..] | [0x2002, ..]
        // Link-local, site-local, multicast.
        | [0xfe80..=0xfebf, ..] | [0xfec0..=0xfeff, ..] | [0xff00..=0xffff, ..]
    );
    !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_dialled_and_this_machine_is_not() {
        for good in ["192.168.1.2", "10.0.0.1", "100.64.0.1", "172.16.0.1", "203.0.113.9", "2001:db8::1", "fd00::1"] {
            assert!(is_dialable(good.parse().unwrap(), false), "{good}");
        }
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "192.0.0.8",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_dialable(bad.parse().unwrap(), false), "{bad}");
        }
        assert!(is_dialable("127.0.0.1".parse().unwrap(), true));
        assert!(!is_dialable("169.254.169.254".parse().unwrap(), true));
    }

    #[test]
    fn relays_are_reached_by_https_only() {
        for good in ["https://relay.example", "https://relay.example:7443/", "https://203.0.113.1/"] {
            assert!(relay(good, false).is_some(), "{good}");
        }
        for bad in [
            "http://relay.example",
            "https://user@relay.example",
            "https://:pw@relay.example",
            "https://localhost",
            "https://a.localhost",
            "https://localhost.",
            "https://127.0.0.1",
            "https://2130706433",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "relay.example",
            "",
        ] {
            assert!(relay(bad, false).is_none(), "{bad}");
        }
        assert!(relay("https://localhost:3340", true).is_some());
    }

    #[tokio::test]
    async fn where_it_will_be_is_told_before_it_is_there() {
        let minimal = Endpoint::builder(iroh::endpoint::presets::Minimal);
        let endpoint = minimal.relay_mode(iroh::RelayMode::Disabled).bind().await.unwrap();
        let told = |relays| own(&endpoint, relays, false).iter().collect::<Vec<_>>();
        let with_one = told(vec!["https://relay.example".parse().unwrap()]);
        assert_eq!(with_one[0], Address::Relay("https://relay.example/".to_owned()));
        assert_eq!(with_one[1..], told(Vec::new()));
        endpoint.close().await;
    }

    #[test]
    fn a_peers_relay_counts_only_where_relays_are_used() {
        let peer = iroh::SecretKey::from_bytes(&[7; 32]).public();
        let socket = |text: &str| Address::Ip(text.parse().unwrap());
        let told = Addresses::new([
            Address::Relay("https://relay.example/".to_owned()),
            socket("127.0.0.1:1"),
            socket("192.168.0.9:2"),
        ]);
        assert_eq!(of_peer(peer, &told, false, false).addrs.len(), 1);
        assert_eq!(of_peer(peer, &told, true, false).addrs.len(), 2);
        assert_eq!(of_peer(peer, &told, true, true).addrs.len(), 3);
    }
}
