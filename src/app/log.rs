//! Logs: to stderr, as text or JSON.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::cli::{LogArgs, LogFormat};

/// Starts logging. The lines of libraries that log by other means (`retina`) are left out: at their finest level they
/// hold whole requests, credentials included.
pub(super) fn init(args: &LogArgs) {
    let directives = args.log_level.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let filter = EnvFilter::builder()
        .parse_lossy(directives.filter(|text| !text.is_empty()).as_deref().unwrap_or("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    let set = match args.log_format {
        LogFormat::Text => tracing::subscriber::set_global_default(registry.with(lines)),
        LogFormat::Json => tracing::subscriber::set_global_default(registry.with(lines.json())),
    };
    set.expect("logging is started once");
}
