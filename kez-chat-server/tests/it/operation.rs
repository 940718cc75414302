//! What an operator sees and sets over HTTP: the description, metrics, limits, and who may ask.

use kez_chat_server::{Server, ServerSecret, Settings};
use kez_core::handle::Policy;
use kez_service::rate::Rate;
use kez_testbed::Testbed;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::{Person, code_of, get, http, json_of, register};

#[tokio::test]
async fn the_description_names_every_public_route() {
    let testbed = Testbed::start().await.unwrap();
    let document: Value = json_of(get(&testbed, "/v1/openapi.json").await).await;
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    let wanted = [
        "/.well-known/webfinger",
        "/v1/healthz",
        "/v1/info",
        "/v1/p/{primary}",
        "/v1/register",
        "/v1/retire",
        "/v1/u/{handle}",
    ];
    assert_eq!(paths, wanted);
    let register = &document["paths"]["/v1/register"]["post"];
    let statuses: Vec<_> = register["responses"].as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["200", "201", "400", "403", "409", "410", "413", "415", "422", "429", "503"]);
    let body = &document["components"]["schemas"]["Registration"];
    assert_eq!(body["required"], json!(["handle", "primary", "registration_sig"]));
    assert_eq!(body["additionalProperties"], false);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn metrics_tell_what_happened_and_name_nobody() {
    let testbed = Testbed::start().await.unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let bob = Person::new();
    register(&testbed, &bob.registration(testbed.domain(), "alice")).await;
    get(&testbed, "/v1/u/alice").await;
    get(&testbed, "/v1/u/nobody").await;
    get(&testbed, "/invented").await;
    alice.connect(&testbed).await;

    let internal = testbed.chat_server().unwrap().internal_addr().unwrap();
    let response = http().get(format!("http://{internal}/metrics")).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    let lines: Vec<_> = text.lines().collect();
    for line in [
        "kez_chat_broker_up 1",
        "kez_chat_departures 0",
        r#"kez_chat_handles{standing="active"} 1"#,
        r#"kez_chat_logins_total{outcome="Admitted"} 1"#,
        r#"kez_chat_registrations_total{outcome="New"} 1"#,
        r#"kez_chat_registrations_total{outcome="HandleTaken"} 1"#,
        r#"kez_chat_http_requests_total{route="/v1/u/{handle}",method="GET",status="200"} 1"#,
        r#"kez_chat_http_requests_total{route="/v1/u/{handle}",method="GET",status="404"} 1"#,
        r#"kez_chat_http_requests_total{route="none",method="GET",status="404"} 1"#,
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{text}");
    }
    for word in ["alice", "invented", &alice.primary.to_hex()] {
        assert!(!text.contains(word), "{word} is in\n{text}");
    }
    assert_eq!(code_of(get(&testbed, "/metrics").await).await, "NotFound");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_asks_too_much_waits() {
    let folder = tempfile::tempdir().unwrap();
    let secret = ServerSecret::generate(&mut rand::rng());
    // What is asked here needs neither broker nor sigchain server.
    let (nats, sig) = ("nats://127.0.0.1:1", "http://127.0.0.1:1");
    let bind = ([127, 0, 0, 1], 0).into();
    let mut settings = Settings::new(bind, nats, sig, folder.path().join("handles.db"), secret);
    settings.policy = Policy::Development;
    settings.register_rate = Rate::per_hour(2);
    settings.lookup_rate = Rate::per_minute(3);
    settings.trusted_proxies = "127.0.0.1".parse().unwrap();
    let server = Server::bind(settings).await.unwrap();
    let base = format!("http://{}", server.local_addr());
    let ask = |method: Method, path: &str, from: &str| {
        http().request(method, format!("{base}{path}")).header("x-forwarded-for", from.to_owned())
    };
    let refused_first = async |request: RequestBuilder, code: &str| {
        assert_eq!(code_of(request.send().await.unwrap()).await, code);
    };

    // Registering and retiring count together, whatever comes of them.
    refused_first(ask(Method::POST, "/v1/register", "192.0.2.1").json(&json!([])), "Malformed").await;
    refused_first(ask(Method::POST, "/v1/retire", "192.0.2.1").json(&json!([])), "Malformed").await;
    let refused = ask(Method::POST, "/v1/register", "192.0.2.1").json(&json!([])).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=1801).contains(&wait), "{wait}");
    assert_eq!(code_of(refused).await, "TooMany");
    refused_first(ask(Method::POST, "/v1/register", "192.0.2.2").json(&json!([])), "Malformed").await;

    let path = "/.well-known/webfinger?resource=acct:nobody@localhost";
    for path in ["/v1/u/nobody", path, "/v1/u/nobody"] {
        refused_first(ask(Method::GET, path, "192.0.2.1"), "NotFound").await;
    }
    refused_first(ask(Method::GET, "/v1/info", "192.0.2.1"), "TooMany").await;
    let health = ask(Method::GET, "/v1/healthz", "192.0.2.1").send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK, "who watches is not limited");
    server.shutdown().await;
}

#[tokio::test]
async fn a_page_of_any_origin_may_ask_the_public_listener_and_no_other() {
    let testbed = Testbed::start().await.unwrap();
    let origin = |request: RequestBuilder| request.header("origin", "https://app.example");
    let url = format!("{}/v1/register", testbed.home_url());
    let preflight = origin(http().request(Method::OPTIONS, &url))
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), StatusCode::OK);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert!(preflight.headers()["access-control-allow-headers"].to_str().unwrap().contains("content-type"));
    let refused = origin(http().post(&url)).json(&json!([])).send().await.unwrap();
    assert_eq!(refused.headers()["access-control-allow-origin"], "*", "refusals have to be readable too");

    let internal = testbed.chat_server().unwrap().internal_addr().unwrap();
    let response = origin(http().get(format!("http://{internal}/metrics"))).send().await.unwrap();
    assert!(response.headers().get("access-control-allow-origin").is_none());
    testbed.shutdown().await.unwrap();
}
