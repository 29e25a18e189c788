//! Reading the configuration again: on SIGHUP, and when the file changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time;

use crate::config::Config;

/// Watches a configuration file.
pub(super) struct Reload {
    file: PathBuf,
    /// What was read last, right or wrong: the same text is not read twice.
    text: Option<String>,
    hangup: Signal,
    touched: mpsc::Receiver<()>,
    /// Watches for as long as it lives.
    _watcher: Option<RecommendedWatcher>,
}

impl Reload {
    /// Watches the directory of `file`, because editors and container mounts replace a file rather than write it.
    pub(super) fn watch(file: &Path) -> anyhow::Result<Self> {
        let (touch, touched) = mpsc::channel(1);
        let directory = match file.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        };
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // Full means that the reader has not looked yet, and then it will.
                let _ = touch.try_send(());
            }
        })
        .and_then(|mut watcher| watcher.watch(directory, RecursiveMode::NonRecursive).map(|()| watcher));
        let watcher = watcher
            .inspect_err(
                |error| tracing::warn!(%error, "the configuration is not watched: use SIGHUP to reload it"),
            )
            .ok();
        let text = std::fs::read_to_string(file).ok();
        Ok(Self {
            file: file.to_owned(),
            text,
            hangup: signal(SignalKind::hangup())?,
            touched,
            _watcher: watcher,
        })
    }

    /// The next configuration that differs from the last one and has no problem. Problems are logged, and what runs
    /// goes on running.
    pub(super) async fn next(&mut self) -> Config {
        loop {
            let asked = tokio::select! {
                _ = self.hangup.recv() => true,
                Some(()) = self.touched.recv() => {
                    // An editor writes in several steps.
                    time::sleep(SETTLE).await;
                    while self.touched.try_recv().is_ok() {}
                    false
                }
            };
            let text = match std::fs::read_to_string(&self.file) {
                Ok(text) => text,
                Err(error) if asked => {
                    tracing::error!(file = %self.file.display(), %error, "cannot read the configuration: nothing changed");
                    continue;
                }
                Err(_) => continue, // between two steps of an editor
            };
            if !asked && self.text.as_ref() == Some(&text) {
                continue;
            }
            self.text = Some(text);
            match Config::load(&self.file) {
                Ok(config) => return config,
                Err(error) => {
                    for line in error.to_string().lines() {
                        tracing::error!("configuration not reloaded: {line}");
                    }
                }
            }
        }
    }
}

/// How long a file has to be left alone before it is read.
const SETTLE: Duration = Duration::from_millis(200);
