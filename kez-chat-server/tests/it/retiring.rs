//! People who leave for good: what the home says of them, and what is left of them on the broker.

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind};
use futures::future::join_all;
use kez_chat_server::nats_conf::NatsConf;
use kez_core::handle::{Home, Policy};
use kez_core::identity::PrimaryKey;
use kez_service::rusqlite::Connection;
use kez_testbed::Testbed;
use nkeys::KeyPair;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::inbox_keeping::{operator, waiting};
use crate::support::{Person, code_of, get, json_of, next, register, retire, try_login, until};

/// Tells whether the broker keeps a consumer for somebody.
pub(crate) async fn has_consumer(operator: &Client, owner: &PrimaryKey) -> bool {
    let subject = format!("$JS.API.CONSUMER.INFO.KEZ_INBOX.{}", owner.to_hex());
    let answer = operator.request(subject, "".into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    match answer["error"]["err_code"].as_u64() {
        None => true,
        Some(10_014) => false,
        Some(other) => panic!("{other}: {answer}"),
    }
}

pub(crate) async fn until_cleared(operator: &Client, owner: &PrimaryKey) {
    until(async || (waiting(operator, owner).await == 0 && !has_consumer(operator, owner).await).then_some(())).await;
}

/// Counts the departures that the broker side still has to work off.
fn open_departures(testbed: &Testbed) -> u64 {
    let registry = Connection::open(testbed.folder().join("registry.db")).unwrap();
    registry.query_row("SELECT count(*) FROM departures", [], |row| row.get(0)).unwrap()
}

async fn assert_gone(testbed: &Testbed, who: &Person, name: &str) {
    for path in [
        format!("/v1/u/{name}"),
        format!("/v1/p/{}", who.primary),
        format!("/.well-known/webfinger?resource=acct:{name}@{}", testbed.domain()),
    ] {
        let response = get(testbed, &path).await;
        assert_eq!(response.status(), StatusCode::GONE, "{path}");
        assert_eq!(code_of(response).await, "Retired", "{path}");
    }
}

async fn assert_shut_out(testbed: &Testbed, who: &Person) {
    let (person, domain) = (Person { key: who.key.clone(), primary: who.primary }, testbed.domain().clone());
    let error = try_login(testbed, move |nonce| person.login(&domain, &nonce)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation, "{error}");
}

#[tokio::test]
async fn who_retires_is_disconnected_and_nothing_of_them_is_left() {
    let testbed = Testbed::start().await.unwrap();
    let home = testbed.domain().clone();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let operator = operator(&testbed).await;
    let (alice_route, bob_route) = (alice.route(&testbed).await, bob.route(&testbed).await);
    // Twice, as with two devices.
    let mut alice_on = [alice.connect(&testbed).await, alice.connect(&testbed).await];
    let bob_on = bob.connect(&testbed).await;
    bob_on.send(&alice.primary, &bob_route, "one").await;
    bob_on.send(&alice.primary, &bob_route, "two").await;
    alice_on[0].send(&bob.primary, &alice_route, "to Bob").await;
    assert_eq!(waiting(&operator, &alice.primary).await, 2);

    let request = alice.retirement(&home, "alice");
    let response = retire(&testbed, &request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let first = json_of(response).await;
    assert_eq!(first, json!({ "handle": format!("alice@{home}") }));
    assert_gone(&testbed, &alice, "alice").await;
    for connection in &mut alice_on {
        connection.cut_off().await;
    }
    assert_shut_out(&testbed, &alice).await;
    until_cleared(&operator, &alice.primary).await;

    // Again, as after an answer that got lost.
    let again = retire(&testbed, &request).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(json_of(again).await, first);
    let anew = register(&testbed, &alice.registration(&home, "alice")).await;
    assert_eq!(code_of(anew).await, "Retired");

    // Bob has noticed nothing.
    assert_eq!(waiting(&operator, &bob.primary).await, 1);
    assert!(has_consumer(&operator, &bob.primary).await);
    assert_eq!(next(&mut bob_on.inbox().await).await.payload, "to Bob");
    assert!(bob_on.send(&bob.primary, &bob_route, "to myself").await["error"].is_null());

    // A login that was judged just before she left makes her consumer anew, and fills again. That goes too.
    let name = alice.primary.to_hex();
    let consumer = json!({ "durable_name": name, "ack_policy": "explicit" });
    let create = json!({ "stream_name": "KEZ_INBOX", "config": consumer });
    let subject = format!("$JS.API.CONSUMER.CREATE.KEZ_INBOX.{name}");
    operator.request(subject, create.to_string().into()).await.unwrap();
    bob_on.send(&alice.primary, &bob_route, "late").await;
    assert!(has_consumer(&operator, &alice.primary).await);
    assert_eq!(waiting(&operator, &alice.primary).await, 1);
    until(async || (open_departures(&testbed) == 0).then_some(())).await;
    assert!(!has_consumer(&operator, &alice.primary).await);
    assert_eq!(waiting(&operator, &alice.primary).await, 0);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_retirement_needs_its_own_signature_by_the_owner() {
    let testbed = Testbed::start().await.unwrap();
    let home = testbed.domain().clone();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let stranger = Person::new();

    let with = |member: &str, value: Value| {
        let mut request = alice.retirement(&home, "alice");
        request[member] = value;
        request
    };
    let signature = |person: &Person, name: &str| person.retirement(&home, name)["retire_sig"].clone();
    let other_home = Home::parse("kez.lat", Policy::Development).unwrap();
    let cases = [
        (with("retire_sig", signature(&bob, "alice")), 422, "BadSignature"),
        (with("retire_sig", signature(&alice, "bob")), 422, "BadSignature"),
        // What she signed to register does not take her out.
        (with("retire_sig", alice.registration(&home, "alice")["registration_sig"].clone()), 422, "BadSignature"),
        (with("retire_sig", json!("A".repeat(85))), 400, "BadBase64"),
        (with("retire_sig", json!("AAAA")), 422, "BadSignature"),
        (bob.retirement(&home, "alice"), 409, "HandleTaken"),
        (stranger.retirement(&home, "alice"), 409, "HandleTaken"),
        (alice.retirement(&home, "alicia"), 404, "NotFound"),
        (alice.retirement(&home, "admin"), 404, "NotFound"),
        (alice.retirement(&other_home, "alice"), 400, "ForeignHome"),
        (with("handle", json!("alice")), 400, "BadHandle"),
        (with("handle", json!(format!("Alice@{home}"))), 400, "BadHandle"),
        (with("primary", json!(alice.primary.to_hex())), 400, "BadKeyText"),
        (with("primary", json!(format!("ed25519:{}", "0".repeat(64)))), 400, "BadKey"),
        (with("primary", json!(7)), 400, "Malformed"),
        (with("more", json!(1)), 400, "Malformed"),
        (with("registration_sig", signature(&alice, "alice")), 400, "Malformed"),
        (json!({}), 400, "Malformed"),
    ];
    for (request, status, code) in cases {
        let response = retire(&testbed, &request).await;
        assert_eq!(response.status().as_u16(), status, "{request}");
        assert_eq!(code_of(response).await, code, "{request}");
    }
    for name in ["alice", "bob"] {
        assert_eq!(get(&testbed, &format!("/v1/u/{name}")).await.status(), StatusCode::OK, "{name} is still there");
    }

    // And the other way round: a retirement registers nobody.
    let mut request = stranger.registration(&home, "carol");
    request["registration_sig"] = signature(&stranger, "carol");
    assert_eq!(code_of(register(&testbed, &request).await).await, "BadSignature");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_retirement_while_the_broker_is_away_is_made_good_when_it_is_back() {
    let mut testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let route = bob.route(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    bob_on.send(&alice.primary, &route, "hello").await;
    bob_on.send(&bob.primary, &route, "to myself").await;

    testbed.kill_nats().await.unwrap();
    let response = retire(&testbed, &alice.retirement(testbed.domain(), "alice")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_gone(&testbed, &alice, "alice").await;
    assert_eq!(open_departures(&testbed), 1);

    testbed.start_nats().await.unwrap();
    let operator = operator(&testbed).await;
    until_cleared(&operator, &alice.primary).await;
    assert_eq!(waiting(&operator, &bob.primary).await, 1);
    assert_shut_out(&testbed, &alice).await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_server_that_died_before_it_cleared_away_does_it_after_its_start() {
    let mut testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let bob_on = bob.connect(&testbed).await;
    bob_on.send(&alice.primary, &bob.route(&testbed).await, "hello").await;

    testbed.kill_nats().await.unwrap();
    let response = retire(&testbed, &alice.retirement(testbed.domain(), "alice")).await;
    assert_eq!(response.status(), StatusCode::OK);
    testbed.drop_chat_server();
    testbed.start_nats().await.unwrap();
    let operator = operator(&testbed).await;
    assert_eq!(waiting(&operator, &alice.primary).await, 1, "nobody is there to clear away");
    assert!(has_consumer(&operator, &alice.primary).await);

    testbed.start_chat_server().await.unwrap();
    until_cleared(&operator, &alice.primary).await;
    assert!(has_consumer(&operator, &bob.primary).await);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn whom_a_command_takes_out_beside_the_server_is_disconnected_too() {
    let testbed = Testbed::start().await.unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let mut alice_on = alice.connect(&testbed).await;
    let registry = Connection::open(testbed.folder().join("registry.db")).unwrap();
    let removal = "BEGIN; INSERT INTO departures (primary_key, since_ms) SELECT primary_key, 1 FROM handles;
                   DELETE FROM handles; COMMIT";
    registry.execute_batch(removal).unwrap();
    alice_on.cut_off().await;
    let operator = operator(&testbed).await;
    until_cleared(&operator, &alice.primary).await;

    // She may come back, and keeps what she gets then.
    let response = register(&testbed, &alice.registration(testbed.domain(), "alice")).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let alice_on = alice.connect(&testbed).await;
    let route = alice.route(&testbed).await;
    alice_on.send(&alice.primary, &route, "to myself").await;
    assert_eq!(open_departures(&testbed), 0);
    assert_eq!(next(&mut alice_on.inbox().await).await.payload, "to myself");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn more_connections_than_one_answer_names_are_all_ended() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);
    let bob_on = bob.connect(&testbed).await;
    let mut alice_on = join_all((0..150).map(|_| alice.connect(&testbed))).await;
    let response = retire(&testbed, &alice.retirement(testbed.domain(), "alice")).await;
    assert_eq!(response.status(), StatusCode::OK);
    for connection in &mut alice_on {
        connection.cut_off().await;
    }
    assert_eq!(bob_on.client.connection_state(), State::Connected);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn without_the_sys_user_all_but_the_kick_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let instead = dir.path().join("instead.conf");
    std::fs::write(&instead, "").unwrap();
    // nats-server takes the path from its configuration's folder on; above the root there is only the root.
    let include = format!("include '{}{}'", "../".repeat(16), instead.display());
    let mut testbed = Testbed::builder().extra_nats_conf(include).start().await.unwrap();
    let (alice, bob) = (Person::registered(&testbed, "alice").await, Person::registered(&testbed, "bob").await);

    // The same configuration with a SYS user that is not this server's.
    testbed.kill_nats().await.unwrap();
    let mut keys = testbed.secret().public_keys();
    keys.sys_user = KeyPair::new_user().public_key();
    let listen = testbed.nats_url().strip_prefix("nats://").unwrap().parse().unwrap();
    let mut conf = NatsConf::new(listen, testbed.folder().join("nats").join("store"), keys);
    conf.max_file_store_bytes = 2_000_000_000;
    std::fs::write(&instead, conf.render()).unwrap();
    testbed.start_nats().await.unwrap();
    until(async || (json_of(get(&testbed, "/v1/healthz").await).await["nats"] == "ok").then_some(())).await;

    let route = bob.route(&testbed).await;
    let alice_on = alice.connect(&testbed).await;
    let bob_on = bob.connect(&testbed).await;
    bob_on.send(&alice.primary, &route, "hello").await;
    let response = retire(&testbed, &alice.retirement(testbed.domain(), "alice")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let operator = operator(&testbed).await;
    until_cleared(&operator, &alice.primary).await;
    until(async || (open_departures(&testbed) == 0).then_some(())).await;
    assert_eq!(alice_on.client.connection_state(), State::Connected, "her login lasts until it ends by itself");
    assert_shut_out(&testbed, &alice).await;
    testbed.shutdown().await.unwrap();
}
