//! `fanlight probe` and `fanlight watch`: the terminal's side of [`crate::source::probe`].

mod screen;
mod spinner;
mod text;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use super::cli::{ProbeArgs, WatchArgs};
use super::stop::StopSignals;
use super::{BAD_CONFIGURATION, complain, run_to_end, say};
use crate::config::CameraUrl;
use crate::source::probe::{self, Options, Verdict};
use crate::vocabulary::Transport;

/// Looks at a camera from all sides. Exit codes: 0 it can be watched, 1 it cannot, 2 the URL is none.
pub(super) fn run(args: &ProbeArgs) -> ExitCode {
    let Some(camera) = camera(&args.url) else { return ExitCode::from(BAD_CONFIGURATION) };
    let mut options = Options::new(args.name.as_str());
    options.seconds = Duration::from_secs(args.seconds);
    if let Some(transport) = args.transport {
        options.transports = vec![transport.transport()];
    }
    let ended = run_to_end(async {
        let mut signals = StopSignals::listen()?;
        let progress = spinner::Progress::default();
        let told = progress.clone();
        let probing = probe::probe(&camera, &options, move |what| told.now(what), signals.told());
        Ok(spinner::beside(&progress, options.limit(), probing).await)
    });
    let report = match ended {
        Ok(report) => report,
        Err(error) => {
            complain(&format!("{error:#}"));
            return ExitCode::FAILURE;
        }
    };
    if args.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => say(format_args!("{json}")),
            Err(error) => complain(&error.to_string()),
        }
    } else {
        say(format_args!("{}", text::Page(&report)));
    }
    if report.verdict == Verdict::NotWatchable { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Shows a source live. Exit codes: 0 pictures came, 1 none, 2 the URL is none.
pub(super) fn watch(args: &WatchArgs) -> ExitCode {
    let Some(camera) = camera(&args.url) else { return ExitCode::from(BAD_CONFIGURATION) };
    let transport = args.transport.map_or(Transport::Tcp, super::cli::OneTransport::transport);
    let seconds = args.seconds.map(Duration::from_secs);
    match run_to_end(watch::watch(&camera, transport, seconds)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn camera(url: &str) -> Option<CameraUrl> {
    url.parse().map_err(|error| complain(&format!("the URL: {error}"))).ok()
}
