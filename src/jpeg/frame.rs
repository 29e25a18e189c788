//! One JPEG image and its way into RTP packets.

use bytes::Bytes;

use super::JpegError;
use super::image::{self, Layout};
use super::payload::{FragmentHeader, MAX_FRAGMENT_HEADER, TABLE};

/// A baseline JPEG that fits RFC 2435; cheap to clone, the bytes are shared with the clip it comes from.
#[derive(Clone, Debug)]
pub struct Frame {
    data: Bytes,
    layout: Layout,
}

impl Frame {
    /// The smallest `max_payload` that [`Frame::packetize`] keeps to: all headers of a first fragment and some
    /// picture data. Every network that carries RTP carries more.
    pub const MIN_PAYLOAD: usize = 256;

    /// Reads the JPEG at the start of `data`. What follows its end-of-image marker is left out of the frame:
    /// [`Frame::data`] says how much was used.
    ///
    /// # Errors
    ///
    /// When this is no complete JPEG, or one that RFC 2435 cannot carry.
    pub fn parse(data: Bytes) -> Result<Self, JpegError> {
        let layout = image::read(&data)?;
        Ok(Self { data: data.slice(..layout.length), layout })
    }

    /// Pixels in a line. Over RTP this is rounded up to a multiple of 8.
    pub fn width(&self) -> u16 {
        self.layout.width
    }

    /// Lines. Over RTP this is rounded up to a multiple of 8.
    pub fn height(&self) -> u16 {
        self.layout.height
    }

    /// The whole JPEG file, from its start-of-image to its end-of-image marker.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The entropy-coded picture data, restart markers included, end-of-image marker excluded.
    fn scan(&self) -> &[u8] {
        &self.data[self.layout.scan.clone()]
    }

    /// Cuts the frame into RTP payloads of at most `max_payload` bytes and hands them to `emit` in order, as
    /// (headers, picture data, RTP marker bit): the payload is the headers followed by the data. The marker is set
    /// on the last one. A `max_payload` below [`Frame::MIN_PAYLOAD`] counts as that.
    ///
    /// The quantization tables travel in the first payload of every frame (`Q` 255), so that a viewer can start, and a
    /// looping clip can change its quality, at any frame. The end-of-image marker stays behind, which RFC 2435
    /// section 3.1.9 leaves open: ffmpeg's receiver always adds one, GStreamer's adds a missing one.
    pub fn packetize(&self, max_payload: usize, mut emit: impl FnMut(&[u8], &[u8], bool)) {
        let max_payload = max_payload.max(Self::MIN_PAYLOAD);
        let mut buffer = [0; MAX_FRAGMENT_HEADER];
        let mut header = FragmentHeader {
            offset: 0,
            sampling: self.layout.sampling,
            restart_interval: self.layout.restart_interval,
            width: self.layout.width,
            height: self.layout.height,
        };
        let tables = self.layout.quantization.map(|at| &self.data[at..at + TABLE]);
        let scan = self.scan();
        let mut sent = 0;
        while sent < scan.len() {
            header.offset = sent;
            let header = header.write(tables, &mut buffer);
            let end = scan.len().min(sent + max_payload - header.len());
            emit(header, &scan[sent..end], end == scan.len());
            sent = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::Sample;
    use super::*;

    fn payloads(sample: &Sample, max_payload: usize) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
        let mut payloads = Vec::new();
        let frame = Frame::parse(sample.data()).unwrap();
        frame.packetize(max_payload, |headers, data, marker| {
            payloads.push((headers.to_vec(), data.to_vec(), marker));
        });
        payloads
    }

    #[test]
    fn the_first_payload_brings_the_tables_and_the_last_the_marker() {
        let sample = Sample::default();
        let payloads = payloads(&sample, 640);
        let [(first, data, false), (second, rest, true)] = &payloads[..] else {
            panic!("{} payloads", payloads.len());
        };
        let tables = [&[0, 0, 0, 128], &sample.quantization[0].1[..], &sample.quantization[1].1].concat();
        assert_eq!(*first, [&[0, 0, 0, 0, 1, 255, 8, 6], &tables[..]].concat());
        assert_eq!(data.len(), 640 - 8 - 4 - 128);
        assert_eq!(*second, [0, 0, 1, 0xf4, 1, 255, 8, 6]);
        assert_eq!([&data[..], rest].concat(), sample.scan);
    }

    #[test]
    fn restart_markers_are_announced_in_every_payload() {
        let components = vec![(1, 0x21, 0), (2, 0x11, 1), (3, 0x11, 1)];
        let sample = Sample { components, restart_interval: Some(0x0102), ..Sample::default() };
        let payloads = payloads(&sample, 300);
        assert_eq!(payloads.len(), 4);
        for (headers, ..) in payloads {
            assert_eq!(headers[4], 64);
            assert_eq!(headers[8..12], [0x01, 0x02, 0xff, 0xff]);
        }
    }

    #[test]
    fn sizes_are_rounded_up_to_units_of_eight() {
        let units = |size| {
            let (headers, ..) = payloads(&Sample { size, ..Sample::default() }, 1400).remove(0);
            (headers[6], headers[7])
        };
        assert_eq!(units((640, 360)), (80, 45));
        assert_eq!(units((1366, 1)), (171, 1));
        assert_eq!(units((2040, 2033)), (255, 255));
    }

    #[test]
    fn the_frame_keeps_the_whole_file_and_nothing_behind_it() {
        let data = Sample::default().bytes();
        let frame = Frame::parse([&data[..], b"behind"].concat().into()).unwrap();
        assert_eq!(frame.data(), &data);
        assert_eq!((frame.width(), frame.height()), (64, 48));
    }

    proptest! {
        #[test]
        fn no_payload_exceeds_the_limit_and_all_together_are_the_scan(
            scan in proptest::collection::vec(0_u8..0xff, 1..5000),
            max_payload in 0_usize..2000,
            restart_interval in proptest::option::of(any::<u16>()),
        ) {
            let sample = Sample { restart_interval, ..Sample::with_scan(&scan) };
            let payloads = payloads(&sample, max_payload);
            let mut sent = Vec::<u8>::new();
            for (headers, data, _) in &payloads {
                prop_assert!(headers.len() + data.len() <= max_payload.max(Frame::MIN_PAYLOAD));
                prop_assert!(!data.is_empty());
                let offset = u32::from_be_bytes([0, headers[1], headers[2], headers[3]]);
                prop_assert_eq!(offset as usize, sent.len());
                sent.extend(data);
            }
            prop_assert_eq!(sent, scan);
            let markers = payloads.iter().filter(|(.., marker)| *marker).count();
            prop_assert!(markers == 1 && payloads.last().unwrap().2);
        }
    }
}
