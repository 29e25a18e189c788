//! Header fields: ordered, repeatable, looked up without regard to case.

use std::fmt;

/// The header fields of a message, in the order they were sent or pushed.
///
/// Names compare without regard to case, in look-ups as in `==` (RFC 2326 section 12); the spelling of the
/// peer is kept. `Debug` hides what `Authorization` says.
#[derive(Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of the first field called `name`, possibly empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The values of every field called `name`, in order.
    pub fn get_all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The elements of a comma-separated list, over every field called `name`, trimmed, empty ones left out.
    ///
    /// For `Require`, `Connection`, `Accept`: values whose elements hold no quoted commas.
    pub fn list<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.get_all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }

    /// Adds a field at the end; fields of the same name stay.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends text to the last field, for folded lines; `false` if there is none.
    pub(super) fn fold(&mut self, text: &str) -> bool {
        let Some((_, value)) = self.0.last_mut() else { return false };
        if !value.is_empty() && !text.is_empty() {
            value.push(' ');
        }
        value.push_str(text);
        true
    }

    /// Writes the fields and the empty line: CSeq first, so that every message begins alike, canonical
    /// spelling, because some compare with regard to case (go2rtc issue 7), and the `Content-Length` that is
    /// true.
    pub(super) fn write(&self, body_len: usize, out: &mut Vec<u8>) {
        let is = |name: &str, known: &str| name.eq_ignore_ascii_case(known);
        for (name, value) in self.iter().filter(|(name, _)| is(name, CSEQ)) {
            write_field(name, value, out);
        }
        let mut length_due = true;
        for (name, value) in self.iter().filter(|(name, _)| !is(name, CSEQ)) {
            if !is(name, CONTENT_LENGTH) {
                write_field(name, value, out);
            } else if std::mem::take(&mut length_due) {
                write_field(name, &body_len.to_string(), out);
            }
        }
        if length_due && body_len > 0 {
            write_field(CONTENT_LENGTH, &body_len.to_string(), out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|(a, b)| a.0.eq_ignore_ascii_case(b.0) && a.1 == b.1)
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value)| {
            let secret = SECRET.iter().any(|known| known.eq_ignore_ascii_case(name));
            (name, if secret { "***" } else { value })
        };
        f.debug_map().entries(self.iter().map(shown)).finish()
    }
}

/// Writes text into a line. A control character becomes a blank, so that no value can end its line.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().map(|byte| if byte.is_ascii_control() && byte != b'\t' { b' ' } else { byte }));
}

fn write_field(name: &str, value: &str, out: &mut Vec<u8>) {
    let spelling = CANONICAL.iter().find(|known| known.eq_ignore_ascii_case(name));
    write_text(spelling.copied().unwrap_or(name), out);
    out.extend_from_slice(b": ");
    write_text(value, out);
    out.extend_from_slice(b"\r\n");
}

pub(super) const CSEQ: &str = "CSeq";
pub(super) const CONTENT_LENGTH: &str = "Content-Length";
pub(super) const CONTENT_TYPE: &str = "Content-Type";

/// Fields whose value is or proves a password.
const SECRET: [&str; 2] = ["Authorization", "Proxy-Authorization"];

/// The spelling RFC 2326 uses.
const CANONICAL: [&str; 38] = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Allow",
    "Authorization",
    "Bandwidth",
    "Blocksize",
    "Cache-Control",
    "Connection",
    "Content-Base",
    "Content-Encoding",
    CONTENT_LENGTH,
    "Content-Location",
    CONTENT_TYPE,
    CSEQ,
    "Date",
    "Expires",
    "Last-Modified",
    "Location",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "Public",
    "Range",
    "Require",
    "Retry-After",
    "RTP-Info",
    "Scale",
    "Server",
    "Session",
    "Speed",
    "Timestamp",
    "Transport",
    "Unsupported",
    "User-Agent",
    "Vary",
    "Via",
    "WWW-Authenticate",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.push(*name, *value);
        }
        headers
    }

    fn written(headers: &Headers, body_len: usize) -> String {
        let mut out = Vec::new();
        headers.write(body_len, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_header_name_is_case_insensitive() {
        let headers = headers(&[("transport", "a"), ("TRANSPORT", "b")]);
        assert_eq!(headers.get("Transport"), Some("a"));
        assert_eq!(headers.get_all("tRANSPORT").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers.get("Transports"), None);
        assert_eq!((headers.len(), headers.is_empty()), (2, false));
    }

    #[test]
    fn a_list_runs_over_every_field_of_the_name() {
        let headers = headers(&[("Require", "a, b,"), ("x", "y"), ("require", " c")]);
        assert_eq!(headers.list("Require").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn cseq_is_written_first_and_names_are_spelt_as_in_the_rfc() {
        let headers =
            headers(&[("rtp-info", "x"), ("X-Own", "1"), ("cseq", "0007"), ("www-authenticate", "y")]);
        assert_eq!(
            written(&headers, 0),
            "CSeq: 0007\r\nRTP-Info: x\r\nX-Own: 1\r\nWWW-Authenticate: y\r\n\r\n"
        );
    }

    #[test]
    fn the_content_length_written_is_the_true_one() {
        assert_eq!(written(&headers(&[]), 0), "\r\n");
        assert_eq!(written(&headers(&[]), 12), "Content-Length: 12\r\n\r\n");
        let claims = headers(&[("content-length", "99"), ("A", "b"), ("Content-Length", "98")]);
        assert_eq!(written(&claims, 12), "Content-Length: 12\r\nA: b\r\n\r\n");
    }

    #[test]
    fn a_value_cannot_end_its_line() {
        let smuggled = headers(&[("A", "b\r\nSession: stolen\0")]);
        assert_eq!(written(&smuggled, 0), "A: b  Session: stolen \r\n\r\n");
    }

    #[test]
    fn debug_hides_credentials() {
        let shown = format!("{:?}", headers(&[("authorization", "Basic c2VjcmV0"), ("Session", "1")]));
        assert_eq!(shown, r#"{"authorization": "***", "Session": "1"}"#);
    }
}
