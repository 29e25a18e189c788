//! Logs: to stderr, as text or JSON, and the last lines of each stream into the journal.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::cli::{LogArgs, LogFormat};
use crate::journal::Journal;

/// Starts logging. The lines of libraries that log by other means (`retina`) are left out: at their finest level they
/// hold whole requests, credentials included.
pub(super) fn init(args: &LogArgs) -> Arc<Journal> {
    let journal = Arc::new(Journal::default());
    let directives = args.log_level.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let filter = EnvFilter::builder()
        .parse_lossy(directives.filter(|text| !text.is_empty()).as_deref().unwrap_or("info"));
    let registry = tracing_subscriber::registry().with(filter).with(journal.layer());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    let set = match args.log_format {
        LogFormat::Text => tracing::subscriber::set_global_default(registry.with(lines)),
        LogFormat::Json => tracing::subscriber::set_global_default(registry.with(lines.json())),
    };
    set.expect("logging is started once");
    journal
}
