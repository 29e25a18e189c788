//! H.264 in RTP (RFC 6184): single NAL units, STAP-A/B, MTAP16/24 and FU-A/B.
//!
//! Parameter sets that are themselves fragmented are not learned (they fit a packet), only recognised.

use super::bits::Bits;
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
    /// The last packet had a sequence's parameter sets in front.
    opens: bool,
}

impl Watch {
    pub(super) fn new(sets: ParameterSets) -> Self {
        Self { gate: Gate::default(), sets, changed: false, opens: false }
    }

    pub(super) fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    pub(super) fn opens(&self) -> bool {
        self.opens
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether the packet is the first of an access point, and what others lose without it.
    pub(super) fn inspect(&mut self, payload: &[u8], timestamp: u32) -> (bool, Worth) {
        let payload = without_start_code(payload);
        let mut seen = Seen::default();
        if let Some(header) = payload.first() {
            seen.referenced = header & NRI != 0;
            match header & TYPE {
                1..=23 => self.whole(payload, &mut seen),
                STAP_A => self.aggregated(payload.get(1..), 0, &mut seen),
                STAP_B => self.aggregated(payload.get(3..), 0, &mut seen),
                MTAP16 => self.aggregated(payload.get(3..), 3, &mut seen),
                MTAP24 => self.aggregated(payload.get(3..), 4, &mut seen),
                FU_A => self.fragment(payload, 2, &mut seen),
                FU_B => self.fragment(payload, 4, &mut seen),
                _ => {}
            }
        }
        self.opens = seen.contents.opener == Some(Opener::Sequence);
        (self.gate.pass(&seen.contents, timestamp), seen.worth())
    }

    /// Units with a 16-bit length, `skip` bytes between it and the NAL unit. A length that exceeds the packet ends them.
    fn aggregated(&mut self, units: Option<&[u8]>, skip: usize, seen: &mut Seen) {
        let mut units = units.unwrap_or_default();
        while let Some((length, rest)) = units.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((nal, rest)) = rest.get(skip..).and_then(|rest| rest.split_at_checked(length)) else {
                return;
            };
            if !nal.is_empty() {
                self.whole(nal, seen);
            }
            units = rest;
        }
    }

    /// A NAL unit, or several with Annex B start codes between them, which some cameras put behind an SPS.
    fn whole(&mut self, nal: &[u8], seen: &mut Seen) {
        match nal[0] & TYPE {
            SPS | PPS => {
                for nal in split_annex_b(nal) {
                    self.begin(nal[0], &nal[1..], seen);
                    self.changed |= self.sets.learn(Codec::H264, nal);
                }
            }
            _ => self.begin(nal[0], &nal[1..], seen),
        }
    }

    /// A fragment: the header's type is split between the indicator and the FU header, `body` is where its bytes begin.
    fn fragment(&self, payload: &[u8], body: usize, seen: &mut Seen) {
        const START: u8 = 0x80;
        let [indicator, fu, ..] = payload else { return };
        if fu & START != 0 {
            self.begin(indicator & !TYPE | fu & TYPE, payload.get(body..).unwrap_or_default(), seen);
            return;
        }
        match fu & TYPE {
            1..=4 => seen.contents.add_picture(Picture::Inter),
            IDR => seen.contents.add_picture(Picture::KeyContinued),
            _ => {}
        }
    }

    /// A NAL unit begins here; `rbsp` is as much of it as the packet has, behind the header.
    fn begin(&self, header: u8, rbsp: &[u8], seen: &mut Seen) {
        seen.referenced |= header & NRI != 0;
        let contents = &mut seen.contents;
        match header & TYPE {
            // Only a picture that parameter sets announced is looked at any closer.
            1 if (self.gate.is_pending() || contents.opener.is_some()) && is_intra(rbsp) => {
                contents.add_picture(Picture::Intra);
            }
            1..=4 => contents.add_picture(Picture::Inter),
            IDR => contents.add_picture(Picture::Key),
            SEI => {
                contents.recovery_point |= has_recovery_point(rbsp);
                seen.supplement = true;
            }
            AUD | FILLER => seen.supplement = true,
            SPS => {
                contents.opener.get_or_insert(Opener::Sequence);
                seen.other = true;
            }
            PPS => {
                contents.opener.get_or_insert(Opener::Picture);
                seen.other = true;
            }
            _ => seen.other = true,
        }
    }
}

/// Whether a slice is of type I or SI (table 7-6).
fn is_intra(slice: &[u8]) -> bool {
    let mut bits = Bits::new(slice);
    let _first_macroblock = bits.ue();
    matches!(bits.ue(), Some(2 | 4 | 7 | 9))
}

const NRI: u8 = 0x60;
const TYPE: u8 = 0x1f;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const AUD: u8 = 9;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const MTAP16: u8 = 26;
const MTAP24: u8 = 27;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

#[cfg(test)]
mod tests {
    use super::*;

    const SPS_NAL: &[u8] = &[0x67, 0x42, 0, 0x1e, 0xf4, 2];
    const PPS_NAL: &[u8] = &[0x68, 0xce, 0x38, 0x80];
    const SEI_NAL: &[u8] = &[0x06, 5, 1, 0, 0x80];
    const AUD_NAL: &[u8] = &[0x09, 0x10];
    const IDR_NAL: &[u8] = &[0x65, 0x88, 0x84];
    const P_NAL: &[u8] = &[0x41, 0x9a, 0x02];

    fn watch() -> Watch {
        Watch::new(ParameterSets::default())
    }

    fn keys<'a>(watch: &mut Watch, packets: impl IntoIterator<Item = (&'a [u8], u32)>) -> Vec<bool> {
        packets.into_iter().map(|(payload, timestamp)| watch.inspect(payload, timestamp).0).collect()
    }

    /// An aggregation packet; `skip` zero bytes behind each length.
    fn aggregate(header: &[u8], skip: usize, nals: &[&[u8]]) -> Vec<u8> {
        let mut packet = header.to_vec();
        for nal in nals {
            packet.extend(u16::try_from(nal.len()).unwrap().to_be_bytes());
            packet.extend(vec![0; skip]);
            packet.extend(*nal);
        }
        packet
    }

    #[test]
    fn of_sps_pps_and_idr_in_three_packets_the_sps_is_the_key() {
        let mut watch = watch();
        let picture = [(AUD_NAL, 1), (SPS_NAL, 1), (PPS_NAL, 1), (SEI_NAL, 1), (IDR_NAL, 1), (IDR_NAL, 1)];
        assert_eq!(keys(&mut watch, picture), [false, true, false, false, false, false]);
        assert_eq!(keys(&mut watch, [(P_NAL, 2), (P_NAL, 3)]), [false, false]);
        assert_eq!(keys(&mut watch, [(SPS_NAL, 4), (PPS_NAL, 5), (IDR_NAL, 6)]), [true, false, false]);
        assert!(watch.take_changed());
        assert!(!watch.take_changed());
        assert!(watch.parameter_sets().is_complete(Codec::H264));
    }

    #[test]
    fn an_idr_without_parameter_sets_is_a_key_once() {
        let packets = [(SEI_NAL, 1), (IDR_NAL, 1), (IDR_NAL, 1), (P_NAL, 2), (IDR_NAL, 3)];
        assert_eq!(keys(&mut watch(), packets), [false, true, false, false, true]);
    }

    #[test]
    fn of_a_fragmented_idr_only_the_first_fragment_is_a_key() {
        let (start, middle, end): (&[u8], &[u8], &[u8]) =
            (&[0x7c, 0x85, 0x88], &[0x7c, 0x05, 1], &[0x7c, 0x45, 1]);
        let packets = [(start, 1), (middle, 1), (end, 1), (start, 1), (end, 1), (middle, 2), (start, 3)];
        assert_eq!(keys(&mut watch(), packets), [true, false, false, false, false, false, true]);
        let fu_b: &[u8] = &[0x7d, 0x85, 0, 7, 0x88];
        assert_eq!(keys(&mut watch(), [(fu_b, 1), (middle, 1)]), [true, false]);
    }

    #[test]
    fn every_aggregation_form_is_opened() {
        let nals = [SPS_NAL, PPS_NAL, IDR_NAL];
        for packet in [
            aggregate(&[0x78], 0, &nals),
            aggregate(&[0x79, 0, 1], 0, &nals),
            aggregate(&[0x7a, 0, 1], 3, &nals),
            aggregate(&[0x7b, 0, 1], 4, &nals),
        ] {
            let mut watch = watch();
            assert_eq!(keys(&mut watch, [(packet.as_slice(), 1), (IDR_NAL, 1)]), [true, false]);
            assert_eq!(watch.parameter_sets().iter().collect::<Vec<_>>(), [SPS_NAL, PPS_NAL]);
        }
        let idr = aggregate(&[0x78], 0, &[SEI_NAL, IDR_NAL]);
        assert!(watch().inspect(&idr, 1).0);
        let inter = aggregate(&[0x78], 0, &[SEI_NAL, P_NAL]);
        assert!(!watch().inspect(&inter, 1).0);
        assert!(!watch().inspect(&[0x78, 0, 9, 0x65], 1).0, "the length exceeds the packet");
    }

    #[test]
    fn several_nal_units_with_start_codes_in_one_packet_are_found() {
        let packet = [&[0, 0, 0, 1], SPS_NAL, &[0, 0, 1], PPS_NAL, &[0, 0, 0, 1], IDR_NAL].concat();
        let mut watch = watch();
        assert_eq!(keys(&mut watch, [(packet.as_slice(), 1), (IDR_NAL, 1)]), [true, false]);
        assert_eq!(watch.parameter_sets().iter().collect::<Vec<_>>(), [SPS_NAL, PPS_NAL]);
    }

    #[test]
    fn pictures_without_reference_are_droppable_and_messages_go_with_them() {
        let mut watch = watch();
        let (b_slice, b_fragment, b_continued): (&[u8], &[u8], &[u8]) =
            (&[0x01, 0x9e], &[0x1c, 0x81], &[0x1c, 0x01]);
        for (payload, worth) in [
            (P_NAL, Worth::Needed),
            (IDR_NAL, Worth::Needed),
            (PPS_NAL, Worth::Needed),
            (&[0x08, 0xce, 0x38, 0x80], Worth::Needed),
            (b_slice, Worth::Droppable),
            (b_fragment, Worth::Droppable),
            (b_continued, Worth::Droppable),
            (SEI_NAL, Worth::Supplement),
            (AUD_NAL, Worth::Supplement),
            (&aggregate(&[0x18], 0, &[AUD_NAL, SEI_NAL]), Worth::Supplement),
            (&aggregate(&[0x18], 0, &[SEI_NAL, b_slice]), Worth::Droppable),
            (&aggregate(&[0x78], 0, &[P_NAL, b_slice]), Worth::Needed),
            (&aggregate(&[0x18], 0, &[P_NAL, b_slice]), Worth::Needed),
            (&[], Worth::Needed),
        ] {
            assert_eq!(watch.inspect(payload, 1).1, worth, "{payload:02x?}");
        }
    }

    #[test]
    fn a_pps_in_front_of_every_picture_does_not_make_each_a_key() {
        let mut watch = watch();
        assert_eq!(keys(&mut watch, [(SPS_NAL, 0), (PPS_NAL, 0), (IDR_NAL, 0)]), [true, false, false]);
        let wrong = (1..30)
            .filter(|timestamp| watch.inspect(PPS_NAL, *timestamp).0 | watch.inspect(P_NAL, *timestamp).0);
        assert_eq!(wrong.count(), 2);
        assert_eq!(keys(&mut watch, [(SPS_NAL, 30), (PPS_NAL, 30), (IDR_NAL, 30)]), [true, false, false]);
    }

    #[test]
    fn intra_pictures_that_are_not_idr_are_starts_with_their_sps() {
        // One slice in each form: whole, in an FU-A, in an FU-B behind its decoding order number.
        let forms: [&[u8]; 3] =
            [&[0x61, 0x88, 0x84], &[0x7c, 0x81, 0x88, 0x84], &[0x7d, 0x81, 0, 7, 0x88, 0x84]];
        for i_slice in forms {
            let mut watch = watch();
            assert_eq!(keys(&mut watch, [(SPS_NAL, 0), (IDR_NAL, 0)]), [true, false]);
            for timestamp in 1..20 {
                let packets = [(SPS_NAL, timestamp), (PPS_NAL, timestamp), (i_slice, timestamp)];
                assert_eq!(keys(&mut watch, packets), [true, false, false], "{i_slice:02x?}");
            }
        }
    }
}
