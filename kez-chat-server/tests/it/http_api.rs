//! Registration, look-ups, WebFinger and `/v1/info`.

use kez_core::handle::{Home, Policy};
use kez_testbed::Testbed;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Person, code_of, get, http, json_of, register};

#[tokio::test]
async fn registration_and_its_refusals() {
    let testbed = Testbed::start().await.unwrap();
    let home = testbed.domain().clone();
    let (alice, bob) = (Person::new(), Person::new());

    let request = alice.registration(&home, "alice");
    let response = register(&testbed, &request).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let profile = json_of(response).await;
    assert_eq!(profile["handle"], format!("alice@{home}"));
    assert_eq!(profile["primary"], alice.primary.to_string());
    let chain = format!("{}/v1/sigchains/ed25519/{}", testbed.sig_url(), alice.primary.to_hex());
    assert_eq!(profile["sigchain_url"], chain);
    assert_eq!(profile["endpoints"], json!([]));

    let again = register(&testbed, &request).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(json_of(again).await, profile);

    let other_home = Home::parse("kez.lat", Policy::Development).unwrap();
    let with = |member: &str, value: Value| {
        let mut request = bob.registration(&home, "bob");
        request[member] = value;
        request
    };
    let signature = |person: &Person, name: &str| person.registration(&home, name)["registration_sig"].clone();
    let cases = [
        (bob.registration(&home, "alice"), 409, "HandleTaken"),
        (alice.registration(&home, "alicia"), 409, "KeyTaken"),
        (bob.registration(&home, "admin"), 403, "ReservedHandle"),
        (with("registration_sig", signature(&alice, "bob")), 422, "BadSignature"),
        (with("registration_sig", signature(&bob, "bobby")), 422, "BadSignature"),
        (with("registration_sig", json!("A".repeat(85))), 400, "BadBase64"),
        (with("registration_sig", json!("AAAA")), 422, "BadSignature"),
        (with("handle", json!("bob")), 400, "BadHandle"),
        (with("handle", json!(format!("@bob@{home}"))), 400, "BadHandle"),
        (with("handle", json!(format!("Bob@{home}"))), 400, "BadHandle"),
        (with("handle", json!(format!("b@{home}"))), 400, "BadHandle"),
        (bob.registration(&other_home, "bob"), 400, "ForeignHome"),
        (with("primary", json!(bob.primary.to_hex())), 400, "BadKeyText"),
        (with("primary", json!(format!("ed25519:{}", "0".repeat(64)))), 400, "BadKey"),
        (with("primary", json!(7)), 400, "Malformed"),
        (with("more", json!(1)), 400, "Malformed"),
        (json!([]), 400, "Malformed"),
    ];
    for (request, status, code) in cases {
        let response = register(&testbed, &request).await;
        assert_eq!(response.status().as_u16(), status, "{request}");
        assert_eq!(code_of(response).await, code, "{request}");
    }
    let url = format!("{}/v1/register", testbed.home_url());
    let long = json!({ "handle": "a".repeat(5000) });
    assert_eq!(code_of(http().post(&url).json(&long).send().await.unwrap()).await, "TooLarge");
    let text = http().post(&url).body(request.to_string()).send().await.unwrap();
    assert_eq!(code_of(text).await, "UnsupportedMediaType");

    assert_eq!(get(&testbed, "/v1/u/bob").await.status(), StatusCode::NOT_FOUND, "nothing was registered meanwhile");
    assert_eq!(register(&testbed, &bob.registration(&home, "bob")).await.status(), StatusCode::CREATED);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn lookups_webfinger_and_info() {
    let testbed = Testbed::start().await.unwrap();
    let home = testbed.domain().clone();
    let alice = Person::registered(&testbed, "alice").await;
    let primary = alice.primary.to_string();

    let profile = json_of(get(&testbed, "/v1/u/alice").await).await;
    assert_eq!(profile["primary"], primary);
    for path in [format!("/v1/u/alice@{home}"), format!("/v1/p/{primary}")] {
        let response = get(&testbed, &path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(json_of(response).await, profile, "{path}");
    }
    let nobody = Person::new().primary;
    for (path, status, code) in [
        ("/v1/u/bob".to_owned(), 404, "NotFound"),
        ("/v1/u/alice@kez.lat".to_owned(), 404, "NotFound"),
        ("/v1/u/Alice".to_owned(), 404, "NotFound"),
        ("/v1/u/%00".to_owned(), 404, "NotFound"),
        ("/v1/u/%ff".to_owned(), 400, "Malformed"),
        (format!("/v1/p/{nobody}"), 404, "NotFound"),
        (format!("/v1/p/{}", nobody.to_hex()), 400, "BadKeyText"),
        ("/v1/nothing".to_owned(), 404, "NotFound"),
        ("/internal/nats/auth".to_owned(), 404, "NotFound"),
    ] {
        let response = get(&testbed, &path).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(code_of(response).await, code, "{path}");
    }

    let response = get(&testbed, &format!("/.well-known/webfinger?resource=acct:alice@{home}")).await;
    assert_eq!(response.headers()["content-type"], "application/jrd+json");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let own = json!({
        "rel": "self", "type": "application/json", "href": format!("{}/v1/u/alice", testbed.home_url()),
    });
    let chain = json!({ "rel": "describedby", "type": "application/json", "href": profile["sigchain_url"] });
    let jrd = json_of(response).await;
    assert_eq!(jrd, json!({ "subject": format!("acct:alice@{home}"), "links": [own, chain] }));
    let filtered = format!("/.well-known/webfinger?rel=self&resource=acct%3Aalice%40{home}&rel=other");
    assert_eq!(json_of(get(&testbed, &filtered).await).await["links"], json!([own]));
    for (query, status) in [
        ("", 400),
        ("?rel=self", 400),
        ("?resource=alice", 400),
        ("?resource=acct:alice", 400),
        ("?resource=acct:alice@", 400),
        ("?resource=:alice", 400),
        ("?resource=who%20is:alice", 400),
        (&format!("?resource=ACCT:alice@{home}"), 200),
        (&format!("?resource=acct:alice@{home}&resource=acct:bob@{home}"), 400),
        (&format!("?resource=acct:bob@{home}"), 404),
        ("?resource=acct:alice@kez.lat", 404),
        ("?resource=https://kez.lat/", 404),
    ] {
        let response = get(&testbed, &format!("/.well-known/webfinger{query}")).await;
        assert_eq!(response.status().as_u16(), status, "{query}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{query}");
    }

    let info = json_of(get(&testbed, "/v1/info").await).await;
    let keys: Vec<_> = testbed.secret().server_keys().iter().map(|key| key.primary().to_string()).collect();
    assert_eq!(info["domain"], home.to_string());
    assert_eq!(info["server_keys"], json!(keys));
    assert_eq!(info["nats"]["urls"], json!([testbed.nats_url()]));
    assert_eq!(info["nats"]["streams"], json!(["KEZ_INBOX"]));
    assert!(!info["nats"]["epoch"].as_str().unwrap().is_empty());
    assert_eq!(info["sigchain_url"], testbed.sig_url());
    assert_eq!(info["versions"], json!([1]));
    assert!(info["now_ms"].as_u64().unwrap() > 1_700_000_000_000);
    let well = json!({ "status": "ok", "nats": "ok", "registry": "ok", "sigchain": "ok" });
    assert_eq!(json_of(get(&testbed, "/v1/healthz").await).await, well);
    testbed.shutdown().await.unwrap();
}
