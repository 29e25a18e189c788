//! What a listener to events is told, and what the API says of the past.

use serde_json::json;
use tokio::io::BufReader;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// Somebody who listens.
struct Ear {
    socket: BufReader<TcpStream>,
    text: String,
}

impl Ear {
    /// Begins to listen; the head of the answer is in order.
    async fn open(site: &Site, query: &str) -> Self {
        let mut socket = TcpStream::connect(site.address).await.unwrap();
        let request = format!(
            "GET /api/v1/events{query} HTTP/1.1\r\nHost: relay.lan:8580\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut ear = Self { socket: BufReader::new(socket), text: String::new() };
        let head = ear.until("\r\n\r\n").await.unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        assert!(
            head.contains("cache-control: no-cache\r\n") && head.contains("x-accel-buffering: no"),
            "{head}"
        );
        ear
    }

    /// What comes up to these characters; `None` at the end.
    async fn until(&mut self, mark: &str) -> Option<String> {
        loop {
            if let Some(at) = self.text.find(mark) {
                let rest = self.text.split_off(at + mark.len());
                return Some(std::mem::replace(&mut self.text, rest));
            }
            let mut piece = [0; 4096];
            let read = self.socket.read(&mut piece);
            let length = time::timeout(Duration::from_secs(20), read).await.expect("it goes on").unwrap_or(0);
            if length == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
    }

    /// The next event and its data. The lengths of the chunks stand on lines of their own, which are no fields.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let event = self.until("\n\n").await?;
            let field =
                |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            if let (Some(name), Some(data)) = (field("event"), field("data")) {
                return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// The data of the next event of this name.
    async fn the(&mut self, name: &str) -> Value {
        loop {
            let (found, data) = self.next().await.expect("it goes on");
            if found == name {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn a_listener_is_told_all_streams_and_then_what_changes_as_it_changes() {
    let site = Site::start().await;
    let mut door = site.hub.add("door");
    let _yard = site.camera("yard");
    let mut ear = Ear::open(&site, "").await;
    let first = ear.the("streams").await;
    assert_eq!(first["streams"].as_array().unwrap().len(), 2);
    assert_eq!(first["streams"][0]["urls"]["rtsp"], "rtsp://relay.lan:8554/door");
    let (told, asked) = (&first["streams"][0], site.get("/api/v1/streams/door").await.json());
    assert_eq!(told, &asked, "the same as asked for");
    // Nothing of the door changes by itself, so whatever comes of it comes because of this.
    door.failed(FailureClass::Refused, "refused".to_owned(), Duration::from_secs(60), String::new());
    loop {
        let stream = ear.the("stream").await;
        if stream["name"] == "door" {
            assert_eq!(stream["source"]["state"], "retrying");
            assert_eq!(stream["urls"]["rtsp"], "rtsp://relay.lan:8554/door");
            break;
        }
    }
    site.hub.remove("door");
    assert_eq!(ear.the("removed").await, json!({"name": "door"}));
    let _garden = site.hub.add("garden");
    loop {
        if ear.the("stream").await["name"] == "garden" {
            break;
        }
    }
}

#[tokio::test]
async fn who_listens_to_one_stream_hears_its_viewers_and_its_log_and_nothing_of_the_others() {
    let site = Site::start().await;
    site.journal.open("door");
    let (_door, _yard) = (site.hub.add("door"), site.camera("yard"));
    let log = tracing::Dispatch::new(tracing_subscriber::registry().with(site.journal.layer()));
    let say = |line: &str| {
        tracing::dispatcher::with_default(&log, || tracing::info!(stream = "door", "{line}"));
    };
    assert_eq!(site.get("/api/v1/events?stream=nothing").await.status, 404);
    say("first");
    let mut ear = Ear::open(&site, "?stream=door").await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(ear.next().await.unwrap());
    }
    assert_eq!(told[0].1["streams"].as_array().unwrap().len(), 1);
    assert_eq!(told[1], ("viewers".to_owned(), json!({"viewers": []})));
    assert_eq!((told[2].0.as_str(), &told[2].1["lines"][0]["message"]), ("log", &json!("first")));
    assert_eq!(told[2].1, site.get("/api/v1/streams/door/log").await.json());
    say("second");
    let seat = site.hub.find("door").unwrap().join(ME, Transport::Tcp, None);
    // In one round, or in two: a round may have begun before one of them.
    let (mut lines, mut viewers) = (Vec::new(), 0);
    while lines.is_empty() || viewers == 0 {
        match ear.next().await.unwrap() {
            (name, data) if name == "log" => lines.push(data["lines"][0]["message"].clone()),
            (name, data) if name == "viewers" => viewers = data["viewers"].as_array().unwrap().len(),
            (name, data) => assert_eq!((name.as_str(), &data["name"]), ("stream", &json!("door"))),
        }
    }
    assert_eq!((lines, viewers), (vec![json!("second")], 1));
    drop(seat);
}

#[tokio::test]
async fn listeners_are_bounded_and_the_limit_says_its_name() {
    let site = Site::start_with(|web| web.with_listeners(2)).await;
    let mut ears = vec![Ear::open(&site, "").await, Ear::open(&site, "").await];
    let refused = site.get("/api/v1/events").await;
    assert_eq!(refused.status, 503);
    assert!(refused.error().contains("http.max_listeners"), "{}", refused.error());
    let page = site.get("/metrics").await.body;
    assert!(page.contains("{limit=\"http.max_listeners\"} 1"), "{page}");
    // Whoever hangs up makes room: it is noticed when something is told, once a second.
    ears[0].the("streams").await;
    ears.pop();
    let _live = site.camera("door");
    while site.get("/api/v1/events?stream=nothing").await.status == 404 {
        let mut socket = TcpStream::connect(site.address).await.unwrap();
        socket.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        socket.read_exact(&mut head).await.unwrap();
        if &head == b"HTTP/1.1 200" {
            break;
        }
        ears[0].the("stream").await;
    }
}

#[tokio::test]
async fn a_listener_is_let_go_when_the_relay_stops_and_asked_again_when_the_rules_change() {
    let site = Site::start().await;
    let mut ear = Ear::open(&site, "").await;
    ear.the("streams").await;
    let config = crate::config::Config::parse("users: {ann: {password: hunter2}}", &|_| None).unwrap();
    site.access.replace(crate::access::Policy::of(&config));
    assert!(ear.next().await.is_none());
    assert_eq!(site.get("/api/v1/events").await.status, 401);
    assert_eq!(site.get("/api/v1/events?stream=door").await.status, 401);
    site.access.replace(crate::access::Policy::default());
    let mut ear = Ear::open(&site, "").await;
    ear.the("streams").await;
    site.draining.cancel();
    assert!(ear.next().await.is_none());
}

#[tokio::test]
async fn whoever_may_look_at_one_stream_may_listen_to_that_one() {
    let site = Site::start().await;
    let (_door, _yard) = (site.hub.add("door"), site.hub.add("yard"));
    let rules = "users: {ann: {password: x}}\naccess: [{allow: metrics, streams: [door]}]";
    let config = crate::config::Config::parse(rules, &|_| None).unwrap();
    site.access.replace(crate::access::Policy::of(&config));
    let mut ear = Ear::open(&site, "?stream=d%6For").await;
    assert_eq!(ear.the("streams").await["streams"].as_array().unwrap().len(), 1);
    for query in ["", "?stream=yard", "?stream=yard&stream=door", "?x=1&stream=yard", "?Stream=door"] {
        assert_eq!(site.get(&format!("/api/v1/events{query}")).await.status, 401, "{query}");
    }
}

#[tokio::test]
async fn the_past_of_a_stream_is_its_timeline_and_its_samples() {
    let site = Site::start().await;
    let mut publisher = site.camera("door");
    let start = Instant::now();
    site.hub.sample(start);
    publisher.failed(FailureClass::Stall, "no picture".to_owned(), Duration::from_secs(1), String::new());
    publisher.connecting();
    publisher.live(Some(Transport::Tcp));
    site.hub.sample(start + Duration::from_secs(10));
    site.hub.sample(start + Duration::from_secs(30));
    let past = site.get("/api/v1/streams/door/history").await.json();
    let states: Vec<_> = past["timeline"].as_array().unwrap().iter().map(|s| s["state"].clone()).collect();
    assert_eq!(
        states,
        ["connecting", "live", "retrying", "live"],
        "an attempt after a failure belongs to it"
    );
    assert_eq!(past["timeline"][2]["why"], "no picture");
    assert_eq!(past["timeline"][2]["to"], past["timeline"][3]["from"]);
    assert_eq!(past["timeline"][3]["to"], Value::Null);
    let samples = &past["samples"];
    assert_eq!(samples["every_seconds"], 10);
    assert!(samples["from"].as_str().unwrap().ends_with('Z'));
    assert_eq!(samples["fps"][0], 25.0);
    assert_eq!(samples["fps"][2], Value::Null, "nobody looked");
    assert_eq!((&samples["lost"][1], &samples["viewers"][1]), (&json!(0), &json!(0)));
    for list in ["fps", "bit_rate", "latency_p50_ms", "latency_p99_ms", "viewers", "lost"] {
        assert_eq!(samples[list].as_array().unwrap().len(), 4, "{list}");
    }
    // The stream is replaced: it is the same one to whoever looks.
    let _other = site.hub.add("door");
    let past = site.get("/api/v1/streams/door/history").await.json();
    assert_eq!(past["timeline"].as_array().unwrap().len(), 5);
    site.hub.remove("door");
    assert_eq!(site.get("/api/v1/streams/door/history").await.status, 404);
    let _anew = site.hub.add("door");
    let past = site.get("/api/v1/streams/door/history").await.json();
    assert_eq!(past["timeline"], json!([]));
}

#[tokio::test]
async fn the_url_of_a_stream_is_there_as_a_qr_code() {
    let site = Site::start().await;
    let _door = site.hub.add("site/door");
    let code = site.get("/api/v1/streams/site/door/qr.svg").await;
    assert!(code.head.contains("content-type: image/svg+xml\r\n"), "{}", code.head);
    assert!(code.body.starts_with("<?xml") && code.body.ends_with("</svg>"), "{}", code.body);
    assert_eq!(site.get("/api/v1/streams/yard/qr.svg").await.status, 404);
    let long = "x".repeat(3000);
    let host =
        format!("GET /api/v1/streams/site/door/qr.svg HTTP/1.1\r\nHost: {long}\r\nConnection: close\r\n\r\n");
    let answer = ask_raw(site.address, &host).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
}
