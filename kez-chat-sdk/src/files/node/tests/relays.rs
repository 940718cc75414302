//! Peers who meet at a relay.

use std::{net::Ipv4Addr, sync::Arc};

use iroh_relay::server::{CertConfig, RelayConfig, Server, ServerConfig, TlsConfig};
use kez_core::payload::{Address, Addresses};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{crypto::ring, pki_types::PrivateKeyDer};
use tokio::sync::Notify;

use super::*;
use crate::{files::Relays, net::Roots};

/// A relay of the test's own, and whom it has its certificate from.
async fn relay() -> (Server, String, Roots) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server_config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut relay = RelayConfig::new((Ipv4Addr::LOCALHOST, 0));
    relay.tls = Some(TlsConfig::new((Ipv4Addr::LOCALHOST, 0), CertConfig::Manual { server_config }));
    let mut config = ServerConfig::default();
    config.relay = Some(relay);
    let server = Server::spawn(config).await.unwrap();
    let url = format!("https://localhost:{}", server.https_addr().unwrap().port());
    (server, url, Roots::system().and_pem(cert.pem().as_bytes()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_learnt_of_brings_two_together_and_the_way_is_told() {
    let (server, url, roots) = relay().await;
    let settings = NodeSettings { relays: Relays::Home, roots, ..settings() };
    let (alice, bob) = (Person::with(settings.clone()).await, Person::with(settings).await);
    let entry = alice.share(&content(8 * MIB), &bob).await;
    let told = Addresses::new([Address::Relay(url.clone())]);
    let away = bob.node.fetch(alice.key.primary(), &told, &entry, &bob.inbox(), |_| {}).await;
    assert!(matches!(away, Err(NodeError::Unreachable { .. })), "no relay is used unasked: {away:?}");

    for person in [&alice, &bob] {
        person.node.learn_relays(&["ftp://no.relay".to_owned(), url.clone()]).await;
        person.node.endpoint().online().await;
    }
    // It comes slowly until there is a direct way.
    alice.node.settings.uploads.set(Some(64 << 10));
    let (direct, mut ways) = (Notify::new(), Vec::new());
    let tell = |step| {
        if let FetchStep::Over(way) = step {
            ways.push(way);
            if way == TransferPath::Direct {
                direct.notify_one();
            }
        }
    };
    let lift = async {
        direct.notified().await;
        alice.node.settings.uploads.set(None);
    };
    let inbox = bob.inbox();
    let (fetched, ()) = tokio::join!(bob.node.fetch(alice.key.primary(), &told, &entry, &inbox, tell), lift);
    fetched.unwrap();
    // Who was told of the relay alone came by it, however soon they left it.
    assert_eq!(ways.last(), Some(&TransferPath::Direct), "{ways:?}");
    alice.shutdown().await;
    bob.shutdown().await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_can_be_no_relay_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let relays = Relays::Custom(vec!["https://relay.example".to_owned(), "http://relay.example".to_owned()]);
    let key = SecretKey::generate(&mut rand::rng());
    let refused = Node::start(dir.path(), &key, NodeSettings { relays, ..settings() }).await.err().unwrap();
    assert!(matches!(&refused, NodeError::BadRelay { url } if url == "http://relay.example"), "{refused:?}");
}
