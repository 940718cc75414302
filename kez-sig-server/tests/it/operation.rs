//! What an operator sees and sets: the description, metrics, limits, backups.

use std::time::Duration;

use kez_service::rate::Rate;
use kez_sig_server::{Server, Settings};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::author::{Author, claim};
use crate::{ANY, Client, Running, problem};

#[tokio::test]
async fn the_description_names_every_route() {
    let running = Running::start().await;
    let response = running.client.http.get(format!("{}/v1/openapi.json", running.client.base)).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/v1/healthz", "/v1/sigchains/ed25519/{hex}", "/v1/sigchains/ed25519/{hex}/events"]);
    let append = &document["paths"]["/v1/sigchains/ed25519/{hex}/events"]["post"];
    assert_eq!(append["responses"]["429"]["$ref"], "#/components/responses/RefusalForNow");
    let refusal = &document["components"]["responses"]["RefusalForNow"];
    assert!(refusal["headers"]["Retry-After"].is_object());
    assert_eq!(refusal["content"]["application/problem+json"]["schema"]["$ref"], "#/components/schemas/ProblemBody");
    assert!(document["components"]["schemas"]["ProblemBody"]["properties"]["code"].is_object());
    running.server.shutdown().await;
}

#[tokio::test]
async fn metrics_are_on_the_internal_listener_alone() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let [first, second] = &author.chain([claim(1), claim(2)])[..] else { unreachable!() };
    client.append(&author, first).await;
    client.append(&author, second).await;
    client.post(&author, first).await;
    client.post(&author, "nonsense").await;
    client.http.get(format!("{}/made/up", client.base)).send().await.unwrap();

    let internal = format!("http://{}", running.server.internal_addr().unwrap());
    let response = client.http.get(format!("{internal}/metrics")).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    let lines: Vec<_> = text.lines().collect();
    let events = "/v1/sigchains/ed25519/{hex}/events";
    for line in [
        "kez_sig_chains 1",
        "kez_sig_events 2",
        r#"kez_sig_appends_total{outcome="new"} 2"#,
        r#"kez_sig_appends_total{outcome="already"} 1"#,
        &format!(r#"kez_sig_http_requests_total{{route="{events}",method="POST",status="201"}} 2"#),
        &format!(r#"kez_sig_http_requests_total{{route="{events}",method="POST",status="422"}} 1"#),
        r#"kez_sig_http_requests_total{route="none",method="GET",status="404"} 1"#,
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(&author.hex()) && !text.contains("made"), "{text}");

    let response = client.http.get(format!("{}/metrics", client.base)).send().await.unwrap();
    problem(response, StatusCode::NOT_FOUND, "NotFound").await;
    let response = client.http.get(format!("{internal}/v1/sigchains/ed25519/{}", author.hex())).send().await.unwrap();
    problem(response, StatusCode::NOT_FOUND, "NotFound").await;
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_web_page_reaches_nothing_internal() {
    let running = Running::start().await;
    let address = running.server.internal_addr().unwrap();
    let ask = |name, value: String| running.client.http.get(format!("http://{address}/metrics")).header(name, value);
    // Its own name may lead here for a while, and then browsers let it read what it gets.
    for (name, value) in [("host", format!("kez.example:{}", address.port())), ("origin", "http://kez.example".into())]
    {
        problem(ask(name, value).send().await.unwrap(), StatusCode::NOT_FOUND, "NotFound").await;
    }
    for host in [address.to_string(), format!("localhost:{}", address.port())] {
        assert_eq!(ask("host", host).send().await.unwrap().status(), StatusCode::OK);
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_page_of_any_origin_may_ask() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let ask = |method, path: String| client.http.request(method, path).header("origin", "https://app.example");
    let response = ask(reqwest::Method::GET, client.url(&author)).send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert!(response.headers()["access-control-expose-headers"].to_str().unwrap().contains("etag"));
    let refused = ask(reqwest::Method::GET, format!("{}/nothing", client.base)).send().await.unwrap();
    assert_eq!(refused.headers()["access-control-allow-origin"], "*", "refusals have to be readable too");
    let preflight = ask(reqwest::Method::OPTIONS, format!("{}/events", client.url(&author)))
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), StatusCode::OK);
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    assert!(preflight.headers().get("access-control-allow-credentials").is_none());

    let internal = format!("http://{}/metrics", running.server.internal_addr().unwrap());
    let response = ask(reqwest::Method::GET, internal).send().await.unwrap();
    assert!(response.headers().get("access-control-allow-origin").is_none());
    running.server.shutdown().await;
}

#[tokio::test]
async fn chains_are_compressed_for_who_takes_that() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    for event in &author.chain((1..=20).map(claim)) {
        client.append(&author, event).await;
    }
    let plain = client.http.get(client.url(&author)).send().await.unwrap();
    assert!(plain.headers().get("content-encoding").is_none());
    let tag = plain.headers()["etag"].clone();
    let plain = plain.bytes().await.unwrap();
    let request = client.http.get(client.url(&author)).header("accept-encoding", "gzip");
    let packed = request.send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["etag"], tag);
    let packed = packed.bytes().await.unwrap();
    assert!(
        packed.starts_with(&[0x1f, 0x8b]) && packed.len() < plain.len() * 9 / 10,
        "{} {}",
        packed.len(),
        plain.len()
    );
    running.server.shutdown().await;
}

#[tokio::test]
async fn who_sends_or_reads_too_much_waits() {
    let running = Running::start_with(|settings| {
        settings.append_rate = Rate::per_hour(2);
        settings.read_rate = Rate::per_minute(3);
        settings.trusted_proxies = "127.0.0.1".parse().unwrap();
    })
    .await;
    let (client, author) = (&running.client, Author::new(1));
    let from = |address: &'static str, request: reqwest::RequestBuilder| request.header("x-forwarded-for", address);
    let post = |address| {
        let request = client.http.post(format!("{}/events", client.url(&author))).body("nonsense");
        from(address, request.header("content-type", "application/jose"))
    };
    for _ in 0..2 {
        problem(post("192.0.2.1").send().await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY, "BadJws").await;
    }
    let refused = post("192.0.2.1").send().await.unwrap();
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=1801).contains(&wait), "{wait}");
    problem(refused, StatusCode::TOO_MANY_REQUESTS, "TooMany").await;
    problem(post("192.0.2.2").send().await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY, "BadJws").await;

    let get = || from("192.0.2.1", client.http.get(client.url(&author)));
    for _ in 0..3 {
        assert_eq!(get().send().await.unwrap().status(), StatusCode::OK);
    }
    problem(get().send().await.unwrap(), StatusCode::TOO_MANY_REQUESTS, "TooMany").await;
    let health = from("192.0.2.1", client.http.get(format!("{}/v1/healthz", client.base))).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK, "who watches is not limited");
    running.server.shutdown().await;
}

#[tokio::test]
async fn shared_files_wait_as_long_as_the_operator_says() {
    let change = |version: u64| json!({ "type": "set_shared_files", "manifest": null, "version": version });
    let author = Author::new(1);
    let [first, second] = &author.chain([change(1), change(2)])[..] else { unreachable!() };
    let patient = Running::start().await;
    patient.client.append(&author, first).await;
    let refused = patient.client.post(&author, second).await;
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((590..=600).contains(&wait), "{wait}");
    problem(refused, StatusCode::TOO_MANY_REQUESTS, "TooMany").await;
    patient.server.shutdown().await;

    let quick = Running::start_with(|settings| settings.shared_files_interval = Duration::ZERO).await;
    quick.client.append(&author, first).await;
    quick.client.append(&author, second).await;
    quick.server.shutdown().await;
}

#[tokio::test]
async fn a_backup_of_a_running_server_serves_the_same_chains() {
    let running = Running::start().await;
    let author = Author::new(1);
    let chain = author.chain((1..=5).map(claim));
    for event in &chain {
        running.client.append(&author, event).await;
    }
    let (from, to) = (running.folder.path().join("sigchains.db"), running.folder.path().join("copy.db"));
    kez_sig_server::backup(&from, &to).await.unwrap();
    let error = kez_sig_server::backup(&from, &to).await.unwrap_err();
    assert!(error.to_string().contains("copy.db"), "{error}");
    let missing = running.folder.path().join("missing.db");
    assert!(kez_sig_server::backup(&missing, running.folder.path().join("other.db")).await.is_err());
    assert!(!missing.exists());
    running.server.shutdown().await;

    let copy = Server::bind(Settings::new(ANY, to)).await.unwrap();
    assert_eq!(Client::new(copy.local_addr()).read(&author, "").await["events"], json!(chain));
    copy.shutdown().await;
}
