//! The build without export.

use tracing_subscriber::layer::Identity;

use super::{asked_for, variable};

/// Nothing is exported.
#[derive(Debug)]
pub(in crate::app) struct Export;

impl Export {
    /// Of what the environment asks for.
    pub(in crate::app) fn from_environment() -> Self {
        Self
    }

    /// What hears of spans: nothing.
    pub(in crate::app) fn layer(&self) -> Option<Identity> {
        None
    }

    /// Says in the log, once it is there, what is not done.
    pub(in crate::app) fn announce(&self) {
        announce(asked_for(variable));
    }
}

fn announce(asked: Option<&str>) {
    if let Some(asked) = asked {
        tracing::warn!(
            "{asked} is set, but this build sends no traces: build it with `cargo build --release --features otel`, \
             or the image with `--build-arg CARGO_FEATURES=otel`"
        );
    }
}
