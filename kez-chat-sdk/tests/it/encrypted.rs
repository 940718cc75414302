//! The rules of the open network: names, public addresses, and TLS to all three servers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use kez_chat_sdk::{
    Client, HomeUrl, Roots,
    handle::{Home, Policy},
    resolve_handle,
};
use kez_testbed::Testbed;
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
    people::{Person, next, offline, online, text_of},
    wire::Wire,
};

const HOME: (&str, Ipv4Addr) = ("kez.test", Ipv4Addr::new(203, 0, 113, 1));
const SIGCHAINS: (&str, Ipv4Addr) = ("sig.kez.test", Ipv4Addr::new(203, 0, 113, 2));

#[tokio::test(flavor = "multi_thread")]
async fn a_home_with_an_authority_of_its_own_is_used_by_who_trusts_it_and_by_nobody_else() {
    let name = "encrypted::a_home_with_an_authority_of_its_own_is_used_by_who_trusts_it_and_by_nobody_else";
    if !namespace::enter(name).await {
        return;
    }
    namespace::set_names(&[HOME, SIGCHAINS]);
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let conf = authority.certify(HOME.0).nats_conf(folder.path());
    let mut testbed = Testbed::builder().extra_nats_conf(format!("{conf}\nallow_non_tls: true")).start().await.unwrap();
    let broker = Wire::from(TcpListener::bind((HOME.1, 0)).await.unwrap(), &testbed.nats_url());
    let broker_url = format!("tls://{}:{}", HOME.0, broker.url().rsplit_once(':').unwrap().1);
    let address = testbed.home_url().replace("http://localhost", "127.0.0.1").parse().unwrap();
    // A registry is one home's.
    let registry = testbed.folder().join("kez.test.db");
    let home = home_with(&mut testbed, |settings| {
        settings.domain = Some(Home::parse(HOME.0, Policy::Production).unwrap());
        settings.policy = Policy::Production;
        settings.db_path = registry;
        settings.nats_public_urls = vec![broker_url.clone()];
        settings.sig_public_url = Some(format!("https://{}", SIGCHAINS.0));
    })
    .await;
    let sigchains = testbed.sig_url().rsplit('/').next().unwrap().parse().unwrap();
    let _home_tls = terminate_tls(HOME, &authority.certify(HOME.0), address).await;
    let _sigchains_tls = terminate_tls(SIGCHAINS, &authority.certify(SIGCHAINS.0), sigchains).await;

    let stranger = Person::new();
    assert_eq!(register(&stranger, "mallory", Roots::system()).await.unwrap_err(), "Unreachable");
    let (alice, bob) = (Person::new(), Person::new());
    register(&alice, "alice", authority.roots()).await.unwrap();
    register(&bob, "bob", authority.roots()).await.unwrap();
    let a = alice.builder().roots(authority.roots()).open().await.unwrap();
    let b = bob.builder().roots(authority.roots()).open().await.unwrap();
    let contact = a.contacts().add("@bob").await.unwrap();
    assert_eq!(contact.broker_url, Some(broker_url));
    b.contacts().add("@alice").await.unwrap();
    a.conversation(b.primary()).send_text("by name, and under TLS").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "by name, and under TLS");
    online(&a).await;
    a.shutdown().await;

    let a: Client = alice.open().await;
    offline(&a, "TlsFailed").await;
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

async fn register(person: &Person, name: &str, roots: Roots) -> Result<(), String> {
    let account = person.backed_up().await.with_roots(roots);
    let server = HomeUrl::parse(&format!("https://{}", HOME.0)).unwrap();
    let handle = resolve_handle(name, Some(&server)).unwrap();
    account.register(&handle, |_| {}).await.map(drop).map_err(|error| error.code().to_owned())
}

/// Stands before a server that speaks plain HTTP, as a reverse proxy does.
async fn terminate_tls((_, address): (&str, Ipv4Addr), identity: &Identity, server: SocketAddr) -> JoinHandle<()> {
    let acceptor = TlsAcceptor::from(Arc::new(identity.server_config()));
    let listener = TcpListener::bind((address, 443)).await.unwrap();
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
