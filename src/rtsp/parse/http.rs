//! HTTP requests, as far as a port that speaks RTSP meets them: the halves of tunnels, and mistakes.

use super::scan::{request_words, scan};
use super::{Limits, Reason, Rejection, fields, leading_blanks, reject, text};
use crate::rtsp::Headers;

/// An HTTP request without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method as sent.
    pub method: String,
    /// The request target as sent, possibly with credentials: not for logs.
    pub target: String,
    /// The header fields. `Content-Length` means nothing here: a tunnel's is never reached, or passed.
    pub headers: Headers,
}

/// Looks for an HTTP request without its body at the front of `buf`, where [`parse`](super::parse()) has found
/// [`Reason::Http`]. `Ok(None)` as there; the number of bytes is that of the head, blanks before it included.
///
/// ```
/// use fanlight::rtsp::{Limits, parse_http_request};
/// let bytes = b"GET /door HTTP/1.0\r\nx-sessioncookie: 7\r\n\r\n";
/// let (request, len) = parse_http_request(bytes, &Limits::default())?.expect("complete");
/// assert_eq!((request.method.as_str(), request.target.as_str(), len), ("GET", "/door", bytes.len()));
/// assert_eq!(request.headers.get("X-SessionCookie"), Some("7"));
/// # Ok::<(), fanlight::rtsp::Rejection>(())
/// ```
pub fn parse_http_request(buf: &[u8], limits: &Limits) -> Result<Option<(HttpRequest, usize)>, Rejection> {
    let blanks = leading_blanks(buf);
    let message = &buf[blanks..];
    let message = &message[..message.len().min(limits.head + 1)];
    let too_long = blanks > limits.head || message.len() > limits.head;
    let unfinished = if too_long { Err(reject(Reason::HeadTooLong, &[], None)) } else { Ok(None) };
    let Some(end) = message.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return unfinished };
    let Some((method, target, version)) = request_words(&message[..end]) else {
        return Err(reject(Reason::RequestLine, &[], None));
    };
    if !version.get(..5).is_some_and(|version| version.eq_ignore_ascii_case(b"HTTP/")) {
        return Err(reject(Reason::NotRtsp, &[], None));
    }
    if target.len() > limits.uri {
        return Err(reject(Reason::UriTooLong, &[], None));
    }
    // What follows the first line has the form of any head.
    let stand_in = [STAND_IN, &message[end..]].concat();
    let Some(head) = scan(&stand_in, limits)? else { return unfinished };
    let fields = fields(&head);
    if fields.malformed {
        return Err(reject(Reason::HeaderLine, &[], None));
    }
    let request = HttpRequest { method: text(method), target: text(target), headers: fields.headers };
    Ok(Some((request, blanks + end + head.len - STAND_IN.len())))
}

/// A start line that every check passes.
const STAND_IN: &[u8] = b"RTSP/1.0 200";

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &[u8] =
        b"\r\nPOST /cam?x=1 HTTP/1.1\r\nx-sessioncookie: 94fd\r\nContent-Length: 32767\r\n\r\n";

    fn found(buf: &[u8]) -> Option<(HttpRequest, usize)> {
        parse_http_request(buf, &Limits::default()).expect("no fault")
    }

    #[test]
    fn a_request_is_found_only_when_its_head_is_whole_whatever_follows() {
        for cut in 0..POST.len() {
            assert_eq!(found(&POST[..cut]), None, "cut at {cut}");
        }
        let (request, len) = found(&[POST, b"T1BUSU9OUw=="].concat()).unwrap();
        assert_eq!((request.target.as_str(), len), ("/cam?x=1", POST.len()));
        assert_eq!(request.headers.get("x-sessioncookie"), Some("94fd"));
    }

    #[test]
    fn line_feeds_alone_end_lines_too() {
        let bytes = b"GET / HTTP/1.0\nA: b\n\nrest";
        assert_eq!(found(bytes).unwrap().1, bytes.len() - 4);
    }

    #[test]
    fn what_is_too_long_or_no_http_is_refused() {
        let limits = Limits::default();
        let reason = |bytes: &[u8]| parse_http_request(bytes, &limits).unwrap_err().reason;
        assert_eq!(reason(b"OPTIONS * RTSP/1.0\r\n\r\n"), Reason::NotRtsp);
        assert_eq!(reason(b"GET /\r\n\r\n"), Reason::RequestLine);
        assert_eq!(reason(format!("GET /{} HTTP/1.0\r\n", "a".repeat(3000)).as_bytes()), Reason::UriTooLong);
        assert_eq!(
            reason(format!("GET / HTTP/1.0\r\nA: {}", "a".repeat(limits.head)).as_bytes()),
            Reason::HeadTooLong
        );
        assert_eq!(
            reason(&[b"GET / HTTP/1.0\r\n", b"A: b\r\n".repeat(99).as_slice()].concat()),
            Reason::TooManyHeaders
        );
        assert_eq!(reason(b"GET / HTTP/1.0\r\nno colon\r\n\r\n"), Reason::HeaderLine);
    }
}
