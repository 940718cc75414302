//! A home on the open network: under names, at public addresses, and all of it by TLS on port 443.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use kez_chat_sdk::{
    HomeUrl, Roots,
    handle::{Home, Policy},
    resolve_handle,
};
use kez_chat_server::Server;
use kez_testbed::{Testbed, guard::GuardedFolder};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::{Authority, Identity},
    front::home_with,
    namespace,
    people::Person,
    wire::Wire,
};

pub(crate) const BROKER_URL: &str = "tls://nats.kez.test:443";
const HOME: (&str, Ipv4Addr) = ("kez.test", Ipv4Addr::new(203, 0, 113, 1));
const SIGCHAINS: (&str, Ipv4Addr) = ("sig.kez.test", Ipv4Addr::new(203, 0, 113, 2));
const BROKER: (&str, Ipv4Addr) = ("nats.kez.test", Ipv4Addr::new(203, 0, 113, 3));
const PORT: u16 = 443;

/// A home that goes by the rules of production. Its certificates are of an authority of its own.
pub(crate) struct OpenNetwork {
    pub(crate) authority: Authority,
    testbed: Testbed,
    home: Server,
    _doors: [JoinHandle<()>; 2],
    _broker: Wire,
    _certificate: GuardedFolder,
}

impl OpenNetwork {
    /// Starts it in a namespace that the test has entered. The home offers a relay of this name and address, if there is to
    /// be one.
    pub(crate) async fn start(relay: Option<(&str, Ipv4Addr)>) -> Self {
        let names: Vec<_> = [HOME, SIGCHAINS, BROKER].into_iter().chain(relay).collect();
        namespace::set_names(&names);
        let (authority, certificate) = (Authority::new(), GuardedFolder::create("kez-open-network").await.unwrap());
        let conf = authority.certify(BROKER.0).nats_conf(certificate.path());
        let testbed = Testbed::builder().extra_nats_conf(format!("{conf}\nallow_non_tls: true")).start().await;
        let mut testbed = testbed.unwrap();
        let broker = Wire::from(TcpListener::bind((BROKER.1, PORT)).await.unwrap(), &testbed.nats_url());
        let address = testbed.home_url().replace("http://localhost", "127.0.0.1").parse().unwrap();
        // A registry is one home's.
        let registry = testbed.folder().join("kez.test.db");
        let home = home_with(&mut testbed, |settings| {
            settings.domain = Some(Home::parse(HOME.0, Policy::Production).unwrap());
            settings.policy = Policy::Production;
            settings.db_path = registry;
            settings.nats_public_urls = vec![BROKER_URL.to_owned()];
            settings.sig_public_url = Some(format!("https://{}", SIGCHAINS.0));
            settings.relay_urls = relay.iter().map(|(name, _)| format!("https://{name}")).collect();
        })
        .await;
        let sigchains = testbed.sig_url().rsplit('/').next().unwrap().parse().unwrap();
        let doors = [
            terminate_tls(HOME, &authority.certify(HOME.0), address).await,
            terminate_tls(SIGCHAINS, &authority.certify(SIGCHAINS.0), sigchains).await,
        ];
        Self { authority, testbed, home, _doors: doors, _broker: broker, _certificate: certificate }
    }

    /// Returns a folder that goes when this network does, however that ends.
    #[cfg(feature = "files")]
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.testbed.folder()
    }

    pub(crate) async fn shutdown(self) {
        self.home.shutdown().await;
        self.testbed.shutdown().await.unwrap();
    }
}

/// Registers somebody at the home, who trusts these roots.
pub(crate) async fn register(person: &Person, name: &str, roots: Roots) -> Result<(), String> {
    let account = person.backed_up().await.with_roots(roots);
    let server = HomeUrl::parse(&format!("https://{}", HOME.0)).unwrap();
    let handle = resolve_handle(name, Some(&server)).unwrap();
    account.register(&handle, |_| {}).await.map(drop).map_err(|error| error.code().to_owned())
}

/// Stands before a server that speaks plain HTTP, as a reverse proxy does.
async fn terminate_tls((_, address): (&str, Ipv4Addr), identity: &Identity, server: SocketAddr) -> JoinHandle<()> {
    let acceptor = TlsAcceptor::from(Arc::new(identity.server_config()));
    let listener = TcpListener::bind((address, PORT)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await.ok()?;
                let mut server = TcpStream::connect(server).await.ok()?;
                copy_bidirectional(&mut client, &mut server).await.ok()
            });
        }
    })
}
