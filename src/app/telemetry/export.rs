//! The build with export: spans on their way to the collector.
//!
//! A span that ends goes into a bounded queue without waiting (`OTEL_BSP_MAX_QUEUE_SIZE`, 2048; what finds it full is lost), and
//! a thread of its own sends what is there every 5 s (`OTEL_BSP_SCHEDULE_DELAY`). At the end what is left is sent within
//! [`FLUSH`], or lost.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Layer, Registry};

use super::collector::Collector;
use super::{asked_for, variable};

/// Sends spans to the collector that the environment names; what is left of them when it is dropped.
#[derive(Debug)]
pub(in crate::app) struct Export {
    provider: Option<SdkTracerProvider>,
    /// Why nothing is sent although that was asked for.
    problem: Option<String>,
}

impl Export {
    /// Of what the environment asks for.
    pub(in crate::app) fn from_environment() -> Self {
        match asked_for(variable).map(|_| provider()) {
            None => Self { provider: None, problem: None },
            Some(Ok(provider)) => Self { provider: Some(provider), problem: None },
            Some(Err(problem)) => Self { provider: None, problem: Some(problem) },
        }
    }

    /// What hears of spans, if they are sent.
    pub(in crate::app) fn layer(&self) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
        let tracer = self.provider.as_ref()?.tracer("fanlight");
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            // Both cost at each poll of a stream's source, and nobody asks for them.
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        Some(layer.with_filter(Targets::new().with_target("fanlight", LevelFilter::INFO)).boxed())
    }

    /// Says in the log, once it is there, what is done.
    pub(in crate::app) fn announce(&self) {
        match &self.problem {
            Some(problem) => tracing::error!("no traces are sent: {problem}"),
            None if self.provider.is_some() => {
                tracing::info!("traces are sent to an OpenTelemetry collector")
            }
            None => {}
        }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Some(provider) = &self.provider {
            // What the collector did not take is in the log already.
            let _ = provider.shutdown_with_timeout(FLUSH);
        }
    }
}

fn provider() -> Result<SdkTracerProvider, String> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let protocol = names.iter().find_map(|name| variable(name).filter(|set| !set.is_empty()));
    if let Some(other) = protocol.filter(|protocol| protocol != "http/protobuf") {
        return Err(format!(
            "OTLP goes out as http/protobuf only, not as {other:?} (OTEL_EXPORTER_OTLP_PROTOCOL)"
        ));
    }
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let limit = names.iter().find_map(|name| variable(name)?.trim().parse().ok());
    let collector = Collector::new(limit.map_or(LIMIT, Duration::from_millis));
    let exporter = SpanExporter::builder().with_http().with_http_client(collector).build();
    // The library's words have all of the address in them, a password too.
    let exporter =
        exporter.map_err(|_| "the collector's address is none (OTEL_EXPORTER_OTLP_ENDPOINT)".to_owned())?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build())
}

/// Who it is that traces, as `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say.
fn resource() -> Resource {
    let attributes = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let named = variable("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || attributes.split(',').any(|pair| pair.trim_start().starts_with("service.name="));
    let resource = Resource::builder()
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if named { resource.build() } else { resource.with_service_name("fanlight").build() }
}

/// How long each step of sending a batch may take, unless the environment says otherwise.
const LIMIT: Duration = Duration::from_secs(10);

/// How long the end of the process may wait for the last batch.
const FLUSH: Duration = Duration::from_secs(2);
