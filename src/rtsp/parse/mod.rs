//! Bytes to messages.
//!
//! [`parse`] is a pure function of the bytes so far: it is called again with more of them until it finds an
//! item. What it says does not depend on how the bytes were cut, and it says it as early as it is certain.
//!
//! Taken although RFC 2326 does not ask for it: blanks before a message, any line end, raw blanks in a URI,
//! blanks around a header's name, repeated and empty fields, a missing reason phrase, text that is not UTF-8
//! in a header. Refused although some parsers take it: control characters, two different lengths, a sign in a
//! length.
//!
//! Cost: every call reads the unfinished head again, so a peer that sends one byte at a time makes it
//! quadratic in the head, which [`Limits::head`] bounds: 16 KiB in 16 384 pieces took 0.14 to 0.24 s in all
//! (measured with optimisation), on average 9 to 15 µs a piece. While a body is unfinished only the head
//! before it is read again; a `$` frame costs its four bytes.

mod http;
mod scan;

use bytes::Bytes;

use super::headers::{CONTENT_LENGTH, CSEQ};
use super::message::is_cseq;
use super::{Headers, Method, Request, Response, Status};
pub use http::{HttpRequest, parse_http_request};
use scan::{Head, scan};

/// What a peer may make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of start line and header fields together. The blanks before them count on their own, with the
    /// same limit.
    pub head: usize,
    /// Bytes of the body.
    pub body: usize,
    /// Header fields.
    pub headers: usize,
    /// Bytes of the request's URI.
    pub uri: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 16 << 10, body: 64 << 10, headers: 64, uri: 2048 }
    }
}

/// What stood at the front of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'b> {
    /// A request.
    Request(Request),
    /// A response. A server never answers one: GStreamer gives up when its answer is answered.
    Response(Response),
    /// An interleaved packet (RFC 2326 section 10.12), of 0 to 65535 bytes.
    Data {
        /// The channel.
        channel: u8,
        /// The packet.
        payload: &'b [u8],
    },
}

/// Why bytes are no message, and how to go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    /// The status that answers it.
    pub status: Status,
    /// The `CSeq` to echo, if it was found and is a number.
    pub cseq: Option<String>,
    /// `Some(n)`: the message's end is known: skip `n` bytes, answer, go on. `None`: answer and close.
    pub consumed: Option<usize>,
    /// `false` if it was a response, or no message at all: close (or skip) without a word.
    pub answerable: bool,
    /// What was wrong.
    pub reason: Reason,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// The first word is no method: TLS, another protocol, or media out of step.
    #[error("not rtsp")]
    NotRtsp,
    /// An HTTP request; the connection may be a tunnel (RTSP over HTTP) or a mistake.
    #[error("an http request")]
    Http,
    /// The request line is not a method, a URI and a version.
    #[error("malformed request line")]
    RequestLine,
    /// The status line has no status of three digits.
    #[error("malformed status line")]
    StatusLine,
    /// RTSP, but not 1.0.
    #[error("rtsp version not supported")]
    Version,
    /// A header line without a name or a colon, or a folded line with nothing to continue.
    #[error("malformed header line")]
    HeaderLine,
    /// A control character in the head, NUL above all.
    #[error("control character in the head")]
    ControlCharacter,
    /// `Content-Length` is not a number, or two of them differ.
    #[error("malformed content-length")]
    ContentLength,
    /// More than [`Limits::uri`].
    #[error("uri too long")]
    UriTooLong,
    /// More than [`Limits::head`].
    #[error("head too long")]
    HeadTooLong,
    /// More than [`Limits::headers`].
    #[error("too many header fields")]
    TooManyHeaders,
    /// More than [`Limits::body`].
    #[error("body too long")]
    BodyTooLong,
}

impl Reason {
    fn status(self) -> Status {
        match self {
            Self::Version => Status::VERSION_NOT_SUPPORTED,
            Self::UriTooLong => Status::REQUEST_URI_TOO_LONG,
            Self::BodyTooLong => Status::REQUEST_ENTITY_TOO_LARGE,
            Self::NotRtsp
            | Self::Http
            | Self::RequestLine
            | Self::StatusLine
            | Self::HeaderLine
            | Self::ControlCharacter
            | Self::ContentLength
            | Self::HeadTooLong
            | Self::TooManyHeaders => Status::BAD_REQUEST,
        }
    }
}

impl Rejection {
    /// The answer to send, if one is due.
    pub fn answer(&self) -> Option<Response> {
        let mut answer = Response::new(self.status);
        if let Some(cseq) = &self.cseq {
            answer = answer.header(CSEQ, cseq);
        }
        if self.reason == Reason::Version {
            // RFC 7826 section 17.5.6 asks for the reason, and for what is spoken instead.
            answer = answer.body("text/plain; charset=utf-8", "this server speaks RTSP/1.0 (RFC 2326)\n");
        }
        self.answerable.then_some(answer)
    }
}

/// The number of blanks and line ends at the front of `buf`, which may be dropped whatever follows them.
///
/// Empty lines may come to keep a connection open: drop them when [`parse`] finds nothing, or they add up
/// until it refuses them.
pub fn leading_blanks(buf: &[u8]) -> usize {
    buf.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

/// Looks for one item at the front of `buf`.
///
/// `Ok(None)` means that there is none yet; no more than the head, the body and the leading blanks [`Limits`]
/// allows, or 65 539 bytes of a `$` frame, can be waiting. Else the item comes with the number of bytes to
/// drop, the blanks before it included.
///
/// ```
/// use fanlight::rtsp::{Item, Limits, parse};
/// let bytes = b"\r\nOPTIONS * RTSP/1.0\nCSeq: 1\n\n$";
/// let Some((Item::Request(request), 30)) = parse(bytes, &Limits::default())? else { panic!() };
/// assert_eq!(request.cseq(), Ok("1"));
/// # Ok::<(), fanlight::rtsp::Rejection>(())
/// ```
pub fn parse<'b>(buf: &'b [u8], limits: &Limits) -> Result<Option<(Item<'b>, usize)>, Rejection> {
    let blanks = leading_blanks(buf);
    if blanks > limits.head {
        return Err(reject(Reason::HeadTooLong, &[], None));
    }
    let message = &buf[blanks..];
    if message.first() == Some(&b'$') {
        return Ok(data(message).map(|(item, len)| (item, blanks + len)));
    }
    let Some(head) = scan(message, limits)? else { return Ok(None) };
    let Some((Fields { headers, malformed }, body, len)) = rest(message, &head, limits)? else {
        return Ok(None);
    };
    let consumed = blanks + len;
    let item = if head.is_response() {
        // Nobody can be told of a bad line in a response: the good ones count.
        status_line(head.lines[0]).map(|status| Item::Response(Response { status, headers, body }))
    } else {
        request_line(head.lines[0]).and_then(|(method, uri)| {
            let request = Request { method, uri, headers, body };
            if malformed { Err(Reason::HeaderLine) } else { Ok(Item::Request(request)) }
        })
    };
    match item {
        Ok(item) => Ok(Some((item, consumed))),
        Err(reason) => Err(reject(reason, &head.lines, Some(consumed))),
    }
}

/// How many bytes of its body a message lacks whose head is complete, at the front of `buf`; `None` of anything else.
///
/// ```
/// use fanlight::rtsp::{Limits, missing_body};
/// let bytes = b"RTSP/1.0 200 OK\nContent-Length: 5\n\nab";
/// assert_eq!(missing_body(bytes, &Limits::default()), Some(3));
/// ```
pub fn missing_body(buf: &[u8], limits: &Limits) -> Option<usize> {
    let message = &buf[leading_blanks(buf)..];
    if message.first() == Some(&b'$') {
        return None; // a packet, whatever its bytes look like
    }
    let head = scan(message, limits).ok()??;
    let length = content_length(&fields(&head).headers, limits).ok()?;
    (head.len + length).checked_sub(message.len()).filter(|missing| *missing > 0)
}

/// Looks for an HTTP response without its body at the front of `buf`: what a tunnel or a proxy says before RTSP begins, and
/// the status line of some old DVRs, which answer RTSP that way. `Ok(None)` as in [`parse()`]; the number of bytes is that
/// of the head, blanks before it included.
///
/// ```
/// use fanlight::rtsp::{Limits, parse_http_head};
/// let (head, len) = parse_http_head(b"HTTP/1.0 200 OK\r\n\r\nRTSP", &Limits::default())?.expect("complete");
/// assert_eq!((head.status.0, len), (200, 19));
/// # Ok::<(), fanlight::rtsp::Rejection>(())
/// ```
pub fn parse_http_head(buf: &[u8], limits: &Limits) -> Result<Option<(Response, usize)>, Rejection> {
    let blanks = leading_blanks(buf);
    let message = &buf[blanks..];
    let prefix = &message[..message.len().min(HTTP.len())];
    if blanks > limits.head || !prefix.eq_ignore_ascii_case(&HTTP[..prefix.len()]) {
        return Err(reject(Reason::NotRtsp, &[], None));
    }
    if message.len() < HTTP.len() {
        return Ok(None);
    }
    // Only the first word differs from an RTSP response, and it has as many letters.
    let limited = &message[..message.len().min(limits.head + 1)];
    let rtsp = [b"RTSP/", &limited[HTTP.len()..]].concat();
    let Some(head) = scan(&rtsp, limits)? else { return Ok(None) };
    let status = status_line(head.lines[0]).map_err(|reason| reject(reason, &head.lines, None))?;
    let response = Response { status, headers: fields(&head).headers, body: Bytes::new() };
    Ok(Some((response, blanks + head.len)))
}

/// The fields and the body behind a head, and the length of all; `None` if the body has not come yet.
fn rest(
    message: &[u8],
    head: &Head<'_>,
    limits: &Limits,
) -> Result<Option<(Fields, Bytes, usize)>, Rejection> {
    let fields = fields(head);
    let body_len =
        content_length(&fields.headers, limits).map_err(|reason| reject(reason, &head.lines, None))?;
    let len = head.len + body_len;
    let body = message.get(head.len..len).map(Bytes::copy_from_slice);
    Ok(body.map(|body| (fields, body, len)))
}

fn data(buf: &[u8]) -> Option<(Item<'_>, usize)> {
    let [_, channel, high, low, rest @ ..] = buf else { return None };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    let payload = rest.get(..len)?;
    Some((Item::Data { channel: *channel, payload }, 4 + len))
}

struct Fields {
    headers: Headers,
    malformed: bool,
}

fn fields(head: &Head<'_>) -> Fields {
    let mut headers = Headers::new();
    let mut malformed = false;
    for line in &head.lines[1..] {
        match field(line) {
            Some((name, value)) => headers.push(name, value),
            None if is_folded(line) => malformed |= !headers.fold(text(line).trim_matches(BLANKS)),
            None => malformed = true,
        }
    }
    Fields { headers, malformed }
}

/// A header line's name and value, without the blanks around them.
fn field(line: &[u8]) -> Option<(String, String)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = text(&line[..colon]);
    let name = name.trim_end_matches(BLANKS);
    let usable = !name.is_empty() && !is_folded(line);
    usable.then(|| (name.to_owned(), text(&line[colon + 1..]).trim_matches(BLANKS).to_owned()))
}

/// Whether a line continues the one before (RFC 2326 section 4, by way of HTTP/1.1).
fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// The length of the body. Everything that could put the next message's beginning in doubt is an error.
fn content_length(headers: &Headers, limits: &Limits) -> Result<usize, Reason> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).map(|text| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits {
            text.parse::<u64>().map_err(|_| Reason::ContentLength)
        } else {
            Err(Reason::ContentLength)
        }
    });
    let Some(length) = lengths.next().transpose()? else { return Ok(0) };
    if lengths.any(|other| other != Ok(length)) {
        return Err(Reason::ContentLength);
    }
    usize::try_from(length).ok().filter(|length| *length <= limits.body).ok_or(Reason::BodyTooLong)
}

fn request_line(line: &[u8]) -> Result<(Method, String), Reason> {
    let (method, uri, version) = scan::request_words(line).ok_or(Reason::RequestLine)?;
    if !version.eq_ignore_ascii_case(b"RTSP/1.0") {
        // A version of a known shape gets 505, so that the peer may try 1.0; anything else is no RTSP.
        let known = matches!(version, [_, _, _, _, b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
            && version[..4].eq_ignore_ascii_case(b"RTSP");
        return Err(if known { Reason::Version } else { Reason::RequestLine });
    }
    let uri = std::str::from_utf8(uri).map_err(|_| Reason::RequestLine)?;
    Ok((Method::from(text(method).as_str()), uri.to_owned()))
}

fn status_line(line: &[u8]) -> Result<Status, Reason> {
    // Any version will do in a response; the reason phrase may be missing (many cameras).
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    match words.nth(1) {
        Some([a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']) => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Ok(Status(digit(a) * 100 + digit(b) * 10 + digit(c)))
        }
        _ => Err(Reason::StatusLine),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A rejection of the message whose complete lines so far are `lines`.
fn reject(reason: Reason, lines: &[&[u8]], consumed: Option<usize>) -> Rejection {
    let cseq = lines
        .iter()
        .skip(1)
        .filter_map(|line| field(line))
        .find_map(|(name, value)| (name.eq_ignore_ascii_case(CSEQ) && is_cseq(&value)).then_some(value));
    let response = lines.first().is_some_and(|line| scan::is_status_line(line));
    let answerable = !response && reason != Reason::NotRtsp;
    Rejection { status: reason.status(), cseq, consumed, answerable, reason }
}

const HTTP: &[u8; 5] = b"HTTP/";

const BLANKS: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests;
