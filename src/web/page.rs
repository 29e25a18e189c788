//! The status page: its frame, and for browsers without scripts a table of the streams that loads itself anew every few
//! seconds.
//!
//! Everything else is made by the modules of [`super::assets`] from the API and its events. Nothing is inline, so that
//! the content security policy needs no exception.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use super::api::Host;
use super::snapshot::StreamState;
use super::{Shared, assets};

const HTML: &str = include_str!("page/index.html");

/// The status page.
#[utoipa::path(get, path = "/", responses(
    (status = 200, description = "A page for people.", body = String, content_type = "text/html"),
))]
pub(super) async fn page(State(shared): State<Arc<Shared>>, host: Host) -> Html<String> {
    Html(render(&shared.states(&host)))
}

fn render(streams: &[StreamState]) -> String {
    let mut rows = String::new();
    for stream in streams {
        row(&mut rows, stream);
    }
    // `replace` in this order: what comes from outside stands in the rows, which are put in last.
    HTML.replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{styles}}\n", &assets::styles())
        .replace("{{scripts}}\n", &assets::scripts())
        .replace("{{summary}}", &summary(streams))
        .replace("{{rows}}", &rows)
}

/// `3 streams: 2 live, 1 retrying`.
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

/// One stream of the table.
fn row(rows: &mut String, stream: &StreamState) {
    let source = &stream.source;
    let words = |text: &str| {
        if text.is_empty() {
            String::new()
        } else {
            format!("<span class=\"words\">{}</span>", Escaped(text))
        }
    };
    let url = stream.urls.as_ref().and_then(|urls| urls.rtsp.as_deref());
    let url = words(url.unwrap_or_default());
    let why = words(source.why.as_deref().unwrap_or_default());
    let numbers = [
        stream.fps.map(|fps| format!("{fps:.1}")),
        stream.fps.map(|_| bit_rate(stream.bit_rate)),
        stream.latency_ms.as_ref().map(|latency| format!("{:.2} ms", latency.mean)),
        Some(stream.viewers.count.to_string()),
    ];
    let numbers = numbers.iter().fold(String::new(), |cells, number| {
        cells + &format!("<td class=\"number\">{}</td>", number.as_deref().unwrap_or("–"))
    });
    let (name, state, decision) = (Escaped(&stream.name), source.state, words(&source.decision));
    let row =
        format_args!("<tr><th scope=\"row\">{name}{url}</th><td>{state}{decision}{why}</td>{numbers}</tr>\n");
    rows.write_fmt(row).expect("a String takes everything");
}

/// `3.2 Mbit/s`. `format.js` makes the same text.
fn bit_rate(bits: u64) -> String {
    match bits {
        0..999_500 => format!("{:.0} kbit/s", bits as f64 / 1e3),
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
    use crate::vocabulary::FailureClass;
    use crate::web::snapshot::Urls;

    #[test]
    fn what_a_camera_says_stays_text() {
        let hub = Hub::new(Arc::new(Metrics::new()));
        let mut publisher = hub.add("door");
        let message = "404 <script>alert('1')</script> \"&{{summary}}";
        publisher.failed(
            FailureClass::Status,
            message.to_owned(),
            Duration::from_secs(1),
            "<i>why</i>".to_owned(),
        );
        let urls = Urls { rtsp: Some("rtsp://\"><b>".to_owned()), rtsps: None };
        let stream = StreamState::new(publisher.stream(), Some(urls), Instant::now());
        let page = render(&[stream]);
        assert!(page.contains("404 &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &quot;&amp;{{summary}}"));
        assert!(page.contains("rtsp://&quot;&gt;&lt;b&gt;") && page.contains("&lt;i&gt;why&lt;/i&gt;"));
        assert!(!page.contains("<script>"), "only the page's own scripts, which are files");
        assert!(page.contains("1 stream: 1 retrying"));
    }

    #[test]
    fn bit_rates_have_their_unit() {
        assert_eq!(bit_rate(0), "0 kbit/s");
        assert_eq!(bit_rate(64_400), "64 kbit/s");
        assert_eq!(bit_rate(4_250_000), "4.2 Mbit/s");
    }
}
