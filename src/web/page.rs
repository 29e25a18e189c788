//! The status page: a table of the streams, rendered here once and then kept up to date by its script.
//!
//! `page.html`, `page.css` and `page.js` are compiled in; nothing comes from another host, and nothing is inline, so
//! that the content security policy needs no exception. Without a script the page loads itself anew every few seconds.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::Html;

use super::Shared;
use super::api::Host;
use super::snapshot::{FailureState, StreamState};
use super::troubles;

type Asset = ([(HeaderName, &'static str); 2], &'static str);

const HTML: &str = include_str!("page.html");

/// The page with the streams as they are now.
pub(super) async fn page(State(shared): State<Arc<Shared>>, host: Host) -> Html<String> {
    Html(render(&shared.states(&host)))
}

pub(super) async fn style() -> Asset {
    asset("text/css; charset=utf-8", include_str!("page.css"))
}

pub(super) async fn script() -> Asset {
    asset("text/javascript; charset=utf-8", include_str!("page.js"))
}

pub(super) async fn icon() -> Asset {
    asset("image/svg+xml", include_str!("icon.svg"))
}

/// Asked for anew with every page, because another version of the relay may answer next time.
fn asset(kind: &'static str, content: &'static str) -> Asset {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content)
}

fn render(streams: &[StreamState]) -> String {
    let mut rows = String::new();
    for stream in streams {
        row(&mut rows, stream);
    }
    // `replace` in this order: what comes from outside stands in the rows, which are put in last.
    HTML.replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{empty}}", if streams.is_empty() { "" } else { "hidden" })
        .replace("{{summary}}", &summary(streams))
        .replace("{{rows}}", &rows)
}

/// `3 streams: 2 live, 1 retrying`. `page.js` makes the same text.
fn summary(streams: &[StreamState]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for stream in streams {
        let state = stream.source.state;
        match counts.iter_mut().find(|(counted, _)| *counted == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    let counts: Vec<_> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    match streams.len() {
        0 => "no streams".to_owned(),
        1 => format!("1 stream: {}", counts.join(", ")),
        count => format!("{count} streams: {}", counts.join(", ")),
    }
}

/// `2026-03-01 12:00:00 UTC: no packet for 10 s`, without the message where the decision ends with it. `page.js` makes
/// the same text.
fn failure_text(failure: &FailureState, decision: &str) -> String {
    let FailureState { at, message, .. } = failure;
    let time = troubles::clock(at);
    if decision.ends_with(message) { time } else { format!("{time}: {message}") }
}

/// One stream. `page.js` fills the same cells, found by `data-cell`. The roles keep it a table where the style lays the
/// rows out as cards.
fn row(rows: &mut String, stream: &StreamState) {
    let name = Escaped(&stream.name);
    let source = &stream.source;
    let state = source.state;
    let decision = Escaped(&source.decision);
    let failure = source.last_failure.as_ref();
    let failure = failure.map_or(String::new(), |failure| failure_text(failure, &source.decision));
    let (failure, no_failure) = (Escaped(&failure), if failure.is_empty() { " hidden" } else { "" });
    let (why, no_why) = shown(source.why.as_deref());
    let (strategy, no_strategy) = shown(source.strategy.as_deref());
    let lines = troubles::lines(&source.learned, &source.last_errors, &source.outages);
    let no_lines = if lines.is_empty() { " hidden" } else { "" };
    let history = lines.iter().fold(String::new(), |mut history, line| {
        put(&mut history, format_args!("<li>{}</li>\n", Escaped(line)));
        history
    });
    let url = stream.urls.as_ref().and_then(|urls| urls.rtsp.as_deref()).unwrap_or("");
    let (url, no_url) = (Escaped(url), if url.is_empty() { " hidden" } else { "" });
    let numbers = [
        ("fps", "Frames/s", stream.fps.map(|fps| format!("{fps:.1}"))),
        ("bit_rate", "Bit rate", stream.fps.map(|_| bit_rate(stream.bit_rate))),
        ("latency", "Latency", stream.latency_ms.as_ref().map(|latency| format!("{:.2} ms", latency.mean))),
        ("viewers", "Viewers", Some(stream.viewers.count.to_string())),
    ];
    let cells = numbers.iter().fold(String::new(), |mut cells, (cell, label, value)| {
        let value = value.as_deref().unwrap_or("–");
        put(&mut cells, format_args!(
            "<td role=\"cell\" class=\"number\" data-cell=\"{cell}\" data-label=\"{label}\">{value}</td>\n"
        ));
        cells
    });
    put(
        rows,
        format_args!(
            "<tr role=\"row\" data-stream=\"{name}\">\n\
         <th role=\"rowheader\" scope=\"row\"><span class=\"name\">{name}</span>\n\
         <span class=\"url\"{no_url}><code data-cell=\"url\">{url}</code></span></th>\n\
         <td role=\"cell\" class=\"source\"><span class=\"state {state}\" data-cell=\"state\">{state}</span>\n\
         <span class=\"decision\" data-cell=\"decision\">{decision}</span>\n\
         <span class=\"why\" data-cell=\"why\"{no_why}>{why}</span>\n\
         <span class=\"failure\"{no_failure}>last failure <span data-cell=\"failure\">{failure}</span></span>\n\
         <details class=\"history\"{no_lines}><summary>history</summary>\n\
         <span class=\"strategy\" data-cell=\"strategy\"{no_strategy}>{strategy}</span>\n\
         <ul data-cell=\"history\">{history}</ul></details></td>\n\
         {cells}</tr>\n"
        ),
    );
}

/// A text and, where there is none, the attribute that hides it.
fn shown(text: Option<&str>) -> (Escaped<'_>, &'static str) {
    (Escaped(text.unwrap_or_default()), if text.is_none() { " hidden" } else { "" })
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a String takes everything");
}

/// `3.2 Mbit/s`. `page.js` makes the same text.
fn bit_rate(bits: u64) -> String {
    match bits {
        0..1_000_000 => format!("{:.0} kbit/s", bits as f64 / 1e3),
        _ => format!("{:.1} Mbit/s", bits as f64 / 1e6),
    }
}

/// Text that stays text between tags and in quoted attributes.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::hub::Hub;
    use crate::metrics::Metrics;
    use crate::vocabulary::{FailureClass, Transport};
    use crate::web::snapshot::Urls;

    #[test]
    fn what_a_camera_says_stays_text() {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let mut publisher = hub.add("door");
        let message = "404 <script>alert('1')</script> \"&{{summary}}";
        publisher.failed(FailureClass::Status, message.to_owned(), Duration::from_secs(1), String::new());
        let stream = StreamState::new(
            publisher.stream(),
            Some(Urls { rtsp: Some("rtsp://\"><b>".to_owned()), rtsps: None }),
            Instant::now(),
        );
        let page = render(&[stream]);
        assert!(page.contains("404 &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &quot;&amp;{{summary}}"));
        assert!(page.contains("rtsp://&quot;&gt;&lt;b&gt;"));
        assert!(!page.contains("<script>"), "only the page's own script, which is a file");
        assert!(page.contains("1 stream: 1 retrying"));
    }

    #[test]
    fn the_reason_of_a_retry_is_not_said_twice() {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let mut publisher = hub.add("door");
        publisher.failed(
            FailureClass::Refused,
            "connection refused".to_owned(),
            Duration::from_secs(1),
            String::new(),
        );
        let page = render(&[StreamState::new(publisher.stream(), None, Instant::now())]);
        let (at_first_sight, _) = page.split_once("<details").unwrap();
        assert_eq!(at_first_sight.matches("connection refused").count(), 1);
        assert!(page.contains(" UTC</span>"));
        publisher.live(Some(Transport::Tcp));
        let page = render(&[StreamState::new(publisher.stream(), None, Instant::now())]);
        assert!(page.contains(" UTC: connection refused</span>"), "it stays when the camera is back");
    }

    #[test]
    fn a_refused_password_is_said_with_what_was_decided_and_the_history_is_text_too() {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let mut publisher = hub.add("door");
        let row = |publisher: &crate::hub::Publisher| {
            render(&[StreamState::new(publisher.stream(), None, Instant::now())])
        };
        assert!(row(&publisher).contains("<details class=\"history\" hidden>"));
        let why = "The camera refuses the user name or password: once a minute.";
        for _ in 0..3 {
            publisher.failed(
                FailureClass::Unauthorized,
                "401 <b>".into(),
                Duration::from_secs(60),
                why.into(),
            );
        }
        publisher.explain("Auto & more", vec!["It <i>hates</i> UDP.".into()]);
        let page = row(&publisher);
        assert!(page.contains(&format!("<span class=\"why\" data-cell=\"why\">{why}</span>")), "{page}");
        for line in [
            "<li>It &lt;i&gt;hates&lt;/i&gt; UDP.</li>",
            "<li>1 outage in the last day, 0.0 s in all</li>",
            ": away, so far for 0.0 s: 401 &lt;b&gt;</li>",
            ": unauthorized, 3 times: 401 &lt;b&gt;</li>",
            "data-cell=\"strategy\">Auto &amp; more</span>",
            "<details class=\"history\"><summary>",
        ] {
            assert!(page.contains(line), "{line} is missing in {page}");
        }
        publisher.live(Some(Transport::Tcp));
        let page = row(&publisher);
        assert!(page.contains("data-cell=\"why\" hidden></span>") && page.contains(": away for 0.0 s: 401"));
    }

    #[test]
    fn bit_rates_have_their_unit() {
        assert_eq!(bit_rate(0), "0 kbit/s");
        assert_eq!(bit_rate(64_400), "64 kbit/s");
        assert_eq!(bit_rate(4_250_000), "4.2 Mbit/s");
    }

    #[test]
    fn the_page_needs_nothing_inline_and_nothing_from_elsewhere() {
        for text in [HTML, include_str!("page.css"), include_str!("page.js")] {
            assert!(!text.contains("://"), "another host");
        }
        for inline in ["style=", "<style", "onclick", "javascript:", "<script>"] {
            assert!(!HTML.contains(inline), "{inline}");
        }
    }
}
