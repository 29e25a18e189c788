//! The marker segments in front of a scan (T.81 section B.2), held against what RFC 2435 can carry.

use std::ops::Range;

use super::image::{APP14, DAC, DHT, DQT, DRI, JPG, Layout, SOF0, SOF1, SOF15, SOS, Sampling};
use super::tables::{STANDARD_AC, STANDARD_DC};
use super::{JpegError, MAX_DIMENSION};

/// What the segments in front of the scan have defined so far.
pub(super) struct Headers<'a> {
    data: &'a [u8],
    frame: Option<FrameHeader>,
    quantization: [Option<Quantization>; 4],
    /// By destination: whether the DC table there is the standard luma (0) or chroma (1) table, or neither.
    dc: [Option<usize>; 4],
    /// The same for the AC tables.
    ac: [Option<usize>; 4],
    restart_interval: u16,
    /// The colour transform an Adobe segment states; 0 is none, so RGB.
    transform: Option<u8>,
}

struct FrameHeader {
    width: u16,
    height: u16,
    sampling: Sampling,
    components: [Component; 3],
}

#[derive(Clone, Copy)]
struct Component {
    id: u8,
    quantization: u8,
}

#[derive(Clone, Copy)]
struct Quantization {
    at: usize,
    wide: bool,
}

impl<'a> Headers<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        // Frames of AVI files and USB cameras leave DHT out and mean the standard tables, so these are what
        // every image starts from.
        let standard = [Some(LUMA), Some(CHROMA), None, None];
        Self {
            data,
            frame: None,
            quantization: [None; 4],
            dc: standard,
            ac: standard,
            restart_interval: 0,
            transform: None,
        }
    }

    /// Takes in the segment `marker` whose content, behind its length, is `body`.
    pub(super) fn segment(&mut self, marker: u8, body: Range<usize>) -> Result<(), JpegError> {
        let bytes = &self.data[body.clone()];
        match marker {
            DAC => return Err(JpegError::Process(DAC_PROCESS)),
            DHT => self.huffman(bytes).ok_or(JpegError::Segment(DHT))?,
            DQT => self.quantization(body).ok_or(JpegError::Segment(DQT))?,
            DRI => {
                let interval = bytes.try_into().map_err(|_| JpegError::Segment(DRI))?;
                self.restart_interval = u16::from_be_bytes(interval);
            }
            SOF0 if self.frame.is_some() => return Err(JpegError::Segment(SOF0)),
            SOF0 => self.frame = Some(frame_header(bytes)?),
            JPG => return Err(JpegError::Segment(JPG)),
            SOF1..=SOF15 => return Err(JpegError::Process(marker)),
            APP14 if bytes.starts_with(b"Adobe") => self.transform = bytes.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    /// `None` when the segment is malformed.
    fn huffman(&mut self, mut bytes: &[u8]) -> Option<()> {
        while let Some((&target, rest)) = bytes.split_first() {
            let (counts, rest) = rest.split_at_checked(16)?;
            let codes = counts.iter().map(|count| usize::from(*count)).sum();
            let (values, rest) = rest.split_at_checked(codes)?;
            let (tables, standard) = match target >> 4 {
                0 => (&mut self.dc, &STANDARD_DC),
                1 => (&mut self.ac, &STANDARD_AC),
                _ => return None,
            };
            *tables.get_mut(usize::from(target & 0x0f))? =
                standard.iter().position(|table| table.is(counts, values));
            bytes = rest;
        }
        Some(())
    }

    /// `None` when the segment is malformed.
    fn quantization(&mut self, body: Range<usize>) -> Option<()> {
        let mut at = body.start;
        while at < body.end {
            let target = self.data[at];
            let wide = match target >> 4 {
                0 => false,
                1 => true,
                _ => return None,
            };
            let length = if wide { 128 } else { 64 };
            let table = Quantization { at: at + 1, wide };
            *self.quantization.get_mut(usize::from(target & 0x0f))? = Some(table);
            at += 1 + length;
        }
        (at == body.end).then_some(())
    }

    /// What is known when the scan with the header `body` begins: all of the layout but `scan` and `length`.
    pub(super) fn scan(&self, body: Range<usize>) -> Result<Layout, JpegError> {
        let frame = self.frame.as_ref().ok_or(JpegError::Truncated("headers"))?;
        if self.transform == Some(0) || frame.components.each_ref().map(|component| component.id) == *b"RGB" {
            return Err(JpegError::Rgb);
        }
        let tables = scan_header(&self.data[body], &frame.components)?;
        for (index, table) in tables.into_iter().enumerate() {
            let expected = if index == 0 { LUMA } else { CHROMA };
            let at = |tables: &[Option<usize>; 4], target: u8| *tables.get(usize::from(target))?;
            if at(&self.dc, table >> 4) != Some(expected) {
                return Err(JpegError::Huffman(["luminance DC", "chrominance DC"][expected]));
            }
            if at(&self.ac, table & 0x0f) != Some(expected) {
                return Err(JpegError::Huffman(["luminance AC", "chrominance AC"][expected]));
            }
        }
        let [y, cb, cr] = frame.components.each_ref().map(|component| {
            let target = component.quantization;
            match self.quantization.get(usize::from(target)) {
                Some(Some(table)) if table.wide => Err(JpegError::WideQuantization(target)),
                Some(Some(table)) => Ok(table.at),
                _ => Err(JpegError::MissingQuantization(target)),
            }
        });
        let (y, cb, cr) = (y?, cb?, cr?);
        if self.data[cb..cb + 64] != self.data[cr..cr + 64] {
            return Err(JpegError::ChromaQuantization);
        }
        Ok(Layout {
            width: frame.width,
            height: frame.height,
            sampling: frame.sampling,
            restart_interval: self.restart_interval,
            quantization: [y, cb],
            scan: 0..0,
            length: 0,
        })
    }
}

// Indices into the pairs of standard tables.
const LUMA: usize = 0;
const CHROMA: usize = 1;

/// DAC defines conditioning for arithmetic coding; the first process to use it is SOF9.
const DAC_PROCESS: u8 = 0xc9;

fn frame_header(bytes: &[u8]) -> Result<FrameHeader, JpegError> {
    let malformed = JpegError::Segment(SOF0);
    let (&[bits, h1, h0, w1, w0, count], components) = bytes.split_first_chunk::<6>().ok_or(malformed)?;
    let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
    if bits != 8 {
        return Err(JpegError::SampleBits(bits));
    }
    if count != 3 {
        return Err(JpegError::Components(count));
    }
    let &[y, sy, qy, cb, scb, qcb, cr, scr, qcr] =
        components.first_chunk::<9>().filter(|_| components.len() == 9).ok_or(malformed)?;
    let allowed = 1..=MAX_DIMENSION;
    if !allowed.contains(&width) || !allowed.contains(&height) {
        return Err(JpegError::Dimensions { width, height });
    }
    let sampling = [Sampling::Yuv422, Sampling::Yuv420]
        .into_iter()
        .find(|sampling| sampling.factors() == [sy, scb, scr])
        .ok_or(JpegError::Sampling([sy, scb, scr]))?;
    let components = [(y, qy), (cb, qcb), (cr, qcr)].map(|(id, quantization)| Component { id, quantization });
    Ok(FrameHeader { width, height, sampling, components })
}

/// The Huffman table destinations (DC in the upper half) of the scan's three components.
fn scan_header(bytes: &[u8], components: &[Component; 3]) -> Result<[u8; 3], JpegError> {
    let (&count, selectors) = bytes.split_first().ok_or(JpegError::Segment(SOS))?;
    if selectors.len() != 2 * usize::from(count) + 3 {
        return Err(JpegError::Segment(SOS));
    }
    match *selectors {
        [y, ty, cb, tcb, cr, tcr, _, _, _] if [y, cb, cr] == components.each_ref().map(|c| c.id) => {
            Ok([ty, tcb, tcr])
        }
        [_, _, _, _, _] | [_, _, _, _, _, _, _] => Err(JpegError::SeveralScans),
        _ => Err(JpegError::ScanComponents),
    }
}
