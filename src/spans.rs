//! Spans: which stream's source or which viewer a line of the log, and a trace, is about.
//!
//! | span | is | fields |
//! |---|---|---|
//! | `stream` | a stream's source, as long as the stream is there | `stream` |
//! | `attempt` in it | one attempt at a session, to the answer to PLAY; `describe` and `play` are its parts | `source`, `transport`, `purpose`, `reason` |
//! | `session` in it | the session that is published, to its end | `source`, `transport`, `reason` |
//! | `viewer` | a viewer: its connection, and its session once it has one | `peer`, `session`, `stream`, `transport`, `user_agent`, `reason` |
//! | `request` in it | one request of an RTSP dialogue | `method`, `status` |
//!
//! **Media is sent in no span.** A span around a task (`.instrument()`) is entered and left whenever the task is polled, and a
//! viewer's task is polled for packets: that is two look-ups in the registry of spans and a lock in the filter of log levels,
//! 200 ns each time where an empty poll takes 2, and 300 with a filter for each layer, as export has it (a future of nothing
//! polled two million times in a release build, with the registry, `EnvFilter` and the layer of text). So a viewer's span is
//! only held by its task; what is entered are its requests, and the few lines about its beginning and end name it as their
//! parent. A stream's source is polled in its span, once for what one read from the camera delivered, however many viewers watch.
//!
//! `stream` and `viewer` are spans at the level of errors, so that whatever level is logged says whom it is about. Nothing secret
//! is in a field: sources are named without credentials, requests by their method, a session by the beginning of its id, since
//! who has all of it may end it.

use std::net::SocketAddr;

use tracing::field::{Empty, display};
use tracing::{Id, Span, error_span, info_span};

use crate::vocabulary::{Disconnect, FailureClass, Transport};

/// The span of a stream's source.
pub fn stream(name: &str) -> Span {
    error_span!(target: SOURCE, "stream", stream = name)
}

/// The span of an attempt at a session with a source, which is named without secrets.
pub fn attempt(source: &str, transport: Transport, purpose: &str) -> Span {
    info_span!(
        target: SOURCE,
        "attempt",
        source = %source,
        transport = transport.as_str(),
        purpose,
        reason = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// The part of an attempt from the first SYN, or what a proxy asks for, to the description.
pub fn describe() -> Span {
    info_span!(target: SOURCE, "describe")
}

/// The part of an attempt from the first SETUP to the answer to PLAY.
pub fn play() -> Span {
    info_span!(target: SOURCE, "play")
}

/// The span of a session that is published; `None` for a file.
pub fn session(source: &str, transport: Option<Transport>) -> Span {
    info_span!(
        target: SOURCE,
        "session",
        source = %source,
        transport = transport.map_or("file", Transport::as_str),
        reason = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// What the span is about has failed.
pub fn failed(span: &Span, class: FailureClass, message: &str) {
    span.record("reason", class.as_str());
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", message);
}

/// The span of a request; to be within it while the request is answered.
pub fn answered(status: u16) {
    Span::current().record("status", status);
}

/// The span of a viewer: of its connection first, and of its session once it has one. Clones are of the same span.
#[derive(Clone, Debug)]
pub struct Viewer {
    peer: SocketAddr,
    span: Span,
    /// It has a session; another session would be another viewer.
    taken: bool,
}

impl Viewer {
    /// The span of a connection from `peer`.
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, span: connection(peer), taken: false }
    }

    /// The viewer has a session of a stream. Players that make a second one on their connection (ffmpeg, when nothing came over
    /// UDP) get a span of their own for it.
    pub fn begins(&mut self, id: &str, stream: &str, transport: Transport, user_agent: Option<&str>) {
        if std::mem::replace(&mut self.taken, true) {
            self.span = connection(self.peer);
        }
        if let Some(beginning) = id.get(..SHOWN_OF_SESSION) {
            self.span.record("session", display(beginning));
        }
        self.span.record("stream", stream);
        self.span.record("transport", transport.as_str());
        if let Some(user_agent) = user_agent {
            self.span.record("user_agent", user_agent);
        }
    }

    /// For lines about the viewer that are written outside of its requests.
    pub fn id(&self) -> Option<Id> {
        self.span.id()
    }

    /// The span of one of its requests.
    pub fn request(&self, method: &dyn std::fmt::Display) -> Span {
        info_span!(target: SERVER, parent: &self.span, "request", method = %method, status = Empty)
    }

    /// The viewer is gone, for this reason.
    pub fn ended(&self, reason: Disconnect) {
        self.span.record("reason", reason.as_str());
    }
}

fn connection(peer: SocketAddr) -> Span {
    error_span!(
        target: SERVER,
        parent: None,
        "viewer",
        %peer,
        session = Empty,
        stream = Empty,
        transport = Empty,
        user_agent = Empty,
        reason = Empty,
    )
}

/// Directives for the log name the modules where things happen (`RUST_LOG=fanlight::source=debug`), so do the spans.
const SOURCE: &str = concat!(env!("CARGO_CRATE_NAME"), "::source");
const SERVER: &str = concat!(env!("CARGO_CRATE_NAME"), "::server");

/// Digits of a session's id that are shown, of 32: enough to find it in what a player logs, too few to guess the rest.
const SHOWN_OF_SESSION: usize = 8;

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of a log at `level`, without their time.
    fn logged(level: tracing::Level, log: impl FnOnce()) -> Vec<String> {
        let written = Log::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(move || writer.clone())
            .with_target(false)
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn at_port(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 7], port))
    }

    #[test]
    fn a_viewer_is_its_connection_and_then_its_session() {
        let lines = logged(tracing::Level::INFO, || {
            let mut viewer = Viewer::new(at_port(5000));
            tracing::info!(parent: viewer.id(), "first");
            viewer.begins("0123456789abcdef0123456789abcdef", "door", Transport::Udp, Some("VLC \"3\""));
            viewer.request(&"PLAY").in_scope(|| {
                answered(454);
                tracing::info!("answered");
            });
            let earlier = viewer.clone();
            viewer.begins("fedcba9876543210fedcba9876543210", "yard", Transport::Tcp, None);
            tracing::info!(parent: viewer.id(), "another");
            earlier.ended(Disconnect::Timeout);
            tracing::info!(parent: earlier.id(), "gone");
        });
        let udp = r#"viewer{peer=10.0.0.7:5000 session=01234567 stream="door" transport="udp" user_agent="VLC \"3\"""#;
        assert_eq!(
            lines,
            [
                "INFO viewer{peer=10.0.0.7:5000}: first".to_owned(),
                format!("INFO {udp}}}:request{{method=PLAY status=454}}: answered"),
                r#"INFO viewer{peer=10.0.0.7:5000 session=fedcba98 stream="yard" transport="tcp"}: another"#
                    .to_owned(),
                format!(r#"INFO {udp} reason="timeout"}}: gone"#),
            ]
        );
    }

    #[test]
    fn an_attempt_stands_within_its_stream_and_has_its_parts() {
        let lines = logged(tracing::Level::INFO, || {
            let attempt =
                stream("door").in_scope(|| attempt("rtsp://10.0.0.8/main", Transport::Tcp, "recover"));
            attempt.in_scope(|| describe().in_scope(|| tracing::info!("redirected")));
            failed(&attempt, FailureClass::Refused, "the camera refuses");
            attempt.in_scope(|| tracing::info!("over"));
        });
        let attempt =
            r#"stream{stream="door"}:attempt{source=rtsp://10.0.0.8/main transport="tcp" purpose="recover""#;
        assert_eq!(lines[0], format!("INFO {attempt}}}:describe: redirected"));
        assert!(
            lines[1].starts_with(&format!("INFO {attempt} reason=\"refused\" otel.status_code=\"ERROR\" "))
        );
    }

    #[test]
    fn whom_a_line_is_about_is_said_at_every_level() {
        let lines = logged(tracing::Level::ERROR, || {
            stream("door").in_scope(|| tracing::error!("a bug"));
            let viewer = Viewer::new(at_port(5000));
            viewer.request(&"PLAY").in_scope(|| tracing::error!(parent: viewer.id(), "another"));
        });
        assert_eq!(
            lines,
            [r#"ERROR stream{stream="door"}: a bug"#, "ERROR viewer{peer=10.0.0.7:5000}: another"]
        );
    }

    #[test]
    fn a_viewer_is_no_part_of_the_request_that_makes_it() {
        let lines = logged(tracing::Level::INFO, || {
            let first = Viewer::new(at_port(5000));
            let second = first.request(&"SETUP").in_scope(|| Viewer::new(at_port(6000)));
            tracing::info!(parent: second.id(), "alone");
        });
        assert_eq!(lines, ["INFO viewer{peer=10.0.0.7:6000}: alone"]);
    }
}
