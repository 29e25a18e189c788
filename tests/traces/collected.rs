//! Spans at a collector.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{PATIENCE, Process, watch};

/// A collector, and what it got: the head and the body of each request.
struct Collector {
    endpoint: String,
    posted: Receiver<(String, Vec<u8>)>,
    spans: Vec<Span>,
    /// All of it, to look for what must not be there.
    bytes: Vec<u8>,
    head: String,
}

/// A span as it came.
#[derive(Clone, Debug, Default)]
struct Span {
    name: String,
    id: Vec<u8>,
    parent: Vec<u8>,
    trace: Vec<u8>,
    fields: BTreeMap<String, String>,
    /// 2 is a failure.
    status: u64,
    service: String,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, posted) = mpsc::channel();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let request = answer(socket.unwrap());
                if sender.send(request).is_err() {
                    break;
                }
            }
        });
        Self { endpoint, posted, spans: Vec::new(), bytes: Vec::new(), head: String::new() }
    }

    /// Waits for a span.
    fn span(&mut self, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(span) = self.spans.iter().find(|span| wanted(span)) {
                return span.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((head, body)) = self.posted.recv_timeout(left) else {
                panic!("no span of {what} among {:#?}", self.spans)
            };
            self.spans.extend(spans(&body));
            self.bytes.extend(body);
            self.head = head;
        }
    }
}

/// Reads one request and takes it.
fn answer(mut socket: TcpStream) -> (String, Vec<u8>) {
    let mut input = BufReader::new(socket.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(input.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    input.read_exact(&mut body).unwrap();
    // Who has read the status may close before the rest.
    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (head, body)
}

/// The spans of an `ExportTraceServiceRequest` (opentelemetry-proto, trace.proto).
fn spans(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in all(body, 1) {
        let service = all(resource, 1).flat_map(|resource| all(resource, 1)).map(field);
        let service = service.into_iter().find(|(key, _)| key == "service.name").unwrap().1;
        for span in all(resource, 2).flat_map(|scope| all(scope, 2)) {
            let bytes = |number| all(span, number).next().unwrap_or_default().to_vec();
            let status = all(span, 15).flat_map(|status| values(status)).find(|(number, ..)| *number == 3);
            spans.push(Span {
                name: text(&bytes(5)),
                id: bytes(2),
                parent: bytes(4),
                trace: bytes(1),
                fields: all(span, 9).map(field).collect(),
                status: status.map_or(0, |(_, varint, _)| varint),
                service: service.clone(),
            });
        }
    }
    spans
}

/// A `KeyValue`, whose value is a text or a number.
fn field(bytes: &[u8]) -> (String, String) {
    let value = all(bytes, 2).flat_map(|value| values(value)).next();
    let value = value.map_or_else(String::new, |(number, varint, bytes)| match number {
        1 => text(bytes),
        _ => varint.to_string(),
    });
    (text(all(bytes, 1).next().unwrap()), value)
}

/// The bytes of every field with this number.
fn all(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    values(message).into_iter().filter(move |(this, ..)| *this == number).map(|(.., bytes)| bytes)
}

/// The fields of a protobuf message: the number of each, its varint, its bytes.
fn values(mut message: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut values = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let (number, length) = match tag & 7 {
            0 => (varint(&mut message), 0),
            1 => (0, 8),
            2 => (0, varint(&mut message) as usize),
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        let (bytes, rest) = message.split_at(length);
        values.push((tag >> 3, number, bytes));
        message = rest;
    }
    values
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let (number, rest) = bytes.split_at(length);
    *bytes = rest;
    number.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_collector_gets_the_spans_of_stream_and_viewer() {
    let mut collector = Collector::start();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=porch"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    // What is traced does not depend on what is logged.
    let mut process = Process::start(&["--log-level", "error"], &environment);
    let url = process.url();
    let watched = watch(&url);
    let peer = watched.peer.to_string();
    let viewer = collector.span("the viewer", |span| span.name == "viewer" && span.fields["peer"] == peer);
    assert_eq!(viewer.fields["session"], watched.session[..8]);
    assert_eq!((viewer.fields["stream"].as_str(), viewer.fields["transport"].as_str()), ("demo", "tcp"));
    assert_eq!(
        (viewer.fields["user_agent"].as_str(), viewer.fields["reason"].as_str()),
        ("a \"test\"", "closed")
    );
    assert!(viewer.parent.is_empty(), "a trace of its own");
    assert_eq!(viewer.service, "fanlight");
    for method in ["DESCRIBE", "SETUP", "PLAY", "TEARDOWN"] {
        let request = collector.span(method, |span| {
            span.name == "request" && span.fields["method"] == method && span.trace == viewer.trace
        });
        assert_eq!((&request.parent, request.fields["status"].as_str()), (&viewer.id, "200"));
    }
    assert!(process.stop().success());
    // The span of the stream ends with the process.
    let stream = collector.span("the stream", |span| span.name == "stream");
    assert_eq!(stream.fields["stream"], "demo");
    let attempt = collector.span("the attempt", |span| span.name == "attempt");
    assert_eq!(
        (&attempt.parent, attempt.fields["purpose"].as_str(), attempt.status),
        (&stream.id, "recover", 0)
    );
    let session = collector.span("the session", |span| span.name == "session");
    assert_eq!((session.parent, session.trace), (stream.id, stream.trace));
    for part in ["describe", "play"] {
        assert_eq!(
            collector.span(part, |span| span.name == part && span.trace == attempt.trace).parent,
            attempt.id
        );
    }
    assert!(collector.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", collector.head);
    assert!(collector.head.contains("x-tenant: porch\r\n"), "{}", collector.head);
    assert!(collector.head.contains("content-type: application/x-protobuf\r\n"), "{}", collector.head);
    assert!(
        !String::from_utf8_lossy(&collector.bytes).contains(&watched.session),
        "who has a session's id may end it"
    );
}

#[test]
fn an_attempt_that_fails_says_why_and_gives_no_password_away() {
    let mut collector = Collector::start();
    let environment = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/otlp", collector.endpoint)),
        ("OTEL_SERVICE_NAME", "porch".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
    ];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let _process = Process::start(&["--name", "door", "rtsp://ann:hunter2@127.0.0.1:1/main"], &environment);
    let attempt = collector.span("the attempt", |span| span.name == "attempt");
    assert_eq!((attempt.fields["reason"].as_str(), attempt.status), ("refused", 2));
    assert_eq!(attempt.service, "porch");
    assert!(attempt.fields["source"].contains("127.0.0.1:1/main"), "{attempt:?}");
    assert!(collector.head.starts_with("POST /otlp HTTP/1.1\r\n"), "{}", collector.head);
    assert!(!String::from_utf8_lossy(&collector.bytes).contains("hunter2"));
}

#[test]
fn a_collector_that_does_not_answer_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
    let mut process = Process::start(&[], &environment);
    let url = process.url();
    watch(&url);
    let (taken, connection) = mpsc::channel();
    thread::spawn(move || taken.send(silent.accept().unwrap()));
    let _connection = connection.recv_timeout(PATIENCE).expect("it is sent something");
    watch(&url);
    let began = Instant::now();
    assert!(process.stop().success());
    assert!(began.elapsed() < Duration::from_secs(8), "not for as long as the collector may take, 10 s");
}

#[test]
fn a_collector_that_is_not_there_is_a_line_in_the_log() {
    let endpoint = "http://ann:hunter2@127.0.0.1:1";
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
    let mut process = Process::start(&[], &environment);
    let url = process.url();
    watch(&url);
    process
        .line("the collector", |line| line.contains("WARN") && line.contains("cannot connect to 127.0.0.1"));
    for _ in 0..3 {
        watch(&url);
    }
    assert!(process.stop().success());
    let log = process.log();
    assert_eq!(log.matches("do not reach the collector").count(), 1, "{log}");
    assert!(!log.contains("hunter2"));
}

#[test]
fn an_address_that_is_none_is_not_shown() {
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ann:hunter2@collector :4318")];
    let mut process = Process::start(&[], &environment);
    process.line("what is wrong", |line| {
        line.contains("no traces are sent") && line.contains("OTEL_EXPORTER_OTLP_ENDPOINT")
    });
    process.url(); // it serves all the same
    assert!(process.stop().success());
    assert!(!process.log().contains("hunter2"));
}
