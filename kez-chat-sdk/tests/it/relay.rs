//! Whom somebody's endpoint answers that is reached by its id, through the home's relay.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use iroh::{
    Endpoint, EndpointAddr, EndpointId, RelayMode, RelayUrl,
    endpoint::{Connection, presets},
    tls::CaTlsConfig,
};
use iroh_relay::{
    client::ClientBuilder,
    protos::relay::{ClientToRelayMsg, RelayToClientMsg},
    server::{CertConfig, QuicConfig, RelayConfig, Server, ServerConfig, TlsConfig},
};
use kez_chat_sdk::{
    FilesError,
    identity::{PrimaryKey, SecretKey},
    manifest::Access,
};
use kez_testbed::Testbed;

use crate::{
    authority::Authority,
    front::home_with,
    people::{PATIENCE, Person, next},
};

/// Many times as long as an answer through a relay on this machine takes.
const NO_ANSWER: Duration = Duration::from_secs(3);

/// Carol has an account and Alice's key. That Alice is there she must not learn; Bob, to whom Alice offers a file, does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_comes_through_the_relay_is_not_answered() {
    let (authority, mut testbed) = (Authority::new(), Testbed::start().await.unwrap());
    let relay = Relay::start(&authority, "localhost", (Ipv4Addr::LOCALHOST, 0).into(), None).await;
    let urls = vec![relay.url.to_string()];
    let home = home_with(&mut testbed, |settings| settings.relay_urls = urls).await;
    let [alice, bob, carol] = [(); 3].map(|()| Person::new());
    let (a, b) = (alice.register(&testbed, "alice").await, bob.register(&testbed, "bob").await);
    carol.register(&testbed, "carol").await.shutdown().await;
    a.shutdown().await;
    let a = alice.builder().roots(authority.roots()).open().await.unwrap();
    a.contacts().add("@bob").await.unwrap();
    b.contacts().add("@alice").await.unwrap();
    let report = alice.folder.path().join("report.txt");
    std::fs::write(&report, "all is well").unwrap();
    a.files().share(&report, &[b.primary()]).await.unwrap();
    assert!(matches!(next(&b).await, kez_chat_sdk::Event::FileShared { .. }));

    // Bob is let in as soon as Alice's endpoint is at the relay.
    let (bobs, carols) = (relay.join(&bob.key()).await, relay.join(&carol.key()).await);
    let reached = async { while relay.dial(&bobs, a.primary()).await.is_none() {} };
    tokio::time::timeout(PATIENCE, reached).await.expect("Alice's endpoint is at the relay");
    let unanswered = relay.dial(&carols, a.primary()).await;
    assert!(unanswered.is_none(), "{unanswered:?}");
    let nobody = SecretKey::from_seed([9; 32]).primary();
    assert!(relay.dial(&carols, nobody).await.is_none(), "it is as if nobody were there");
    assert!(relay.dial(&bobs, a.primary()).await.is_some(), "she was there all the time");

    // It was not for want of a way.
    a.contacts().add("@carol").await.unwrap();
    a.files().share(&report, &[carol.key().primary()]).await.unwrap();
    assert!(relay.dial(&carols, a.primary()).await.is_some());
    carols.close().await;

    // What no software of ours sends is answered below where strangers are told apart: a packet of another version of QUIC.
    let answer = relay.ask_by_hand(&bobs, a.primary()).await;
    assert_eq!(answer[1..5], [0; 4], "a version negotiation");
    bobs.close().await;
    a.shutdown().await;
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Alice publishes something for anybody. Carol has no more than her handle, and finds it through the home's relay.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_public_is_found_by_a_stranger_for_as_long_as_it_is() {
    let (authority, mut testbed) = (Authority::new(), Testbed::start().await.unwrap());
    let relay = Relay::start(&authority, "localhost", (Ipv4Addr::LOCALHOST, 0).into(), None).await;
    let urls = vec![relay.url.to_string()];
    let home = home_with(&mut testbed, |settings| settings.relay_urls = urls).await;
    let [alice, carol] = [(); 2].map(|()| Person::new());
    for (person, name) in [(&alice, "alice"), (&carol, "carol")] {
        person.register(&testbed, name).await.shutdown().await;
    }
    let a = alice.builder().roots(authority.roots()).open().await.unwrap();
    let c = carol.builder().roots(authority.roots()).open().await.unwrap();
    let write = |name: &str| {
        let path = alice.folder.path().join(name);
        std::fs::write(&path, "all is well").unwrap();
        path
    };
    let publish = async |name, access| a.files().publish(&write(name), access).await.unwrap().entries.remove(0);
    let secret = publish("secret.txt", Access::Readers(Vec::new())).await;
    let public = publish("public.txt", Access::Public).await;
    let other = publish("other.txt", Access::Public).await;
    a.files().until_published().await.unwrap();
    let look = async {
        loop {
            match c.files().browse_handle("@alice").await {
                Err(FilesError::Waiting { .. }) => {}
                looked => break looked.unwrap(),
            }
        }
    };
    let listing = tokio::time::timeout(PATIENCE, look).await.expect("Alice's endpoint is at the relay");
    assert_eq!(listing.owner.handle.as_ref(), Some(a.handle()));
    let mut ids: Vec<_> = listing.entries.iter().map(|entry| entry.id).collect();
    ids.sort_unstable();
    let mut public_ids = [public.id, other.id];
    public_ids.sort_unstable();
    assert_eq!(ids, public_ids, "and not {}", secret.id);
    assert_eq!(c.files().browse_handle("@alice").await.unwrap().entries, listing.entries, "it is here by now");
    let paths = c.files().fetch_entry(a.primary(), public.id, carol.folder.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), "all is well");
    assert!(c.contacts().list().await.unwrap().is_empty());
    assert_eq!(c.files().browse_handle("@carol").await.unwrap_err().code(), "Yourself");
    assert_eq!(c.files().browse_handle("@nobody").await.unwrap_err().code(), "NoSuchHandle");

    // Whoever is blocked gets nothing of it either.
    a.contacts().block(c.primary()).await.unwrap();
    let shut_out = c.files().fetch_entry(a.primary(), other.id, carol.folder.path().join("late")).await.unwrap_err();
    // By now Carol has found a way without the relay, on which strangers are answered.
    assert!(matches!(shut_out.code(), "Waiting" | "NotPermitted"), "{shut_out:?}");

    let stranger = relay.join(&SecretKey::from_seed([8; 32])).await;
    assert!(relay.dial(&stranger, a.primary()).await.is_some(), "anybody can tell that she is there");
    a.files().unpublish(public.id).await.unwrap();
    a.files().set_access(other.id, Access::Readers(Vec::new())).await.unwrap();
    assert!(relay.dial(&stranger, a.primary()).await.is_none(), "nobody can any more");
    stranger.close().await;
    a.shutdown().await;
    c.shutdown().await;
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// A relay of the home's. It is gone when it is dropped.
pub(crate) struct Relay {
    url: RelayUrl,
    tls: CaTlsConfig,
    server: Server,
}

impl Relay {
    /// Starts one under a name, at an address for TLS, and at one where endpoints ask what their own address is.
    pub(crate) async fn start(
        authority: &Authority,
        name: &str,
        address: SocketAddr,
        quic: Option<SocketAddr>,
    ) -> Self {
        let server_config = authority.certify(name).server_config();
        let mut relay = RelayConfig::new((address.ip(), 0));
        relay.tls = Some(TlsConfig::new(address, CertConfig::Manual { server_config }));
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        config.quic = quic.map(QuicConfig::new);
        let server = Server::spawn(config).await.unwrap();
        let url = format!("https://{name}:{}", server.https_addr().unwrap().port()).parse().unwrap();
        Self { url, tls: CaTlsConfig::custom_roots([authority.certificate()]), server }
    }

    /// Returns where it is.
    pub(crate) fn url(&self) -> &RelayUrl {
        &self.url
    }

    /// Ends it, and tells who is there.
    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await.unwrap();
    }

    /// Comes to the relay with an endpoint that has no other way to anybody.
    async fn join(&self, key: &SecretKey) -> Endpoint {
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(iroh::SecretKey::from_bytes(key.expose_seed()))
            .relay_mode(RelayMode::custom([self.url.clone()]))
            .ca_tls_config(self.tls.clone())
            .clear_ip_transports()
            .bind()
            .await
            .unwrap();
        tokio::time::timeout(PATIENCE, endpoint.online()).await.expect("the relay takes us");
        endpoint
    }

    /// Dials somebody's endpoint by its id. `None` if nothing comes back.
    async fn dial(&self, from: &Endpoint, to: PrimaryKey) -> Option<Connection> {
        let id = id_of(to);
        let address = EndpointAddr::new(id).with_relay_url(self.url.clone());
        let dialled = tokio::time::timeout(NO_ANSWER, from.connect(address, iroh_blobs::ALPN)).await;
        dialled.ok().map(|answered| answered.expect("whoever answers lets us in"))
    }

    /// Sends somebody's endpoint the first packet of a version of QUIC that there is not, from a key that nobody knows, and
    /// returns what comes back.
    async fn ask_by_hand(&self, resolver: &Endpoint, to: PrimaryKey) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver = resolver.dns_resolver().unwrap().clone();
        let mut client = ClientBuilder::new(self.url.clone(), iroh::SecretKey::from_bytes(&[7; 32]), resolver)
            .tls_client_config(self.tls.client_config(provider).unwrap())
            .connect()
            .await
            .unwrap();
        let mut packet = vec![0; 1_200];
        packet[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8]);
        let question = ClientToRelayMsg::Datagrams { dst_endpoint_id: id_of(to), datagrams: packet.into() };
        client.send(question).await.unwrap();
        loop {
            let said = tokio::time::timeout(PATIENCE, client.next()).await.expect("an answer");
            if let RelayToClientMsg::Datagrams { datagrams, .. } = said.unwrap().unwrap() {
                return datagrams.contents.to_vec();
            }
        }
    }
}

fn id_of(who: PrimaryKey) -> EndpointId {
    EndpointId::from_bytes(who.as_bytes()).unwrap()
}
