//! Who is asking: the peer's address, or what a trusted proxy says of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The addresses of reverse proxies whose `X-Forwarded-For` is believed. None unless the operator names them: whoever
/// is believed can choose the address that they are limited by.
///
/// ```
/// use kez_service::client::TrustedProxies;
///
/// let proxies: TrustedProxies = "127.0.0.1,10.0.0.0/8".parse()?;
/// assert_eq!(proxies.to_string(), "127.0.0.1/32,10.0.0.0/8");
/// # Ok::<(), kez_service::client::BadProxy>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A text that names no address and no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address such as 127.0.0.1 and no network such as 10.0.0.0/8")]
pub struct BadProxy(String);

impl FromStr for TrustedProxies {
    type Err = BadProxy;

    /// Reads addresses and networks (CIDR) that are separated by commas; an empty text names none.
    fn from_str(text: &str) -> Result<Self, BadProxy> {
        let net = |text: &str| {
            let address = text.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
            address.or_else(|_| text.parse()).map_err(|_| BadProxy(text.to_owned()))
        };
        text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(net).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, net) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            write!(formatter, "{net}")?;
        }
        Ok(())
    }
}

impl TrustedProxies {
    /// Tells the address that a request came from: the peer's, or, while that is a trusted proxy, the one before it
    /// in `X-Forwarded-For`. What stands further left anybody can write. `None` if the listener does not tell the peer.
    pub fn client_of(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        let mut client = peer.ip().to_canonical();
        let lists: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        // Hop by hop: what the caller wrote may be anything, and must not spoil what the proxy appended to it.
        let mut hops = lists.iter().rev().flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
        while self.0.iter().any(|net| net.contains(&client)) {
            match hops.next().map(address) {
                Some(Some(hop)) => client = hop.to_canonical(),
                // The proxy says nothing more that can be read: then it is the one to be limited.
                _ => break,
            }
        }
        Some(client)
    }
}

/// Reads a hop; some proxies write the port too.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim();
    hop.parse().or_else(|_| hop.parse().map(|hop: SocketAddr| hop.ip())).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(trusted: &str, peer: &str, headers: &[&str]) -> String {
        let proxies: TrustedProxies = trusted.parse().unwrap();
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        let headers =
            headers.iter().map(|value| (FORWARDED_FOR, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect();
        proxies.client_of(&extensions, &headers).unwrap().to_string()
    }

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        for (trusted, peer, headers, expected) in [
            ("", "192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.0/8", "192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.0/8", "10.1.2.3", &[], "10.1.2.3"),
            ("10.0.0.0/8", "10.1.2.3", &["198.51.100.7"], "198.51.100.7"),
            // The caller wrote the first one.
            ("10.0.0.0/8", "10.1.2.3", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.0/8", "10.1.2.3", &["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.0/8", "10.1.2.3", &["ü, 198.51.100.7"], "198.51.100.7"),
            // Two proxies of ours in a row.
            ("10.0.0.0/8", "10.1.2.3", &["203.0.113.9, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
            ("10.0.0.0/8", "10.1.2.3", &["10.7.7.7"], "10.7.7.7"),
            ("10.0.0.0/8", "10.1.2.3", &["198.51.100.7, nonsense"], "10.1.2.3"),
            ("10.0.0.0/8", "10.1.2.3", &["198.51.100.7,"], "10.1.2.3"),
            ("::1", "::1", &["2001:db8::5"], "2001:db8::5"),
            ("::1", "::1", &["[2001:db8::5]:443"], "2001:db8::5"),
            ("::1", "::1", &["198.51.100.7:443"], "198.51.100.7"),
            // A dual-stack listener sees IPv4 peers as mapped addresses.
            ("127.0.0.1", "::ffff:127.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ] {
            assert_eq!(client(trusted, peer, headers), expected, "{trusted} {peer} {headers:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        for wrong in ["proxy", "10.0.0.0/33", "10.0.0.0/8,x"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }
}
