//! Traces for an OpenTelemetry collector: the spans of [`crate::spans`], as OTLP over HTTP.
//!
//! It is part of the build by the Cargo feature `otel` only, and does nothing unless the environment names a collector; a build
//! without it says so then. The variables are those of the
//! [specification](https://opentelemetry.io/docs/specs/otel/protocol/exporter/).

#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod export;
#[cfg(not(feature = "otel"))]
mod without;

#[cfg(feature = "otel")]
pub(super) use export::Export;
#[cfg(not(feature = "otel"))]
pub(super) use without::Export;

/// The variable that asks for export, if one does.
fn asked_for(variable: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is = |name, value: &str| variable(name).is_some_and(|set| set.trim().eq_ignore_ascii_case(value));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    endpoints.into_iter().find(|name| variable(name).is_some_and(|url| !url.trim().is_empty()))
}

/// A variable of the environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(environment: &[(&str, &str)]) -> Option<&'static str> {
        let set = |name: &str| environment.iter().find(|(set, _)| *set == name);
        asked_for(|name| set(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn an_endpoint_asks_for_export_unless_something_turns_it_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " "), ("OTEL_SERVICE_NAME", "door")]), None);
        assert_eq!(asked(&[endpoint]), Some("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces");
        assert_eq!(asked(&[endpoint, traces]), Some("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"));
        assert_eq!(asked(&[endpoint, ("OTEL_SDK_DISABLED", "True")]), None);
        assert_eq!(asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "otlp")]), Some("OTEL_EXPORTER_OTLP_ENDPOINT"));
    }
}
