//! From RTP payloads back to JPEG images.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::image::{EOI, Sampling};
use super::payload::Fragment;
use super::{rebuild, tables};

/// Puts the payloads of one RTP stream together into JPEG images.
///
/// Takes what cameras send beyond what [`Frame::packetize`](super::Frame::packetize) makes: computed tables (`Q` 1 to
/// 99), tables sent once (`Q` 128 to 254), tables with 16-bit entries, a single table for luma and chroma. Payloads have to
/// come in order; a frame with a gap is given up as a whole, because half a JPEG shows garbage.
#[derive(Debug)]
pub struct Assembler {
    dimensions: Option<(u16, u16)>,
    image: Option<Image>,
    /// The timestamp of a frame that was given up and may still send fragments.
    given_up: Option<u32>,
    /// DQT segments by `Q` 128 to 254, so at most 127 of at most 260 bytes.
    remembered: BTreeMap<u8, Vec<u8>>,
    lost_frames: u64,
}

/// Why a payload was of no use. The frame it belongs to is given up, later ones are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// The payload ends within its headers.
    #[error("JPEG payload shorter than its headers")]
    Short,
    /// A type other than 4:2:2 and 4:2:0 with or without restart markers.
    #[error("JPEG type {0} is not one of RFC 2435")]
    Type(u8),
    /// A `Q` without meaning, or one whose tables were never sent.
    #[error("no quantization tables for Q {0}")]
    Tables(u8),
    /// Neither the payload nor the session description says how large the picture is.
    #[error("the size of the picture is unknown")]
    Dimensions,
    /// A fragment of the frame is missing or out of order.
    #[error("a fragment of the frame is missing")]
    Gap,
    /// The frame exceeds [`Assembler::MAX_IMAGE`].
    #[error("frame larger than {max} bytes", max = Assembler::MAX_IMAGE)]
    TooLarge,
}

/// An image whose fragments are coming in.
#[derive(Debug)]
struct Image {
    timestamp: u32,
    /// The file so far: its headers, then picture data.
    jpeg: Vec<u8>,
    /// Where the picture data begins.
    scan: usize,
}

impl Assembler {
    /// The largest image put together, in bytes.
    pub const MAX_IMAGE: usize = 4 << 20;

    /// For one RTP stream. `dimensions` (width and height in pixels, from the SDP's `x-dimensions`) is for cameras
    /// whose pictures are larger than 2040 pixels: they announce 0 in the payload.
    pub fn new(dimensions: Option<(u16, u16)>) -> Self {
        Self { dimensions, image: None, given_up: None, remembered: BTreeMap::new(), lost_frames: 0 }
    }

    /// Takes in the payload of the RTP packet with this `timestamp` and `marker` bit; returns the image that it
    /// completes, a JPEG file. Of an interlaced picture each field is an image.
    ///
    /// # Errors
    ///
    /// Once for a frame that cannot be put together; its further fragments are ignored.
    pub fn push(
        &mut self,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Result<Option<Bytes>, FragmentError> {
        let Some(fragment) = Fragment::parse(payload) else {
            return self.give_up(timestamp, FragmentError::Short);
        };
        if fragment.offset == 0 {
            self.given_up = None;
            if self.image.take().is_some() {
                self.lost_frames += 1; // its end never came
            }
            match self.headers(&fragment) {
                Ok(jpeg) => self.image = Some(Image { timestamp, scan: jpeg.len(), jpeg }),
                Err(error) => return self.give_up(timestamp, error),
            }
        }
        let image = match &mut self.image {
            Some(image)
                if image.timestamp == timestamp && image.scan + fragment.offset == image.jpeg.len() =>
            {
                image
            }
            _ => return self.give_up(timestamp, FragmentError::Gap),
        };
        if image.jpeg.len() + fragment.data.len() + END.len() > Self::MAX_IMAGE {
            return self.give_up(timestamp, FragmentError::TooLarge);
        }
        image.jpeg.extend_from_slice(fragment.data);
        if !marker {
            return Ok(None);
        }
        Ok(self.image.take().map(|Image { mut jpeg, .. }| {
            if !jpeg.ends_with(&END) {
                jpeg.extend_from_slice(&END);
            }
            Bytes::from(jpeg)
        }))
    }

    /// How many frames were given up: gaps, frames without an end, payloads that make no sense. Frames of which
    /// nothing arrived are not among them.
    pub fn lost_frames(&self) -> u64 {
        self.lost_frames
    }

    /// Drops the frame at hand, if any, and the one with this `timestamp`; counts and reports each once.
    fn give_up(&mut self, timestamp: u32, error: FragmentError) -> Result<Option<Bytes>, FragmentError> {
        let unfinished = self.image.take().map(|image| image.timestamp);
        if unfinished.is_some_and(|of| of != timestamp) {
            self.lost_frames += 1;
        }
        if self.given_up == Some(timestamp) {
            return Ok(None);
        }
        self.given_up = Some(timestamp);
        self.lost_frames += 1;
        Err(error)
    }

    /// The JPEG file up to its picture data, for the frame that `fragment` begins.
    fn headers(&mut self, fragment: &Fragment<'_>) -> Result<Vec<u8>, FragmentError> {
        let sampling = match fragment.type_ {
            0 => Sampling::Yuv422,
            1 => Sampling::Yuv420,
            other => return Err(FragmentError::Type(other)),
        };
        let dimensions = match (fragment.width, fragment.height) {
            (0, _) | (_, 0) => self.dimensions.ok_or(FragmentError::Dimensions)?,
            sent => sent,
        };
        let quantization = self.quantization(fragment)?;
        Ok(rebuild::headers(dimensions, sampling, fragment.restart_interval, &quantization))
    }

    /// The content of the DQT segment for the frame that `fragment` begins.
    fn quantization(&mut self, fragment: &Fragment<'_>) -> Result<Vec<u8>, FragmentError> {
        let q = fragment.q;
        let missing = FragmentError::Tables(q);
        let Some(sent) = fragment.tables else {
            return match q {
                1..=99 => rebuild::quantization(0, &tables::quantization_for(q)).ok_or(missing),
                _ => Err(missing),
            };
        };
        if sent.bytes.is_empty() {
            return self.remembered.get(&q).cloned().ok_or(missing);
        }
        let content = rebuild::quantization(sent.precision, sent.bytes).ok_or(missing)?;
        if !fragment.tables_of_this_frame_only() {
            self.remembered.insert(q, content.clone());
        }
        Ok(content)
    }
}

/// The end-of-image marker.
const END: [u8; 2] = [0xff, EOI];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Frame;
    use super::super::image::{DQT, SOF0, SOI, SOS};
    use super::super::sample::Sample;
    use super::*;

    const TIMESTAMP: u32 = 90_000;

    fn payloads(frame: &Frame, max_payload: usize) -> Vec<(bool, Vec<u8>)> {
        let mut payloads = Vec::new();
        frame.packetize(max_payload, |headers, data, marker| {
            payloads.push((marker, [headers, data].concat()))
        });
        payloads
    }

    fn push_all(assembler: &mut Assembler, timestamp: u32, payloads: &[(bool, Vec<u8>)]) -> Option<Bytes> {
        let results = payloads.iter().map(|(marker, payload)| assembler.push(timestamp, *marker, payload));
        results.filter_map(Result::unwrap).last()
    }

    /// The only payload of a frame of 8x8 pixels with these type and `q`, and with `after` behind the main header.
    fn lone(type_: u8, q: u8, after: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, type_, q, 1, 1], after].concat()
    }

    /// The content of the segments with this marker.
    fn segments(jpeg: &[u8], wanted: u8) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut at = 2;
        while jpeg[at + 1] != SOS {
            let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] == wanted {
                found.push(jpeg[at + 4..at + 2 + length].to_vec());
            }
            at += 2 + length;
        }
        found
    }

    #[test]
    fn a_frame_survives_the_way_over_rtp() {
        let sample = Sample { size: (1366, 767), restart_interval: Some(4), ..Sample::default() };
        let frame = Frame::parse(sample.data()).unwrap();
        let jpeg = push_all(&mut Assembler::new(None), TIMESTAMP, &payloads(&frame, 300)).unwrap();
        let expected = Sample { size: (1368, 768), ..sample };
        assert_eq!(jpeg, expected.data());
    }

    #[test]
    fn the_demo_clip_survives_the_way_over_rtp() {
        let mut assembler = Assembler::new(None);
        for (timestamp, frame) in (0..).zip(super::super::Clip::demo().frames().iter().step_by(40)) {
            let jpeg = push_all(&mut assembler, timestamp, &payloads(frame, 1400)).unwrap();
            let received = Frame::parse(jpeg.clone()).unwrap();
            assert_eq!((received.width(), received.height()), (frame.width(), frame.height()));
            assert_eq!(payloads(&received, 1400), payloads(frame, 1400));
        }
        assert_eq!(assembler.lost_frames(), 0);
    }

    #[test]
    fn a_lost_fragment_costs_its_frame_and_no_other() {
        let frame = Frame::parse(Sample::default().data()).unwrap();
        let whole = payloads(&frame, 300);
        for lost in 0..whole.len() {
            let mut assembler = Assembler::new(None);
            let mut rest = whole.clone();
            rest.remove(lost);
            let results: Vec<_> =
                rest.iter().map(|(marker, payload)| assembler.push(1, *marker, payload)).collect();
            let errors = results.iter().filter(|result| **result == Err(FragmentError::Gap)).count();
            assert_eq!(errors, usize::from(lost < whole.len() - 1), "without fragment {lost}");
            assert!(!results.iter().any(|result| matches!(result, Ok(Some(_)))));
            assert!(push_all(&mut assembler, 2, &whole).is_some());
            assert_eq!(assembler.lost_frames(), 1);
        }
    }

    #[test]
    fn fragments_of_two_frames_are_not_mixed() {
        let whole = payloads(&Frame::parse(Sample::default().data()).unwrap(), 300);
        let mut assembler = Assembler::new(None);
        assert_eq!(push_all(&mut assembler, 1, &whole[..2]), None);
        assert_eq!(assembler.push(2, whole[2].0, &whole[2].1), Err(FragmentError::Gap));
        assert_eq!(assembler.lost_frames(), 2);
    }

    #[test]
    fn an_end_of_image_marker_that_was_sent_is_not_doubled() {
        let with_end = lone(1, 50, &[1, 2, 3, 0xff, EOI]);
        let jpeg = Assembler::new(None).push(0, true, &with_end).unwrap().unwrap();
        assert!(jpeg.ends_with(&[1, 2, 3, 0xff, EOI]));
    }

    #[test]
    fn computed_tables_follow_from_q() {
        let jpeg = Assembler::new(None).push(0, true, &lone(0, 50, &[1])).unwrap().unwrap();
        let expected = tables::quantization_for(50);
        let content = [&[0], &expected[..64], &[1], &expected[64..]].concat();
        assert_eq!(segments(&jpeg, DQT), [content]);
        assert_eq!(Assembler::new(None).push(0, true, &lone(0, 100, &[1])), Err(FragmentError::Tables(100)));
    }

    #[test]
    fn tables_are_remembered_for_q_128_to_254_only() {
        let sent = [&[0, 0, 0, 128][..], &[7; 128], &[1]].concat();
        for (q, expected) in [(128, true), (254, true), (255, false)] {
            let mut assembler = Assembler::new(None);
            assert!(assembler.push(1, true, &lone(1, q, &sent)).unwrap().is_some());
            let again = assembler.push(2, true, &lone(1, q, &[0, 0, 0, 0, 1]));
            assert_eq!(again.is_ok(), expected, "Q {q}");
            assert_eq!(assembler.push(3, true, &lone(1, 200, &[0; 5])), Err(FragmentError::Tables(200)));
        }
    }

    #[test]
    fn one_table_counts_for_luma_and_chroma_and_wide_tables_keep_their_width() {
        let one = [&[0, 0, 0, 64][..], &[7; 64], &[1]].concat();
        let jpeg = Assembler::new(None).push(0, true, &lone(1, 255, &one)).unwrap().unwrap();
        assert_eq!(segments(&jpeg, DQT), [[&[0][..], &[7; 64], &[1], &[7; 64]].concat()]);
        let wide = [&[0, 0b10, 0, 192][..], &[7; 64], &[8; 128], &[1]].concat();
        let jpeg = Assembler::new(None).push(0, true, &lone(1, 255, &wide)).unwrap().unwrap();
        assert_eq!(segments(&jpeg, DQT), [[&[0][..], &[7; 64], &[0x11], &[8; 128]].concat()]);
    }

    #[test]
    fn a_picture_too_large_for_the_header_takes_its_size_from_the_session() {
        let mut payload = lone(1, 50, &[1]);
        payload[6] = 0;
        assert_eq!(Assembler::new(None).push(0, true, &payload), Err(FragmentError::Dimensions));
        let jpeg = Assembler::new(Some((2592, 1944))).push(0, true, &payload).unwrap().unwrap();
        assert_eq!(segments(&jpeg, SOF0)[0][1..5], [0x07, 0x98, 0x0a, 0x20]);
    }

    #[test]
    fn unknown_types_and_short_payloads_are_refused() {
        let mut assembler = Assembler::new(None);
        for type_ in [2, 63, 66, 128, 255] {
            let result = assembler.push(u32::from(type_), true, &lone(type_, 50, &[0; 200]));
            assert!(matches!(result, Err(FragmentError::Type(_))), "type {type_}: {result:?}");
        }
        let whole = [&lone(65, 255, &[0, 4, 0xff, 0xff, 0, 0, 0, 64])[..], &[7; 64]].concat();
        for length in 0..whole.len() {
            let result = assembler.push(length as u32, true, &whole[..length]);
            assert_eq!(result, Err(FragmentError::Short), "{length} bytes");
        }
    }

    #[test]
    fn a_frame_without_end_does_not_grow_without_bound() {
        let mut assembler = Assembler::new(None);
        let mut payload = lone(1, 50, &[0; 60_000]);
        let mut offset = 0_u32;
        let error = loop {
            payload[1..4].copy_from_slice(&offset.to_be_bytes()[1..]);
            if let Err(error) = assembler.push(0, false, &payload) {
                break error;
            }
            offset += 60_000;
            assert!(offset < 5 << 20);
        };
        assert_eq!(error, FragmentError::TooLarge);
    }

    proptest! {
        #[test]
        fn whatever_is_lost_only_whole_frames_come_out(
            scan in proptest::collection::vec(0_u8..0xff, 1..3000),
            max_payload in 0_usize..600,
            kept in proptest::collection::vec(any::<bool>(), 60),
        ) {
            let frame = Frame::parse(Sample::with_scan(&scan).data()).unwrap();
            let whole = payloads(&frame, max_payload);
            let mut assembler = Assembler::new(None);
            for (timestamp, kept) in (0_u32..).zip(kept.chunks(whole.len())) {
                let arrived = whole.iter().zip(kept).filter(|(_, kept)| **kept);
                let mut complete = 0;
                for ((marker, payload), _) in arrived {
                    if let Ok(Some(jpeg)) = assembler.push(timestamp, *marker, payload) {
                        prop_assert_eq!(&jpeg, frame.data());
                        complete += 1;
                    }
                }
                let all = kept.len() == whole.len() && kept.iter().all(|kept| *kept);
                prop_assert_eq!(complete, u32::from(all));
            }
        }

        #[test]
        fn no_payload_makes_it_panic(
            payloads in proptest::collection::vec(
                (0_u32..3, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)),
                0..20,
            ),
        ) {
            let mut assembler = Assembler::new(None);
            for (timestamp, marker, payload) in payloads {
                let _ = assembler.push(timestamp, marker, &payload);
            }
        }

        #[test]
        fn no_headers_make_it_panic(
            type_ in prop_oneof![0_u8..2, 64_u8..66],
            q in any::<u8>(),
            after in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            if let Ok(Some(jpeg)) = Assembler::new(None).push(0, true, &lone(type_, q, &after)) {
                prop_assert!(jpeg.starts_with(&[0xff, SOI]) && jpeg.ends_with(&END));
            }
        }
    }
}
