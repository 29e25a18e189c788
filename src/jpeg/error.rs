//! Why a JPEG is refused.

/// Why a JPEG, or a place in a clip where one should be, cannot be sent over RTP.
///
/// The texts are for the person who made the clip: they say what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JpegError {
    /// The clip holds nothing.
    #[error("no JPEG image found")]
    Empty,
    /// The data does not begin as a JPEG does.
    #[error("does not start with a JPEG start-of-image marker (FF D8)")]
    NoStart,
    /// Something else than images takes up too much of the clip.
    #[error("more than {0} bytes that are no JPEG; is this a plain MJPEG file?")]
    Foreign(usize),
    /// The length in front of an image is no number.
    #[error("no decimal length in front of the image")]
    Length,
    /// The length in front of an image reaches beyond the end of the clip.
    #[error("its length says {wanted} bytes, only {left} are left")]
    LengthBeyondEnd {
        /// What the length in front of the image says.
        wanted: usize,
        /// What is left of the clip.
        left: usize,
    },
    /// The clip has more images than a server should index.
    #[error("the clip has more than {0} frames")]
    TooManyFrames(usize),
    /// The data ends, or the next image starts, before this one is complete.
    #[error("truncated in its {0}")]
    Truncated(&'static str),
    /// A marker segment does not have the form T.81 gives it.
    #[error("malformed segment (marker FF {0:02X})")]
    Segment(u8),
    /// Bytes that are no marker stand where one has to be.
    #[error("no marker where one is due, {0} bytes into the image")]
    NoMarker(usize),
    /// Not baseline.
    #[error("{} (SOF{}); RTP carries baseline JPEG only (SOF0)", process_name(*.0), .0 & 0x0f)]
    Process(u8),
    /// Samples of more than 8 bits.
    #[error("{0}-bit samples; RTP carries 8-bit samples only")]
    SampleBits(u8),
    /// The picture does not fit the 8 bits that width and height have, or has no size.
    #[error("{width}x{height} pixels; RTP carries 1x1 to {max}x{max}", max = super::MAX_DIMENSION)]
    Dimensions {
        /// Pixels in a line.
        width: u16,
        /// Lines.
        height: u16,
    },
    /// Not three components.
    #[error("{0} colour component(s), as in greyscale or CMYK; RTP carries the three of YCbCr")]
    Components(u8),
    /// Three components that are red, green and blue.
    #[error("coded as RGB; RTP carries YCbCr only")]
    Rgb,
    /// A chroma sampling RTP has no type for.
    #[error("sampling {} {} {}; RTP carries 4:2:2 (2x1 1x1 1x1) and 4:2:0 (2x2 1x1 1x1) only (ffmpeg: -pix_fmt yuvj420p)", factors(.0[0]), factors(.0[1]), factors(.0[2]))]
    Sampling([u8; 3]),
    /// The scan does not hold the frame's components once each, in order.
    #[error("the scan does not hold Y, Cb and Cr together and in the frame's order")]
    ScanComponents,
    /// A second scan.
    #[error("several scans; RTP carries a single one")]
    SeveralScans,
    /// A Huffman table that is not the one receivers assume.
    #[error(
        "the {0} Huffman table is not the standard one; encode with standard tables (ffmpeg: -huffman default)"
    )]
    Huffman(&'static str),
    /// A component refers to a quantization table nobody defined.
    #[error("quantization table {0} is missing")]
    MissingQuantization(u8),
    /// 16-bit quantization, which T.81 section B.2.4.1 does not allow with 8-bit samples and ffmpeg's receiver refuses.
    #[error("quantization table {0} has 16-bit entries, which baseline JPEG does not allow")]
    WideQuantization(u8),
    /// RTP has room for one chroma table.
    #[error("Cb and Cr have different quantization tables; RTP carries one for both")]
    ChromaQuantization,
    /// The entropy-coded data does not fit the 24 bits of the fragment offset.
    #[error("{0} bytes of picture data; RTP carries fewer than 16 MiB a frame")]
    ScanTooLong(usize),
}

/// The coding process a SOFn marker announces (T.81 table B.1), for a person.
fn process_name(marker: u8) -> &'static str {
    match marker {
        0xc1 => "extended sequential JPEG",
        0xc2 => "progressive JPEG",
        0xc3 => "lossless JPEG",
        0xc5..=0xc7 => "differential JPEG",
        _ => "arithmetic coding",
    }
}

/// The two sampling factors of a component (horizontal in the upper half) as `2x1`.
fn factors(sampling: u8) -> String {
    format!("{}x{}", sampling >> 4, sampling & 0x0f)
}
