//! Where the incident recorder writes what it has when a source fails.

use std::path::PathBuf;

use super::reader::Key;

/// The keys of `incidents`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incidents {
    /// The directory for files; `None` = none are written.
    pub directory: Option<PathBuf>,
    /// Most files kept there; the oldest go.
    pub max_files: usize,
}

impl Default for Incidents {
    fn default() -> Self {
        Self { directory: None, max_files: 50 }
    }
}

/// Keys of `incidents`.
pub(super) const INCIDENT_KEYS: &[Key<Incidents>] = &[
    Key {
        name: "directory",
        read: |incidents, value| {
            value.read(&mut incidents.directory, |v| {
                v.text("the path of a directory").map(|path| Some(path.into()))
            });
        },
    },
    Key {
        name: "max_files",
        read: |incidents, value| {
            value.read(&mut incidents.max_files, |v| v.number("a whole number", 1..=10_000));
        },
    },
];
