//! The sidecar as a client sees it: real connections, real answers.

mod access;
mod api;
mod events;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::access::Access;
use crate::hub::Publisher;
use crate::jpeg::{Clip, ClipPackets};
use crate::metrics::Metrics;
use crate::rtp::{Header, WallTime};
use crate::sdp::Description;
use crate::vocabulary::{FailureClass, TrackId, Transport};

/// A running sidecar.
struct Site {
    hub: Arc<Hub>,
    access: Arc<Access>,
    journal: Arc<Journal>,
    commands: mpsc::Receiver<Command>,
    draining: CancellationToken,
    stop: CancellationToken,
    address: SocketAddr,
    running: JoinSet<io::Result<()>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Site {
    async fn start() -> Self {
        Self::start_with(|web| web).await
    }

    async fn start_with(change: impl FnOnce(Web) -> Web) -> Self {
        let hub = Arc::new(Hub::new(Arc::new(Metrics::new())));
        let (control, commands) = Control::channel();
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let links = Links { rtsp_port: Some(8554), rtsps_port: None };
        let access = Arc::new(Access::open(Arc::clone(hub.metrics())));
        let web =
            Web::new(Arc::clone(&hub), control, links, draining.clone()).with_access(Arc::clone(&access));
        let journal = Arc::new(Journal::default());
        let web = change(web.with_journal(Arc::clone(&journal)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        running.spawn(web.run(listener, stop.clone()));
        Self { hub, access, journal, commands, draining, stop, address, running }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        ask(self.address, method, path, headers, body).await
    }

    /// A camera of 25 frames a second that has been live for four seconds.
    fn camera(&self, name: &str) -> Publisher {
        let mut publisher = self.hub.add(name);
        publisher.connecting();
        let clip = Clip::demo();
        let first = &clip.frames()[0];
        publisher.begin(Description::jpeg(first.width(), first.height(), 25.0));
        publisher.live(Some(Transport::Tcp));
        let start = Instant::now();
        let mut packets = ClipPackets::new(1400);
        let mut sequence = 0;
        for (count, frame) in (0u32..100).zip(clip.frames().iter().cycle()) {
            // The last ones lie ahead of the clock: frames that arrive just now.
            let received = start + Duration::from_millis(40) * count;
            sequence = packets.frame(frame, sequence, count * 3600, 7, |packet, _| {
                publisher.packet(TrackId(0), packet, received).unwrap();
            });
            publisher.flush();
        }
        publisher
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: relay.lan:8580\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    ask_raw(address, &request).await
}

async fn ask_raw(address: SocketAddr, request: &str) -> Answer {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // A refused body may be cut off.
    let _ = socket.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer); // a file is not text
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    Answer { status: head[9..12].parse().unwrap(), head: head.to_lowercase(), body: body.to_owned() }
}

impl Answer {
    fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_str(&self.body).unwrap()
    }

    /// The words of an error.
    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

const ME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_dead_camera_harms_no_health_check_and_draining_only_readiness() {
    let site = Site::start().await;
    let mut publisher = site.hub.add("door");
    publisher.failed(
        FailureClass::Refused,
        "connection refused".to_owned(),
        Duration::from_secs(5),
        String::new(),
    );
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(site.get(path).await.status, 200, "{path}");
    }
    site.draining.cancel();
    let ready = site.get("/readyz").await;
    assert_eq!((ready.status, ready.body.trim()), (503, "draining"));
    assert_eq!(site.get("/livez").await.status, 200);
    assert_eq!(site.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_keep_to_it() {
    let site = Site::start().await;
    for path in ["/", "/icon.svg", "/metrics", "/livez", "/api/v1/streams", "/nothing"] {
        let answer = site.get(path).await;
        for header in [
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "content-security-policy: default-src 'self'; style-src 'self'; script-src 'self';",
        ] {
            assert!(answer.head.contains(header), "{path} lacks {header}:\n{}", answer.head);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_possible_is_said_in_json() {
    let site = Site::start().await;
    let _publisher = site.hub.add("door");
    let nothing = site.get("/api/v2/streams").await;
    assert_eq!((nothing.status, nothing.error().as_str()), (404, "there is nothing at /api/v2/streams"));
    for path in ["/api/v1/streams/yard", "/api/v1/streams/yard/viewers", "/api/v1/streams/%ff"] {
        assert_eq!(site.get(path).await.status, 404, "{path}");
    }
    assert_eq!(site.get("/api/v1/streams/yard").await.error(), "there is no stream \"yard\"");
    for (method, path, allow) in [
        ("POST", "/metrics", "get,head"),
        ("GET", "/api/v1/viewers/1", "delete"),
        ("PATCH", "/api/v1/streams/door", "get, head, put, delete"),
        ("DELETE", "/api/v1/streams/door/viewers", "get, head"),
        ("GET", "/api/v1/streams/door/reconnect", "post"),
        ("OPTIONS", "/api/v1/streams", "get,head"),
    ] {
        let answer = site.ask(method, path, "", "").await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.head.contains(&format!("allow: {allow}\r\n")), "{}", answer.head);
        assert!(!answer.error().is_empty());
    }
}

#[tokio::test]
async fn metrics_have_what_is_only_known_when_somebody_looks() {
    let site = Site::start().await;
    let _publisher = site.camera("door");
    let answer = site.get("/metrics").await;
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
    let line = |page: &str, series: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
        line.unwrap_or_else(|| panic!("{series} is missing in\n{page}"))
    };
    assert_eq!(line(&answer.body, "fanlight_source_fps{stream=\"door\",track=\"0\"}"), 25.0);
    assert!(line(&answer.body, "process_open_fds") > 3.0);
    assert!(line(&answer.body, "process_resident_memory_bytes") > 1e6);
    let start = line(&answer.body, "process_start_time_seconds");
    assert!((start - WallTime::from(std::time::SystemTime::now()).as_secs_f64()).abs() < 3600.0);

    // Nobody publishes, and yet the outage grows from one look to the next; it began with the last packet.
    let mut publisher = site.hub.add("yard");
    publisher.begin(Description::jpeg(640, 480, 25.0));
    publisher.live(Some(Transport::Tcp));
    let last = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
    let header =
        Header { marker: true, payload_type: 26, sequence: 1, timestamp: 2, ssrc: 3, payload: 12..12 };
    publisher.packet(TrackId(0), &header.write(), last).unwrap();
    publisher.failed(FailureClass::Stall, "no packet".to_owned(), Duration::ZERO, String::new());
    let outage = "fanlight_source_outage_seconds_total{stream=\"yard\"}";
    let first = line(&site.get("/metrics").await.body, outage);
    assert!((10.0..20.0).contains(&first), "{first}");
    let second = line(&site.get("/metrics").await.body, outage);
    assert!(second > first && second < last.elapsed().as_secs_f64(), "{first} {second}");

    // The stream gets other tracks, or none: the old rate does not stay.
    let _replacing = site.hub.add("door");
    let page = site.get("/metrics").await.body;
    assert_eq!(line(&page, "fanlight_source_fps{stream=\"door\",track=\"0\"}"), 0.0);
}

#[tokio::test]
async fn the_page_shows_the_streams_without_a_script_too() {
    let site = Site::start().await;
    let _publisher = site.camera("door");
    let page = site.get("/").await;
    assert!(page.head.contains("content-type: text/html; charset=utf-8"));
    for part in [
        "rtsp://relay.lan:8554/door",
        "<td>live<span class=\"words\">packets arrive over TCP</span>",
        ">25.0</td>",
        " Mbit/s</td>",
        "1 stream: 1 live",
    ] {
        assert!(page.body.contains(part), "{part} is missing in\n{}", page.body);
    }
    assert!(!page.body.contains("{{"), "everything is filled in");
}

#[tokio::test]
async fn browsers_keep_the_files_of_the_page_as_long_as_they_are_the_same() {
    let site = Site::start().await;
    let page = site.get("/").await.body;
    let links = page.split('"').filter(|link| link.starts_with("page/") || *link == "icon.svg");
    let links: Vec<_> = links.collect();
    assert!(links.len() > 20, "{links:?}");
    for link in &links {
        let asset = site.get(&format!("/{link}")).await;
        let (kind, kept) = match link.rsplit('.').next() {
            Some("js") => ("text/javascript; charset=utf-8", "private, max-age=31536000, immutable"),
            Some("css") => ("text/css; charset=utf-8", "private, max-age=31536000, immutable"),
            _ => ("image/svg+xml", "no-cache"),
        };
        assert_eq!(asset.status, 200, "{link}");
        for header in [format!("content-type: {kind}\r\n"), format!("cache-control: {kept}\r\n")] {
            assert!(asset.head.contains(&header), "{link}: {}", asset.head);
        }
    }
    let older = site.get("/page/another/app.js").await;
    assert_eq!(older.status, 200);
    assert!(older.head.contains("cache-control: no-cache"), "{}", older.head);
    let none = site.get("/page/another/nothing.js").await;
    assert_eq!((none.status, none.error().as_str()), (404, "the page has no file \"nothing.js\""));
}

// The clock is stopped and jumps whenever everybody waits.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_its_request() {
    let mut site = Site::start().await;
    let request =
        "PUT /api/v1/streams/door HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\"rt";
    let answer = time::timeout(Duration::from_secs(600), ask_raw(site.address, request)).await.unwrap();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.error(), "the request was not complete within 15 s");
    assert!(site.commands.try_recv().is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_client_that_says_nothing() {
    let mut site = Site::start().await;
    let mut slow = TcpStream::connect(site.address).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    assert_eq!(site.get("/livez").await.status, 200);
    site.stop.cancel();
    let ended = time::timeout(Duration::from_secs(10), site.running.join_next()).await.unwrap();
    ended.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(site.address).await.is_err(), "nobody listens any more");
}
