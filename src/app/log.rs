//! Logs: to stderr, as text or JSON, and the last lines of each stream into the journal. Lines and traces have the same spans.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use super::cli::{LogArgs, LogFormat};
use super::telemetry::Export;
use crate::journal::Journal;

/// Starts logging, and the export of traces where that is asked for. The lines of libraries that log by other means (`retina`)
/// are left out: at their finest level they hold whole requests, credentials included.
pub(super) fn init(args: &LogArgs) -> (Arc<Journal>, Export) {
    let journal = Arc::new(Journal::default());
    let export = Export::from_environment();
    let directives = args.log_level.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let filter = EnvFilter::builder()
        .parse_lossy(directives.filter(|text| !text.is_empty()).as_deref().unwrap_or("info"));
    let registry = tracing_subscriber::registry();
    let set = match export.layer() {
        // One filter for all costs less than one for each layer, wherever a span is entered.
        None => tracing::subscriber::set_global_default(
            registry.with(filter).with(journal.layer()).with(lines(args.log_format)),
        ),
        // What is traced does not change with the level of the log.
        Some(traces) => tracing::subscriber::set_global_default(
            registry.with(traces).with(journal.layer().and_then(lines(args.log_format)).with_filter(filter)),
        ),
    };
    set.expect("logging is started once");
    export.announce();
    (journal, export)
}

/// What writes to stderr.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}
