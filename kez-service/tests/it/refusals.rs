//! What every router refuses, and how it says so.

use std::time::Duration;

use kez_service::axum::http::{StatusCode, header};
use kez_service::axum::routing::{get, post};
use kez_service::axum::{Json, Router, extract::Query};
use kez_service::extract::Checked;
use kez_service::layers::Limits;
use kez_service::serve::{GRACE, Running};
use serde_json::Value;

use crate::{client, serve};

#[derive(serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct Greeting {
    name: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    limit: u32,
}

async fn greet(Checked(Json(greeting)): Checked<Json<Greeting>>) -> Json<Greeting> {
    Json(greeting)
}

async fn page(Checked(Query(paging)): Checked<Query<Paging>>) -> String {
    paging.limit.to_string()
}

async fn broken() {
    panic!("on purpose");
}

async fn server() -> Running {
    let router = Router::new()
        .route("/greet", post(greet))
        .route("/page", get(page))
        .route("/broken", get(broken))
        .route("/stuck", get(std::future::pending::<()>));
    let limits = Limits { body_bytes: 64, time: Duration::from_millis(300) };
    serve(router, limits).await
}

/// Sends a request, holds its answer against a problem's form, and returns its headers and body.
async fn refused(request: reqwest::RequestBuilder, status: StatusCode, code: &str) -> (header::HeaderMap, Value) {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status);
    let headers = response.headers().clone();
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["code"], code);
    assert_eq!(body["title"], status.canonical_reason().unwrap());
    assert!(!body["detail"].as_str().unwrap().is_empty());
    (headers, body)
}

#[tokio::test]
async fn json_that_is_not_right_is_refused_by_kind() {
    let server = server().await;
    let url = format!("http://{}/greet", server.local_addr());
    let send =
        |kind: &'static str, body: &str| client().post(&url).header(header::CONTENT_TYPE, kind).body(body.to_owned());

    let right = send("application/json", r#"{"name":"alice"}"#).send().await.unwrap();
    assert_eq!(right.status(), StatusCode::OK);

    for malformed in [
        "",
        "{",
        "[]",
        "null",
        r#"{}"#,
        r#"{"name":1}"#,
        r#"{"name":"a","extra":1}"#,
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a"} {}"#,
    ] {
        refused(send("application/json", malformed), StatusCode::BAD_REQUEST, "Malformed").await;
    }
    let unsupported = send("text/plain", r#"{"name":"a"}"#);
    refused(unsupported, StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType").await;
    let long = format!(r#"{{"name":"{}"}}"#, "a".repeat(64));
    refused(send("application/json", &long), StatusCode::PAYLOAD_TOO_LARGE, "TooLarge").await;
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn queries_that_are_not_right_are_malformed() {
    let server = server().await;
    let url = format!("http://{}/page", server.local_addr());
    assert_eq!(client().get(format!("{url}?limit=3")).send().await.unwrap().text().await.unwrap(), "3");
    for query in ["", "?limit=", "?limit=-1", "?limit=x", "?limit=1&limit=2", "?limit=1&other=1"] {
        let request = client().get(format!("{url}{query}"));
        refused(request, StatusCode::BAD_REQUEST, "Malformed").await;
    }
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn routes_methods_panics_and_lateness_have_problems() {
    let server = server().await;
    let url = |path: &str| format!("http://{}{path}", server.local_addr());
    refused(client().get(url("/nothing")), StatusCode::NOT_FOUND, "NotFound").await;
    let (headers, _) = refused(client().get(url("/greet")), StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed").await;
    assert_eq!(headers[header::ALLOW], "POST");
    let (headers, body) = refused(client().get(url("/broken")), StatusCode::INTERNAL_SERVER_ERROR, "Internal").await;
    assert!(headers.contains_key("x-request-id"));
    assert!(!body.to_string().contains("on purpose"));
    let (headers, _) = refused(client().get(url("/stuck")), StatusCode::SERVICE_UNAVAILABLE, "Unavailable").await;
    assert_eq!(headers[header::RETRY_AFTER], "1");
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_strange_ones_are_replaced() {
    let server = server().await;
    let url = format!("http://{}/page?limit=1", server.local_addr());
    let id_for = async |given: Option<&str>| {
        let mut request = client().get(&url);
        if let Some(id) = given {
            request = request.header("x-request-id", id);
        }
        let response = request.send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id_for(Some("proxy-17_a")).await, "proxy-17_a");
    let (one, two) = (id_for(None).await, id_for(None).await);
    assert_ne!(one, two);
    let long = "a".repeat(65);
    for strange in ["a b", "\"}", "", &long] {
        assert_eq!(id_for(Some(strange)).await.len(), one.len());
    }
    server.shutdown(GRACE).await;
}
