//! What every request passes: who may ask for changes, how long it may take, and what browsers are told.

use std::time::Duration;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time;

use super::answer::Refusal;

/// Refuses changes that a page of another origin asked a visitor's browser for: the API has no log-in that would stop
/// them, and the browser may be inside a network where the page is not.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD);
    if harmless || is_same_origin(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let error = "a page of another origin may not change anything here";
    Refusal::new(StatusCode::FORBIDDEN, error).into_response()
}

/// A program that is no browser sends neither header.
pub(super) fn is_same_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    // `same-site` is another port or another subdomain; `none` is the visitor's own doing.
    let fetched = headers.get_all("sec-fetch-site");
    if fetched.iter().any(|site| site != "same-origin" && site != "none") {
        return false;
    }
    let own = authority(uri, headers);
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        // `null`, of sandboxed frames and files, has no authority.
        origin.is_some_and(|(_, origin)| {
            own.as_ref().is_some_and(|own| own.as_str().eq_ignore_ascii_case(origin))
        })
    })
}

/// Whom the client meant to ask: the authority of the request line where it has one, else `Host`
/// ([RFC 9112 section 3.3](https://datatracker.ietf.org/doc/html/rfc9112#section-3.3)).
pub(super) fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    uri.authority().cloned().or_else(|| headers.get(header::HOST)?.to_str().ok()?.parse().ok())
}

/// Ends requests that take too long, such as one whose body never comes.
pub(super) async fn deadline(request: Request, next: Next) -> Response {
    time::timeout(DEADLINE, next.run(request)).await.unwrap_or_else(|_| {
        let error = format!("the request was not complete within {} s", DEADLINE.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, error).into_response()
    })
}

/// Headers that keep browsers from making more of an answer than it is.
pub(super) async fn headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            // `blob:` is what Media Source plays.
            "default-src 'self'; style-src 'self'; script-src 'self'; media-src 'self' blob:; object-src 'none'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
];

/// Everything but a change of streams is done at once; that one is given 10 s.
const DEADLINE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn same_origin(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_same_origin(&Uri::from_static("/api"), &headers.collect())
    }

    #[test]
    fn a_program_without_an_origin_may_change_things() {
        assert!(same_origin(&[("host", "relay:8580")]));
    }

    #[test]
    fn a_page_of_the_relay_itself_may_change_things() {
        assert!(same_origin(&[("host", "Relay:8580"), ("origin", "http://relay:8580")]));
        assert!(same_origin(&[("host", "[::1]:8580"), ("origin", "http://[::1]:8580")]));
        assert!(same_origin(&[
            ("host", "relay"),
            ("origin", "https://relay"),
            ("sec-fetch-site", "same-origin")
        ]));
    }

    #[test]
    fn a_page_of_another_origin_may_not() {
        for origin in ["http://evil.example", "http://relay", "http://relay:8581", "null", ""] {
            assert!(!same_origin(&[("host", "relay:8580"), ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "other"] {
            assert!(!same_origin(&[("host", "relay:8580"), ("sec-fetch-site", site)]), "{site}");
        }
        assert!(!same_origin(&[("origin", "http://relay:8580")]), "without a host nothing is the same");
        assert!(!same_origin(&[
            ("host", "relay"),
            ("origin", "http://relay"),
            ("origin", "http://evil.example")
        ]));
    }
}
