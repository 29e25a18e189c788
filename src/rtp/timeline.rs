//! One track's numbers on the stream's own timeline, through every upstream session.

use std::time::Duration;

/// Numbers one track's packets: 64 bits of sequence and timestamp that continue across epochs.
///
/// Within an epoch the numbers are the camera's, extended. A new epoch (a reconnect, a new SSRC, or a jump that no
/// network explains) goes on with the next sequence number, and with a timestamp as far ahead as the wall clock went.
#[derive(Clone, Debug)]
pub struct Timeline {
    clock_rate: u32,
    /// `None` until the first packet of all.
    newest: Option<Newest>,
    /// Where packets of our own were put in last: the number behind them, and how many.
    inserted: (u64, u64),
    /// The next packet begins an epoch.
    restart: bool,
}

/// The newest packet so far, in the camera's numbers and in ours.
#[derive(Clone, Debug)]
struct Newest {
    ssrc: u32,
    raw_sequence: u16,
    raw_timestamp: u32,
    sequence: u64,
    timestamp: u64,
    arrival: Duration,
}

/// Where a packet stands on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The sequence number, continuous through epochs.
    pub sequence: u64,
    /// The timestamp in units of the track's clock, continuous through epochs.
    pub timestamp: u64,
    /// Packets missing right before this one.
    pub lost: u64,
    /// The packet came after one that follows it.
    pub reordered: bool,
    /// The packet begins an epoch.
    pub restarted: bool,
}

impl Timeline {
    /// A timeline for a track whose clock ticks `clock_rate` times a second (0 is taken for 1).
    pub fn new(clock_rate: u32) -> Self {
        Self { clock_rate: clock_rate.max(1), newest: None, inserted: (0, 0), restart: true }
    }

    /// Ticks of the track's clock in a second.
    pub fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// The next packet begins an epoch: its numbers have nothing to do with the ones before.
    pub fn start_epoch(&mut self) {
        self.restart = true;
    }

    /// Finds the place of a packet that arrived at `arrival` (time since the stream was made). `None` for a repetition.
    pub fn place(&mut self, ssrc: u32, sequence: u16, timestamp: u32, arrival: Duration) -> Option<Place> {
        let Some(newest) = &mut self.newest else {
            let first = Newest {
                ssrc,
                raw_sequence: sequence,
                raw_timestamp: timestamp,
                sequence: ORIGIN,
                timestamp: ORIGIN,
                arrival,
            };
            self.newest = Some(first);
            self.restart = false;
            return Some(Place {
                sequence: ORIGIN,
                timestamp: ORIGIN,
                lost: 0,
                reordered: false,
                restarted: true,
            });
        };
        let step = i64::from(sequence.wrapping_sub(newest.raw_sequence).cast_signed());
        let ticks = i64::from(timestamp.wrapping_sub(newest.raw_timestamp).cast_signed());
        let elapsed = arrival.saturating_sub(newest.arrival);
        let jumped = step.unsigned_abs() > MAX_STEP || self.clock_jumped(ticks, elapsed);
        let newest = self.newest.as_mut()?;
        if self.restart || ssrc != newest.ssrc || jumped {
            self.restart = false;
            newest.ssrc = ssrc;
            newest.raw_sequence = sequence;
            newest.raw_timestamp = timestamp;
            newest.sequence += 1;
            newest.timestamp += ticks_in(elapsed, self.clock_rate).max(1);
            newest.arrival = arrival;
            let (sequence, timestamp) = (newest.sequence, newest.timestamp);
            return Some(Place { sequence, timestamp, lost: 0, reordered: false, restarted: true });
        }
        if step == 0 {
            return None;
        }
        let mut sequence_here = newest.sequence.wrapping_add_signed(step);
        // A packet from before those put in comes late: it keeps its place.
        if sequence_here < self.inserted.0 {
            sequence_here = sequence_here.wrapping_sub(self.inserted.1);
        }
        let place = Place {
            sequence: sequence_here,
            timestamp: newest.timestamp.wrapping_add_signed(ticks),
            lost: step.max(1).unsigned_abs() - 1,
            reordered: step < 0,
            restarted: false,
        };
        if step > 0 {
            newest.raw_sequence = sequence;
            newest.raw_timestamp = timestamp;
            newest.sequence = place.sequence;
            newest.timestamp = place.timestamp;
            newest.arrival = arrival;
        }
        Some(place)
    }

    /// Makes room for `count` packets right in front of the one placed last: they have its sequence number and the
    /// following ones, and it comes behind them.
    pub fn insert(&mut self, count: u64) {
        if let Some(newest) = &mut self.newest {
            newest.sequence += count;
            self.inserted = (newest.sequence, count);
        }
    }

    /// The place on the timeline of a camera timestamp near the newest packet, for sender reports.
    pub fn timestamp(&self, raw: u32) -> Option<u64> {
        let newest = self.newest.as_ref().filter(|_| !self.restart)?;
        let ticks = i64::from(raw.wrapping_sub(newest.raw_timestamp).cast_signed());
        Some(newest.timestamp.wrapping_add_signed(ticks))
    }

    /// Whether the timestamp went elsewhere than the wall clock: more than [`CLOCK_JUMP`] apart.
    fn clock_jumped(&self, ticks: i64, elapsed: Duration) -> bool {
        let rate = i128::from(self.clock_rate);
        let media_ms = i128::from(ticks) * 1000 / rate;
        let wall_ms = i128::try_from(elapsed.as_millis()).unwrap_or(i128::MAX);
        (media_ms - wall_ms).unsigned_abs() > CLOCK_JUMP.as_millis()
    }
}

/// Clock ticks in `elapsed`, rounded down.
fn ticks_in(elapsed: Duration, clock_rate: u32) -> u64 {
    let ticks = elapsed.as_nanos() * u128::from(clock_rate) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX / 2)
}

/// The first number handed out: far from zero, so that a packet from before the first one has a place as well.
const ORIGIN: u64 = 1 << 32;

/// A step of the sequence number beyond this, either way, is a restart of the sender rather than loss; MAX_DROPOUT of
/// [RFC 3550 appendix A.1](https://datatracker.ietf.org/doc/html/rfc3550#appendix-A.1).
const MAX_STEP: u64 = 3000;

/// A difference between media time and wall time that no buffer on the way explains: the camera set its clock. Half
/// the 13 hours after which a 90 kHz timestamp wraps would be unambiguous; players give up long before that.
const CLOCK_JUMP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_packet_that_is_missing_leaves_a_gap() {
        let mut timeline = Timeline::new(90_000);
        let first = timeline.place(1, 65_534, 0, MS(0)).unwrap();
        let next = timeline.place(1, 1, 3000, MS(33)).unwrap();
        assert_eq!(next.sequence - first.sequence, 3);
        assert_eq!((next.lost, next.reordered), (2, false));
    }

    #[test]
    fn a_late_packet_keeps_its_place_and_a_repetition_has_none() {
        let mut timeline = Timeline::new(90_000);
        timeline.place(1, 10, 0, MS(0)).unwrap();
        let newest = timeline.place(1, 12, 6000, MS(66)).unwrap();
        let late = timeline.place(1, 11, 3000, MS(67)).unwrap();
        assert_eq!((newest.sequence - late.sequence, newest.timestamp - late.timestamp), (1, 3000));
        assert!(late.reordered);
        assert_eq!(timeline.place(1, 12, 6000, MS(68)), None);
    }

    #[test]
    fn a_new_epoch_goes_on_with_the_next_number_and_the_time_that_passed() {
        let mut timeline = Timeline::new(90_000);
        let before = timeline.place(1, 10, 500, MS(1000)).unwrap();
        timeline.start_epoch();
        let after = timeline.place(2, 40_000, 3_000_000_000, MS(3000)).unwrap();
        assert_eq!(after.sequence, before.sequence + 1);
        assert_eq!(after.timestamp, before.timestamp + 180_000);
        assert!(after.restarted);
    }

    #[test]
    fn packets_can_be_put_in_front_of_the_last_one() {
        let mut timeline = Timeline::new(90_000);
        timeline.place(1, 9, 0, MS(0)).unwrap();
        let before = timeline.place(1, 11, 3000, MS(33)).unwrap();
        timeline.insert(2);
        let after = timeline.place(1, 12, 3000, MS(34)).unwrap();
        assert_eq!(after.sequence, before.sequence + 3);
        assert_eq!((after.timestamp, after.lost), (before.timestamp, 0));
        let late = timeline.place(1, 10, 0, MS(35)).unwrap();
        assert_eq!(late.sequence, before.sequence - 1, "not among those put in");
        let again = timeline.place(1, 11, 3000, MS(36)).unwrap();
        assert!(again.reordered);
    }

    #[test]
    fn a_clock_that_jumps_within_a_session_starts_an_epoch() {
        let mut timeline = Timeline::new(90_000);
        let before = timeline.place(1, 10, 0, MS(0)).unwrap();
        let after = timeline.place(1, 11, 90_000 * 3600, MS(40)).unwrap();
        assert!(after.restarted);
        assert_eq!(after.timestamp - before.timestamp, 3600);
    }

    #[test]
    fn a_frame_of_a_group_with_b_frames_may_be_older_than_the_one_before() {
        let mut timeline = Timeline::new(90_000);
        let before = timeline.place(1, 10, 9000, MS(0)).unwrap();
        let after = timeline.place(1, 11, 3000, MS(33)).unwrap();
        assert_eq!(before.timestamp - after.timestamp, 6000);
        assert!(!after.restarted && !after.reordered);
    }

    proptest! {
        #[test]
        fn the_numbers_survive_any_number_of_wraps(start: u16, ts: u32, packets in 1usize..300) {
            let mut timeline = Timeline::new(90_000);
            let mut previous: Option<Place> = None;
            for i in 0..packets as u64 {
                let sequence = start.wrapping_add((i * 1000) as u16);
                let timestamp = ts.wrapping_add((i * 900_000) as u32);
                let place = timeline.place(7, sequence, timestamp, MS(i * 10_000)).unwrap();
                if let Some(previous) = previous {
                    prop_assert_eq!(place.sequence - previous.sequence, 1000);
                    prop_assert_eq!(place.timestamp - previous.timestamp, 900_000);
                }
                previous = Some(place);
            }
        }

        #[test]
        fn an_epoch_never_goes_back(packets in proptest::collection::vec((any::<u32>(), any::<u16>(), any::<u32>(), 0u64..2000), 1..50)) {
            let mut timeline = Timeline::new(8000);
            let mut now = 0;
            let mut highest = None;
            for (ssrc, sequence, timestamp, wait) in packets {
                now += wait;
                timeline.start_epoch();
                let place = timeline.place(ssrc, sequence, timestamp, MS(now)).unwrap();
                prop_assert!(highest < Some((place.sequence, place.timestamp)));
                highest = Some((place.sequence, place.timestamp));
            }
        }
    }
}
