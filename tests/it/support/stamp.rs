//! The stamp every synthetic packet carries: which packet of which frame it is, in plain text that a capture shows too.

/// Identity of a packet. Audio packets count as frames of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Number of the frame since the camera started, from 0.
    pub frame: u32,
    /// Index of the packet in its frame, from 0.
    pub packet: u16,
    /// Packets of that frame.
    pub packets: u16,
    /// The frame is a key frame.
    pub key: bool,
}

/// Bytes a stamp takes in a payload.
pub const LEN: usize = "<00000000.0000.0000.P>".len();

impl Stamp {
    /// The text that goes into the payload. Never a zero byte, so H.264 needs no emulation prevention.
    pub fn text(self) -> String {
        let Self { frame, packet, packets, key } = self;
        format!("<{frame:08x}.{packet:04x}.{packets:04x}.{}>", if key { 'I' } else { 'P' })
    }

    /// The stamp in `payload`, wherever it lies; `None` when there is none.
    pub fn find(payload: &[u8]) -> Option<Self> {
        payload.windows(LEN).find_map(|window| Self::parse(std::str::from_utf8(window).ok()?))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix('<')?.strip_suffix('>')?.split('.');
        let frame = u32::from_str_radix(fields.next()?, 16).ok()?;
        let packet = u16::from_str_radix(fields.next()?, 16).ok()?;
        let packets = u16::from_str_radix(fields.next()?, 16).ok()?;
        let key = fields.next()? == "I";
        Some(Self { frame, packet, packets, key })
    }
}

/// `len` bytes that follow from the packet's identity alone, so that mixed-up or cut payloads are told apart.
/// The top bit is always set: the bytes never look like a stamp nor like a start code.
pub fn filler(stamp: Stamp, len: usize) -> impl Iterator<Item = u8> {
    let seed = stamp.frame.wrapping_mul(31).wrapping_add(u32::from(stamp.packet) * 7);
    (0..len as u32).map(move |i| 0x80 | (seed.wrapping_add(i) & 0x7f) as u8)
}

#[test]
fn a_stamp_is_found_in_the_middle_of_a_payload() {
    let stamp = Stamp { frame: 0xdead, packet: 3, packets: 6, key: true };
    let payload = [&[0x7c, 0x85, b'<'][..], stamp.text().as_bytes(), &[0xff; 9]].concat();
    assert_eq!(Stamp::find(&payload), Some(stamp));
    assert_eq!(stamp.text().len(), LEN);
    assert_eq!(Stamp::find(&payload[..payload.len() - 10]), None);
}
