//! A message without its secrets.

use std::fmt::Write as _;

use crate::config::redact_words;

/// The text of an RTSP message: credentials, keys and what looks like a password are `***`; what is no text is left out.
pub(super) fn message(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let mut clean = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => match line.strip_suffix('\r') {
                Some(line) => (line, "\r\n"),
                None => (line, "\n"),
            },
            None => (line, ""),
        };
        let name = line.split([':', '=']).next().unwrap_or_default().trim();
        let secret = SECRET.iter().find(|secret| secret.eq_ignore_ascii_case(name));
        let is_key = SDP_KEYS.iter().any(|key| line.starts_with(key));
        let _ = match (secret, is_key) {
            (Some(_), _) => write!(clean, "{name}: ***{end}"),
            (None, true) => {
                write!(clean, "{}***{end}", &line[..line.find([':', '=']).map_or(0, |at| at + 1)])
            }
            (None, false) => write!(clean, "{}{end}", redact_words(line)),
        }; // a String takes everything
    }
    clean
}

/// Headers that hold credentials, or what opens a session.
const SECRET: [&str; 6] =
    ["Authorization", "Proxy-Authorization", "Authentication-Info", "Cookie", "Set-Cookie", "KeyMgmt"];

/// Lines of an SDP that hold keys (RFC 4568, RFC 4567, RFC 8866 section 5.12).
const SDP_KEYS: [&str; 3] = ["a=crypto:", "a=key-mgmt:", "k="];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_keys_are_no_part_of_what_is_kept() {
        let request = "DESCRIBE rtsp://ann:hunter2@cam:554/live?token=hunter2&x=1 RTSP/1.0\r\nCSeq: 2\r\nauthorization : Basic \
            aHVudGVyMg==\r\nProxy-Authorization: hunter2\nUser-Agent: me\r\n\r\nk=base64:hunter2\r\na=crypto:1 inline:hunter2\r\nm=video 0 RTP/AVP 96\r\n";
        assert_eq!(
            message(request.as_bytes()),
            "DESCRIBE rtsp://***@cam:554/live?token=***&x=1 RTSP/1.0\r\nCSeq: 2\r\nauthorization: ***\r\nProxy-Authorization: \
             ***\nUser-Agent: me\r\n\r\nk=***\r\na=***\r\nm=video 0 RTP/AVP 96\r\n"
        );
        assert_eq!(message(b"\xff\xfe\r\n").chars().count(), 4);
    }
}
