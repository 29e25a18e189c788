//! How a connection ends: what it waited for in vain, the goodbyes, and a moment for the last words.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::{self, Sleep};

use super::connection::Connection;
use super::fanout;
use super::outbox::hang_up;
use super::udp::UdpHandle;
use crate::config::SlowViewer;
use crate::vocabulary::Disconnect;

impl Connection {
    /// Says goodbye to a session and ends it; its connection closes with its last session.
    pub(super) fn dismiss(&mut self, index: usize, reason: Disconnect) -> io::Result<()> {
        let leaving = self.sessions.swap_remove(index);
        let mut goodbyes = Vec::new();
        leaving.session().goodbyes(|carrier, compound| fanout::frame(carrier, compound, &mut goodbyes));
        leaving.end(reason);
        // A player that gets no packets any more waits; one whose connection closes asks again.
        if self.sessions.is_empty() {
            self.closing = Some(reason);
        }
        self.outbox.answer(&goodbyes)
    }

    /// What took too long, if anything did; else sets the timer to the next thing that may.
    pub(super) fn overdue(&mut self, timer: Pin<&mut Sleep>) -> Option<Disconnect> {
        let settings = &self.shared.settings;
        self.udp.retain(UdpHandle::is_alive);
        // Who reads what we write lives: rtspsrc sends no keep-alive over TCP. UDP sessions have their own time-out; as
        // long as they live the connection stays, since rtspsrc reconnects when it closes.
        let engaged = !self.udp.is_empty() || self.sessions.iter().any(|here| here.session().is_playing());
        // Who connects and says nothing is not given the time of a viewer.
        let patience = if self.silent {
            settings.request_timeout.min(settings.session_timeout)
        } else {
            settings.session_timeout
        };
        let blocked = self.outbox.blocked_since();
        let impatient = self.sessions.iter().filter_map(|here| {
            let session = here.session();
            let viewing = session.mount().stream().viewing();
            (viewing.slow_viewer == SlowViewer::Disconnect).then_some(viewing.max_lag)
        });
        let max_lag = impatient.min();
        let deadlines = [
            blocked.zip(max_lag).map(|(since, max_lag)| (since + max_lag, Disconnect::TooSlow)),
            blocked.map(|since| (since + settings.write_timeout, Disconnect::WriteTimeout)),
            self.incomplete.map(|since| (since + settings.request_timeout, Disconnect::Protocol)),
            (!engaged).then(|| (self.last_heard + patience, Disconnect::Timeout)),
        ];
        let now = Instant::now();
        if let Some((_, reason)) = deadlines.iter().flatten().find(|(deadline, _)| *deadline <= now) {
            return Some(*reason);
        }
        let next = deadlines.iter().flatten().map(|(deadline, _)| *deadline).min();
        let longest = now + TICK;
        timer.reset(next.map_or(longest, |next| next.min(longest)).into());
        None
    }

    /// The end: goodbyes to those who play, the reason counted, and a moment to write what waits and to close in order.
    pub(super) async fn farewell(mut self, reason: Disconnect) {
        let outbox = Rc::clone(&self.outbox);
        let socket = outbox.socket();
        let deadline = time::Instant::now() + FAREWELL;
        for session in &self.udp {
            session.orphan();
        }
        if reason == Disconnect::Shutdown {
            while !self.sessions.is_empty() {
                if self.dismiss(0, reason).is_err() {
                    break;
                }
            }
            let flushed = async {
                while !self.outbox.is_empty() {
                    socket.writable().await?;
                    self.outbox.flush()?;
                }
                io::Result::Ok(())
            };
            // A viewer that does not read any more does not hold up the end.
            let _ = time::timeout_at(deadline, flushed).await;
        }
        for session in self.sessions.drain(..) {
            session.end(reason);
        }
        // Who has gone does not hear it.
        let _ = self.outbox.close();
        // To close with bytes unread is a reset, and with it the viewer may lose what it was told last.
        if !self.finished && !matches!(reason, Disconnect::WriteTimeout | Disconnect::TooSlow) {
            let _ = time::timeout_at(deadline, hang_up(socket)).await;
        }
    }
}

/// The longest the deadlines of a connection go unlooked at: what begins in between is late by this much at most.
pub(super) const TICK: Duration = Duration::from_secs(2);

/// How long the last words to a viewer may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
