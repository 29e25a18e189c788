//! What cameras that are not there cost the relay: CPU time and log lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::process::Process;

/// Starts the binary with so many cameras, half refusing and half silent; measures after it has settled.
pub(crate) async fn measure(binary: &str, cameras: usize, time: Duration) -> bool {
    let (refusing, silent) = (Port::bind(), Port::bind());
    let _in_the_way = silent.fill();
    let folder = tempfile::tempdir().unwrap();
    let (config, log) = (folder.path().join("dead.yml"), folder.path().join("log"));
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut yaml = format!("rtsp:\n  listen: {}\nhttp:\n  listen: {}\nstreams:\n", free(), free());
    for n in 0..cameras {
        // Hosts of their own, as two hundred cameras have: any address of 127/8 is this machine.
        let port = if n.is_multiple_of(2) { &refusing } else { &silent };
        let (host, port) = (format!("127.0.{}.{}", 1 + n / 250, 1 + n % 250), port.number());
        writeln!(yaml, "  cam{n}: rtsp://{host}:{port}/stream").unwrap();
    }
    fs::write(&config, yaml).unwrap();
    let said = fs::File::create(&log).unwrap();
    let relay = Process::start_logging(binary, &["--config", config.to_str().unwrap()], said);
    let mut holds = true;
    // The first half minute is the cameras' chance to come back at once; what lasts is what is bounded.
    for (what, time, limit) in [("first", SETTLE, 0.10), ("then", time, 0.02)] {
        let (before, lines) = (relay.cpu(), count(&log));
        tokio::time::sleep(time).await;
        let share = (relay.cpu() - before).as_secs_f64() / time.as_secs_f64();
        let written = count(&log) - lines;
        println!(
            "{what} {:3.0} s, {cameras} dead cameras: {:.2} % of a core (limit {:.0} %), {written} log lines, {:.1} a \
             camera and hour",
            time.as_secs_f64(),
            share * 100.0,
            limit * 100.0,
            written as f64 / cameras as f64 * 3600.0 / time.as_secs_f64()
        );
        holds &= share < limit;
    }
    let text = fs::read_to_string(&log).unwrap();
    let mut by_camera = BTreeMap::<&str, usize>::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("stream=\"") {
            *by_camera.entry(rest.split('"').next().unwrap_or_default()).or_default() += 1;
        }
    }
    let most = by_camera.values().max().copied().unwrap_or(0);
    println!("most log lines of one camera in all: {most} (limit {LINES})");
    holds && most <= LINES
}

/// A port at every address of this machine. Bound only, it refuses connections.
struct Port(Socket);

impl Port {
    fn bind() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).unwrap();
        Self(socket)
    }

    fn number(&self) -> u16 {
        self.0.local_addr().unwrap().as_socket().unwrap().port()
    }

    /// From now on Linux drops every SYN, as if there were no host: the queue is full. Keep what this gives.
    fn fill(&self) -> Socket {
        self.0.listen(0).unwrap();
        let first = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        first.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.number())).into()).unwrap();
        first
    }
}

fn count(log: &std::path::Path) -> usize {
    fs::read_to_string(log).unwrap().lines().count()
}

const SETTLE: Duration = Duration::from_secs(30);

/// What README and CHANGELOG promise: 20 lines an hour for each stream.
const LINES: usize = 20;
