//! Cameras that never stop sending: the process holds no more of it than it should, by `client: auto` as by `direct`.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use fanlight::config::ClientChoice;

use super::camera::{Ask, Reply, Script, frames};
use crate::support::eventually;
use crate::support::relay::{Relay, camera_settings};
use crate::support::viewer::{Viewer, assert_no_gap};

/// The relay as a process of its own, whose memory can be told from that of the tests.
struct Process(Child);

impl Process {
    fn relays(url: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
        command.args([url, "--rtsp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--workers", "1"]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The most memory it ever had, in KiB.
    fn most(&mut self) -> u64 {
        assert!(self.0.try_wait().unwrap().is_none(), "the process has ended");
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn flood(
    begin: impl Fn(&Ask) -> String + Send + Sync + 'static,
    again: &'static [u8],
) -> impl Fn(&Ask, String) -> Reply {
    move |ask, _| Reply::Flood(begin(ask).into_bytes(), again.repeat(65_536 / again.len()))
}

/// Runs a camera until so many connections were made to it: retina's, and at least one after that was given up.
async fn holds_little(what: &str, script: Script, connections: usize) {
    let camera = script.start().await;
    let mut process = Process::relays(&camera.url);
    let made = || camera.connections.load(Ordering::Relaxed) >= connections;
    eventually(&format!("{what}: {connections} connections"), Duration::from_secs(30), made).await;
    let most = process.most();
    assert!(most < 64 << 10, "{what}: {most} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_never_stops_sending_fills_nothing() {
    let ok = |ask: &Ask| format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n", ask.cseq);
    let body = move |ask: &Ask| format!("{}Content-Length: 4000000000\r\n\r\n", ok(ask));
    let server = move |ask: &Ask| format!("{}Server: ", ok(ask));
    let session = move |ask: &Ask| format!("{}Session: 7\r\nContent-Length: 4000000000\r\n\r\n", ok(ask));
    let script = Script::new;
    // Fifty pictures, then a message that is larger than all that is ever sent of it.
    let midway = script().media(|n, packets| match n {
        0..50 => frames(&packets),
        50 => b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4000000000\r\n\r\n".to_vec(),
        _ => vec![b'x'; 8 << 20],
    });
    tokio::join!(
        holds_little("a message while it plays", midway, 3),
        holds_little("one header", script().on("DESCRIBE", flood(server, b"x")), 3),
        holds_little("headers", script().on("DESCRIBE", flood(ok, b"X-Y: z\r\n")), 3),
        holds_little("a body", script().on("DESCRIBE", flood(body, b"v=0\r\n")), 3),
        holds_little("the body of SETUP", script().on("SETUP", flood(session, b"x")), 3),
        holds_little("the body of PLAY", script().on("PLAY", flood(session, b"x")), 3),
        holds_little("noise", script().on("DESCRIBE", flood(|_| String::new(), b"\xA5")), 3),
        holds_little("tracks", script().sdp("m=video 0 RTP/AVP 96\r\n".repeat(10_000)), 3),
    );
}

/// B20, B21, B31, B33. Each fails with a reason in words, by either client, and who watches another stream of the same relay misses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_camera_is_marked_failed_and_touches_no_other_stream() {
    let ok = |ask: &Ask| format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n", ask.cseq);
    let drips = move |ask: &Ask, _: String| Reply::Drip(format!("{}Server: ", ok(ask)).into_bytes(), DRIP);
    let drips_body = move |ask: &Ask, _: String| {
        let head =
            format!("{}Content-Type: application/sdp\r\nContent-Length: 60000\r\n\r\nv=0\r\n", ok(ask));
        Reply::Drip(head.into_bytes(), DRIP)
    };
    let body = move |ask: &Ask| format!("{}Content-Length: 4000000000\r\n\r\n", ok(ask));
    let session = move |_: &Ask, usual: String| {
        usual.replace("Session: ", &format!("Session: {}", "9".repeat(200_000)))
    };
    // Of these the library makes a panic; the relay's own client understands them, or says what is wrong.
    let panics =
        Script::new().sdp("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP \r\n");
    let cameras = [
        ("drips-a-header", Script::new().on("DESCRIBE", drips)),
        ("drips-a-body", Script::new().on("DESCRIBE", drips_body)),
        ("endless-headers", Script::new().on("DESCRIBE", flood(ok, b"X-Y: z\r\n"))),
        ("a-body-of-gigabytes", Script::new().on("DESCRIBE", flood(body, b"v=0\r\n"))),
        ("a-long-session", Script::new().on("SETUP", session)),
        ("a-panic", panics),
        ("an-overlong-description", Script::new().sdp("a=x:y\r\n".repeat(1_000_000))),
    ];
    let good = Script::new().start().await;
    let mut builder = Relay::builder().camera("good", &good.url);
    let mut running = Vec::new();
    for (name, script) in cameras {
        let camera = script.start().await;
        for client in [ClientChoice::Auto, ClientChoice::Retina, ClientChoice::Direct] {
            let mut settings = camera_settings(&camera.url);
            settings.client = client;
            settings.connect_timeout = Duration::from_secs(1);
            builder = builder.stream(&format!("{name}-{client:?}").to_lowercase(), settings);
        }
        running.push((name, camera));
    }
    let relay = builder.start().await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("good")).await;
    for (name, _camera) in &running {
        for client in ["auto", "retina", "direct"] {
            // The library takes an id of any length that comes in one answer, and what it reads for that is bounded.
            if *name == "a-long-session" && client != "direct" {
                continue;
            }
            let failed = |status: &fanlight::hub::Status| status.last_failure.is_some();
            let status = relay.until(&format!("{name}-{client}"), "it fails", failed).await;
            let failure = status.last_failure.expect("it has failed");
            assert!(
                !failure.message.is_empty() && failure.message.len() < 2000,
                "{name}: {}",
                failure.message
            );
        }
    }
    assert_no_gap(&viewer.packets(0, 100).await);
    assert_eq!(relay.stream("good").viewers()[0].skipped(), 0);
}

/// Often enough that no read times out.
const DRIP: Duration = Duration::from_millis(100);
