//! A secret being rotated: who still knows the previous server key gets through.

use async_nats::ConnectOptions;
use kez_chat_server::{Server, ServerSecret, Settings};
use kez_core::broker::{Day, Route, subject};
use kez_core::handle::Policy;
use kez_core::identity::PrimaryKey;
use reqwest::StatusCode;
use serde_json::Value;

use crate::nats::{Nats, conf_of};
use crate::support::{PATIENCE, Person, http, json_of};

#[tokio::test]
async fn routes_of_both_secrets_are_granted_while_rotating() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let first = ServerSecret::generate(&mut rand::rng());
    first.create_file(&path).unwrap();
    ServerSecret::rotate(&path, &mut rand::rng()).unwrap();
    let secret = ServerSecret::from_file(&path).unwrap();
    let nats = Nats::start(dir.path(), &conf_of(&secret, dir.path())).await;

    let bind = ([127, 0, 0, 1], 0).into();
    let db_path = dir.path().join("handles.db");
    let mut settings = Settings::new(bind, &nats.url, "http://127.0.0.1:1", db_path, secret.clone());
    settings.policy = Policy::Development;
    let server = Server::bind(settings).await.unwrap();
    let (alice, home) = (Person::new(), server.domain().clone());
    let url = format!("http://{}/v1", server.local_addr());
    let registration = alice.registration(&home, "alice");
    let registered = http().post(format!("{url}/register")).json(&registration).send().await.unwrap();
    assert_eq!(registered.status(), StatusCode::CREATED);

    let info = json_of(http().get(format!("{url}/info")).send().await.unwrap()).await;
    let servers: Vec<PrimaryKey> = [secret, first].map(|secret| secret.server_keys()[0].primary()).into();
    let announced = servers.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(info["server_keys"], serde_json::json!(announced), "the current one first");
    let day = Day::from_unix_ms(info["now_ms"].as_u64().unwrap());

    let (primary, login) = (alice.primary, Person { key: alice.key.clone(), primary: alice.primary });
    let client = ConnectOptions::with_auth_callback(move |nonce| std::future::ready(Ok(login.login(&home, &nonce))))
        .custom_inbox_prefix(subject::reply_prefix(&primary))
        .connect(&nats.url)
        .await
        .unwrap();
    for (sequence, key) in (1..).zip(&servers) {
        let route = Route::derive(&alice.key.agree(key), day, &primary, key);
        let sent = client.request(subject::inbox_publish(&primary, &route), "hello".into());
        let ack = tokio::time::timeout(PATIENCE, sent).await.unwrap().unwrap();
        let ack: Value = serde_json::from_slice(&ack.payload).unwrap();
        assert_eq!((&ack["stream"], &ack["seq"]), (&"KEZ_INBOX".into(), &Value::from(sequence)), "{ack}");
    }
    server.shutdown().await;
}
