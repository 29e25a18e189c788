//! Why an upstream session failed, where, and whether trying again makes sense.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::vocabulary::FailureClass;

/// A failed attempt or session, without secrets.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure it is, for decisions and metrics.
    pub class: FailureClass,
    /// In which request it happened, where one was under way.
    pub step: Option<Step>,
    /// What happened: one line.
    pub message: String,
    /// Which byte or packet it was, as far as the library tells: where to look in a capture.
    pub place: Option<String>,
}

impl Error {
    /// An error of the given class.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, step: None, message: message.into(), place: None }
    }

    /// A step of the handshake that took too long.
    pub fn step_timeout(step: Step, after: Duration) -> Self {
        let message = format!("no answer to {step} within {} s (connect_timeout)", after.as_secs_f64());
        Self { step: Some(step), ..Self::new(FailureClass::ConnectTimeout, message) }
    }

    /// An error of `retina`, which says what happened in words only: an HTTP-like status where there was one, else the
    /// operating system's error number in the text. The first line is what it was, the others where.
    pub fn from_retina(error: &retina::Error, step: Step) -> Self {
        Self::from_words(error.status_code(), &error.to_string(), step)
    }

    fn from_words(status: Option<u16>, text: &str, step: Step) -> Self {
        let line: String = text.lines().next().unwrap_or_default().chars().take(MAX_MESSAGE).collect();
        let class = classify(status, &line, step);
        let step = match class {
            FailureClass::KeepAlive => Step::KeepAlive,
            _ if line.starts_with("Unable to connect") => Step::Connect,
            _ => step,
        };
        Self { class, step: Some(step), message: format!("{step}: {line}"), place: place(text) }
    }

    /// Whether another attempt may go better without anybody changing something: not after a wrong password, say, which
    /// is tried again all the same, though seldom.
    pub fn is_worth_a_retry(&self) -> bool {
        !matches!(
            self.class,
            FailureClass::Unauthorized
                | FailureClass::Certificate
                | FailureClass::NotFound
                | FailureClass::File
        )
    }
}

/// Where in a session something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The TCP connection.
    Connect,
    /// Asking for the description; the library connects in the same step.
    Describe,
    /// Setting a track up.
    Setup,
    /// Starting.
    Play,
    /// A keep-alive: OPTIONS, GET_PARAMETER or SET_PARAMETER.
    KeepAlive,
    /// While packets should come.
    Playing,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::KeepAlive => "keep-alive",
            Self::Playing => "while playing",
        })
    }
}

fn classify(status: Option<u16>, line: &str, step: Step) -> FailureClass {
    match status {
        Some(401 | 403) => return FailureClass::Unauthorized,
        Some(404) => return FailureClass::NotFound,
        Some(453 | 503) => return FailureClass::SessionLimit,
        // A success whose contents could not be used.
        Some(200..300) => return FailureClass::Protocol,
        Some(_) => return FailureClass::Status,
        None => {}
    }
    let errno = |numbers: &[u32]| numbers.iter().any(|n| line.ends_with(&format!("(os error {n})")));
    let keep_alive = ["keepalive", "Unexpected RTSP response"].iter().any(|words| line.contains(words));
    if errno(&[111]) {
        FailureClass::Refused
    } else if errno(&[101, 112, 113]) {
        FailureClass::Unreachable
    } else if line.contains("lookup address") || line.contains("resolve") {
        FailureClass::NameLookup
    } else if errno(&[110]) {
        if step == Step::Playing { FailureClass::Stall } else { FailureClass::ConnectTimeout }
    } else if errno(&[104, 32, 103]) || line.starts_with("Error writing to RTSP peer") {
        FailureClass::Reset
    } else if step == Step::Playing && keep_alive {
        // Not answered in time, or with a CSeq of another request: nothing else is asked while media flows.
        FailureClass::KeepAlive
    } else if line.contains("EOF") || line.contains("end of file") || line.contains("closed") {
        FailureClass::EndOfStream
    } else {
        FailureClass::Protocol
    }
}

/// The byte of the connection, or the packet, from the lines that follow what happened: `msg: 4242@TIME`,
/// `seq: 0102`, `pkt: 4242@TIME`, `stream: TCP, interleaved channel ids 0-1`.
fn place(text: &str) -> Option<String> {
    let mut parts = Vec::new();
    for line in text.lines().skip(1) {
        let Some((what, rest)) = line.split_once(": ") else { continue };
        let rest: String = rest.chars().take(MAX_PLACE).collect();
        match what {
            "msg" | "pkt" => match rest.split_once('@') {
                Some((byte, _)) => parts.push(format!("byte {byte} of the connection")),
                None => parts.push(format!("the packet of {rest}")),
            },
            "stream" => parts.push(rest),
            "seq" => parts.push(format!("sequence number {rest}")),
            "ssrc" => parts.push(format!("SSRC {rest}")),
            _ => {}
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Longer messages of a library are cut: they may quote what the camera sent.
const MAX_MESSAGE: usize = 300;

/// The same for each part of a place.
const MAX_PLACE: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_status_and_by_the_system_s_error_number() {
        use FailureClass as F;
        use Step::{Describe, Play, Playing, Setup};
        let connect = "Unable to connect to RTSP server";
        let read = "Error reading from RTSP peer";
        let lookup = "failed to lookup address information: Name or service not known";
        let cases = [
            (Some(401), "401 Unauthorized response to DESCRIBE".to_owned(), Describe, F::Unauthorized),
            (Some(453), "453".to_owned(), Setup, F::SessionLimit),
            (Some(500), "500".to_owned(), Play, F::Status),
            (None, format!("{connect}: Connection refused (os error 111)"), Describe, F::Refused),
            (None, format!("{connect}: No route to host (os error 113)"), Describe, F::Unreachable),
            (None, format!("{connect}: {lookup}"), Describe, F::NameLookup),
            (None, format!("{read}: Connection reset by peer (os error 104)"), Playing, F::Reset),
            (None, "RTSP framing error: Invalid RTSP message".to_owned(), Playing, F::Protocol),
            (
                None,
                format!("{read}: Server failed to respond to keepalive 6 within 30s"),
                Playing,
                F::KeepAlive,
            ),
            (
                None,
                "RTSP framing error: Unexpected RTSP response Response {".to_owned(),
                Playing,
                F::KeepAlive,
            ),
            (
                None,
                "RTSP framing error: Unexpected RTSP response Response {".to_owned(),
                Describe,
                F::Protocol,
            ),
        ];
        for (status, line, step, class) in cases {
            assert_eq!(classify(status, &line, step), class, "{line}");
        }
    }

    #[test]
    fn an_error_says_in_which_request_and_at_which_byte_or_packet() {
        let conn = "conn: 10.0.0.1:4242(me)->10.0.0.7:554@2026-11-21T08:00:00";
        let framing = format!("RTSP framing error: Invalid\n\n{conn}\nmsg: 91822@2026-11-21T08:00:01");
        let error = Error::from_words(None, &framing, Step::Playing);
        assert_eq!(error.message, "while playing: RTSP framing error: Invalid");
        assert_eq!(error.place.as_deref(), Some("byte 91822 of the connection"));
        let packet = format!(
            "wrong ssrc\n\n{conn}\nstream: TCP, interleaved channel ids 0-1\nssrc: 0badcafe\nseq: 17\npkt: 300@now"
        );
        let place = Error::from_words(None, &packet, Step::Playing).place.unwrap();
        for part in ["channel ids 0-1", "SSRC 0badcafe", "sequence number 17", "byte 300"] {
            assert!(place.contains(part), "{place}");
        }
        let refused = "Unable to connect to RTSP server: Connection refused (os error 111)";
        assert_eq!(Error::from_words(None, refused, Step::Describe).step, Some(Step::Connect));
        assert_eq!(Error::new(FailureClass::Stall, "x").place, None);
    }

    #[test]
    fn what_only_a_person_can_change_is_not_worth_a_retry() {
        for (class, worth) in [(FailureClass::Unauthorized, false), (FailureClass::Reset, true)] {
            assert_eq!(Error::new(class, "x").is_worth_a_retry(), worth);
        }
    }
}
