//! `fanlight probe`: each thing that can be wrong with a camera has its verdict, its advice, and its time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fanlight::config::{CameraUrl, Config};
use fanlight::source::probe::{Options, Report, State, Verdict, Watch, probe};
use fanlight::vocabulary::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::camera::{Audio, Camera, Fault, Host};
use crate::support::relay::Relay;
use crate::support::{PATIENCE, within};

/// Quick enough for tests, and slow enough for the machines they run on.
fn options() -> Options {
    let mut options = Options::new("door");
    options.seconds = Duration::from_millis(1500);
    options.step = Duration::from_secs(3);
    options
}

async fn probed(url: &str, options: Options) -> Report {
    let camera: CameraUrl = url.parse().unwrap();
    let began = Instant::now();
    let report = probe(&camera, &options, |_| {}, std::future::pending()).await;
    let (took, limit) = (began.elapsed(), options.limit() + Duration::from_secs(2));
    assert!(took < limit, "{took:?}, and {limit:?} is the limit");
    assert!(report.seconds <= took.as_secs_f64());
    // The shape of `--json` is the report's own, there and back.
    let json = serde_json::to_string(&report).unwrap();
    let read: Report = serde_json::from_str(&json).unwrap();
    assert_eq!((&read.summary, &read.steps.len()), (&report.summary, &report.steps.len()));
    report
}

fn with_login(url: &str, login: &str) -> String {
    url.replacen("rtsp://", &format!("rtsp://{login}@"), 1)
}

fn step<'r>(report: &'r Report, name: &str) -> &'r str {
    let found = report.steps.iter().find(|step| step.name == name);
    &found.unwrap_or_else(|| panic!("no step {name}: {report:#?}")).words
}

fn advises(report: &Report, words: &str) {
    assert!(report.advice.iter().any(|advice| advice.contains(words)), "{words}: {:#?}", report.advice);
}

/// It ends with this failure.
fn fails(report: &Report, class: &str, at: &str) {
    assert_eq!(report.verdict, Verdict::NotWatchable, "{report:#?}");
    let failure = report.failure.as_ref().unwrap();
    assert_eq!((failure.class.as_str(), failure.step.as_str()), (class, at), "{report:#?}");
    assert!(report.summary.starts_with("It cannot be watched: "), "{}", report.summary);
    assert!(!report.advice.is_empty() || class == "stopped");
}

#[tokio::test]
async fn a_camera_that_is_well_is_told_to_be_in_figures() {
    let camera =
        Camera::builder().h264(25).gop(10).audio(Audio::Pcmu).require_auth("ann", "hunter2").start().await;
    let report = probed(&with_login(&camera.url(), "ann:hunter2"), options()).await;
    assert_eq!(report.verdict, Verdict::Good, "{report:#?}");
    assert!(report.summary.starts_with("Good: 1920x1080 H264 at "), "{}", report.summary);
    assert_eq!(report.camera.login.as_deref(), Some("Digest (MD5)"));
    assert_eq!(step(&report, "login"), "Digest (MD5), accepted");
    let video = &report.tracks[0];
    assert_eq!((video.width, video.height, video.profile.as_deref()), (Some(1920), Some(1080), Some("Main")));
    assert_eq!(report.tracks[1].encoding.as_deref(), Some("PCMU"));
    let transports: Vec<&str> = report.sessions.iter().map(|session| session.transport.as_str()).collect();
    assert_eq!(transports, ["tcp", "udp"]);
    for session in &report.sessions {
        assert_eq!((session.state, session.tracks.len()), (State::Ok, 2), "{session:#?}");
        let video = &session.tracks[0];
        assert!((video.fps.unwrap() - 25.0).abs() < 10.0, "{video:?}");
        assert_eq!((video.gop_frames, video.lost), (Some(10), 0));
        assert!(session.first_key_frame_seconds >= session.first_packet_seconds);
    }
    assert_eq!(report.keep_alive.unwrap().method.as_deref(), Some("GET_PARAMETER"));
    assert!(report.clock_offset_seconds.unwrap().abs() < 2.0);
    let counts = camera.until("both sessions are torn down", |counts| counts.teardowns == 2).await;
    assert_eq!((counts.sessions_total, counts.sessions_open), (2, 0));
}

#[tokio::test]
async fn the_configuration_it_suggests_is_one() {
    let camera = Camera::builder().require_auth("ann", "hunter2").start().await;
    let url = with_login(&camera.url(), "ann:hunter2");
    let report = probed(&url, Options { transports: vec![Transport::Tcp], ..options() }).await;
    let text = report.config.unwrap();
    assert!(!text.contains("hunter2") && text.contains("${DOOR_PASSWORD}"), "{text}");
    let secret = |name: &str| (name == "DOOR_PASSWORD").then(|| "hunter2".to_owned());
    let config = Config::parse(&text, &secret).unwrap();
    let expected = Config::for_camera("door", &url).unwrap();
    assert_eq!(config.streams, expected.streams);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let camera = Camera::builder().require_auth("ann", "hunter2").start().await;
    let report = probed(&with_login(&camera.url(), "ann:hunter3"), options()).await;
    fails(&report, "unauthorized", "login");
    advises(&report, "five wrong passwords");
    let tries = camera.requests().iter().filter(|request| request.header("Authorization").is_some()).count();
    assert_eq!(tries, 1, "cameras lock accounts");
    let report = probed(&camera.url(), options()).await;
    fails(&report, "unauthorized", "login");
    advises(&report, "wants a user name and a password");
    assert!(report.config.unwrap().contains("password: ${DOOR_PASSWORD}"));
}

#[tokio::test]
async fn a_host_that_is_dead_and_one_without_a_server_are_told_apart() {
    let camera = Camera::builder().start().await;
    camera.host(Host::Refusing).await;
    let report = probed(&camera.url(), options()).await;
    fails(&report, "refused", "TCP");
    advises(&report, "nothing listens on port");
    camera.host(Host::Silent).await;
    let silent = Options { step: Duration::from_millis(500), ..options() };
    let report = probed(&camera.url(), silent).await;
    fails(&report, "connect_timeout", "TCP");
    advises(&report, "switched on");
    let report = probed("rtsp://no-such-camera.invalid/x", options()).await;
    fails(&report, "name_lookup", "name");
    advises(&report, "no-such-camera.invalid");
}

#[tokio::test]
async fn a_wrong_path_a_full_camera_and_one_that_says_nothing_have_their_advice() {
    let camera = Camera::builder().start().await;
    camera.fault(Fault::Status("DESCRIBE", 404));
    let report = probed(&camera.url(), options()).await;
    fails(&report, "not_found", "DESCRIBE");
    advises(&report, "/Streaming/Channels/101");
    camera.fault(Fault::Status("DESCRIBE", 453));
    fails(&probed(&camera.url(), options()).await, "session_limit", "DESCRIBE");
    camera.heal();
    camera.fault(Fault::Mute);
    let mute = Options { step: Duration::from_millis(500), ..options() };
    let report = probed(&camera.url(), mute).await;
    fails(&report, "connect_timeout", "DESCRIBE");
    advises(&report, "speaks no RTSP");
}

#[tokio::test]
async fn a_description_that_cannot_be_used_and_one_that_is_only_odd_are_told_apart() {
    let camera = Camera::builder().start().await;
    camera.set_sdp(Some("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n"));
    let report = probed(&camera.url(), options()).await;
    fails(&report, "protocol", "DESCRIBE");
    assert!(report.summary.contains("has no media"), "{}", report.summary);
    assert!(report.summary.contains("v=0"), "its beginning is shown: {}", report.summary);
    advises(&report, "session description");
    let odd = "s=x\nt=now-\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:track0\n";
    camera.set_sdp(Some(odd));
    let report = probed(&camera.url(), Options { transports: vec![Transport::Tcp], ..options() }).await;
    assert_ne!(report.verdict, Verdict::NotWatchable, "{report:#?}");
    for fault in ["LF alone", "v=0", "o= is missing", "two numbers", "no sprop"] {
        assert!(report.sdp_faults.iter().any(|found| found.contains(fault)), "{:?}", report.sdp_faults);
    }
    assert_eq!(report.tracks[0].width, Some(1920), "from the stream itself");
}

#[tokio::test]
async fn a_camera_without_pictures_is_none() {
    let camera = Camera::builder().fault(Fault::Silent).start().await;
    let report = probed(&camera.url(), Options { step: Duration::from_secs(1), ..options() }).await;
    fails(&report, "no_media", "media");
    advises(&report, "encoder may hang");
    assert_eq!(report.config, None);
}

#[tokio::test]
async fn what_comes_over_one_transport_only_is_told_and_configured() {
    let camera = Camera::builder().fault(Fault::SilentUdp).start().await;
    let report = probed(&camera.url(), options()).await;
    assert_eq!(report.verdict, Verdict::Remarks, "{report:#?}");
    assert_eq!((report.sessions[0].state, report.sessions[1].state), (State::Ok, State::Failed));
    advises(&report, "firewall");
    camera.heal();
    camera.fault(Fault::RefuseUdp);
    let report = probed(&camera.url(), options()).await;
    assert!(report.sessions[1].words.starts_with("not over UDP: "), "{:?}", report.sessions[1]);
}

#[tokio::test]
async fn loss_is_counted_where_it_is() {
    let camera = Camera::builder().fault(Fault::Loss(10)).start().await;
    let report = probed(&camera.url(), options()).await;
    let loss = |session: usize| report.sessions[session].tracks[0].loss;
    assert_eq!(loss(0), 0.0);
    assert!((0.03..0.25).contains(&loss(1)), "{}", loss(1));
    advises(&report, "of the packets are lost");
}

#[tokio::test]
async fn a_camera_that_answers_drop_by_drop_does_not_hold_it_up() {
    let camera = Camera::builder().fault(Fault::Drip(1, Duration::from_millis(20))).start().await;
    let slow = Options { step: Duration::from_millis(400), seconds: Duration::from_millis(500), ..options() };
    let report = probed(&camera.url(), slow).await;
    assert_eq!(report.verdict, Verdict::NotWatchable);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_shown_to_be_pinned() {
    let camera = Camera::builder().start().await;
    let relay = Relay::builder().camera("cam", &camera.url()).tls("127.0.0.1").start().await;
    relay.live("cam").await;
    let url = format!("rtsps://{}/cam", relay.tls_address());
    let report = probed(&url, options()).await;
    fails(&report, "certificate", "TLS");
    let certificate = report.certificate.clone().unwrap();
    assert!(
        !certificate.verified && !certificate.expired && certificate.expires.is_some(),
        "{certificate:?}"
    );
    advises(&report, &certificate.fingerprint);
    let config = report.config.unwrap();
    assert!(config.contains(&format!("tls_fingerprint: {}", certificate.fingerprint)), "{config}");
    Config::parse(&config, &|_| None).unwrap();
    let report = probed(&url.replace("rtsps", "rtspx"), options()).await;
    assert_ne!(report.verdict, Verdict::NotWatchable, "{report:#?}");
    assert_eq!(report.sessions.len(), 1, "UDP is not for TLS");
    assert!(step(&report, "TLS").contains("not verified"));
}

/// A server that gives back all it is told, wherever it can.
async fn parrot() -> (SocketAddr, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buf = vec![0; 4096];
            while let Ok(len @ 1..) = stream.read(&mut buf).await {
                let text = String::from_utf8_lossy(&buf[..len]).into_owned();
                let cseq = text.split("CSeq: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or("1");
                let body = "v=0\r\ns=hunter2\r\na=tool:hunter2\r\nhunter2 what\r\n";
                let answer = format!(
                    "RTSP/1.0 200 hunter2\r\nCSeq: {cseq}\r\nServer: \u{1b}[2Jrtsp://ann:hunter2@x hunter2\r\n\
                     Public: OPTIONS, hunter2\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn nothing_that_a_camera_says_shows_a_password_or_moves_the_cursor() {
    let (address, _tasks) = parrot().await;
    let report = probed(&format!("rtsp://ann:hunter2@{address}/x?token=s3cr3t"), options()).await;
    fails(&report, "protocol", "DESCRIBE");
    let shown = format!("{report:?} {}", serde_json::to_string(&report).unwrap());
    for secret in ["hunter2", "s3cr3t", "\u{1b}"] {
        assert!(!shown.contains(secret), "{secret:?}: {shown}");
    }
    assert!(report.camera.server.is_some());
}

#[tokio::test]
async fn a_source_is_watched_second_by_second() {
    let camera = Camera::builder().h264(25).gop(5).start().await;
    let url: CameraUrl = camera.url().parse().unwrap();
    let mut watch = Watch::open(&url, &options(), Transport::Tcp).await.unwrap();
    let mut last = None;
    for _ in 0..3 {
        let next = Instant::now() + Duration::from_millis(700);
        last = Some(within("a glance", PATIENCE, watch.until(next)).await.unwrap());
    }
    let glance = last.unwrap();
    assert!((glance.fps[0] - 25.0).abs() < 15.0, "{glance:?}");
    assert!(glance.bit_rate > 100_000.0 && glance.lost == 0);
    assert_eq!((glance.total[0].gop_frames, glance.tracks[0].width), (Some(5), Some(1920)));
    assert!(glance.latency.unwrap().abs() < 1.0, "{glance:?}");
    within("the goodbye", PATIENCE, watch.close()).await;
    camera.until("the session is torn down", |counts| counts.teardowns == 1).await;
    camera.host(Host::Refusing).await;
    let (why, again) = Watch::open(&url, &options(), Transport::Tcp).await.unwrap_err();
    assert!(why.contains("refused") && again, "{why}");
}

#[tokio::test]
async fn it_ends_at_once_when_told_to() {
    let camera = Camera::builder().start().await;
    let url: CameraUrl = camera.url().parse().unwrap();
    let long = Options { seconds: Duration::from_secs(600), ..options() };
    let stop = async {
        camera.playing().await;
    };
    let report = within("the end", PATIENCE, probe(&url, &long, |_| {}, stop)).await;
    fails(&report, "stopped", "time");
    camera.until("the session is torn down", |counts| counts.teardowns == 1).await;
}
