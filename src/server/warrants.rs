//! Ends the sessions whose viewers may not watch any more: the user, the password or the rules changed in a reload, or the
//! watch link expired. Their next request would be refused as well, but a player may ask for nothing for hours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::time;

use crate::access::{Access, Warrant};
use crate::hub::{Stream, Viewer};
use crate::vocabulary::Disconnect;

/// What everybody who watches was let in by.
#[derive(Debug, Default)]
pub(super) struct Warrants {
    /// Locked when somebody comes, and to look through.
    entries: Mutex<Vec<Entry>>,
}

/// What a viewer was let in by, to be looked after once it watches.
#[derive(Debug)]
pub(super) struct Warranted {
    warrant: Warrant,
    warrants: Arc<Warrants>,
}

#[derive(Debug)]
struct Entry {
    viewer: Weak<Viewer>,
    stream: Weak<Stream>,
    warrant: Warrant,
}

impl Warrants {
    /// For somebody who was let in by this.
    pub(super) fn warranted(self: &Arc<Self>, warrant: &Warrant) -> Warranted {
        Warranted { warrant: warrant.clone(), warrants: Arc::clone(self) }
    }

    /// Looks through them when the policy has changed, and every second while there are links that expire.
    pub(super) async fn watch(&self, access: &Access) {
        let mut changes = access.changes();
        loop {
            tokio::select! {
                // The policy lives as long as we do. Who was let in a moment ago is on its way to its place.
                _ = changes.changed() => time::sleep(SETTLED).await,
                () = time::sleep(LINKS) => {
                    if !self.lock().iter().any(|entry| entry.warrant.may_expire()) {
                        continue;
                    }
                }
            }
            self.sweep(access);
        }
    }

    fn sweep(&self, access: &Access) {
        let (policy, now) = (access.policy(), SystemTime::now());
        self.lock().retain(|entry| {
            let (Some(viewer), Some(stream)) = (entry.viewer.upgrade(), entry.stream.upgrade()) else {
                return false;
            };
            let holds = entry.warrant.holds(&policy, stream.name(), now);
            if !holds {
                tracing::info!(
                    stream = stream.name(), peer = %viewer.peer,
                    "a viewer is disconnected: it may not watch any more (user, rules or link)"
                );
                viewer.kick(Disconnect::AccessEnded);
            }
            holds
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Warranted {
    /// Remembers by what right a viewer watches, for as long as it does.
    pub(super) fn watches(self, viewer: &Arc<Viewer>, stream: &Arc<Stream>) {
        let mut entries = self.warrants.lock();
        if entries.len() == entries.capacity() {
            entries.retain(Entry::is_used); // never more than twice as many as there are viewers
        }
        let (viewer, stream) = (Arc::downgrade(viewer), Arc::downgrade(stream));
        entries.push(Entry { viewer, stream, warrant: self.warrant });
    }
}

impl Entry {
    fn is_used(&self) -> bool {
        self.viewer.strong_count() > 0
    }
}

/// How long after a change it is looked who may stay.
const SETTLED: Duration = Duration::from_millis(200);

/// How late a watch link ends a session, at most, give or take its whole seconds.
const LINKS: Duration = Duration::from_secs(1);
