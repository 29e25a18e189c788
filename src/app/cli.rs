//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::misbehave::Schedule;
use crate::config::StreamName;
use crate::vocabulary::Transport;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// One connection to an IP camera, its feed shared with many viewers.
///
/// Without arguments: a demo that needs no camera.
#[derive(Debug, Parser)]
#[command(name = "fanlight", version, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    #[command(flatten)]
    pub(super) relay: RelayArgs,
}

#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    /// Share this camera: rtsp://user:password@host/path
    #[arg(value_name = "URL", conflicts_with = "config")]
    pub(super) camera: Option<String>,

    /// The name to share it under
    #[arg(long, requires = "camera", default_value = crate::config::DEFAULT_CAMERA_NAME)]
    pub(super) name: String,

    /// Take everything from this file (config/fanlight.yml is a documented example)
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Where to serve RTSP, in place of the configuration's rtsp.listen [default: 0.0.0.0:8554]
    #[arg(long, value_name = "ADDR")]
    pub(super) rtsp_listen: Option<SocketAddr>,

    /// Where to serve the page, the API and the metrics, in place of http.listen [default: 127.0.0.1:8580]
    #[arg(long, value_name = "ADDR")]
    pub(super) http_listen: Option<SocketAddr>,

    /// Threads that send to viewers [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) workers: Option<u16>,

    #[command(flatten)]
    pub(super) log: LogArgs,
}

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// How to write the log, which goes to stderr
    #[arg(long, value_enum, default_value = "text")]
    pub(super) log_format: LogFormat,

    /// What to log: error, warn, info, debug, trace, or directives like the RUST_LOG variable's, which this replaces
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve a file of JPEG pictures over RTSP: a virtual camera
    ServeFile(ServeFileArgs),
    /// Look at a camera step by step, say what is wrong and how to configure it
    ///
    /// Exit code 0: it can be watched. 1: it cannot. 2: the URL is none.
    Probe(ProbeArgs),
    /// Show a source live: frames, bit rate, latency, jitter, loss, key frames
    ///
    /// A page on a terminal, else a line each second. Exit code 0: pictures came. 1: none. 2: the URL is none.
    Watch(WatchArgs),
    /// Check a configuration file and print every problem
    Check {
        /// The file
        file: PathBuf,
    },
    /// Print what to put into the configuration in place of a password, which is read from stdin
    HashPassword {
        /// The user, who is part of the hash
        user: String,
    },
    /// Make a certificate for tests, signed by itself, and its key
    SelfSigned(SelfSignedArgs),
    /// Print a link with which anybody may watch a stream for a while
    Link(LinkArgs),
    /// Ask a running relay whether it is well: exit code 0 or 1, for container health checks
    Healthcheck {
        /// The address to ask; over https:// any certificate will do
        #[arg(default_value = "http://127.0.0.1:8580/livez")]
        url: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct ServeFileArgs {
    /// JPEG pictures, one after the other, or each behind its length in five digits
    pub(super) file: PathBuf,

    /// Where to serve
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9554")]
    pub(super) listen: SocketAddr,

    /// The name to serve it under [default: the file's name without its ending]
    #[arg(long)]
    pub(super) name: Option<String>,

    /// Frames a second [default: 24; with --classic 20]
    #[arg(long, value_name = "N", value_parser = frame_rate)]
    pub(super) fps: Option<f64>,

    /// Largest RTP packet in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1400, value_parser = clap::value_parser!(u16).range(300..))]
    pub(super) packet_size: u16,

    /// Begin again at the end, for ever
    #[arg(long = "loop")]
    pub(super) repeat: bool,

    /// Serve the client of the classic university exercise too: RTP/UDP, a whole picture in each packet
    #[arg(long)]
    pub(super) classic: bool,

    /// Behave badly by this schedule, again and again, such as "up 50s, refuse 6s, up 40s, hang 8s"
    ///
    /// up: serve. refuse: end every connection and take none, as a camera that restarts. hang: send and answer nothing,
    /// with every connection open.
    #[arg(long, value_name = "SCHEDULE")]
    pub(super) misbehave: Option<Schedule>,

    #[command(flatten)]
    pub(super) log: LogArgs,
}

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// The camera: rtsp://user:password@host/path
    pub(super) url: String,

    /// Print the report as JSON; README.md tells its shape
    #[arg(long)]
    pub(super) json: bool,

    /// How long to watch over each transport; all in all it takes 20 s more at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) seconds: u64,

    /// Try only this one [default: TCP, then UDP]
    #[arg(long, value_enum)]
    pub(super) transport: Option<OneTransport>,

    /// The name of the stream in the configuration it suggests
    #[arg(long, default_value = crate::config::DEFAULT_CAMERA_NAME)]
    pub(super) name: StreamName,
}

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The source: rtsp://user:password@host/path
    pub(super) url: String,

    /// End after this time [default: when it is ended by Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) seconds: Option<u64>,

    /// How its packets are to come [default: tcp]
    #[arg(long, value_enum)]
    pub(super) transport: Option<OneTransport>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum OneTransport {
    Tcp,
    Udp,
}

impl OneTransport {
    pub(super) fn transport(self) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp,
            Self::Udp => Transport::Udp,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct SelfSignedArgs {
    /// The names and addresses that the relay is reached at; the first is the certificate's subject
    #[arg(value_name = "NAME", default_values_t = ["localhost", "127.0.0.1", "::1"].map(str::to_owned))]
    pub(super) names: Vec<String>,

    /// How many days it is valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(super) days: u32,

    /// The file for the certificate, which must not be there yet
    #[arg(long, value_name = "FILE", default_value = "relay.crt")]
    pub(super) certificate: PathBuf,

    /// The file for the key, which nobody else may read; it must not be there yet
    #[arg(long, value_name = "FILE", default_value = "relay.key")]
    pub(super) key: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct LinkArgs {
    /// The stream
    pub(super) stream: String,

    /// The relay's configuration, which has the secret (login.link_secret)
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: PathBuf,

    /// How long the link is good, such as 30m, 12h or 168h
    #[arg(long = "for", value_name = "DURATION", default_value = "24h", value_parser = crate::config::parse_duration)]
    pub(super) lifetime: Duration,

    /// The relay's name or address, as whoever gets the link can reach it
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1:8554")]
    pub(super) host: String,
}

fn frame_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fps) if (0.01..=1000.0).contains(&fps) => Ok(fps),
        _ => Err("expected a number from 0.01 to 1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_url_is_a_camera_and_a_word_a_command() {
        let cli = Cli::try_parse_from(["fanlight", "rtsp://10.0.0.1/main", "--name", "door"]).unwrap();
        assert_eq!(cli.relay.camera.as_deref(), Some("rtsp://10.0.0.1/main"));
        assert_eq!(cli.relay.name, "door");
        let cli = Cli::try_parse_from(["fanlight", "check", "x.yml"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Check { .. })));
        assert!(Cli::try_parse_from(["fanlight", "rtsp://a/b", "--config", "x.yml"]).is_err());
    }
}
