//! RTCP ([RFC 3550 section 6](https://datatracker.ietf.org/doc/html/rfc3550#section-6)): the reports to viewers are
//! written, those of viewers and cameras are read.

use super::ntp::NtpTime;

/// What a sender report says of its own stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Whose report it is.
    pub ssrc: u32,
    /// The wall-clock time of the report.
    pub ntp: NtpTime,
    /// The same moment on the RTP clock.
    pub timestamp: u32,
    /// Packets sent since the start.
    pub packets: u32,
    /// Payload bytes sent since the start.
    pub octets: u32,
}

/// What a receiver says of one stream it receives (a report block, RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptionReport {
    /// Whose stream it is about.
    pub ssrc: u32,
    /// Packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// The middle of the last sender report's NTP time, 0 if none came.
    pub last_report: u32,
    /// Time since that report came, in 65536ths of a second.
    pub delay_since_last_report: u32,
}

/// What we say of a stream we receive, as a whole report block (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose stream it is about.
    pub ssrc: u32,
    /// Packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the start; negative with repetitions.
    pub lost: i32,
    /// The highest sequence number, extended by its number of turns.
    pub highest_sequence: u32,
    /// The jitter in units of the track's clock.
    pub jitter: u32,
    /// The middle of the last sender report's NTP time, 0 if none came.
    pub last_report: u32,
    /// Time since that report came, in 65536ths of a second.
    pub delay_since_last_report: u32,
}

/// A part of a compound packet that the relay has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A sender report, without its reception reports, which follow as items of their own.
    SenderReport(SenderReport),
    /// One reception report.
    Reception(ReceptionReport),
    /// The sender leaves.
    Bye(u32),
}

/// Reads a compound packet leniently: what is understood is handed to `each`, and reading stops at the first part that
/// does not fit. Hole punches, application packets and noise give no items.
pub fn read(mut compound: &[u8], mut each: impl FnMut(Item)) {
    while let Some(head) = compound.first_chunk::<4>() {
        let length = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
        if head[0] >> 6 != 2 || length > compound.len() {
            return;
        }
        let (packet, rest) = compound.split_at(length);
        compound = rest;
        let count = usize::from(head[0] & 0x1F);
        match head[1] {
            SENDER_REPORT => {
                if let Some(report) = sender_report(packet) {
                    each(Item::SenderReport(report));
                    reception_reports(&packet[28..], count, &mut each);
                }
            }
            RECEIVER_REPORT => reception_reports(packet.get(8..).unwrap_or_default(), count, &mut each),
            BYE => {
                for ssrc in packet[4..].chunks_exact(4).take(count) {
                    each(Item::Bye(word(ssrc, 0)));
                }
            }
            _ => {}
        }
    }
}

/// Appends a compound packet with a sender report and the name `cname`, the same for all tracks of a session so that
/// they are played in step (RFC 3550 sections 6.1 and 6.5.1). `cname` is cut at 255 bytes.
pub fn write_report(report: &SenderReport, cname: &str, out: &mut Vec<u8>) {
    out.extend([0x80, SENDER_REPORT, 0, 6]);
    out.extend(report.ssrc.to_be_bytes());
    out.extend(report.ntp.0.to_be_bytes());
    out.extend(report.timestamp.to_be_bytes());
    out.extend(report.packets.to_be_bytes());
    out.extend(report.octets.to_be_bytes());
    write_source_description(report.ssrc, cname, out);
}

/// Appends a compound packet with a receiver report of `ssrc`, empty until something was received, and the name `cname`.
pub fn write_receiver_report(ssrc: u32, block: Option<&ReportBlock>, cname: &str, out: &mut Vec<u8>) {
    let blocks = u8::from(block.is_some());
    out.extend([0x80 | blocks, RECEIVER_REPORT, 0, 1 + 6 * blocks]);
    out.extend(ssrc.to_be_bytes());
    if let Some(block) = block {
        out.extend(block.ssrc.to_be_bytes());
        let lost = block.lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
        out.extend((u32::from(block.fraction_lost) << 24 | lost).to_be_bytes());
        out.extend(block.highest_sequence.to_be_bytes());
        out.extend(block.jitter.to_be_bytes());
        out.extend(block.last_report.to_be_bytes());
        out.extend(block.delay_since_last_report.to_be_bytes());
    }
    write_source_description(ssrc, cname, out);
}

/// Appends a compound packet that says goodbye: an empty receiver report, the name, and BYE (RFC 3550 section 6.6).
pub fn write_bye(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    out.extend([0x80, RECEIVER_REPORT, 0, 1]);
    out.extend(ssrc.to_be_bytes());
    write_source_description(ssrc, cname, out);
    out.extend([0x81, BYE, 0, 1]);
    out.extend(ssrc.to_be_bytes());
}

fn write_source_description(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    // SSRC, item type, length, text, and at least one zero up to the next word.
    let words = (4 + 2 + cname.len()) / 4 + 1;
    out.extend([0x81, SOURCE_DESCRIPTION, 0, words as u8]);
    out.extend(ssrc.to_be_bytes());
    out.extend([CNAME, cname.len() as u8]);
    out.extend(cname);
    out.resize(out.len() + 4 * words - (4 + 2 + cname.len()), 0);
}

fn sender_report(packet: &[u8]) -> Option<SenderReport> {
    let fields = packet.get(4..28)?;
    Some(SenderReport {
        ssrc: word(fields, 0),
        ntp: NtpTime(u64::from(word(fields, 4)) << 32 | u64::from(word(fields, 8))),
        timestamp: word(fields, 12),
        packets: word(fields, 16),
        octets: word(fields, 20),
    })
}

fn reception_reports(blocks: &[u8], count: usize, each: &mut impl FnMut(Item)) {
    for block in blocks.chunks_exact(24).take(count) {
        each(Item::Reception(ReceptionReport {
            ssrc: word(block, 0),
            fraction_lost: block[4],
            last_report: word(block, 16),
            delay_since_last_report: word(block, 20),
        }));
    }
}

/// The four bytes from `at` on; callers have checked the length.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const CNAME: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(compound: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        read(compound, |item| items.push(item));
        items
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = SenderReport {
            ssrc: 7,
            ntp: NtpTime(0x0123_4567_89AB_CDEF),
            timestamp: 9,
            packets: 3,
            octets: 4000,
        };
        for cname in ["", "a", "ab", "abc", "abcd", "fanlight-0123456789"] {
            let mut compound = Vec::new();
            write_report(&report, cname, &mut compound);
            assert_eq!(compound.len() % 4, 0, "{cname}");
            assert_eq!(items(&compound), [Item::SenderReport(report)], "{cname}");
        }
    }

    #[test]
    fn a_receiver_report_is_read_as_it_was_written() {
        let block = ReportBlock {
            ssrc: 9,
            fraction_lost: 64,
            lost: -2,
            highest_sequence: 0x1_0005,
            jitter: 3,
            last_report: 0xAABB_CCDD,
            delay_since_last_report: 65_536,
        };
        let mut compound = Vec::new();
        write_receiver_report(1, Some(&block), "abc", &mut compound);
        let ReportBlock { ssrc, fraction_lost, last_report, delay_since_last_report, .. } = block;
        let expected = ReceptionReport { ssrc, fraction_lost, last_report, delay_since_last_report };
        assert_eq!(items(&compound), [Item::Reception(expected)]);
        assert_eq!(compound[12..16], [64, 0xFF, 0xFF, 0xFE]);
        let mut empty = Vec::new();
        write_receiver_report(1, None, "abc", &mut empty);
        assert_eq!((items(&empty), &empty[..8]), (vec![], &[0x80, 201, 0, 1, 0, 0, 0, 1][..]));
    }

    #[test]
    fn a_goodbye_is_read_as_it_was_written() {
        let mut compound = Vec::new();
        write_bye(0xDEAD_BEEF, "fanlight", &mut compound);
        assert_eq!(items(&compound), [Item::Bye(0xDEAD_BEEF)]);
    }

    #[test]
    fn a_receiver_report_of_gstreamer_is_understood() {
        let mut compound = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
        compound
            .extend([0, 0, 0, 9, 64, 0, 0, 5, 0, 1, 0, 2, 0, 0, 0, 3, 0xAA, 0xBB, 0xCC, 0xDD, 0, 1, 0, 0]);
        compound.extend([0x81, 202, 0, 2, 0, 0, 0, 1, 1, 1, b'x', 0]);
        let expected = ReceptionReport {
            ssrc: 9,
            fraction_lost: 64,
            last_report: 0xAABB_CCDD,
            delay_since_last_report: 65_536,
        };
        assert_eq!(items(&compound), [Item::Reception(expected)]);
    }

    #[test]
    fn the_hole_punches_of_players_give_nothing() {
        // ffmpeg, live555, and rtspsrc's 200 random bytes (data/client-traces).
        for punch in [&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0xCE, 0xFA, 0xED, 0xFE], &[0x5A; 200]] {
            assert_eq!(items(punch), []);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(compound in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = items(&compound);
        }

        #[test]
        fn a_cut_compound_gives_a_prefix_of_its_items(cut in 0usize..200) {
            let mut compound = Vec::new();
            let report = SenderReport { ssrc: 7, ntp: NtpTime(1), timestamp: 9, packets: 3, octets: 4 };
            write_report(&report, "cname", &mut compound);
            write_bye(7, "cname", &mut compound);
            let whole = items(&compound);
            let part = items(&compound[..cut.min(compound.len())]);
            prop_assert!(whole.starts_with(&part));
        }
    }
}
