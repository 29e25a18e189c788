//! Files of the incident recorder, written when a source fails that had delivered.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Instant, SystemTime};

use crate::config::Incidents;
use crate::hub::{Hub, Stream};
use crate::vocabulary::Phase;

/// Writes a file for each outage, for ever; never ends, and does nothing without a directory.
pub(super) async fn write(hub: &Hub, incidents: &Incidents) -> Infallible {
    let Some(directory) = &incidents.directory else { return std::future::pending().await };
    let mut changes = hub.changes();
    // By stream, the session after which the last file was written.
    let mut written: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        let streams = hub.streams();
        written.retain(|name, _| streams.iter().any(|stream| stream.name() == name));
        for stream in &streams {
            let Some((session, class)) = failed(stream) else { continue };
            if written.insert(stream.name().to_owned(), session) == Some(session) {
                continue;
            }
            let file = file_name(stream.name(), SystemTime::now(), class);
            let (name, bytes) = (stream.name().to_owned(), stream.capture().pcap(Instant::now()));
            let (directory, most, path) = (directory.clone(), incidents.max_files, directory.join(&file));
            let written = tokio::task::spawn_blocking(move || keep(&directory, &file, &bytes, most)).await;
            match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) => {
                    tracing::info!(stream = name, file = %path.display(), "what came before the failure is kept")
                }
                Err(error) => tracing::warn!(stream = name, %error, "cannot write into incidents.directory"),
            }
        }
        // The hub outlives its followers.
        let _ = changes.changed().await;
    }
}

/// The session that ended with a failure, and its class; `None` while there is nothing to tell.
fn failed(stream: &Stream) -> Option<(u64, &'static str)> {
    let status = stream.status().borrow().clone();
    let failure = status.last_failure.filter(|_| status.phase == Phase::Retrying && status.sessions > 0)?;
    Some((status.sessions, failure.class.as_str()))
}

/// `site_door-20260301T120000Z-stall.pcap`: names in the order of time, for each stream.
fn file_name(stream: &str, at: SystemTime, class: &str) -> String {
    let stream: String = stream
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._~-".contains(c) { c } else { '_' })
        .collect();
    let at = jiff::Timestamp::try_from(at).unwrap_or_default();
    format!("{stream}-{}-{class}.pcap", at.strftime("%Y%m%dT%H%M%SZ"))
}

/// Writes a file, and removes the oldest of those that are too many. What is no capture is nobody's business here.
fn keep(directory: &Path, file: &str, bytes: &[u8], most: usize) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let beside = directory.join(format!(".{file}.new"));
    fs::write(&beside, bytes)?;
    fs::rename(&beside, directory.join(file))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|end| end == "pcap") {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort();
    let excess = files.len().saturating_sub(most);
    files[..excess].iter().try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::hub::Publisher;
    use crate::metrics::Metrics;
    use crate::sdp::Description;
    use crate::vocabulary::{FailureClass, Transport};

    #[test]
    fn files_are_bounded_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine.txt"), "mine").unwrap();
        for n in 0..5 {
            keep(folder.path(), &format!("a-{n}.pcap"), &[n], 3).unwrap();
            let file =
                fs::File::options().write(true).open(folder.path().join(format!("a-{n}.pcap"))).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(n.into())).unwrap();
        }
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a-2.pcap", "a-3.pcap", "a-4.pcap", "mine.txt"]);
        assert_eq!(
            file_name("site/door", SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_366_400), "stall"),
            "site_door-20260301T120000Z-stall.pcap"
        );
    }

    #[tokio::test]
    async fn an_outage_is_one_file_however_often_the_camera_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let hub = Arc::new(Hub::new(Arc::new(Metrics::new())));
        let incidents = Incidents { directory: Some(folder.path().join("new")), max_files: 10 };
        let following = Arc::clone(&hub);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { match write(&following, &incidents).await {} });
        let files = || -> Vec<String> {
            let entries = fs::read_dir(folder.path().join("new")).into_iter().flatten();
            let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
            names.filter(|name| name.ends_with(".pcap")).collect()
        };
        let until = async |stream: &str| {
            while !files().iter().any(|file| file.starts_with(stream)) {
                tokio::time::sleep(Duration::from_millis(2)).await; // another thread writes it
            }
        };
        let fail = |publisher: &mut Publisher, live: bool| {
            if live {
                publisher.begin(Description::jpeg(640, 480, 25.0));
                publisher.live(Some(Transport::Tcp));
            }
            publisher.failed(FailureClass::Stall, "no picture".to_owned(), Duration::ZERO, String::new());
        };
        let (mut door, mut never, mut yard) = (hub.add("door"), hub.add("never"), hub.add("yard"));
        fail(&mut never, false);
        fail(&mut door, true);
        until("door").await;
        fail(&mut door, false);
        fail(&mut never, false);
        // Looked at after the others.
        fail(&mut yard, true);
        until("yard").await;
        assert_eq!(
            files().len(),
            2,
            "a source that never delivered has no incident, and one outage is one: {:?}",
            files()
        );
    }
}
