//! Encoding names and clock rates: what an `a=rtpmap` line says, or what a static payload type means.

/// What the packets of one payload type are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// The RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// The encoding name in upper case: `H264`, `MPEG4-GENERIC`, `VND.ONVIF.METADATA`.
    pub name: String,
    /// RTP timestamp units per second, never 0.
    pub clock_rate: u32,
    /// Audio channels, if the camera or the static type says.
    pub channels: Option<u16>,
}

impl Encoding {
    /// Reads an rtpmap's value, `96 H264/90000` or `97 MPEG4-GENERIC/48000/2`. Where the clock rate is missing or
    /// nonsense, the one that is usual for this name and `kind` of medium stands in. `None` without a usable name.
    pub(super) fn from_rtpmap(rtpmap: &str, kind: &str) -> Option<Self> {
        let (payload_type, rest) = rtpmap.trim().split_once(char::is_whitespace)?;
        let payload_type = payload_type.parse().ok().filter(|number| *number < 128)?;
        let mut parts = rest.split('/').map(str::trim);
        let name = parts.next().filter(|name| is_token(name))?.to_ascii_uppercase();
        // Hikvision calls 16 bit linear samples "PCM" on the payload types of L16 (go2rtc, TestHikvisionPCM).
        let name = if name == "PCM" && matches!(payload_type, 10 | 11) { "L16".to_owned() } else { name };
        let clock_rate = parts.next().and_then(|rate| rate.parse().ok()).filter(|rate| *rate > 0);
        let clock_rate = clock_rate.unwrap_or_else(|| usual_clock_rate(payload_type, kind));
        let channels =
            parts.next().and_then(|channels| channels.parse().ok()).filter(|channels| *channels > 0);
        Some(Self { payload_type, name, clock_rate, channels })
    }

    /// The static payload types of RFC 3551 section 6.
    pub(super) fn of_static(payload_type: u8) -> Option<Self> {
        let (name, clock_rate, channels) = match payload_type {
            0 => ("PCMU", 8000, Some(1)),
            3 => ("GSM", 8000, Some(1)),
            4 => ("G723", 8000, Some(1)),
            5 => ("DVI4", 8000, Some(1)),
            6 => ("DVI4", 16000, Some(1)),
            7 => ("LPC", 8000, Some(1)),
            8 => ("PCMA", 8000, Some(1)),
            // 16 kHz samples, yet a clock of 8000: an old mistake that stayed (section 4.5.2).
            9 => ("G722", 8000, Some(1)),
            10 => ("L16", 44100, Some(2)),
            11 => ("L16", 44100, Some(1)),
            12 => ("QCELP", 8000, Some(1)),
            13 => ("CN", 8000, Some(1)),
            14 => ("MPA", 90000, None),
            15 => ("G728", 8000, Some(1)),
            16 => ("DVI4", 11025, Some(1)),
            17 => ("DVI4", 22050, Some(1)),
            18 => ("G729", 8000, Some(1)),
            25 => ("CELB", 90000, None),
            26 => ("JPEG", 90000, None),
            28 => ("NV", 90000, None),
            31 => ("H261", 90000, None),
            32 => ("MPV", 90000, None),
            33 => ("MP2T", 90000, None),
            34 => ("H263", 90000, None),
            _ => return None,
        };
        Some(Self { payload_type, name: name.to_owned(), clock_rate, channels })
    }
}

/// The clock rate of a payload type nobody has explained: the static type's, else what nearly all formats of that kind use.
pub(super) fn usual_clock_rate(payload_type: u8, kind: &str) -> u32 {
    match Encoding::of_static(payload_type) {
        Some(encoding) => encoding.clock_rate,
        None if kind == "audio" => 8000,
        None => 90000,
    }
}

/// Whether `text` can be published as a word of an SDP line: an RFC 8866 token of sane length, `/` excluded.
pub(super) fn is_token(text: &str) -> bool {
    const MAX_LENGTH: usize = 64;
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&byte);
    (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtpmap(value: &str) -> Option<(u8, String, u32, Option<u16>)> {
        let found = Encoding::from_rtpmap(value, "video")?;
        Some((found.payload_type, found.name, found.clock_rate, found.channels))
    }

    #[test]
    fn an_rtpmap_is_read_with_odd_spaces() {
        let h264 = Some((96, "H264".to_owned(), 90000, None));
        for value in
            ["96 H264/90000", " 96\th264/90000 ", "96   H264 / 90000", "96 H264", "96 H264/", "96 H264/0"]
        {
            assert_eq!(rtpmap(value), h264, "{value:?}");
        }
        assert_eq!(rtpmap("97 opus/48000/2"), Some((97, "OPUS".to_owned(), 48000, Some(2))));
        assert_eq!(rtpmap("11 PCM/48000"), Some((11, "L16".to_owned(), 48000, None)));
    }

    #[test]
    fn an_rtpmap_without_a_name_or_a_payload_type_is_none() {
        for value in
            ["", "96", "96 /90000", "H264/90000", "200 H264/90000", "96 H 264/90000", "96 \u{e9}/8000"]
        {
            assert_eq!(rtpmap(value), None, "{value:?}");
        }
    }

    #[test]
    fn static_payload_types_have_their_clock() {
        let of =
            |number| Encoding::of_static(number).map(|found| (found.name, found.clock_rate, found.channels));
        assert_eq!(of(9), Some(("G722".to_owned(), 8000, Some(1))));
        assert_eq!(of(10), Some(("L16".to_owned(), 44100, Some(2))));
        assert_eq!(of(11), Some(("L16".to_owned(), 44100, Some(1))));
        assert_eq!(of(26), Some(("JPEG".to_owned(), 90000, None)));
        assert_eq!(of(50), None);
        assert_eq!(of(96), None);
    }
}
