//! `/api/v1/openapi.json`: what the API is, gathered from what its handlers and types say of themselves.
//!
//! What every request passes before its handler (module `guard`, module `access`) is put in here, for all of them at once.

mod refusals;
mod settings;
pub(super) mod words;

use std::sync::LazyLock;

use axum::http::{HeaderName, header};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{OpenApi, Ref, RefOr};
use utoipa::{IntoParams, Modify, OpenApi as _};

pub(super) use refusals::{NoPicture, NotFound, Unavailable};
pub(super) use settings::{NewStream, Settings};

use super::{access, api, events, health, live, page, scrape};
use refusals::{Forbidden, Late, LogIn};

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Object),
))]
pub(super) async fn document() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// It is the same for everybody, and made once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    Description::openapi().to_pretty_json().expect("a description has nothing that JSON could not say")
});

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Fanlight",
        version = "1",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        description = "State and control of the relay. Every error is JSON with words.\n\nWithout `users` and `access` in \
                       the configuration nobody logs in, everybody may read, and only this machine may change things and see \
                       the settings of a stream. With them a log-in is Digest, or Basic over TLS, from this machine, and where `login.basic` allows it; a \
                       rule for `watch`, `metrics` (everything else that is read) or `control` (everything that changes \
                       something, and the settings of a stream) says who may do what. Requests that change something are refused when a browser sends \
                       them for a page of another origin."
    ),
    paths(
        page::page,
        scrape::metrics,
        health::live,
        health::healthy,
        health::ready,
        document,
        events::events,
        api::streams,
        api::show,
        api::config,
        api::put,
        api::remove,
        api::viewers,
        api::history,
        api::log,
        api::capture,
        api::code,
        api::reconnect,
        api::disconnect,
        live::socket,
        live::mjpeg::moving,
        live::mjpeg::still,
    ),
    components(responses(LogIn, Forbidden, NotFound, Late, Unavailable, NoPicture)),
    security((), ("digest" = []), ("basic" = [])),
    modifiers(&Passed, &Schemes),
)]
struct Description;

/// What every request passes on its way.
struct Passed;

impl Modify for Passed {
    fn modify(&self, description: &mut OpenApi) {
        for (path, item) in &mut description.paths.paths {
            let is_open = access::HEALTH.contains(&path.as_str());
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                let mut passes = |status: &str, response: &str| {
                    let response = RefOr::Ref(Ref::from_response_name(response));
                    operation.responses.responses.insert(status.to_owned(), response);
                };
                passes("408", "Late");
                operation.tags = None; // names of modules, which say nothing to a client
                if is_open {
                    operation.security = Some(vec![SecurityRequirement::default()]);
                } else {
                    passes("401", "LogIn");
                    passes("403", "Forbidden");
                }
            }
        }
    }
}

/// How to log in.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, description: &mut OpenApi) {
        let log_in = |scheme, text: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(text)).build())
        };
        let digest = log_in(HttpAuthScheme::Digest, "SHA-256 or MD5 (RFC 7616).");
        let basic = log_in(
            HttpAuthScheme::Basic,
            "Over TLS, from this machine, and elsewhere where `login.basic` allows it.",
        );
        let text = "A watch link of `fanlight link`, which opens the pictures of a stream for a while.";
        let link = SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description("token", text)));
        let components = description.components.get_or_insert_default();
        for (name, scheme) in [("digest", digest), ("basic", basic), ("watch_link", link)] {
            components.add_security_scheme(name, scheme);
        }
    }
}

/// The stream that a path is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is described, not made: module `target` reads it")]
pub(super) struct Name {
    /// The stream's name. It may have slashes in it, which are sent as they are: `site/door`. Only of a name that itself ends
    /// like a part of a stream (`/viewers`, `/log` and so on) the last slash is escaped: `site%2Fviewers`.
    #[param(
        example = "door",
        max_length = 128,
        pattern = "^(\\.*[A-Za-z0-9_~-][A-Za-z0-9._~-]*|\\.{3,})(/(\\.*[A-Za-z0-9_~-][A-Za-z0-9._~-]*|\\.{3,}))*$"
    )]
    name: String,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::StreamName;

    fn described() -> Value {
        serde_json::from_str(&DOCUMENT).unwrap()
    }

    /// Text patterns are not run here; what they are to say is.
    #[test]
    fn a_name_is_as_long_as_the_configuration_takes() {
        let document = described();
        let name = &document["paths"]["/api/v1/streams/{name}"]["get"]["parameters"][0];
        assert_eq!(name["schema"]["maxLength"], StreamName::MAX);
    }

    #[test]
    fn everything_that_is_referred_to_is_there() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = described();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50, "{found:?}");
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }

    #[test]
    fn only_health_is_open_to_everybody() {
        for (path, operations) in described()["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let is_open = access::HEALTH.contains(&path.as_str());
                let responses = &operation["responses"];
                for status in ["401", "403"] {
                    assert_eq!(responses.get(status).is_some(), !is_open, "{method} {path}: {status}");
                }
                assert!(responses.get("408").is_some(), "{method} {path}");
                assert!(
                    operation["summary"].as_str().is_some_and(|text| text.ends_with('.')),
                    "{method} {path}"
                );
            }
        }
    }
}
