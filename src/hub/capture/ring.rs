//! A ring of records in memory that is taken once.

use std::collections::VecDeque;

use super::Record;

/// Records, of which the oldest make room.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    max: usize,
}

impl Ring {
    /// Of at most so many bytes; with none it is off. Its memory is taken with the first record.
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: VecDeque::new(), max }
    }

    pub(super) fn is_off(&self) -> bool {
        self.max == 0
    }

    pub(super) fn append(&mut self, record: &Record<'_>) {
        let mut bytes = Vec::with_capacity(Record::HEAD + record.bytes.len());
        record.write(&mut bytes);
        self.append_records(&bytes);
    }

    /// Takes records one behind the other.
    pub(super) fn append_records(&mut self, records: &[u8]) {
        if records.len() > self.max {
            return; // off, or so small that nothing fits
        }
        if self.bytes.capacity() < self.max {
            self.bytes.reserve_exact(self.max - self.bytes.len());
        }
        while self.bytes.len() + records.len() > self.max {
            let length = [self.bytes.get(Record::HEAD - 2), self.bytes.get(Record::HEAD - 1)];
            let [Some(&low), Some(&high)] = length else { break };
            let oldest = Record::HEAD + usize::from(u16::from_le_bytes([low, high]));
            self.bytes.drain(..oldest.min(self.bytes.len()));
        }
        self.bytes.extend(records);
    }

    /// All records, the oldest first.
    pub(super) fn each(&mut self, mut each: impl FnMut(&Record<'_>)) {
        let mut rest: &[u8] = self.bytes.make_contiguous();
        while let Some((record, after)) = Record::read(rest) {
            each(&record);
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Way};
    use super::*;
    use crate::vocabulary::TrackId;

    #[test]
    fn the_oldest_records_make_room_and_the_memory_stays_the_same() {
        let mut ring = Ring::new(1000);
        let bytes = [7; 200];
        for at in 0..1000 {
            let length = 10 + (at * 7 % 190) as usize;
            let (kind, way, track) = (Kind::Rtp, Way::Received, TrackId(3));
            ring.append(&Record { at, kind, way, track, length: 1400, bytes: &bytes[..length] });
        }
        assert_eq!(ring.bytes.capacity(), 1000);
        let mut found = Vec::new();
        ring.each(|record| {
            assert_eq!((record.track, record.length, record.bytes[0]), (TrackId(3), 1400, 7));
            found.push(record.at);
        });
        assert!(found.len() >= 5 && found.last() == Some(&999), "{found:?}");
        assert!(found.windows(2).all(|two| two[0] + 1 == two[1]), "{found:?}");
    }
}
