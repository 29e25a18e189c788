//! The program, and somebody who watches its demo.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// The longest any step of a test may take on a slow and busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A relay. It is killed when it is dropped.
pub struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: NamedTempFile,
}

impl Process {
    /// Starts it with these arguments and this environment, and none of `OTEL_…` otherwise.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = NamedTempFile::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_") || name == "RUST_LOG")
        {
            command.env_remove(name);
        }
        command
            .args(["--rtsp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--workers", "1"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, log }
    }

    /// Where its stream is to be watched.
    pub fn url(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let url = line.strip_prefix("watch").unwrap_or_else(|| panic!("{line:?}\n{}", self.log()));
        url.trim().to_owned()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let mut text = String::new();
        File::open(self.log.path()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Waits until a line of its log is as wanted, and gives it.
    pub fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| wanted(line)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "no line about {what}:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who watched, over TCP.
pub struct Watched {
    pub peer: SocketAddr,
    /// The id of its session.
    pub session: String,
}

/// Plays a stream to its first packet, and leaves.
pub fn watch(url: &str) -> Watched {
    let address = url.strip_prefix("rtsp://").and_then(|rest| rest.split('/').next()).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let peer = socket.local_addr().unwrap();
    let mut wire = Wire { input: BufReader::new(socket.try_clone().unwrap()), socket, cseq: 0 };
    wire.ask("DESCRIBE", url, "Accept: application/sdp\r\n");
    let track = format!("{url}/trackID=0");
    let answer = wire.ask("SETUP", &track, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
    let session = answer.split_once("Session: ").unwrap().1;
    let session = session.split([';', '\r']).next().unwrap().to_owned();
    let names = format!("Session: {session}\r\n");
    wire.ask("PLAY", url, &names);
    wire.packet();
    wire.ask("TEARDOWN", url, &names);
    Watched { peer, session }
}

struct Wire {
    socket: TcpStream,
    input: BufReader<TcpStream>,
    cseq: u32,
}

impl Wire {
    /// Asks for something and gives the answer's head; it must be 200. What is interleaved before it is left out.
    fn ask(&mut self, method: &str, uri: &str, headers: &str) -> String {
        self.cseq += 1;
        let request = format!(
            "{method} {uri} RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: a \"test\"\r\n{headers}\r\n",
            self.cseq
        );
        self.socket.write_all(request.as_bytes()).unwrap();
        while self.input.fill_buf().unwrap()[0] == b'$' {
            self.packet();
        }
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.input.read_line(&mut head).unwrap(), 0, "{method}: {head}");
        }
        assert!(head.starts_with("RTSP/1.0 200"), "{method}: {head}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        self.input.read_exact(&mut body).unwrap();
        head
    }

    /// Reads one interleaved packet.
    fn packet(&mut self) {
        let mut head = [0; 4];
        self.input.read_exact(&mut head).unwrap();
        assert_eq!(head[0], b'$');
        let mut packet = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        self.input.read_exact(&mut packet).unwrap();
    }
}
