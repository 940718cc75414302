//! Published sigchains, read and written behind the client's back; and what the home says of a key.

use kez_chat_sdk::{
    handle::Policy,
    identity::{PrimaryKey, SecretKey},
    sigchain::{Chain, Op, Timestamp},
};
use kez_testbed::{Testbed, http};
use serde_json::Value;

use crate::front::address_of;

/// Asks the home about a key; `None` if it has left.
pub(crate) async fn profile(testbed: &Testbed, key: &PrimaryKey) -> Option<Value> {
    let mut home = http::Connection::open(address_of(testbed)).await.unwrap();
    let answer = home.ask(&http::get(&format!("/v1/p/{key}"))).await.unwrap();
    if answer.status == 410 { None } else { Some(serde_json::from_slice(&answer.body).unwrap()) }
}

/// Walks a published chain from its start.
pub(crate) async fn published(testbed: &Testbed, key: &PrimaryKey) -> Chain {
    let page = ask(testbed, &http::get(&path(key))).await;
    let mut chain = Chain::new(*key, Policy::Development);
    for jws in page["events"].as_array().unwrap() {
        chain.push(jws.as_str().unwrap()).unwrap();
    }
    chain
}

/// Publishes an operation as another installation would.
pub(crate) async fn publish(testbed: &Testbed, key: &SecretKey, op: Op) {
    let mut chain = published(testbed, &key.primary()).await;
    let event = chain.sign_next(key, op, &Timestamp::from_unix_ms(0)).unwrap();
    let path = format!("{}/events", path(&key.primary()));
    let place = ask(testbed, &http::post(&path, "application/jose", event.jws().as_bytes())).await;
    assert_eq!(place["seq"], event.seq());
}

async fn ask(testbed: &Testbed, request: &[u8]) -> Value {
    let address = testbed.sig_url().strip_prefix("http://").unwrap().parse().unwrap();
    let answer = http::Connection::open(address).await.unwrap().ask(request).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

/// Returns where a sigchain server has somebody's chain.
pub(crate) fn path(key: &PrimaryKey) -> String {
    format!("/v1/sigchains/ed25519/{}", key.to_hex())
}
