//! A cluster of brokers that loses a node for good.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use kez_chat_server::{Server, ServerSecret, Settings};
use kez_core::broker::subject;
use kez_core::handle::Policy;
use kez_service::rate::Rate;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::nats::{Nats, conf_of};
use crate::support::{Person, http, next, until, until_within};

const PEOPLE: usize = 12;

/// Finds ports that are free now. Cluster routes have to be known before the first node is there.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

async fn start_cluster(secret: &ServerSecret) -> Vec<(TempDir, Nats)> {
    let ports = free_ports();
    let routes: Vec<_> = ports.iter().map(|port| format!("nats-route://127.0.0.1:{port}")).collect();
    let mut nodes = Vec::new();
    for (n, port) in ports.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let mut conf = conf_of(secret, folder.path());
        writeln!(conf, "server_name: node{n}").unwrap();
        writeln!(conf, "cluster {{ name: kez, listen: \"127.0.0.1:{port}\", routes: [ {} ] }}", routes.join(", "))
            .unwrap();
        let nats = Nats::start(folder.path(), &conf).await;
        nodes.push((folder, nats));
    }
    nodes
}

/// Tells on which node a consumer lives, if one answers for it.
async fn home_of(operator: &Client, person: &Person) -> Option<String> {
    let subject = format!("$JS.API.CONSUMER.INFO.KEZ_INBOX.{}", person.primary.to_hex());
    let answer = operator.request(subject, "".into()).await.ok()?;
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    answer["cluster"]["leader"].as_str().map(ToOwned::to_owned)
}

#[tokio::test]
async fn consumers_of_a_lost_node_are_made_again_and_nothing_is_lost() {
    let secret = ServerSecret::generate(&mut rand::rng());
    let mut nodes = start_cluster(&secret).await;
    let urls: Vec<_> = nodes.iter().map(|(_, nats)| nats.url.clone()).collect();
    let folder = tempfile::tempdir().unwrap();
    let (bind, db_path) = (([127, 0, 0, 1], 0).into(), folder.path().join("handles.db"));
    let seed = secret.chat_server_seed().unwrap().to_string();
    let mut settings = Settings::new(bind, urls.join(","), "http://127.0.0.1:1", db_path, secret);
    settings.policy = Policy::Development;
    settings.stream_replicas = 3;
    settings.register_rate = Rate::OFF;
    let server = Server::bind(settings).await.unwrap();
    let (domain, home) = (server.domain().clone(), format!("http://{}", server.local_addr()));

    let mut people = Vec::new();
    for n in 0..PEOPLE {
        let person = Person::new();
        let registration = person.registration(&domain, &format!("person{n}"));
        until(async || {
            let response = http().post(format!("{home}/v1/register")).json(&registration).send().await.unwrap();
            let status = response.status();
            (status == StatusCode::CREATED).then_some(())
        })
        .await;
        people.push(person);
    }
    let operator = ConnectOptions::with_nkey(seed).connect(&urls).await.unwrap();
    let mut homes = Vec::new();
    for person in &people {
        operator
            .request(format!("kez.inbox.{}.{}", person.primary.to_hex(), "0a".repeat(16)), "hello".into())
            .await
            .unwrap();
        homes.push(until(async || home_of(&operator, person).await).await);
    }
    // The one that most consumers live on is lost, with its disk.
    let lost = (0..3).max_by_key(|n| homes.iter().filter(|home| **home == format!("node{n}")).count()).unwrap();
    let count = homes.iter().filter(|home| **home == format!("node{lost}")).count();
    assert!(count >= PEOPLE / 3, "{homes:?}");
    let (store, node) = nodes.remove(lost);
    node.kill().await;
    drop(store);

    let left: Vec<_> = nodes.iter().map(|(_, nats)| nats.url.clone()).collect();
    for person in &people {
        // The cluster takes ten seconds to give a node up, and the server about as long to notice.
        let client = until_within(Duration::from_secs(90), async || {
            let (who, domain) = (Person { key: person.key.clone(), primary: person.primary }, domain.clone());
            ConnectOptions::with_auth_callback(move |nonce| std::future::ready(Ok(who.login(&domain, &nonce))))
                .connect(&left)
                .await
                .ok()
        })
        .await;
        let mut inbox = client.subscribe(subject::deliver(&person.primary)).await.unwrap();
        assert_eq!(next(&mut inbox).await.payload, "hello");
    }
    server.shutdown().await;
}
