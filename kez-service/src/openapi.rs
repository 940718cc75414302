//! The description of a server's HTTP, generated from its handlers and served by it.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::routing::get;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, Ref, RefOr, Response};
use utoipa::{PartialSchema as _, ToResponse, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::problem::{ProblemBody, Refusal, RefusalForNow};

/// Where every server describes itself.
pub const PATH: &str = "/v1/openapi.json";

/// Takes the description that a router has gathered, completes it with what refusals look like, and serves it at
/// [`PATH`] beside the router's own routes.
pub fn described(router: OpenApiRouter, title: &str, version: &str, description: &str) -> Router {
    let (router, mut document) = router.split_for_parts();
    document.info = InfoBuilder::new()
        .title(title)
        .version(version)
        .description(Some(description))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .build();
    let components = document.components.take().map_or_else(ComponentsBuilder::new, Into::into);
    let components = components
        .schema(ProblemBody::name(), ProblemBody::schema())
        .response(Refusal::response().0, Refusal::response().1)
        .response(RefusalForNow::response().0, RefusalForNow::response().1);
    document.components = Some(components.build());
    // A document of plain members always serializes; an empty answer would be seen at once.
    let body = Bytes::from(document.to_json().unwrap_or_default());
    let kind = HeaderValue::from_static("application/json");
    router.route(PATH, get(async move || ([(header::CONTENT_TYPE, kind)], body)))
}

/// Describes refusals with these statuses, for a type that several routes name among their answers: those that pass by
/// themselves (429, 503) say when to ask again.
pub fn refusals(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    let kind = |status| if matches!(status, 429 | 503) { RefusalForNow::response().0 } else { Refusal::response().0 };
    statuses.iter().map(|status| (status.to_string(), Ref::from_response_name(kind(*status)).into())).collect()
}
