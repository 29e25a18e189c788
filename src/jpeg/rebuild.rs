//! The headers that RFC 2435 leaves out, written again at the receiving end (its appendix B).

use super::image::{APP0, DHT, DQT, DRI, SOF0, SOI, SOS, Sampling};
use super::payload::TABLE;
use super::tables::{STANDARD_AC, STANDARD_DC};

/// A JPEG file up to its picture data: a picture of `dimensions` (width, height) with the DQT content `quantization`.
pub(super) fn headers(
    dimensions: (u16, u16),
    sampling: Sampling,
    restart_interval: u16,
    quantization: &[u8],
) -> Vec<u8> {
    let (width, height) = dimensions;
    let mut jpeg = vec![0xff, SOI];
    segment(&mut jpeg, APP0, JFIF);
    segment(&mut jpeg, DQT, quantization);
    let mut frame = vec![8];
    frame.extend_from_slice(&height.to_be_bytes());
    frame.extend_from_slice(&width.to_be_bytes());
    frame.push(3);
    for (id, (factors, table)) in (1..).zip(sampling.factors().into_iter().zip([0, 1, 1])) {
        frame.extend_from_slice(&[id, factors, table]);
    }
    segment(&mut jpeg, SOF0, &frame);
    for (class, standard) in [(0x00, STANDARD_DC), (0x10, STANDARD_AC)] {
        for (target, table) in (class..).zip(standard) {
            segment(&mut jpeg, DHT, &[&[target], &table.counts[..], table.values].concat());
        }
    }
    if restart_interval > 0 {
        segment(&mut jpeg, DRI, &restart_interval.to_be_bytes());
    }
    segment(&mut jpeg, SOS, &[3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
    jpeg
}

/// DQT content that defines table 0 (luma) and 1 (chroma) from the `bytes` behind a table header, where bit n of
/// `precision` says that table n has 16-bit entries; a single table counts for both. `None` when there is not even one.
pub(super) fn quantization(precision: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let wide = |table: u8| precision >> table & 1;
    let length = |table: u8| TABLE << wide(table);
    let (luma, rest) = bytes.split_at_checked(length(0))?;
    let (chroma, chroma_wide) = match rest.get(..length(1)) {
        Some(chroma) => (chroma, wide(1)),
        None => (luma, wide(0)),
    };
    Some([&[wide(0) << 4], luma, &[chroma_wide << 4 | 1], chroma].concat())
}

/// JFIF 1.1, square pixels: says that the components are YCbCr of full range.
const JFIF: &[u8] = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0";

fn segment(jpeg: &mut Vec<u8>, marker: u8, content: &[u8]) {
    jpeg.extend_from_slice(&[0xff, marker]);
    jpeg.extend_from_slice(&(content.len() as u16 + 2).to_be_bytes()); // ours are all short
    jpeg.extend_from_slice(content);
}
