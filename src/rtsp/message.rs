//! Requests and responses, and how they are written.

use std::fmt;

use bytes::Bytes;

use super::headers::{CONTENT_TYPE, CSEQ, write_text};
use super::{Headers, Method, Status, without_userinfo};

/// A request (RFC 2326 section 6). Its version is 1.0.
///
/// ```
/// use fanlight::rtsp::{Method, Request};
/// let mut out = Vec::new();
/// Request::new(Method::Options, "*").header("CSeq", 1).write(&mut out);
/// assert_eq!(out, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// The URI as sent, possibly with credentials: read it with [`Uri::parse`](super::Uri::parse), log it
    /// through [`without_userinfo`].
    pub uri: String,
    /// The header fields, `Content-Length` included.
    pub headers: Headers,
    /// The body, often empty.
    pub body: Bytes,
}

/// Why a request's `CSeq` cannot be echoed; answered with 400 (RFC 2326 section 12.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CseqError {
    /// There is none.
    #[error("the request has no CSeq")]
    Missing,
    /// It is empty, not a number, or above 4294967295.
    #[error("the request's CSeq is not a number of 32 bits")]
    Malformed,
}

impl Request {
    /// A request without header fields.
    pub fn new(method: Method, uri: impl Into<String>) -> Self {
        Self { method, uri: uri.into(), headers: Headers::new(), body: Bytes::new() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push(name, value.to_string());
        self
    }

    /// Sets the body and adds its `Content-Type`; `Content-Length` is written by itself.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE, content_type)
    }

    /// The sequence number as the answer has to echo it: byte for byte, `0007` included.
    pub fn cseq(&self) -> Result<&str, CseqError> {
        let cseq = self.headers.get(CSEQ).ok_or(CseqError::Missing)?;
        if is_cseq(cseq) { Ok(cseq) } else { Err(CseqError::Malformed) }
    }

    /// Appends the request's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_text(self.method.as_str(), out);
        out.push(b' ');
        write_text(&self.uri, out);
        out.extend_from_slice(b" RTSP/1.0\r\n");
        self.headers.write(self.body.len(), out);
        out.extend_from_slice(&self.body);
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("uri", &without_userinfo(&self.uri))
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish()
    }
}

/// A response (RFC 2326 section 7).
///
/// ```
/// use fanlight::rtsp::{Response, Status};
/// let mut out = Vec::new();
/// Response::new(Status::OK).header("Public", "OPTIONS").header("CSeq", "0007").write(&mut out);
/// assert_eq!(out, b"RTSP/1.0 200 OK\r\nCSeq: 0007\r\nPublic: OPTIONS\r\n\r\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code; the peer's reason phrase is not kept.
    pub status: Status,
    /// The header fields, `Content-Length` included.
    pub headers: Headers,
    /// The body, often empty.
    pub body: Bytes,
}

impl Response {
    /// A response without header fields.
    pub fn new(status: Status) -> Self {
        Self { status, headers: Headers::new(), body: Bytes::new() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push(name, value.to_string());
        self
    }

    /// Sets the body and adds its `Content-Type`; `Content-Length` is written by itself.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE, content_type)
    }

    /// The sequence number of the request this answers, if it is given and a number. Some servers leave it
    /// out: match by order.
    pub fn cseq(&self) -> Option<u32> {
        self.headers.get(CSEQ).filter(|cseq| is_cseq(cseq))?.parse().ok()
    }

    /// Appends the response's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("RTSP/1.0 {}\r\n", self.status).as_bytes());
        self.headers.write(self.body.len(), out);
        out.extend_from_slice(&self.body);
    }
}

impl From<Status> for Response {
    fn from(status: Status) -> Self {
        Self::new(status)
    }
}

/// Whether a `CSeq` value is a number of 32 bits, without sign.
pub(super) fn is_cseq(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cseq(cseq: &str) -> Request {
        Request::new(Method::Options, "*").header("cseq", cseq)
    }

    #[test]
    fn a_cseq_is_echoed_byte_for_byte() {
        for cseq in ["0", "2", "0007", "1102", "4294967295"] {
            assert_eq!(with_cseq(cseq).cseq(), Ok(cseq));
        }
    }

    #[test]
    fn a_cseq_that_is_no_number_of_32_bits_is_refused() {
        assert_eq!(Request::new(Method::Options, "*").cseq(), Err(CseqError::Missing));
        for cseq in ["", "abc", "-1", "+1", "1 2", "4294967296", "99999999999999999999999"] {
            assert_eq!(with_cseq(cseq).cseq(), Err(CseqError::Malformed), "{cseq}");
        }
    }

    #[test]
    fn a_response_without_a_usable_cseq_has_none() {
        assert_eq!(Response::new(Status::OK).cseq(), None);
        assert_eq!(Response::new(Status::OK).header("CSeq", "x").cseq(), None);
        assert_eq!(Response::new(Status::OK).header("CSeq", "0012").cseq(), Some(12));
    }

    #[test]
    fn a_body_is_written_with_its_type_and_length() {
        let mut out = Vec::new();
        let response = Response::new(Status::OK).body("application/sdp", "v=0\r\n").header("CSeq", 3);
        response.write(&mut out);
        let text =
            "RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn a_uri_cannot_end_the_request_line() {
        let mut out = Vec::new();
        Request::new(Method::Other("A\n".into()), "a\r\nb").write(&mut out);
        assert_eq!(out, b"A  a  b RTSP/1.0\r\n\r\n");
    }

    #[test]
    fn debug_hides_the_credentials_of_a_request() {
        let request =
            Request::new(Method::Play, "rtsp://ann:hunter2@h/x").header("Authorization", "Basic hunter2");
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
