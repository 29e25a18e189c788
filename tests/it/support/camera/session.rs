//! One played session: numbers the packets, packs sender reports, and knows where each track goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::UdpSocket;

use super::super::rtp::{NTP_TO_UNIX, Rtp, SenderReport, bye, sdes};
use super::connection::Wire;
use super::media::{Format, Moment};
use super::{Fault, Numbering, Shared, Stall};

#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) id: String,
    /// By track; `None` = not set up.
    pub(super) tracks: Vec<Option<Track>>,
    pub(super) playing: bool,
    pub(super) stall: Option<Stall>,
    /// RTP packets so far, lost ones included.
    packets: u32,
}

#[derive(Debug)]
pub(super) struct Track {
    pub(super) path: Path,
    pub(super) format: Format,
    pub(super) ssrc: u32,
    /// Of the next packet.
    pub(super) sequence: u16,
    /// RTP timestamp of frame 0.
    pub(super) offset: u32,
    packets: u32,
    octets: u32,
    /// Second of media time in which the last sender report went out.
    reported: Option<u32>,
}

/// Where the packets of a track go.
#[derive(Clone, Debug)]
pub(super) enum Path {
    /// RTP on this interleaved channel, RTCP on the next.
    Tcp {
        channel: u8,
    },
    Udp {
        rtp: Arc<UdpSocket>,
        rtcp: Arc<UdpSocket>,
        to: (SocketAddr, SocketAddr),
    },
}

impl Path {
    fn rtp(&self, data: Vec<u8>) -> Wire {
        match self {
            Self::Tcp { channel } => interleaved(*channel, &data),
            Self::Udp { rtp, to, .. } => Wire::Udp(Arc::clone(rtp), to.0, data),
        }
    }

    fn rtcp(&self, data: Vec<u8>) -> Wire {
        match self {
            Self::Tcp { channel } => interleaved(channel + 1, &data),
            Self::Udp { rtcp, to, .. } => Wire::Udp(Arc::clone(rtcp), to.1, data),
        }
    }
}

fn interleaved(channel: u8, data: &[u8]) -> Wire {
    let mut frame = vec![b'$', channel];
    frame.extend_from_slice(&(data.len() as u16).to_be_bytes());
    frame.extend_from_slice(data);
    Wire::Tcp(frame)
}

impl Session {
    pub(super) fn new() -> Self {
        Self { id: format!("{:08x}", rand::random::<u32>()), ..Self::default() }
    }

    pub(super) fn set_up(
        &mut self,
        index: usize,
        path: Path,
        format: Format,
        numbering: Numbering,
    ) -> &Track {
        let track = Track {
            path,
            format,
            ssrc: numbering.ssrc.map_or_else(rand::random, |ssrc| ssrc.wrapping_add(index as u32)),
            sequence: numbering.sequence.unwrap_or_else(rand::random),
            offset: numbering.timestamp.unwrap_or_else(rand::random),
            packets: 0,
            octets: 0,
            reported: None,
        };
        if self.tracks.len() <= index {
            self.tracks.resize_with(index + 1, || None);
        }
        self.tracks[index].insert(track)
    }

    pub(super) fn renumber(&mut self, numbering: Numbering) {
        for (index, track) in self.tracks.iter_mut().enumerate() {
            let Some(track) = track else { continue };
            track.ssrc = numbering.ssrc.map_or(track.ssrc, |ssrc| ssrc.wrapping_add(index as u32));
            track.sequence = numbering.sequence.unwrap_or(track.sequence);
            track.offset = numbering.timestamp.unwrap_or(track.offset);
            track.reported = None;
        }
    }

    pub(super) fn rewind(&mut self, packets: u16) {
        for track in self.tracks.iter_mut().flatten() {
            track.sequence = track.sequence.wrapping_sub(packets);
        }
    }

    pub(super) fn jump(&mut self, seconds: f64) {
        for track in self.tracks.iter_mut().flatten() {
            track.offset = track.offset.wrapping_add((seconds * f64::from(track.format.clock)) as i64 as u32);
            track.reported = None;
        }
    }

    /// The packets of a moment: a sender report first when one is due (at once, then every second), then RTP.
    pub(super) fn packets(&mut self, moment: &Moment, camera: &Shared) -> Vec<Wire> {
        let faults = camera.faults();
        if !self.playing || faults.contains(&Fault::Silent) || self.stall == Some(Stall::Everything) {
            return Vec::new();
        }
        let lose_every =
            faults.iter().find_map(|f| if let Fault::LoseEvery(n) = f { Some(*n) } else { None });
        let mut out = Vec::new();
        for track in self.tracks.iter_mut().flatten() {
            let second = moment.frame / camera.fps;
            let blocked = faults.contains(&Fault::SilentUdp) && matches!(track.path, Path::Udp { .. });
            if camera.sender_reports && !blocked && track.reported != Some(second) {
                track.reported = Some(second);
                out.push(track.path.rtcp(track.report(moment.frame, camera)));
            }
        }
        let mut network = camera.network.lock().unwrap();
        for unit in &moment.units {
            let Some(Some(track)) = self.tracks.get_mut(unit.track) else { continue };
            if faults.contains(&Fault::SilentTrack(unit.track))
                || self.stall == Some(Stall::Track(unit.track))
            {
                continue;
            }
            let udp = matches!(track.path, Path::Udp { .. });
            let blocked = udp && faults.contains(&Fault::SilentUdp);
            let last = unit.payloads.len() - 1;
            for (i, payload) in unit.payloads.iter().enumerate() {
                let packet = track.number(unit.ticks, unit.marker && i == last, payload);
                self.packets += 1;
                if blocked || lose_every.is_some_and(|n| self.packets.is_multiple_of(n)) {
                    continue;
                }
                let packet = track.path.rtp(packet.to_bytes());
                if !udp {
                    out.push(packet);
                } else if network.pass(&faults, packet, &mut out) {
                    camera.count(|c| c.lost += 1);
                }
            }
        }
        out
    }

    pub(super) fn byes(&self) -> Vec<Wire> {
        self.tracks.iter().flatten().map(|track| track.path.rtcp(track.bye())).collect()
    }
}

impl Track {
    /// RTP timestamp of frame `number`.
    pub(super) fn timestamp_of_frame(&self, number: u32, fps: u32) -> u32 {
        let ticks = u64::from(number) * u64::from(self.format.clock) / u64::from(fps);
        self.offset.wrapping_add(ticks as u32)
    }

    fn number(&mut self, ticks: u64, marker: bool, payload: &[u8]) -> Rtp {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        Rtp {
            payload_type: self.format.payload_type,
            marker,
            sequence,
            timestamp: self.offset.wrapping_add(ticks as u32),
            ssrc: self.ssrc,
            payload: payload.to_vec(),
        }
    }

    /// The camera's wall clock at a frame is its start plus the media time, whether or not frames come in real time.
    fn report(&self, frame: u32, camera: &Shared) -> Vec<u8> {
        let started = camera.started.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let ahead = camera.settings.lock().unwrap().clock_ahead;
        let unix = started + ahead + f64::from(frame) / f64::from(camera.fps);
        let ntp = ((unix + NTP_TO_UNIX as f64) * 4_294_967_296.0) as u64;
        let timestamp = self.timestamp_of_frame(frame, camera.fps);
        let report =
            SenderReport { ssrc: self.ssrc, ntp, timestamp, packets: self.packets, octets: self.octets };
        [report.to_bytes(), sdes(self.ssrc, "camera")].concat()
    }

    fn bye(&self) -> Vec<u8> {
        // RFC 3550 section 6.1: a compound packet starts with a report.
        let mut compound = super::super::rtp::receiver_report(self.ssrc);
        compound.extend(bye(self.ssrc));
        compound
    }
}
