//! Finding the end of a head, and whatever makes the rest not worth waiting for.
//!
//! Every check here fires at the first byte that proves the fault, so that the verdict does not depend on how
//! many bytes have arrived, and so that noise, TLS and floods are refused at once.

use super::{Limits, Reason, Rejection, is_folded, reject};

/// A complete head.
pub(super) struct Head<'b> {
    /// The start line and the header lines as sent, folded ones on their own, without line ends. Never empty.
    pub(super) lines: Vec<&'b [u8]>,
    /// Its length, up to and with the line end of the empty line.
    pub(super) len: usize,
}

impl Head<'_> {
    pub(super) fn is_response(&self) -> bool {
        self.lines.first().is_some_and(|line| is_status_line(line))
    }
}

/// Reads lines up to the empty one; `None` if it has not come yet. `buf` does not begin with a blank.
///
/// A line ends with LF, CR LF or CR (RFC 2326 section 4). A CR at the end of the buffer may yet turn out to
/// be half of a CR LF; where that matters, for the empty line, we wait for the next byte, unless the line
/// before ended with a bare CR: such a peer may have nothing more to say.
pub(super) fn scan<'b>(buf: &'b [u8], limits: &Limits) -> Result<Option<Head<'b>>, Rejection> {
    let window = &buf[..buf.len().min(limits.head)];
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut fields = 0;
    let mut after_bare_cr = false;
    let mut at = 0;
    loop {
        let rest = &window[at..];
        let stop = rest.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t');
        let line = &rest[..stop.unwrap_or(rest.len())];
        if lines.is_empty() {
            check_start(line, limits).map_err(|reason| reject(reason, &[line], None))?;
        }
        let Some(stop) = stop else { break };
        let next = rest.get(stop + 1);
        let end = match rest[stop] {
            b'\n' => 1,
            b'\r' if line.is_empty() && after_bare_cr => 1,
            b'\r' if next == Some(&b'\n') => 2,
            b'\r' if next.is_some() || !line.is_empty() => 1,
            b'\r' => break,
            _ if lines.is_empty() => return Err(reject(first_line_control(line), &[line], None)),
            _ => return Err(reject(Reason::ControlCharacter, &lines, None)),
        };
        at += stop + end;
        if line.is_empty() {
            return Ok(Some(Head { lines, len: at }));
        }
        if lines.is_empty() {
            check_request_line(line, limits).map_err(|reason| reject(reason, &[line], None))?;
        } else if !is_folded(line) {
            fields += 1;
        }
        lines.push(line);
        if fields > limits.headers {
            return Err(reject(Reason::TooManyHeaders, &lines, None));
        }
        after_bare_cr = rest[stop] == b'\r' && end == 1 && next.is_some();
    }
    if buf.len() > limits.head { Err(reject(Reason::HeadTooLong, &lines, None)) } else { Ok(None) }
}

/// Checks what there is of a start line.
fn check_start(line: &[u8], limits: &Limits) -> Result<(), Reason> {
    let word = line.split(|byte| is_blank(*byte)).next().unwrap_or_default();
    // The only word with a slash is the version that begins a status line.
    let token =
        word.get(..5).filter(|begin| begin.eq_ignore_ascii_case(b"RTSP/")).map_or(word, |_| &word[5..]);
    if word.len() > WORD_MAX || !token.iter().all(|byte| is_token(*byte)) {
        return Err(Reason::NotRtsp);
    }
    // Until the line is complete nobody knows where its URI ends.
    let longest = word.len() + limits.uri + AROUND_URI;
    if !is_status_line(line) && line.len() > longest { Err(Reason::UriTooLong) } else { Ok(()) }
}

/// A control character in the first word means that this is no RTSP at all.
fn first_line_control(before: &[u8]) -> Reason {
    if before.iter().any(|byte| is_blank(*byte)) { Reason::ControlCharacter } else { Reason::NotRtsp }
}

/// Checks a complete start line for what ends a connection.
fn check_request_line(line: &[u8], limits: &Limits) -> Result<(), Reason> {
    match request_words(line) {
        Some(_) if is_status_line(line) => Ok(()),
        Some((_, _, version)) if version.get(..5).is_some_and(|v| v.eq_ignore_ascii_case(b"HTTP/")) => {
            Err(Reason::Http)
        }
        Some((_, uri, _)) if uri.len() > limits.uri => Err(Reason::UriTooLong),
        Some(_) | None => Ok(()),
    }
}

/// Whether a start line is a response's.
pub(super) fn is_status_line(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case(b"RTSP/"))
}

/// The first word of a line, the last one, and what is between: the URI, which may hold blanks somebody typed
/// and no player escaped.
pub(super) fn request_words(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let line = line.trim_ascii();
    let first = line.iter().position(|byte| is_blank(*byte))?;
    let last = line.iter().rposition(|byte| is_blank(*byte))?;
    let uri = line.get(first..last)?.trim_ascii();
    (!uri.is_empty()).then(|| (&line[..first], uri, &line[last + 1..]))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// RFC 2326 section 15.1: anything but controls and separators.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The longest method; the longest known has 13 letters.
const WORD_MAX: usize = 64;

/// Blanks and version around a URI, with room for some more blanks.
const AROUND_URI: usize = 32;
