//! The handshake of a WebSocket ([RFC 6455 section 4.2](https://datatracker.ietf.org/doc/html/rfc6455#section-4.2)).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};

use crate::web::answer::Refusal;

/// The answer to a client that asks for a WebSocket.
///
/// # Errors
/// It does not ask as it should, or for another version.
pub(super) fn accept(headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let has = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "this is to be asked for as a WebSocket");
        return Err(refusal.with_header(header::UPGRADE, "websocket"));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, VERSION) {
        let refusal = Refusal::new(
            StatusCode::UPGRADE_REQUIRED,
            "the WebSocket of RFC 6455, version 13, is spoken here",
        );
        return Err(refusal.with_header(header::SEC_WEBSOCKET_VERSION, VERSION));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.filter(|key| BASE64.decode(key.as_bytes()).is_ok_and(|key| key.len() == 16));
    let Some(key) = key else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, answer_to(key.as_bytes()));
    Ok(response)
}

/// What shows that the key was read.
fn answer_to(key: &[u8]) -> HeaderValue {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::from_str(&BASE64.encode(hash)).expect("base64 is fit for a header")
}

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const VERSION: &str = "13";

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(headers: &[(&'static str, &'static str)]) -> Result<Response<Body>, Refusal> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        accept(&headers.collect())
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_like_there() {
        let response = ask(&[
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        let response = response.unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn who_does_not_ask_for_one_is_refused() {
        for headers in [
            &[][..],
            &[("upgrade", "h2c"), ("connection", "upgrade")],
            &[("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "8")],
            &[("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")],
            &[
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "c2hvcnQ="),
            ],
        ] {
            assert!(ask(headers).is_err(), "{headers:?}");
        }
    }
}
