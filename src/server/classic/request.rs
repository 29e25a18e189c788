//! The exercise's requests: three lines, whose end is where no more comes.

use crate::rtsp::Method;

/// What the exercise's server reads of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The file's name, as it stands in the request line.
    pub(super) file: String,
    /// Empty where there is none that is a number.
    pub(super) cseq: String,
    pub(super) session: Option<u32>,
    /// `client_port`.
    pub(super) port: Option<u16>,
}

/// Whether `input`, the first that a connection says, is a SETUP for `RTP/UDP`, which nobody else asks for.
pub(in crate::server) fn is_meant(input: &[u8]) -> bool {
    const NAME: &[u8] = b"RTP/UDP";
    input.starts_with(b"SETUP ")
        && input.len() <= super::LONGEST_REQUEST
        && input.windows(NAME.len()).any(|window| window.eq_ignore_ascii_case(NAME))
}

/// The request at the front of `input`, and its length: up to an empty line, or to the next request line, or (where it is
/// `quiet`, and nothing more is to be expected) to the end. `None` while there is no telling.
pub(super) fn take(input: &[u8], quiet: bool) -> Option<(Request, usize)> {
    let mut lines: Vec<&str> = Vec::new();
    let mut at = 0;
    for piece in input.split_inclusive(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(piece).unwrap_or_default().trim();
        let whole = piece.ends_with(b"\n");
        if whole && line.is_empty() && !lines.is_empty() {
            return Some((read(&lines), at + piece.len()));
        }
        if whole && is_request_line(line) && !lines.is_empty() {
            return Some((read(&lines), at));
        }
        if !line.is_empty() {
            lines.push(line);
        }
        at += piece.len();
    }
    (quiet && !lines.is_empty()).then(|| (read(&lines), at))
}

fn is_request_line(line: &str) -> bool {
    line.ends_with(" RTSP/1.0")
}

fn read(lines: &[&str]) -> Request {
    let mut words = lines[0].split_ascii_whitespace();
    let field = |name: &str| {
        lines[1..].iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 10;
    // `RTP/UDP; client_port= 25000`
    let port = field("Transport").and_then(|transport| {
        let after = transport.split_once("client_port")?.1.trim_start().strip_prefix('=')?;
        after.split([';', '-']).next()?.trim().parse().ok()
    });
    Request {
        method: Method::from(words.next().unwrap_or_default()),
        file: words.next().unwrap_or_default().to_owned(),
        cseq: field("CSeq").filter(|cseq| number(cseq)).unwrap_or_default().to_owned(),
        session: field("Session").and_then(|session| session.parse().ok()),
        port,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETUP: &str = "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000";

    #[test]
    fn a_request_ends_with_silence_an_empty_line_or_the_next_one() {
        assert!(is_meant(SETUP.as_bytes()));
        assert_eq!(take(SETUP.as_bytes(), false), None);
        let (setup, length) = take(SETUP.as_bytes(), true).unwrap();
        assert_eq!(
            (setup.method.clone(), setup.file.as_str(), length),
            (Method::Setup, "movie.Mjpeg", SETUP.len())
        );
        assert_eq!((setup.cseq.as_str(), setup.port, setup.session), ("1", Some(25000), None));
        let ended = format!("{}\r\n\r\nPLAY", SETUP.replace('\n', "\r\n"));
        assert_eq!(take(ended.as_bytes(), false), Some((setup.clone(), ended.len() - 4)));
        let next = format!("{SETUP}\nPLAY movie.Mjpeg RTSP/1.0\n");
        assert_eq!(take(next.as_bytes(), false), Some((setup, SETUP.len() + 1)));
    }

    #[test]
    fn what_is_illegible_is_left_out() {
        let (request, _) = take(b"PLAY\nCSeq: x\nSession: 12;timeout=3\n\n", false).unwrap();
        assert_eq!((request.cseq.as_str(), request.session, request.file.as_str()), ("", None, ""));
        assert_eq!(take(b"\n\r\n", true), None);
        assert!(!is_meant(
            b"SETUP /cam RTSP/1.0\r\nTransport: RTP/AVP;unicast;client_port=1024-1025\r\n\r\n"
        ));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_go_beyond_its_end(text in "(SETUP|PLAY|[a-zA-Z]{1,9}: | RTSP/1.0|client_port=|[0-9]{1,6}|\r?\n|\\PC){0,30}") {
            if let Some((_, length)) = take(text.as_bytes(), true) {
                prop_assert!((1..=text.len()).contains(&length));
            }
        }
    }
}
