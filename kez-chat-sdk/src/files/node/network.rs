//! The endpoint: through which relays it is reached, whom it looks for on the local network, and how much a peer may ask of it
//! at a time.

use std::sync::Arc;

use futures::{StreamExt, stream::BoxStream};
use iroh::{
    Endpoint, EndpointId, RelayMode, TransportAddr,
    address_lookup::{AddrFilter, AddressLookup, EndpointData, EndpointInfo, Error as LookupError, Item},
    dns::DnsResolver,
    endpoint::{QuicTransportConfig, presets},
    tls::CaTlsConfig,
};
use iroh_mdns_address_lookup::MdnsAddressLookup;
use kez_core::identity::SecretKey;

use super::{NodeError, NodeSettings, Relays, addresses, provider::REQUESTS};

/// Under what name we are found on the local network: `<id>._kez-chat._udp.local`.
const LAN_SERVICE: &str = "kez-chat";

/// How much may be under way on a connection, all streams together, and wait at its ends in memory: 120 MB/s over 50 ms.
const WINDOW_BYTES: u32 = 6 << 20;

/// Opens the endpoint of the holder of `key`.
pub(super) async fn bind(
    key: &SecretKey,
    relay_mode: RelayMode,
    settings: &NodeSettings,
) -> Result<Endpoint, NodeError> {
    // A stream's window stays as it is: with larger ones, connections broke on a busy machine.
    let transport = QuicTransportConfig::builder()
        .send_window(WINDOW_BYTES.into())
        .receive_window(WINDOW_BYTES.into())
        .max_concurrent_bidi_streams(REQUESTS.into())
        .max_concurrent_uni_streams(0u32.into())
        .build();
    let roots = settings.roots.clone();
    let endpoint = Endpoint::builder(presets::Minimal)
        .secret_key(iroh::SecretKey::from_bytes(key.expose_seed()))
        .relay_mode(relay_mode)
        // Iroh's own would ask public resolvers for the relays' names where the system's don't answer.
        .dns_resolver(DnsResolver::builder().with_system_defaults().disable_fallback().build())
        .transport_config(transport)
        .ca_tls_config(CaTlsConfig::custom_server_cert_verifier(Arc::new(
            move |provider| Ok(roots.verifier(&provider)),
        )))
        .bind()
        .await
        .map_err(|error| NodeError::NoSocket { source: error.into() })?;
    if settings.lan_discovery {
        // Without it files still come by the addresses in messages.
        if let Err(error) = look_around(&endpoint, settings.loopback_allowed) {
            tracing::warn!(error, "peers on the local network are not looked for");
        }
    }
    Ok(endpoint)
}

pub(super) fn relay_mode(settings: &NodeSettings) -> Result<RelayMode, NodeError> {
    let parse = |url: &String| {
        addresses::relay(url, settings.loopback_allowed).ok_or_else(|| NodeError::BadRelay { url: url.clone() })
    };
    Ok(match &settings.relays {
        Relays::None => RelayMode::Disabled,
        // Ready to learn of some.
        Relays::Home => RelayMode::custom([]),
        Relays::Custom(urls) => RelayMode::custom(urls.iter().map(parse).collect::<Result<Vec<_>, _>>()?),
        Relays::Public => RelayMode::Default,
    })
}

fn look_around(endpoint: &Endpoint, loopback_allowed: bool) -> Result<(), String> {
    let mdns = MdnsAddressLookup::builder().service_name(LAN_SERVICE).addr_filter(AddrFilter::ip_only());
    let mdns = mdns.build(endpoint.id()).map_err(|error| error.to_string())?;
    let services = endpoint.address_lookup().map_err(|error| error.to_string())?;
    services.add(LanLookup { mdns, loopback_allowed });
    Ok(())
}

/// Takes from the local network's answers, which anybody there can give, only addresses that may be dialled.
#[derive(Debug)]
struct LanLookup {
    mdns: MdnsAddressLookup,
    loopback_allowed: bool,
}

impl AddressLookup for LanLookup {
    fn publish(&self, data: &EndpointData) {
        self.mdns.publish(data);
    }

    fn resolve(&self, id: EndpointId) -> Option<BoxStream<'static, Result<Item, LookupError>>> {
        let loopback_allowed = self.loopback_allowed;
        let found = self.mdns.resolve(id)?;
        Some(Box::pin(found.map(move |item| item.map(|item| dialable(&item, loopback_allowed)))))
    }
}

fn dialable(item: &Item, loopback_allowed: bool) -> Item {
    let may_be = |address: &TransportAddr| matches!(address, TransportAddr::Ip(socket) if addresses::is_dialable(socket.ip(), loopback_allowed));
    let addresses = item.endpoint_info().addrs().filter(|address| may_be(address)).cloned();
    let info = EndpointInfo::from_parts(item.endpoint_id(), EndpointData::from_iter(addresses));
    Item::new(info, item.provenance(), item.last_updated())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anybody_says_on_the_local_network_is_not_dialled_blindly() {
        let id = iroh::SecretKey::from_bytes(&[7; 32]).public();
        let ip = |text: &str| TransportAddr::Ip(text.parse().unwrap());
        let relay = TransportAddr::Relay("https://relay.example/".parse().unwrap());
        let said = [ip("192.168.0.9:2"), ip("127.0.0.1:6379"), ip("169.254.169.254:80"), relay];
        let item = Item::new(EndpointInfo::from_parts(id, EndpointData::from_iter(said)), "mdns", None);
        let kept: Vec<_> = dialable(&item, false).endpoint_info().addrs().cloned().collect();
        assert_eq!(kept, [ip("192.168.0.9:2")]);
        assert_eq!(dialable(&item, true).endpoint_info().addrs().count(), 2);
    }
}
