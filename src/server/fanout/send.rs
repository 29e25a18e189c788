//! One burst to one viewer.

use std::cmp::Ordering;
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use super::Line;
use crate::config::SlowViewer;
use crate::hub::{Burst, Delivery, Stream, Tally, Viewer};
use crate::server::outbox::Outbox;
use crate::server::player::{Carrier, Lease, Plan, To};
use crate::server::scratch::{self, Layout, Sheet};
use crate::server::session::Playing;
use crate::vocabulary::{Disconnect, Skip};

/// Rewrites a burst for a viewer and writes it, with the sender reports that are due. `now` is a moment ago. What stands
/// before it in this machine makes it older than that. What many viewers share of the counting goes to `tally`, where there
/// is one.
///
/// # Errors
/// The connection is gone.
pub(super) fn send(
    playing: &mut Playing,
    stream: &Stream,
    line: &Line,
    burst: &Burst,
    now: Instant,
    tally: Option<&mut Tally>,
) -> io::Result<()> {
    let (layout, burst) = line.form(burst);
    scratch::with_copy(burst, layout, |Sheet { copy, plan, reports }| {
        playing.player.plan(burst, now + line.delay(burst, now), layout, copy, plan);
        report(playing, stream, line, now, reports);
        let taken = match line {
            Line::Connection(outbox) => {
                write(outbox, reports, plan, copy)?;
                true
            }
            Line::Ports(ports) => ports.send(&playing.player, plan, copy),
        };
        playing.count(plan, plan.bytes + reports.len() as u64, burst, now, tally);
        if !taken {
            // A burst is a frame, or part of one.
            playing.seat.skipped(Skip::Blocked, 1);
        }
        Ok(())
    })
}

/// Writes a burst for a viewer that gets all of it, by the numbers that its player has lent; `now` is a moment ago. `None`
/// where the player has to decide, and nothing is done; else whether the kernel took it.
///
/// # Errors
/// The connection is gone.
pub(super) fn send_whole(
    leased: &mut Leased,
    line: &Line,
    burst: &Burst,
    now: Instant,
    tally: &mut Tally,
) -> io::Result<Option<bool>> {
    let (layout, burst) = line.form(burst);
    scratch::with_copy(burst, layout, |Sheet { copy, .. }| {
        let Some(whole) = leased.lease.whole(burst, now, layout, copy) else { return Ok(None) };
        let taken = match (line, whole.to) {
            (Line::Connection(outbox), _) => {
                match outbox.head(copy.len()) {
                    None => outbox.media(&mut [IoSlice::new(copy)])?,
                    Some(head) => outbox.media(&mut [IoSlice::new(head.as_bytes()), IoSlice::new(copy)])?,
                };
                true
            }
            (Line::Ports(ports), To::Port(to)) => ports.send_whole(to, burst, copy),
            (Line::Ports(_), To::Channel(_)) => true, // never: a session's carriers are of one kind
        };
        tally.sent(&leased.viewer, whole.packets, whole.bytes, burst.received(), now);
        Ok(Some(taken))
    })
}

/// The sender reports that are due: into `reports` for an interleaved session, else on their way at once.
fn report(playing: &mut Playing, stream: &Stream, line: &Line, now: Instant, reports: &mut Vec<u8>) {
    let player = &mut playing.player;
    if !player.reports_due(now) {
        return;
    }
    let feed = &playing.feed;
    player.reports(
        now,
        |track| feed.report(stream, track, now),
        |carrier, compound| match (line, carrier) {
            (Line::Ports(ports), Carrier::Ports { rtcp, .. }) => ports.send_report(rtcp, compound),
            _ => frame(carrier, compound, reports),
        },
    );
}

/// Appends an interleaved RTCP packet.
pub(in crate::server) fn frame(carrier: Carrier, compound: &[u8], out: &mut Vec<u8>) {
    let (Carrier::Channels { rtcp, .. }, Ok(length)) = (carrier, u16::try_from(compound.len())) else {
        return;
    };
    out.extend([b'$', rtcp]);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(compound);
}

/// Writes reports and the planned packets: one system call, unless the viewer has set up only some of many tracks.
fn write(outbox: &Outbox, reports: &[u8], plan: &Plan, copy: &[u8]) -> io::Result<()> {
    let length = reports.len() + plan.parts.iter().map(|part| part.range.len()).sum::<usize>();
    if length == 0 {
        return Ok(());
    }
    let head = outbox.head(length);
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let mut used = 0;
    for front in [head.as_ref().map_or(&[][..], |head| head.as_bytes()), reports] {
        if !front.is_empty() {
            slices[used] = IoSlice::new(front);
            used += 1;
        }
    }
    let mut parts = plan.parts.iter().map(|part| part.range.clone()).peekable();
    while let Some(mut run) = parts.next() {
        while let Some(next) = parts.next_if(|next| next.start == run.end) {
            run.end = next.end;
        }
        if used == MAX_SLICES {
            outbox.media(&mut slices)?;
            used = 0;
        }
        slices[used] = IoSlice::new(&copy[run]);
        used += 1;
    }
    if used > 0 {
        outbox.media(&mut slices[..used])?;
    }
    Ok(())
}

impl Line {
    /// A burst as it goes out here.
    fn form<'b>(&self, burst: &'b Burst) -> (Layout, &'b Burst) {
        match self {
            Self::Connection(_) => (Layout::Framed, burst),
            Self::Ports(_) => (Layout::Bare, burst.datagrams()),
        }
    }
}

/// What a viewer that is in step is served by.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) lease: Lease,
    viewer: Arc<Viewer>,
}

impl Leased {
    /// Reads a word of each line of memory that sending a burst by it takes.
    pub(super) fn bring_near(&self) {
        black_box((self.lease.words(), self.viewer.packets()));
    }
}

impl Playing {
    /// Lends what the next bursts need of the viewer, if it has just got this one and nothing is the matter with it.
    pub(super) fn lease(&self, burst: &Burst) -> Option<Leased> {
        if self.ahead.not_before().is_some() {
            return None;
        }
        let lease = self.player.lease(burst)?;
        Some(Leased { lease, viewer: Arc::clone(self.seat.viewer()) })
    }

    /// What is to be sent of a delivery, if anything, when it is written there `now`.
    ///
    /// # Errors
    /// It is the end of the session, for this reason.
    pub(super) fn accept(
        &mut self,
        delivery: Delivery,
        stream: &Stream,
        now: Instant,
        line: &Line,
    ) -> Result<Option<Arc<Burst>>, Disconnect> {
        let disconnects = stream.viewing().slow_viewer == SlowViewer::Disconnect;
        match delivery {
            Delivery::Burst(burst) => {
                if self.player.is_late(&burst, now + line.delay(&burst, now)) {
                    if disconnects {
                        return Err(Disconnect::TooSlow);
                    }
                    if let Some((id, _)) = stream.newest_key_frame() {
                        self.player.pictures_from(id);
                    }
                }
                Ok(if self.is_described_by(&burst, stream)? { Some(burst) } else { None })
            }
            Delivery::Lagged if disconnects => Err(Disconnect::TooSlow),
            Delivery::Lagged => {
                self.ahead.recover(stream, &mut self.player);
                Ok(None)
            }
            Delivery::Closed => Err(Disconnect::EndOfStream),
        }
    }

    /// Whether the burst belongs to the description that this viewer plays by, or to a later one with the same tracks;
    /// not if to an earlier one.
    ///
    /// # Errors
    /// A track of the viewer is not what it was: it has to describe again.
    pub(super) fn is_described_by(&mut self, burst: &Burst, stream: &Stream) -> Result<bool, Disconnect> {
        match self.player.compare(burst) {
            Ordering::Equal => Ok(true),
            Ordering::Less => Ok(false),
            Ordering::Greater => {
                let status = stream.status();
                let described = &status.borrow().described;
                let keeps_up =
                    described.as_ref().is_some_and(|described| self.player.keep_up(burst, described));
                if keeps_up { Ok(true) } else { Err(Disconnect::StreamChanged) }
            }
        }
    }

    /// Counts what was sent of a burst.
    fn count(&mut self, plan: &Plan, bytes: u64, burst: &Burst, now: Instant, tally: Option<&mut Tally>) {
        self.seat.reached(burst.received());
        self.ahead.sent(burst, bytes, now);
        if plan.packets > 0 {
            match tally {
                Some(tally) => tally.sent(self.seat.viewer(), plan.packets, bytes, burst.received(), now),
                None => {
                    // What was there before the viewer came did not wait for it.
                    let came = burst.received().max(self.seat.viewer().since);
                    self.seat.sent(plan.packets, bytes, now.saturating_duration_since(came));
                }
            }
        }
        let reasons = [
            (Skip::KeyFrame, plan.skipped),
            (Skip::Lagged, plan.lagged),
            (Skip::NonReference, plan.unreferenced),
            (Skip::Oversized, plan.oversized),
        ];
        for (reason, frames) in reasons.into_iter().filter(|(_, frames)| *frames > 0) {
            self.seat.skipped(reason, frames);
        }
        if plan.first_key
            && let Some(asked) = self.asked.take()
        {
            self.seat.started(asked.elapsed());
        }
    }
}

/// Pieces of one write.
const MAX_SLICES: usize = 32;
