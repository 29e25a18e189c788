//! Spans in the log.

use serde_json::Value;

use crate::process::{Process, watch};

#[test]
fn each_line_says_once_which_stream_or_viewer_it_is_about() {
    let mut process = Process::start(&["--log-level", "debug"], &[]);
    let url = process.url();
    let viewer = watch(&url);
    let peer = format!("viewer{{peer={}", viewer.peer);
    let whole = format!(
        "{peer} session={} stream=\"demo\" transport=\"tcp\" user_agent=\"a \\\"test\\\"\"}}",
        &viewer.session[..8]
    );
    process.line("the description", |line| {
        line.contains(&format!("{peer}}}:request{{method=DESCRIBE status=200}}: answered"))
    });
    process
        .line("PLAY", |line| line.contains(&format!("{whole}:request{{method=PLAY status=200}}: answered")));
    process.line("the end", |line| line.contains(&format!("{whole}: a connection ended reason=")));
    let live = process.line("the source", |line| line.contains(": live source="));
    assert!(live.contains(" stream{stream=\"demo\"}: live "), "{live}");
    assert!(process.stop().success());
    let log = process.log();
    let twice = log.lines().find(|line| line.matches("stream=").count() > 1);
    assert_eq!(twice, None, "the stream is named once");
    assert!(!log.contains(&viewer.session), "who has a session's id may end it");
}

#[test]
fn lines_of_json_have_the_same_spans() {
    let mut process = Process::start(&["--log-level", "debug", "--log-format", "json"], &[]);
    let url = process.url();
    let viewer = watch(&url);
    let line = process.line("PLAY", |line| {
        line.contains("answered") && line.contains("PLAY") && line.contains(&viewer.session[..8])
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    let [spans @ .., request] = line["spans"].as_array().unwrap().as_slice() else { panic!("{line}") };
    assert_eq!(
        (request["name"].as_str(), request["status"].as_u64()),
        (Some("request"), Some(200)),
        "{line}"
    );
    let span = &spans[0];
    let field = |name: &str| span[name].as_str().unwrap_or_else(|| panic!("{name}: {line}")).to_owned();
    assert_eq!(field("name"), "viewer");
    assert_eq!(field("peer"), viewer.peer.to_string());
    assert_eq!(field("session"), viewer.session[..8]);
    assert_eq!((field("stream"), field("transport")), ("demo".to_owned(), "tcp".to_owned()));
}

#[test]
fn a_failure_says_its_stream_also_where_little_is_logged() {
    let process = Process::start(
        &["--log-level", "warn", "--name", "door", "rtsp://ann:hunter2@127.0.0.1:1/main"],
        &[],
    );
    let line =
        process.line("the failure", |line| line.contains("WARN") && line.contains("reason=\"refused\""));
    assert!(line.contains(" stream{stream=\"door\"}: "), "{line}");
    assert!(!process.log().contains("hunter2"));
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_build_without_export_says_so_where_it_is_asked_for() {
    let mut process = Process::start(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]);
    watch(&process.url());
    assert!(process.stop().success());
    let log = process.log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("OTEL_EXPORTER_OTLP_ENDPOINT")).collect();
    assert!(matches!(*said, [line] if line.contains("WARN") && line.contains("--features otel")), "{log}");
}
