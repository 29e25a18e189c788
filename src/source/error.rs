//! Why an upstream session failed.

use std::time::Duration;

use thiserror::Error;

use crate::vocabulary::FailureClass;

/// A failed attempt or session: its class for decisions and metrics, and what happened in words, without secrets.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure it is.
    pub class: FailureClass,
    /// One line.
    pub message: String,
}

impl Error {
    /// An error of the given class.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    /// A step of the handshake that took too long.
    pub fn step_timeout(step: Step, after: Duration) -> Self {
        let message = format!("no answer to {step} within {} s (connect_timeout)", after.as_secs_f64());
        Self::new(FailureClass::ConnectTimeout, message)
    }

    /// An error of `retina`, which says what happened in words only: an HTTP-like status where there was one, else the
    /// operating system's error number in the text.
    pub fn from_retina(error: &retina::Error, step: Step) -> Self {
        let text = error.to_string();
        // The lines that follow say where in a packet capture it was; the first says what it was.
        let line: String = text.lines().next().unwrap_or_default().chars().take(MAX_MESSAGE).collect();
        Self::new(classify(error.status_code(), &line, step), format!("{step}: {line}"))
    }
}

/// Where in a session something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connecting, and asking for the description.
    Describe,
    /// Setting a track up.
    Setup,
    /// Starting.
    Play,
    /// While packets should come.
    Playing,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
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
    } else if line.contains("EOF") || line.contains("end of file") || line.contains("closed") {
        FailureClass::EndOfStream
    } else {
        FailureClass::Protocol
    }
}

/// Longer messages of a library are cut: they may quote what the camera sent.
const MAX_MESSAGE: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_status_and_by_the_system_s_error_number() {
        let cases = [
            (Some(401), "401 Unauthorized response to DESCRIBE", Step::Describe, FailureClass::Unauthorized),
            (Some(453), "453", Step::Setup, FailureClass::SessionLimit),
            (Some(500), "500", Step::Play, FailureClass::Status),
            (
                None,
                "Unable to connect to RTSP server: Connection refused (os error 111)",
                Step::Describe,
                FailureClass::Refused,
            ),
            (
                None,
                "Unable to connect to RTSP server: No route to host (os error 113)",
                Step::Describe,
                FailureClass::Unreachable,
            ),
            (
                None,
                "Unable to connect to RTSP server: failed to lookup address information: Name or service not known",
                Step::Describe,
                FailureClass::NameLookup,
            ),
            (
                None,
                "Error reading from RTSP peer: Connection reset by peer (os error 104)",
                Step::Playing,
                FailureClass::Reset,
            ),
            (None, "RTSP framing error: Invalid RTSP message", Step::Playing, FailureClass::Protocol),
        ];
        for (status, line, step, class) in cases {
            assert_eq!(classify(status, line, step), class, "{line}");
        }
    }
}
