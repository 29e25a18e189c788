//! The program: what the command line asks for, wired together.

mod cli;
mod config_file;
mod credentials;
mod demo;
mod healthcheck;
mod incidents;
mod log;
mod misbehave;
mod probe;
mod relay;
mod reload;
mod self_signed;
mod serve_file;
mod stop;
mod streams;
mod telemetry;

use std::future::Future;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::{Config, LoadError};
use cli::{Cli, Command, RelayArgs};

/// Runs the program. Exit codes: 0 a clean stop, 2 a bad configuration or usage, 1 anything else.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Check { file }) => check(&file),
        Some(Command::Healthcheck { url }) => finish(healthcheck::run(&url).map(|()| Stopped::Cleanly)),
        Some(Command::HashPassword { user }) => finish(credentials::hash_password(&user)),
        Some(Command::SelfSigned(args)) => finish(self_signed::run(&args)),
        Some(Command::Probe(args)) => probe::run(&args),
        Some(Command::Watch(args)) => probe::watch(&args),
        Some(Command::Link(args)) => match Config::load(&args.config) {
            Ok(config) => finish(credentials::link(&config, &args)),
            Err(error) => {
                complain(&error.to_string());
                ExitCode::from(BAD_CONFIGURATION)
            }
        },
        Some(Command::ServeFile(args)) => {
            let (_, _export) = log::init(&args.log);
            block_on(serve_file::run(args))
        }
        None => {
            // Flushed when everything else has ended.
            let (journal, _export) = log::init(&cli.relay.log);
            match configure(&cli.relay) {
                Ok(plan) => block_on(relay::run(plan, &cli.relay, journal)),
                Err(problems) => {
                    complain(&problems);
                    ExitCode::from(BAD_CONFIGURATION)
                }
            }
        }
    }
}

/// How a command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// All was said and done.
    Cleanly,
    /// A second signal came, or the grace ran out.
    Hastily,
}

/// What the relay is started with.
struct Plan {
    config: Config,
    mode: Mode,
}

/// Where the configuration comes from.
enum Mode {
    /// Nowhere: the demo.
    Demo,
    /// A URL on the command line.
    Camera,
    /// A file, watched for changes.
    File(std::path::PathBuf),
}

/// Reads the configuration that the arguments ask for.
fn configure(args: &RelayArgs) -> Result<Plan, String> {
    let (mut config, mode) = match (&args.config, &args.camera) {
        (Some(file), _) => (Config::load(file).map_err(|error| error.to_string())?, Mode::File(file.clone())),
        (None, Some(url)) => {
            let config = Config::for_camera(&args.name, url).map_err(|problems| problems.to_string())?;
            (config, Mode::Camera)
        }
        (None, None) => (Config::default(), Mode::Demo),
    };
    config.rtsp.listen = args.rtsp_listen.or(config.rtsp.listen);
    config.http.listen = args.http_listen.or(config.http.listen);
    Ok(Plan { config, mode })
}

/// Prints every problem of a configuration file, each with its key path.
fn check(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => {
            say(format_args!("{}: {} streams, no problems", file.display(), config.streams.len()));
            ExitCode::SUCCESS
        }
        Err(error @ (LoadError::Read { .. } | LoadError::Invalid { .. })) => {
            complain(&error.to_string());
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

/// Runs a command on the main thread's runtime. Viewers and sources have threads of their own.
fn block_on(command: impl Future<Output = anyhow::Result<Stopped>>) -> ExitCode {
    finish(run_to_end(command))
}

/// The same, for commands with a result of their own.
fn run_to_end<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the event loop")?;
    let ended = runtime.block_on(command);
    // What a blocking thread still does (reading a file) is not waited for.
    runtime.shutdown_background();
    ended
}

fn finish(ended: anyhow::Result<Stopped>) -> ExitCode {
    match ended {
        Ok(Stopped::Cleanly) => ExitCode::SUCCESS,
        Ok(Stopped::Hastily) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Opens a listening socket; the error names the address and the key that sets it.
fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let opened = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    opened().with_context(|| format!("cannot listen on {address} ({key})"))
}

/// Connections that wait for accept: what comes beyond has its SYN dropped, and tries again after a second. The system may
/// allow less (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// An address that can be opened on this machine: not the one that stands for all.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port()),
        IpAddr::V6(_) => SocketAddr::new(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), address.port()),
    }
}

/// Prints what the user asked for.
fn say(line: std::fmt::Arguments<'_>) {
    // A closed stdout is the user's choice.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Says on stderr why the program ends, one problem to a line.
fn complain(problems: &str) {
    for line in problems.lines() {
        let _ = writeln!(io::stderr(), "fanlight: {line}");
    }
}

const BAD_CONFIGURATION: u8 = 2;
