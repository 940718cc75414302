//! The shared layers and the serve loop, over real sockets.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod crowd;
mod hostile;
mod refusals;
mod shutdown;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Once;

use kez_service::axum::Router;
use kez_service::layers::{self, Limits};
use kez_service::metrics::HttpMetrics;
use kez_service::serve::{Listener, Running};
use prometheus_client::registry::Registry;

/// Any free loopback port.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Puts the shared layers around a router.
fn layered(router: Router, limits: Limits) -> Router {
    layers::around(router, limits, HttpMetrics::register(&mut Registry::default()))
}

async fn serve(router: Router, limits: Limits) -> Running {
    Listener::bind(ANY).await.unwrap().serve(layers::around(
        router,
        limits,
        HttpMetrics::register(&mut Registry::default()),
    ))
}

fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().build().unwrap()
}
