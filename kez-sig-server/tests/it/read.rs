//! Reading a chain: pages, tags, and what is refused.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::author::{Author, claim, head};
use crate::{Running, problem};

#[tokio::test]
async fn a_chain_is_read_in_pages() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let chain = author.chain((1..=7).map(claim));
    for event in &chain {
        client.append(&author, event).await;
    }
    let page = |events: &[String]| json!({ "events": events, "seq": 7, "head": head(&chain[6]) });
    for (query, events) in [
        ("", &chain[..]),
        ("?after=0&limit=1000", &chain[..]),
        ("?limit=3", &chain[..3]),
        ("?after=3&limit=3", &chain[3..6]),
        ("?after=6", &chain[6..]),
        ("?after=7", &[]),
        ("?after=9007199254740991", &[]),
    ] {
        assert_eq!(client.read(&author, query).await, page(events), "{query}");
    }
    // Other chains are other chains.
    let nobody = json!({ "events": [], "seq": 0, "head": "" });
    assert_eq!(client.read(&Author::new(2), "").await, nobody);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_page_of_long_events_has_fewer_of_them() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    // A page is kept for each reader who does not take it: with all of these it would be a megabyte.
    let chain = author.chain((0..64).map(|n| json!({ "type": "later", "more": format!("{n:011900}") })));
    for event in &chain {
        client.append(&author, event).await;
    }
    let mut read = Vec::new();
    let mut pages = 0;
    while read.len() < chain.len() {
        let page = client.read(&author, &format!("?after={}", read.len())).await;
        assert_eq!((&page["seq"], &page["head"]), (&json!(64), &json!(head(&chain[63]))));
        let events: Vec<_> = page["events"].as_array().unwrap().iter().map(|jws| jws.as_str().unwrap()).collect();
        let bytes: usize = events.iter().map(|jws| jws.len()).sum();
        assert!(!events.is_empty() && bytes < (256 << 10) + 16_384, "{} events, {bytes} bytes", events.len());
        read.extend(events.into_iter().map(ToOwned::to_owned));
        pages += 1;
    }
    assert_eq!((read, pages), (chain, 4));
    running.server.shutdown().await;
}

#[tokio::test]
async fn queries_of_another_form_are_malformed() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=",
        "after=-1",
        "after=1.5",
        "after=9223372036854775808",
        "after=99999999999999999999",
        "after=1&after=2",
        "before=3",
    ] {
        let response = client.http.get(format!("{}?{query}", client.url(&author))).send().await.unwrap();
        problem(response, StatusCode::BAD_REQUEST, "Malformed").await;
    }
    let response = client.http.get(format!("{}/v1/sigchains/ed25519/xyz", client.base)).send().await.unwrap();
    problem(response, StatusCode::BAD_REQUEST, "BadKeyText").await;
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_reader_who_has_the_head_is_told_so() {
    let running = Running::start().await;
    let (client, author) = (&running.client, Author::new(1));
    let chain = author.chain([claim(1), claim(2)]);
    let ask = async |tags: &[&str]| {
        let mut request = client.http.get(client.url(&author));
        for tag in tags {
            request = request.header("if-none-match", *tag);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        let status = response.status();
        let body = response.text().await.unwrap();
        assert_eq!(body.is_empty(), status == StatusCode::NOT_MODIFIED);
        (status, tag)
    };
    assert_eq!(ask(&[]).await, (StatusCode::OK, "\"\"".to_owned()));
    assert_eq!(ask(&["\"\""]).await.0, StatusCode::NOT_MODIFIED);

    client.append(&author, &chain[0]).await;
    let first = format!("\"{}\"", head(&chain[0]));
    assert_eq!(ask(&["\"\""]).await, (StatusCode::OK, first.clone()));
    let weak = format!("\"other\", W/{first}");
    for known in [&[first.as_str()][..], &[&weak], &["\"other\"", &first], &["*"]] {
        assert_eq!(ask(known).await, (StatusCode::NOT_MODIFIED, first.clone()), "{known:?}");
    }
    for unknown in ["\"other\"", &head(&chain[0]), ""] {
        assert_eq!(ask(&[unknown]).await.0, StatusCode::OK, "{unknown}");
    }

    client.append(&author, &chain[1]).await;
    assert_eq!(ask(&[&first]).await, (StatusCode::OK, format!("\"{}\"", head(&chain[1]))));
    running.server.shutdown().await;
}

#[tokio::test]
async fn the_server_says_that_it_is_well() {
    let running = Running::start().await;
    let response = running.client.http.get(format!("{}/v1/healthz", running.client.base)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "status": "ok" }));
    running.server.shutdown().await;
    // Closing folded the log back: one file is left.
    assert_eq!(std::fs::read_dir(running.folder.path()).unwrap().count(), 1);
}
