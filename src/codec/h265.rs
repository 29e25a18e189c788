//! H.265 in RTP (RFC 7798): single NAL units, aggregation packets and fragmentation units, with or without the
//! decoding order numbers that `sprop-max-don-diff` announces.
//!
//! Parameter sets that are fragmented, or have a decoding order number in their midst, are recognised but not learned.

use super::fmtp::parameter;
use super::gate::{Gate, Opener, Picture};
use super::nal::{has_recovery_point, split_annex_b, without_start_code};
use super::seen::Seen;
use super::{Codec, ParameterSets, Worth};

/// The watch over one track.
#[derive(Debug)]
pub(super) struct Watch {
    gate: Gate,
    sets: ParameterSets,
    changed: bool,
    /// Decoding order numbers (DONL, DOND) stand in the payloads.
    numbered: bool,
    /// The highest temporal layer so far: no picture of it is referred to by a higher one.
    top_layer: u8,
    /// The last packet had a sequence's parameter sets in front.
    opens: bool,
}

impl Watch {
    pub(super) fn new(sets: ParameterSets, fmtp: &str) -> Self {
        let don_diff = parameter(fmtp, "sprop-max-don-diff").and_then(|value| value.parse::<u32>().ok());
        let numbered = don_diff.is_some_and(|diff| diff > 0);
        Self { gate: Gate::default(), sets, changed: false, numbered, top_layer: 0, opens: false }
    }

    pub(super) fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    /// Also where payloads have decoding order numbers, which nobody can give to a packet put in between.
    pub(super) fn opens(&self) -> bool {
        self.opens || self.numbered
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether the packet is the first of an access point, and what others lose without it.
    pub(super) fn inspect(&mut self, payload: &[u8], timestamp: u32) -> (bool, Worth) {
        let payload = without_start_code(payload);
        let mut seen = Seen::default();
        if let [first, second, body @ ..] = payload {
            match nal_type(*first) {
                AP => self.aggregated(body, &mut seen),
                FU => self.fragment(*second, body, &mut seen),
                0..AP if self.numbered => {
                    self.begin(nal_type(*first), *second, body.get(2..).unwrap_or_default(), &mut seen);
                }
                0..AP => self.whole(payload, &mut seen),
                _ => {}
            }
        }
        self.opens = seen.contents.opener == Some(Opener::Sequence);
        (self.gate.pass(&seen.contents, timestamp), seen.worth())
    }

    /// Units with a 16-bit length; with numbers, two bytes in front of the first length and one in front of the others.
    fn aggregated(&mut self, units: &[u8], seen: &mut Seen) {
        let mut number = if self.numbered { 2 } else { 0 };
        let mut units = units;
        while let Some((length, rest)) = units.get(number..).and_then(<[u8]>::split_first_chunk) {
            let Some((nal, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
                return;
            };
            self.whole(nal, seen);
            units = rest;
            number = usize::from(self.numbered);
        }
    }

    /// A NAL unit, or several with Annex B start codes between them.
    fn whole(&mut self, nal: &[u8], seen: &mut Seen) {
        let [first, second, rbsp @ ..] = nal else { return };
        if !matches!(nal_type(*first), VPS | SPS | PPS) {
            self.begin(nal_type(*first), *second, rbsp, seen);
            return;
        }
        for nal in split_annex_b(nal) {
            if let [first, second, rbsp @ ..] = nal {
                self.begin(nal_type(*first), *second, rbsp, seen);
                self.changed |= self.sets.learn(Codec::H265, nal);
            }
        }
    }

    /// A fragment: a third header byte with start bit and type.
    fn fragment(&mut self, second: u8, body: &[u8], seen: &mut Seen) {
        const START: u8 = 0x80;
        let Some((fu, body)) = body.split_first() else { return };
        let kind = fu & 0x3f;
        if fu & START != 0 {
            let number = if self.numbered { 2 } else { 0 };
            self.begin(kind, second, body.get(number..).unwrap_or_default(), seen);
        } else if is_picture(kind) {
            let continued = if is_key(kind) { Picture::KeyContinued } else { Picture::Inter };
            self.add_picture(kind, second, continued, seen);
        }
    }

    /// A NAL unit of type `kind` begins here; `second` is the other header byte, `rbsp` what the packet has of the rest.
    fn begin(&mut self, kind: u8, second: u8, rbsp: &[u8], seen: &mut Seen) {
        match kind {
            VPS | SPS => {
                seen.contents.opener.get_or_insert(Opener::Sequence);
                seen.other = true;
            }
            PPS => {
                seen.contents.opener.get_or_insert(Opener::Picture);
                seen.other = true;
            }
            PREFIX_SEI => {
                seen.contents.recovery_point |= has_recovery_point(rbsp);
                seen.supplement = true;
            }
            AUD | FILLER | SUFFIX_SEI => seen.supplement = true,
            _ if is_key(kind) => self.add_picture(kind, second, Picture::Key, seen),
            _ if is_picture(kind) => self.add_picture(kind, second, Picture::Inter, seen),
            _ => seen.other = true,
        }
    }

    fn add_picture(&mut self, kind: u8, second: u8, picture: Picture, seen: &mut Seen) {
        // Even types below 16 are not referred to by pictures of their own temporal layer (section 7.4.2.2), so a
        // picture of the top layer is not referred to at all.
        let layer = (second & 7).saturating_sub(1);
        self.top_layer = self.top_layer.max(layer);
        seen.referenced |= kind >= 16 || kind % 2 == 1 || layer < self.top_layer;
        seen.contents.add_picture(picture);
    }
}

fn nal_type(first: u8) -> u8 {
    first >> 1 & 0x3f
}

fn is_picture(kind: u8) -> bool {
    kind < 32
}

/// Intra random access point pictures: BLA, IDR, CRA and the two reserved types.
fn is_key(kind: u8) -> bool {
    (16..=23).contains(&kind)
}

const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const AUD: u8 = 35;
const FILLER: u8 = 38;
const PREFIX_SEI: u8 = 39;
const SUFFIX_SEI: u8 = 40;
const AP: u8 = 48;
const FU: u8 = 49;

#[cfg(test)]
mod tests {
    use super::*;

    const VPS_NAL: &[u8] = &[0x40, 1, 0x0c, 1];
    const SPS_NAL: &[u8] = &[0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0xb0, 0, 0, 3, 0, 0, 3, 0, 0x5a, 0xa0, 5];
    const PPS_NAL: &[u8] = &[0x44, 1, 0xc0, 0xf2];
    const IDR_NAL: &[u8] = &[0x26, 1, 0xaf];
    const CRA_NAL: &[u8] = &[0x2a, 1, 0xaf];
    const P_NAL: &[u8] = &[0x02, 1, 0xd0];

    fn watch() -> Watch {
        Watch::new(ParameterSets::default(), "")
    }

    fn numbered() -> Watch {
        Watch::new(ParameterSets::default(), "sprop-max-don-diff=1")
    }

    fn keys<'a>(watch: &mut Watch, packets: impl IntoIterator<Item = (&'a [u8], u32)>) -> Vec<bool> {
        packets.into_iter().map(|(payload, timestamp)| watch.inspect(payload, timestamp).0).collect()
    }

    #[test]
    fn the_vps_is_the_key_of_its_picture() {
        let mut watch = watch();
        let packets =
            [(VPS_NAL, 1), (SPS_NAL, 1), (PPS_NAL, 1), (IDR_NAL, 1), (P_NAL, 2), (IDR_NAL, 3), (CRA_NAL, 4)];
        assert_eq!(keys(&mut watch, packets), [true, false, false, false, false, true, true]);
        assert!(watch.take_changed());
        assert_eq!(watch.parameter_sets().iter().collect::<Vec<_>>(), [VPS_NAL, SPS_NAL, PPS_NAL]);
    }

    #[test]
    fn of_a_fragmented_picture_only_the_first_fragment_is_a_key() {
        let (start, middle): (&[u8], &[u8]) = (&[0x62, 1, 0x93, 0xaf], &[0x62, 1, 0x13, 1]);
        assert_eq!(keys(&mut watch(), [(start, 1), (middle, 1), (start, 1)]), [true, false, false]);
        assert_eq!(keys(&mut watch(), [(middle, 1), (start, 1), (start, 2)]), [false, false, true]);
        assert_eq!(keys(&mut numbered(), [(start, 1), (middle, 1)]), [true, false]);
    }

    #[test]
    fn aggregation_packets_are_opened_with_and_without_order_numbers() {
        let nals = [VPS_NAL, SPS_NAL, PPS_NAL, IDR_NAL];
        for (mut watch, numbers) in [(watch(), [0, 0]), (numbered(), [2, 1])] {
            let mut packet = vec![0x60, 1];
            for (index, nal) in nals.iter().enumerate() {
                packet.extend(vec![0; numbers[index.min(1)]]);
                packet.extend([0, u8::try_from(nal.len()).unwrap()]);
                packet.extend(*nal);
            }
            assert_eq!(keys(&mut watch, [(packet.as_slice(), 1), (P_NAL, 2)]), [true, false]);
            assert!(watch.parameter_sets().is_complete(Codec::H265));
        }
    }

    #[test]
    fn pictures_without_reference_are_droppable_in_the_top_temporal_layer_only() {
        let mut watch = watch();
        let (low, high): (&[u8], &[u8]) = (&[0x00, 1, 0], &[0x00, 2, 0]);
        let (sei, aud): (&[u8], &[u8]) = (&[0x4e, 1, 0x80], &[0x46, 1, 0x50]);
        assert_eq!(watch.inspect(low, 1).1, Worth::Droppable);
        assert_eq!(watch.inspect(high, 2).1, Worth::Droppable);
        assert_eq!(watch.inspect(low, 3).1, Worth::Needed, "the higher layer may refer to it");
        for payload in [P_NAL, IDR_NAL, VPS_NAL, &[0x62, 1, 0x13, 1]] {
            assert_eq!(watch.inspect(payload, 4).1, Worth::Needed);
        }
        assert_eq!(watch.inspect(&[0x62, 2, 0x80], 5).1, Worth::Droppable, "a fragment");
        let aggregate = |nals: &[&[u8]]| {
            let units = nals.iter().flat_map(|nal| [&[0, nal.len() as u8], *nal].concat());
            [0x60, 1].into_iter().chain(units).collect::<Vec<u8>>()
        };
        assert_eq!(watch.inspect(&aggregate(&[sei, high]), 6).1, Worth::Droppable);
        assert_eq!(watch.inspect(&aggregate(&[PPS_NAL, high]), 7).1, Worth::Needed);
        assert_eq!(watch.inspect(&aggregate(&[aud, sei]), 8).1, Worth::Supplement);
    }
}
