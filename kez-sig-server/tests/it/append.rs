//! What is appended, and what is refused.

use std::time::Duration;

use kez_core::handle::Policy;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::author::{Author, HEADER, claim, head};
use crate::{Running, problem};

#[tokio::test]
async fn an_event_is_created_once_and_keeps_its_first_signature() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let [event] = &author.chain([claim(1)])[..] else { unreachable!() };
    let place = json!({ "seq": 1, "head": head(event) });

    let created = client.post(&author, event).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(created.json::<Value>().await.unwrap(), place);

    let other = author.sign_again(event, "another nonce");
    assert_ne!(*event, other);
    for again in [event, &other] {
        let response = client.post(&author, again).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.json::<Value>().await.unwrap(), place);
    }
    assert_eq!(client.read(&author, "").await["events"], json!([event]));
    running.server.shutdown().await;
}

#[tokio::test]
async fn an_old_event_is_still_the_same_event_later() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let chain = author.chain([claim(1), claim(2), json!({ "type": "retire" })]);
    for event in &chain {
        client.append(&author, event).await;
    }
    for event in &chain {
        assert_eq!(client.post(&author, event).await.status(), StatusCode::OK);
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_conflict_shows_the_event_that_stands_there_or_the_last_one() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));

    // Nothing stands yet, so there is nothing to show.
    let second = author.event(2, Some(&"0".repeat(64)), claim(2));
    let body = problem(client.post(&author, &second).await, StatusCode::CONFLICT, "Gap").await;
    assert_eq!((&body["seq"], &body["head"], body.get("event")), (&json!(0), &json!(""), None));

    let chain = author.chain([claim(1), claim(2), claim(3)]);
    for event in &chain {
        client.append(&author, event).await;
    }
    let shows = |body: &Value, seq: usize| {
        let event = &chain[seq - 1];
        let expected = (json!(seq), json!(head(event)), json!(event));
        assert_eq!((&body["seq"], &body["head"], &body["event"]), (&expected.0, &expected.1, &expected.2));
    };
    let [first, second, third] = [head(&chain[0]), head(&chain[1]), head(&chain[2])];
    for (seq, prev, code, standing) in [
        (1, None, "Fork", 1),
        (2, Some(&first), "Fork", 2),
        (3, Some(&second), "Fork", 3),
        (4, Some(&second), "WrongPrev", 3),
        (5, Some(&third), "Gap", 3),
        (100_000, Some(&third), "Gap", 3),
    ] {
        let event = author.event(seq, prev.map(String::as_str), claim(99));
        let body = problem(client.post(&author, &event).await, StatusCode::CONFLICT, code).await;
        shows(&body, standing);
    }
    assert_eq!(client.read(&author, "").await["events"], json!(chain));
    running.server.shutdown().await;
}

#[tokio::test]
async fn events_that_are_not_valid_have_the_core_s_code() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let right = author.payload(1, None, claim(1));
    let with = |name: &str, value: Value| {
        let mut payload = right.clone();
        payload[name] = value;
        author.sign(&payload)
    };
    let op = |op: Value| author.event(1, None, op);
    let inbox = format!("kez.inbox.{}", author.hex());
    let signed = author.sign(&right);
    let (input, signature) = signed.rsplit_once('.').unwrap();

    let cases = [
        ("BadJws", String::new()),
        ("BadJws", "a.b".into()),
        ("BadJws", format!("{signed}.x")),
        ("BadJwsHeader", author.sign_text(r#"{"alg":"EdDSA","typ":"kez-event+jws"}"#, &right.to_string())),
        ("BadBase64", format!("{signed}\n")),
        ("BadBase64", format!("{signed}=")),
        ("BadSignature", Author::new(2).sign(&right)),
        ("BadSignature", format!("{input}.{}", &signature[4..])),
        ("BadJson", author.sign_text(HEADER, "{")),
        ("NotCanonicalJson", author.sign_text(HEADER, &right.to_string().replace(",\"seq\"", ", \"seq\""))),
        ("UnknownMember", with("more", json!(1))),
        ("BadEvent", with("ts", json!("yesterday"))),
        ("BadEvent", with("seq", json!(0))),
        ("BadEvent", with("prev", json!("0".repeat(64)))),
        ("TooLong", author.event(100_001, Some(&"0".repeat(64)), claim(1))),
        ("WrongPrimary", with("primary", json!(Author::new(2).text()))),
        ("BadEvent", op(json!({ "type": "add_claim", "claim": "no-colon" }))),
        ("UnknownMember", op(json!({ "type": "retire", "why": "tired" }))),
        ("UnknownMember", op(json!({ "type": "retire", "ignorable": true }))),
        ("BadEvent", op(json!({ "type": "set_handle" }))),
        ("BadEvent", op(json!({ "type": "add_endpoint" }))),
        (
            "BadEvent",
            op(json!({ "type": "add_endpoint", "protocol": "nats", "home": "kez.lat",
                       "url": "nats://nats.kez.lat", "inbox": inbox })),
        ),
        (
            "BadEvent",
            op(json!({ "type": "add_endpoint", "protocol": "nats", "home": "kez.lat",
                       "url": "tls://nats.kez.lat", "inbox": "kez.inbox.other" })),
        ),
    ];
    for (code, jws) in cases {
        problem(client.post(&author, &jws).await, StatusCode::UNPROCESSABLE_ENTITY, code).await;
    }
    assert_eq!(client.read(&author, "").await, json!({ "events": [], "seq": 0, "head": "" }));
    running.server.shutdown().await;
}

#[tokio::test]
async fn events_of_unknown_operations_are_kept() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let mut chain = author.chain([
        json!({ "type": "add_device", "ignorable": true, "key": "any" }),
        json!({ "type": "set_prekey", "nested": { "a": [1, 2] } }),
        json!({ "type": "add_endpoint", "protocol": "carrier-pigeon", "loft": "north" }),
    ]);
    let mut later = author.payload(4, Some(&head(&chain[2])), json!({ "type": "retire", "new_in": "v2" }));
    later["v"] = json!(2);
    chain.push(author.sign(&later));
    for event in &chain {
        client.append(&author, event).await;
    }
    // What v2 calls a retirement ends nothing here.
    chain.push(author.event(5, Some(&head(&chain[3])), claim(1)));
    client.append(&author, &chain[4]).await;
    assert_eq!(client.read(&author, "").await["events"], json!(chain));
    running.server.shutdown().await;
}

#[tokio::test]
async fn nothing_follows_a_retirement_and_versions_rise() {
    let running = Running::start_with(|settings| settings.shared_files_interval = Duration::ZERO).await;
    let (client, author) = (&running.client, Author::new(1));
    let share = |version: u64| json!({ "type": "set_shared_files", "manifest": null, "version": version });
    let chain = author.chain([share(7), share(8), json!({ "type": "retire" })]);
    client.append(&author, &chain[0]).await;
    for version in [6, 7] {
        let event = author.event(2, Some(&head(&chain[0])), share(version));
        problem(client.post(&author, &event).await, StatusCode::UNPROCESSABLE_ENTITY, "BadEvent").await;
    }
    client.append(&author, &chain[1]).await;
    client.append(&author, &chain[2]).await;
    let after = author.event(4, Some(&head(&chain[2])), claim(1));
    problem(client.post(&author, &after).await, StatusCode::UNPROCESSABLE_ENTITY, "Retired").await;
    running.server.shutdown().await;
}

#[tokio::test]
async fn shared_files_change_every_ten_minutes_at_most() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let share = |version: u64| json!({ "type": "set_shared_files", "manifest": "0".repeat(64), "version": version });
    let chain = author.chain([share(1), share(2)]);
    client.append(&author, &chain[0]).await;
    assert_eq!(client.post(&author, &chain[0]).await.status(), StatusCode::OK);

    let response = client.post(&author, &chain[1]).await;
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((500..=600).contains(&wait), "{wait}");
    problem(response, StatusCode::TOO_MANY_REQUESTS, "TooMany").await;

    // The chain did not take it, and goes on with something else in its place.
    let instead = author.event(2, Some(&head(&chain[0])), claim(1));
    client.append(&author, &instead).await;
    running.server.shutdown().await;
}

#[tokio::test]
async fn the_policy_decides_which_urls_a_chain_may_name() {
    let author = Author::new(1);
    let [event] = &author.chain([json!({
        "type": "add_endpoint", "protocol": "nats", "home": "localhost:8080", "url": "nats://127.0.0.1:4222",
        "inbox": format!("kez.inbox.{}", author.hex()),
    })])[..] else {
        unreachable!()
    };
    let production = Running::start().await;
    let refused = production.client.post(&author, event).await;
    problem(refused, StatusCode::UNPROCESSABLE_ENTITY, "BadEvent").await;
    production.server.shutdown().await;

    let development = Running::start_with(|settings| settings.policy = Policy::Development).await;
    development.client.append(&author, event).await;
    development.server.shutdown().await;
}

#[tokio::test]
async fn an_event_over_the_limit_is_too_long_and_one_at_it_is_not() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let padded = |fill: usize| author.event(1, None, json!({ "type": "later", "fill": "x".repeat(fill) }));
    // Three bytes of payload are four characters, so some fill comes within three of the limit from either side.
    let fits = (11_900..12_100).rev().map(padded).find(|jws| jws.len() <= 16_384).unwrap();
    let over = (11_900..12_100).map(padded).find(|jws| jws.len() > 16_384).unwrap();
    assert!(fits.len() > 16_380 && over.len() < 16_390);
    problem(client.post(&author, &over).await, StatusCode::PAYLOAD_TOO_LARGE, "TooLong").await;
    client.append(&author, &fits).await;
    running.server.shutdown().await;
}

#[tokio::test]
async fn requests_of_another_form_are_refused_by_kind() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let [event] = &author.chain([claim(1)])[..] else { unreachable!() };
    let post = |path: &str| client.http.post(format!("{}{path}", client.base)).body(event.clone());
    let events = format!("/v1/sigchains/ed25519/{}/events", author.hex());

    for kind in ["application/json", "application/josemite", ""] {
        let response = post(&events).header("content-type", kind).send().await.unwrap();
        problem(response, StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType").await;
    }
    let none = post(&events).send().await.unwrap();
    problem(none, StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType").await;
    let bytes = client.http.post(format!("{}{events}", client.base)).header("content-type", "application/jose");
    let response = bytes.body(vec![0xff, 0xfe]).send().await.unwrap();
    problem(response, StatusCode::UNPROCESSABLE_ENTITY, "BadJws").await;

    let upper = author.hex().to_uppercase();
    for (hex, code) in [
        ("", "BadKeyText"),
        ("ab", "BadKeyText"),
        (&*upper, "BadKeyText"),
        ("%ff", "Malformed"),
        (&*"00".repeat(32), "BadKey"),
    ] {
        let path = format!("/v1/sigchains/ed25519/{hex}/events");
        let response = post(&path).header("content-type", "application/jose").send().await.unwrap();
        problem(response, StatusCode::BAD_REQUEST, code).await;
    }
    for path in ["/v1/sigchains/nostr/ab/events", "/"] {
        problem(post(path).send().await.unwrap(), StatusCode::NOT_FOUND, "NotFound").await;
    }
    let deleted = client.http.delete(client.url(&author)).send().await.unwrap();
    problem(deleted, StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed").await;

    let right = post(&events).header("content-type", "Application/JOSE; charset=us-ascii").send().await.unwrap();
    assert_eq!(right.status(), StatusCode::CREATED);
    running.server.shutdown().await;
}
