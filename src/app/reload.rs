//! Reading the configuration again: on SIGHUP, and when its file or one of the certificate changes.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time;

use crate::config::Config;

/// Watches a configuration file, and those of the certificate that it names.
pub(super) struct Reload {
    file: PathBuf,
    /// What was read last, right or wrong: the same is not read twice.
    seen: Seen,
    /// The files of the certificate.
    certificate: Vec<PathBuf>,
    hangup: Signal,
    touched: mpsc::Receiver<()>,
    /// Watches for as long as it lives.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

/// What was in the files.
#[derive(PartialEq)]
struct Seen {
    text: Option<String>,
    /// A hash, so that no key stays in memory for this.
    certificate: Vec<Option<[u8; 32]>>,
}

impl Reload {
    /// Watches the directories of `file` and of what `config` names, because editors, container mounts and those who renew
    /// certificates replace a file rather than write it.
    pub(super) fn watch(file: &Path, config: &Config) -> anyhow::Result<Self> {
        let (touch, touched) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // Full means that the reader has not looked yet, and then it will.
                let _ = touch.try_send(());
            }
        });
        let watcher = watcher.inspect_err(not_watched).ok();
        let mut reload = Self {
            file: file.to_owned(),
            seen: Seen { text: std::fs::read_to_string(file).ok(), certificate: Vec::new() },
            certificate: Vec::new(),
            hangup: signal(SignalKind::hangup())?,
            touched,
            watcher,
            watched: BTreeSet::new(),
        };
        reload.follow(config);
        reload.seen.certificate = reload.hashes();
        Ok(reload)
    }

    /// Watches where `config` has its files.
    fn follow(&mut self, config: &Config) {
        let tls = config.tls.iter();
        self.certificate = tls.flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]).collect();
        let files = self.certificate.iter().chain([&self.file]);
        let directories = files.map(|file| match file.parent() {
            Some(directory) if directory != Path::new("") => directory.to_owned(),
            _ => PathBuf::from("."),
        });
        for directory in directories.collect::<BTreeSet<_>>() {
            if let (Some(watcher), false) = (&mut self.watcher, self.watched.contains(&directory)) {
                match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                    Ok(()) => drop(self.watched.insert(directory)),
                    Err(error) => not_watched(&error),
                }
            }
        }
    }

    /// What the files of the certificate hold now.
    fn hashes(&self) -> Vec<Option<[u8; 32]>> {
        let hash = |path: &PathBuf| {
            let mut bytes = Vec::new();
            let file =
                std::fs::File::open(path).ok().filter(|file| file.metadata().is_ok_and(|m| m.is_file()))?;
            file.take(MAX_CERTIFICATE).read_to_end(&mut bytes).ok()?;
            Some(Sha256::digest(&bytes).into())
        };
        self.certificate.iter().map(hash).collect()
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
            let seen = Seen { text: Some(text), certificate: self.hashes() };
            if !asked && self.seen == seen {
                continue;
            }
            self.seen = seen;
            match Config::load(&self.file) {
                Ok(config) => {
                    let before = self.certificate.clone();
                    self.follow(&config);
                    if self.certificate != before {
                        self.seen.certificate = self.hashes();
                    }
                    return config;
                }
                Err(error) => {
                    for line in error.to_string().lines() {
                        tracing::error!("configuration not reloaded: {line}");
                    }
                }
            }
        }
    }
}

fn not_watched(error: &notify::Error) {
    tracing::warn!(%error, "the configuration is not watched: use SIGHUP to reload it");
}

/// Bytes of a file of the certificate that are compared.
const MAX_CERTIFICATE: u64 = 256 * 1024;

/// How long a file has to be left alone before it is read.
const SETTLE: Duration = Duration::from_millis(200);
