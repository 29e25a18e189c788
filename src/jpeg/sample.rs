//! Small JPEG images for the tests of this module, good ones and bad ones. Their picture data is not meant to decode.

use bytes::Bytes;

use super::image::{APP0, DHT, DQT, DRI, EOI, SOF0, SOI, SOS};
use super::tables::{STANDARD_AC, STANDARD_DC};

/// What to write; [`Sample::default`] is a 64x48 picture in 4:2:0 with standard tables.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) frame_marker: u8,
    pub(super) bits: u8,
    pub(super) size: (u16, u16),
    /// Id, sampling factors, quantization table of each component.
    pub(super) components: Vec<(u8, u8, u8)>,
    /// Table (precision in the upper half) and its entries.
    pub(super) quantization: Vec<(u8, Vec<u8>)>,
    pub(super) huffman: bool,
    pub(super) restart_interval: Option<u16>,
    /// Component id and its Huffman tables.
    pub(super) selectors: Vec<(u8, u8)>,
    /// Further segments, put in front of the scan.
    pub(super) extra: Vec<(u8, Vec<u8>)>,
    pub(super) scan: Vec<u8>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            frame_marker: SOF0,
            bits: 8,
            size: (64, 48),
            components: vec![(1, 0x22, 0), (2, 0x11, 1), (3, 0x11, 1)],
            quantization: vec![(0, (1..=64).collect()), (1, (101..=164).collect())],
            huffman: true,
            restart_interval: None,
            selectors: vec![(1, 0x00), (2, 0x11), (3, 0x11)],
            extra: Vec::new(),
            scan: (0..1000).map(|at| (at % 251) as u8).collect(),
        }
    }
}

impl Sample {
    pub(super) fn with_scan(scan: &[u8]) -> Self {
        Self { scan: scan.to_vec(), ..Self::default() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut jpeg = vec![0xff, SOI];
        let mut put = |marker: u8, content: &[u8]| {
            jpeg.extend([0xff, marker]);
            jpeg.extend((content.len() as u16 + 2).to_be_bytes());
            jpeg.extend(content);
        };
        put(APP0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let tables = self.quantization.iter().map(|(target, entries)| [&[*target], &entries[..]].concat());
        put(DQT, &tables.collect::<Vec<_>>().concat());
        let (width, height) = self.size;
        let [h1, h0] = height.to_be_bytes();
        let [w1, w0] = width.to_be_bytes();
        let mut frame = vec![self.bits, h1, h0, w1, w0, self.components.len() as u8];
        frame.extend(self.components.iter().flat_map(|(id, factors, table)| [*id, *factors, *table]));
        put(self.frame_marker, &frame);
        if self.huffman {
            for (class, standard) in [(0x00, STANDARD_DC), (0x10, STANDARD_AC)] {
                for (target, table) in (class..).zip(standard) {
                    put(DHT, &[&[target], &table.counts[..], table.values].concat());
                }
            }
        }
        if let Some(interval) = self.restart_interval {
            put(DRI, &interval.to_be_bytes());
        }
        for (marker, content) in &self.extra {
            put(*marker, content);
        }
        let mut scan = vec![self.selectors.len() as u8];
        scan.extend(self.selectors.iter().flat_map(|(id, tables)| [*id, *tables]));
        scan.extend([0, 63, 0]);
        put(SOS, &scan);
        jpeg.extend(&self.scan);
        jpeg.extend([0xff, EOI]);
        jpeg
    }

    pub(super) fn data(&self) -> Bytes {
        self.bytes().into()
    }
}
