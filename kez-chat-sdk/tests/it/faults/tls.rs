//! Brokers that speak TLS and WebSocket, with certificates of an authority that the application names.

use std::net::{Ipv4Addr, TcpListener};

use kez_testbed::Testbed;
use serde_json::json;

use super::recovers;
use crate::{
    authority::Authority,
    front::Front,
    people::{offline, online, two_friends},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_can_not_show_who_it_is_is_told_and_one_that_can_is_used() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let conf = authority.certify("localhost").nats_conf(folder.path());
    // The home's own connection goes without.
    let conf = format!("{conf}\nallow_non_tls: true");
    let mut testbed = Testbed::builder().extra_nats_conf(conf).start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    b.shutdown().await;
    let b = bob.builder().roots(authority.roots()).open().await.unwrap();
    let port = testbed.nats_url().rsplit_once(':').unwrap().1.to_owned();
    let (by_name, by_address) = (format!("tls://localhost:{port}"), format!("tls://127.0.0.1:{port}"));

    let front = listing(&mut testbed, &by_name).await;
    a.reconnect_now();
    offline(&a, "TlsFailed").await;
    a.shutdown().await;
    let a = alice.builder().roots(Authority::new().roots()).open().await.unwrap();
    offline(&a, "TlsFailed").await;
    a.shutdown().await;
    let a = alice.builder().roots(authority.roots()).open().await.unwrap();
    recovers(&a, &b).await;

    authority.certify_until("localhost", 2001).nats_conf(folder.path());
    testbed.kill_nats().await.unwrap();
    testbed.start_nats().await.unwrap();
    let cause = offline(&a, "TlsFailed").await;
    assert!(cause.to_string().contains("clock"), "{cause}");
    authority.certify("localhost").nats_conf(folder.path());
    testbed.kill_nats().await.unwrap();
    testbed.start_nats().await.unwrap();
    recovers(&a, &b).await;
    front.shutdown().await;

    let front = listing(&mut testbed, &by_address).await;
    a.reconnect_now();
    offline(&a, "TlsFailed").await;
    front.shutdown().await;
    let front = listing(&mut testbed, &by_name).await;
    recovers(&a, &b).await;
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_reached_over_websockets() {
    let port = free_port();
    let conf = format!(r#"websocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}"#);
    let mut testbed = Testbed::builder().extra_nats_conf(conf).start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    let front = listing(&mut testbed, &format!("ws://127.0.0.1:{port}")).await;
    a.reconnect_now();
    recovers(&a, &b).await;
    assert_eq!(front.asked(), 1);
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_reached_over_encrypted_websockets() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (tls, port) = (authority.certify("localhost").nats_conf(folder.path()), free_port());
    let conf = format!(r#"websocket {{ host: "127.0.0.1", port: {port}, {tls} }}"#);
    let mut testbed = Testbed::builder().extra_nats_conf(conf).start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    let front = listing(&mut testbed, &format!("wss://localhost:{port}")).await;
    a.reconnect_now();
    offline(&a, "TlsFailed").await;
    a.shutdown().await;
    let a = alice.builder().roots(authority.roots()).open().await.unwrap();
    recovers(&a, &b).await;
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Has the home list this broker alone.
async fn listing(testbed: &mut Testbed, url: &str) -> Front {
    let urls = json!([url]);
    Front::before(testbed, move |_, info| info["nats"]["urls"] = urls.clone()).await
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
