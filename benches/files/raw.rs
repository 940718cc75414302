//! iroh-blobs alone: a file into a store, over one stream into another one, and out of it. Nothing is encrypted but the
//! connection, and nothing is synced to the disk beyond what the store does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use iroh::{Endpoint, EndpointAddr, RelayMode, TransportAddr, endpoint::presets, protocol::Router};
use iroh_blobs::{ALPN, BlobsProtocol, store::fs::FsStore, ticket::BlobTicket};

use crate::agent::Order;

pub(crate) struct Raw {
    store: FsStore,
    router: Router,
}

impl Raw {
    pub(crate) async fn open(folder: &Path) -> Self {
        let store = FsStore::load(folder).await.unwrap();
        let endpoint = Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled).bind().await.unwrap();
        let router = Router::builder(endpoint).accept(ALPN, BlobsProtocol::new(&store, None)).spawn();
        Self { store, router }
    }

    pub(crate) async fn obey(&self, order: Order) -> (Duration, String) {
        let begun = Instant::now();
        let ticket = match order {
            Order::Share { path } => {
                let tag = self.store.blobs().add_path(path).await.unwrap();
                let endpoint = self.router.endpoint();
                let sockets = endpoint.bound_sockets().into_iter().filter(SocketAddr::is_ipv4);
                let local = sockets.map(|socket| SocketAddr::from((Ipv4Addr::LOCALHOST, socket.port())));
                let address = EndpointAddr::from_parts(endpoint.id(), local.map(TransportAddr::Ip));
                BlobTicket::new(address, tag.hash, tag.format).to_string()
            }
            Order::Fetch { ticket, folder } => {
                let ticket: BlobTicket = ticket.parse().unwrap();
                let connection = self.router.endpoint().connect(ticket.addr().clone(), ALPN).await.unwrap();
                self.store.remote().fetch(connection, ticket.hash_and_format()).await.unwrap();
                self.store.blobs().export(ticket.hash(), folder.join("file")).await.unwrap();
                String::new()
            }
            // A store is used once.
            Order::Meet { .. } | Order::Clear => String::new(),
        };
        (begun.elapsed(), ticket)
    }

    pub(crate) async fn close(self) {
        self.router.shutdown().await.unwrap();
    }
}
