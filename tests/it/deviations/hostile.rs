//! Cameras that never stop sending: the process holds no more of it than it should, by `client: auto` as by `direct`.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::camera::{Ask, Reply, Script, frames};
use crate::support::eventually;

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
