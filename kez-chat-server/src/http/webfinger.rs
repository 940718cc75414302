//! WebFinger (RFC 7033): from `acct:name@home` to the profile and the sigchain.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use kez_service::extract::Checked;
use kez_service::problem::{Problem, code};
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, LookUpRefusals, not_found};

/// A JSON Resource Descriptor (RFC 7033 §4.4).
#[derive(Serialize, ToSchema)]
pub(super) struct Jrd {
    subject: String,
    links: Vec<Link>,
}

#[derive(Serialize, ToSchema)]
struct Link {
    rel: &'static str,
    r#type: &'static str,
    href: String,
}

/// Finds a person by `acct:` URI (RFC 7033).
#[utoipa::path(
    get,
    path = "/.well-known/webfinger",
    params(
        ("resource" = String, Query, description = "the person, such as acct:alice@kez.lat", pattern = "^acct:[^@]+@.+$"),
        ("rel" = Option<Vec<String>>, Query, description = "the links that are wanted; all if none is named"),
    ),
    responses(
        (status = 200, description = "The person's profile and sigchain", body = Jrd, content_type = "application/jrd+json"),
        LookUpRefusals,
    ),
)]
pub(super) async fn webfinger(
    State(app): State<Arc<App>>,
    Checked(Query(query)): Checked<Query<Vec<(String, String)>>>,
) -> Result<([(HeaderName, &'static str); 1], Json<Jrd>), Problem> {
    let values = |wanted| query.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let malformed = |detail| Problem::new(StatusCode::BAD_REQUEST, code::MALFORMED, detail);
    let mut resources = values("resource");
    let (Some(resource), None) = (resources.next(), resources.next()) else {
        return Err(malformed("ask with exactly one `resource`, such as acct:name@home (RFC 7033 §4.2)"));
    };
    let Some((scheme, account)) = resource.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return Err(malformed("`resource` is a URI, such as acct:name@home (RFC 7033 §4.1)"));
    };
    if !scheme.eq_ignore_ascii_case("acct") {
        return Err(not_found("this home knows `acct:` resources only"));
    }
    if account.rsplit_once('@').is_none_or(|(_, host)| host.is_empty()) {
        return Err(malformed("an `acct:` URI names a host (RFC 7565 §7)"));
    }
    let entry = app.find_handle(account).await?;

    // Plain HTTP is for this very machine only.
    let scheme = if app.domain.is_localhost() { "http" } else { "https" };
    let mut links = vec![
        Link {
            rel: "self",
            r#type: "application/json",
            href: format!("{scheme}://{}/v1/u/{}", app.domain, entry.handle.name()),
        },
        Link { rel: "describedby", r#type: "application/json", href: app.sigchain_url(&entry.primary) },
    ];
    let mut rels = values("rel").peekable();
    if rels.peek().is_some() {
        let rels: Vec<_> = rels.collect();
        links.retain(|link| rels.contains(&link.rel));
    }
    let jrd = Jrd { subject: format!("acct:{}", entry.handle), links };
    Ok(([(header::CONTENT_TYPE, "application/jrd+json")], Json(jrd)))
}

/// Tells whether a text is the scheme of a URI (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|other| other.is_ascii_alphanumeric() || matches!(other, '+' | '-' | '.'))
}
