//! Who is let in to the broker, and who is not.

use std::sync::{Arc, Mutex};

use async_nats::{Auth, ConnectErrorKind};
use data_encoding::BASE64URL_NOPAD;
use kez_core::broker::{Day, Route};
use kez_core::handle::{Home, Policy};
use kez_testbed::Testbed;
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};

use crate::support::{Person, get, http, json_of, try_login};

async fn assert_refused(testbed: &Testbed, what: &str, answer: impl Fn(Vec<u8>) -> Auth + Send + Sync + 'static) {
    let error = try_login(testbed, answer).await.map(drop).expect_err(what);
    assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation, "{what}: {error}");
}

#[tokio::test]
async fn only_a_registered_key_with_a_bound_signature_gets_in() {
    let testbed = Testbed::start().await.unwrap();
    let alice = Arc::new(Person::registered(&testbed, "alice").await);
    let bob = Arc::new(Person::registered(&testbed, "bob").await);
    let home = testbed.domain().clone();

    // The nonce of a login that worked is what an eavesdropper has.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (person, domain, nonces) = (Arc::clone(&alice), home.clone(), Arc::clone(&seen));
    try_login(&testbed, move |nonce| {
        *nonces.lock().unwrap() = nonce.clone();
        person.login(&domain, &nonce)
    })
    .await
    .unwrap();
    let old_nonce = seen.lock().unwrap().clone();

    let (person, thief, domain) = (Arc::clone(&alice), Arc::clone(&bob), home.clone());
    assert_refused(&testbed, "somebody else's signature", move |nonce| {
        person.auth(thief.login(&domain, &nonce).signature.unwrap())
    })
    .await;
    let person = Arc::clone(&alice);
    assert_refused(&testbed, "no signature", move |_| {
        let mut auth = person.auth(Vec::new());
        auth.signature = None;
        auth
    })
    .await;
    let person = Arc::clone(&alice);
    assert_refused(&testbed, "an empty signature", move |_| person.auth(Vec::new())).await;
    let person = Arc::clone(&alice);
    assert_refused(&testbed, "a signature over the bare nonce", move |nonce| {
        let keys = KeyPair::new_from_raw(KeyPairType::User, *person.key.expose_seed()).unwrap();
        person.auth(keys.sign(&nonce).unwrap())
    })
    .await;
    let person = Arc::clone(&alice);
    assert_refused(&testbed, "a signature made for another home", move |nonce| {
        person.login(&Home::parse("evil.example", Policy::Production).unwrap(), &nonce)
    })
    .await;
    let (person, domain) = (Arc::clone(&alice), home.clone());
    assert_refused(&testbed, "a signature made for another nonce", move |_| person.login(&domain, &old_nonce)).await;
    let (person, domain) = (Arc::new(Person::new()), home.clone());
    assert_refused(&testbed, "an unregistered key", move |nonce| person.login(&domain, &nonce)).await;
    assert_refused(&testbed, "nothing at all", |_| Auth::new()).await;

    // After all that, those who may still can.
    bob.connect(&testbed).await;
    testbed.shutdown().await.unwrap();
}

/// A callout's request as a nats-server writes it.
pub(crate) fn request_jwt(person: &Person, domain: &Home, nonce: &str) -> String {
    let server = KeyPair::new_server();
    let signature = person.login(domain, nonce.as_bytes()).signature.unwrap();
    let claims = json!({
        "iss": server.public_key(),
        "nats": {
            "type": "authorization_request",
            "server_id": { "id": server.public_key() },
            "user_nkey": KeyPair::new_user().public_key(),
            "client_info": { "nonce": nonce },
            "connect_opts": { "nkey": person.primary.to_nkey(), "sig": BASE64URL_NOPAD.encode(&signature) },
        },
    });
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = server.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

pub(crate) fn claims_of(jwt: &str) -> Value {
    let claims = BASE64URL_NOPAD.decode(jwt.split('.').nth(1).unwrap().as_bytes()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

#[tokio::test]
async fn a_grant_is_for_the_own_subjects_and_less_than_a_day() {
    let testbed = Testbed::start().await.unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let address = testbed.chat_server().unwrap().internal_addr().unwrap();
    let ask = async |request: String| {
        let url = format!("http://{address}/internal/nats/auth");
        let response = http().post(url).body(request).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/jwt");
        claims_of(&response.text().await.unwrap())
    };
    let issuer = testbed.secret().public_keys().issuer;

    let answer = ask(request_jwt(&alice, testbed.domain(), "a-nonce")).await;
    assert_eq!(answer["iss"], issuer);
    let grant = claims_of(answer["nats"]["jwt"].as_str().unwrap());
    assert_eq!((grant["iss"].as_str(), grant["aud"].as_str()), (Some(issuer.as_str()), Some("KEZ")));
    assert_eq!((&grant["sub"], grant["name"].as_str()), (&answer["sub"], Some(alice.primary.to_nkey().as_str())));
    let (from, to) = (grant["iat"].as_u64().unwrap(), grant["exp"].as_u64().unwrap());
    assert!((12 * 3600..=22 * 3600).contains(&(to - from)), "{grant}");

    let me = alice.primary.to_hex();
    let subscribe = json!([format!("kez.deliver.{me}"), format!("kez.pdeliver.{me}"), format!("_INBOX_{me}.>")]);
    assert_eq!(grant["nats"]["sub"]["allow"], subscribe);
    let server = testbed.secret().server_keys()[0].primary();
    let mut days = vec![Day::from_unix_ms(from * 1000), Day::from_unix_ms(to * 1000)];
    days.dedup();
    let routes = days.iter().map(|day| Route::derive(&alice.key.agree(&server), *day, &alice.primary, &server));
    let routes: Vec<_> = routes.collect();
    let mut publish: Vec<_> = routes.iter().map(|route| format!("kez.inbox.*.{route}")).collect();
    publish.extend(routes.iter().map(|route| format!("kez.presence.*.{route}")));
    publish.push(format!("$JS.ACK.KEZ_INBOX.{me}.>"));
    publish.push(format!("$JS.ACK._.9Nj4u4iY.KEZ_INBOX.{me}.>"));
    assert_eq!(grant["nats"]["pub"]["allow"], json!(publish));

    let evil = Home::parse("evil.example", Policy::Production).unwrap();
    let answer = ask(request_jwt(&alice, &evil, "a-nonce")).await;
    assert_eq!(answer["nats"]["error"], "BadSignature");
    assert!(answer["nats"]["jwt"].is_null());
    let answer = ask(request_jwt(&Person::new(), testbed.domain(), "a-nonce")).await;
    assert_eq!(answer["nats"]["error"], "Unregistered");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_internal_listener_answers_callouts_and_nothing_else() {
    let testbed = Testbed::start().await.unwrap();
    let address = testbed.chat_server().unwrap().internal_addr().unwrap();
    let response = http().post(format!("http://{address}/internal/nats/auth")).body("no.jwt").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
    assert_eq!(json_of(response).await["code"], "BadJwt");
    // A web page could send this much without asking first.
    let page = http().post(format!("http://{address}/internal/nats/auth")).header("origin", "http://kez.example");
    assert_eq!(page.body("no.jwt").send().await.unwrap().status().as_u16(), 404);
    for path in ["/v1/info", "/v1/healthz"] {
        let response = http().get(format!("http://{address}{path}")).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 404, "{path}");
    }
    assert_eq!(get(&testbed, "/internal/nats/auth").await.status().as_u16(), 404);
    testbed.shutdown().await.unwrap();
}
