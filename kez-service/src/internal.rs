//! Who may ask an internal listener: programs, and no pages that a browser on the same machine was made to show.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::problem::{Problem, code};

/// Keeps pages away from the routes of a listener that is bound to `bound`: loopback is no wall to a browser on this
/// machine. What a page sends names its origin. Only a page whose own name was made to lead here (DNS rebinding) need
/// not say so, and then that name is the `Host`; so a loopback listener answers under addresses and `localhost` alone.
pub fn without_pages(router: Router, bound: IpAddr) -> Router {
    router.layer(middleware::from_fn_with_state(bound, refuse_pages))
}

async fn refuse_pages(State(bound): State<IpAddr>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) || (bound.to_canonical().is_loopback() && !is_host_local(headers)) {
        let detail = "this listener answers programs, no web pages, and on loopback under an address or as localhost";
        return Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, detail).into_response();
    }
    next.run(request).await
}

fn is_host_local(headers: &HeaderMap) -> bool {
    // Browsers always name one.
    headers.get_all(header::HOST).iter().all(|host| {
        Authority::try_from(host.as_bytes()).is_ok_and(|host| {
            let host = host.host();
            let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_local() {
        let is_local = |host| is_host_local(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]));
        for host in ["127.0.0.1", "127.0.0.1:8081", "[::1]:8081", "localhost:8081", "LOCALHOST"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["kez.example:8081", "localhost.kez.example", "127.0.0.1.kez.example", "localhost@kez.example", ""]
        {
            assert!(!is_local(host), "{host}");
        }
        assert!(is_host_local(&HeaderMap::new()));
    }
}
