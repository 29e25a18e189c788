//! Reads a camera's SDP (RFC 8866) line by line, taking what can be understood and leaving the rest.
//!
//! Only `m=` lines and attributes matter for playing; `v=`, `o=`, `c=` and `t=` are never looked at, so no camera can get
//! them wrong (of 64 real SDPs a strict parser refused 16, mostly over `o=`).

use super::media::{Attribute, Direction, Media, attribute, read_fmtp};

/// A session description as the camera wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdp {
    /// The session name, `s=`.
    pub name: Option<String>,
    /// The software that made it, `a=tool`; tells families of cameras apart.
    pub tool: Option<String>,
    /// The session's control URL, absolute, relative or `*`.
    pub control: Option<String>,
    /// All `a=` lines in front of the first `m=`.
    pub attributes: Vec<Attribute>,
    /// One for every `m=` line, in order; never empty, at most 32.
    pub media: Vec<Media>,
}

/// Why a body is no session description to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than 64 KiB.
    #[error("the session description has {0} bytes, at most {MAX_LENGTH} are accepted")]
    TooLong(usize),
    /// More than 32 `m=` lines.
    #[error("the session description has more than {MAX_MEDIA} media")]
    TooManyMedia,
    /// No `m=` line at all: empty, or not an SDP.
    #[error("the session description has no media")]
    NoMedia,
}

/// Reads `bytes`, in UTF-8 or else Latin-1, lines ended by CR, LF, CRLF or NUL.
///
/// # Errors
///
/// Only when it is longer than 64 KiB, or has no or more than 32 media. Lines that mean nothing are passed over; of more
/// than 256 attributes in one section, or 2048 in all, the rest is.
pub fn parse(bytes: &[u8]) -> Result<Sdp, Error> {
    if bytes.len() > MAX_LENGTH {
        return Err(Error::TooLong(bytes.len()));
    }
    let mut sdp = Sdp::default();
    let mut attributes = 0;
    for line in bytes.split(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        let line = text(line);
        let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let Some((kind, value)) = line.split_once('=') else { continue };
        let (kind, value) = (kind.trim(), value.trim());
        let kind = if kind == "M" { "m" } else { kind };
        let full = sdp.media.len() == MAX_MEDIA;
        attributes += usize::from(kind == "a");
        match (kind, sdp.media.last_mut()) {
            ("a", _) if attributes > MAX_ATTRIBUTES_IN_ALL => {}
            ("m", _) if full => return Err(Error::TooManyMedia),
            ("m", _) => sdp.media.push(media_line(value)),
            ("a", Some(media)) => add(&mut media.attributes, value),
            ("a", None) => add(&mut sdp.attributes, value),
            ("b", Some(media)) => media.bandwidth = media.bandwidth.or_else(|| bandwidth(value)),
            ("s", None) if sdp.name.is_none() && !value.is_empty() => sdp.name = Some(value.to_owned()),
            _ => {}
        }
    }
    if sdp.media.is_empty() {
        return Err(Error::NoMedia);
    }
    let session =
        |name| attribute(&sdp.attributes, name).filter(|value| !value.is_empty()).map(str::to_owned);
    (sdp.tool, sdp.control) = (session("tool"), session("control"));
    for media in &mut sdp.media {
        adopt_payload_types(media);
    }
    repair_fmtp(&mut sdp.media);
    Ok(sdp)
}

impl Sdp {
    /// Whether a medium is where the camera listens instead of sends (ONVIF streaming specification section 5.3): audio
    /// marked `sendonly`. Not so in the SDP of a camera that marks its video so too and means itself (go2rtc, BugSDP5).
    pub fn is_back_channel(&self, media: &Media) -> bool {
        let send_only = |media: &Media| media.direction() == Some(Direction::SendOnly);
        let own_view = || self.media.iter().any(|media| media.kind == "video" && send_only(media));
        media.kind == "audio" && send_only(media) && !own_view()
    }
}

/// The line's text: cameras write UTF-8, or a national character set of which Latin-1 at least keeps the ASCII.
fn text(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => line.iter().copied().map(char::from).collect(),
    }
}

/// `m=<kind> <port>[/<count>] <protocol> <format> ...`, any part of which may be missing.
fn media_line(value: &str) -> Media {
    let mut words = value.split_whitespace().peekable();
    let kind = words.next().unwrap_or_default().to_ascii_lowercase();
    words.next_if(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let protocol = words.next_if(|word| word.parse::<u8>().is_err()).unwrap_or_default().to_ascii_uppercase();
    let mut media = Media { kind, protocol, ..Media::default() };
    for payload_type in words.filter_map(|word| word.parse().ok()) {
        add_payload_type(&mut media, payload_type);
    }
    media
}

fn add_payload_type(media: &mut Media, payload_type: u8) {
    if payload_type < 128 && !media.payload_types.contains(&payload_type) {
        media.payload_types.push(payload_type);
    }
}

fn add(attributes: &mut Vec<Attribute>, line: &str) {
    if attributes.len() == MAX_ATTRIBUTES {
        return;
    }
    let (name, value) = match line.split_once(':') {
        Some((name, value)) => (name, Some(value.trim().to_owned())),
        None => (line, None),
    };
    let name = name.trim();
    if !name.is_empty() {
        attributes.push(Attribute { name: name.to_owned(), value });
    }
}

/// `b=AS:<kbit/s>`.
fn bandwidth(value: &str) -> Option<u32> {
    let (kind, number) = value.split_once(':')?;
    if kind.trim() != "AS" {
        return None;
    }
    number.trim().parse().ok().filter(|number| *number > 0)
}

/// Without a payload type on the `m=` line (empty, or `smart/1/90000` of TP-Link and Mercury) the rtpmap lines have it.
fn adopt_payload_types(media: &mut Media) {
    if media.payload_types.is_empty() {
        let found: Vec<u8> = media.rtpmaps().map(|encoding| encoding.payload_type).collect();
        for payload_type in found {
            add_payload_type(media, payload_type);
        }
    }
}

/// Gives fmtp lines that stand in the wrong medium (go2rtc, BugSDP2) or have a wrong number (gortsplib 658) to the payload
/// type they are for: that number in another medium, else the only payload type of their own, if it has no parameters.
fn repair_fmtp(media: &mut [Media]) {
    for index in 0..media.len() {
        let stray: Vec<(u8, String)> = media[index]
            .fmtps()
            .filter(|(payload_type, _)| !media[index].payload_types.contains(payload_type))
            .map(|(payload_type, parameters)| (payload_type, parameters.to_owned()))
            .collect();
        for (payload_type, parameters) in stray {
            let lacks =
                |media: &Media, number| media.payload_types.contains(&number) && media.fmtp(number).is_none();
            let own = match *media[index].payload_types.as_slice() {
                [only] => only,
                _ => payload_type,
            };
            let (to, number) = match media.iter().position(|other| lacks(other, payload_type)) {
                Some(other) => (other, payload_type),
                None if lacks(&media[index], own) => (index, own),
                None => continue,
            };
            let is_stray = |value: &String| read_fmtp(value) == Some((payload_type, parameters.as_str()));
            media[index].attributes.retain(|attribute| {
                !(attribute.name.eq_ignore_ascii_case("fmtp")
                    && attribute.value.as_ref().is_some_and(is_stray))
            });
            let value = Some(format!("{number} {parameters}"));
            media[to].attributes.push(Attribute { name: "fmtp".to_owned(), value });
        }
    }
}

const MAX_LENGTH: usize = 64 * 1024;
const MAX_MEDIA: usize = 32;
const MAX_ATTRIBUTES: usize = 256;

/// Each takes up to 112 bytes of memory for 6 of text.
const MAX_ATTRIBUTES_IN_ALL: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn media(text: &str) -> Vec<Media> {
        parse(text.as_bytes()).unwrap().media
    }

    #[test]
    fn sizes_are_bounded_and_the_error_says_which() {
        assert_eq!(parse(&[b'\n'; MAX_LENGTH + 1]), Err(Error::TooLong(MAX_LENGTH + 1)));
        assert_eq!(parse("m=video 0 RTP/AVP 26\n".repeat(33).as_bytes()), Err(Error::TooManyMedia));
        assert_eq!(media(&"m=video 0 RTP/AVP 26\n".repeat(32)).len(), 32);
        assert_eq!(parse(b""), Err(Error::NoMedia));
        assert_eq!(parse(b"<html></html>"), Err(Error::NoMedia));
        let many = format!("m=video 0 RTP/AVP 26\n{}", "a=x\n".repeat(1000));
        assert_eq!(media(&many)[0].attributes.len(), 256);
        let everywhere = format!("m=video 0 RTP/AVP 26\n{}", "a=x\n".repeat(200)).repeat(20);
        assert_eq!(media(&everywhere).iter().map(|media| media.attributes.len()).sum::<usize>(), 2048);
        assert_eq!(Error::TooManyMedia.to_string(), "the session description has more than 32 media");
    }

    #[test]
    fn session_lines_are_taken_from_in_front_of_the_media() {
        let sdp = parse(b"v=0\r\ns=\r\ns=One\r\ns=Two\r\na=tool: x 1\r\na=control:*\r\nm=video 0 RTP/AVP 26\r\ns=Three\r\na=control:t1")
            .unwrap();
        assert_eq!(sdp.name.as_deref(), Some("One"));
        assert_eq!(sdp.tool.as_deref(), Some("x 1"));
        assert_eq!(sdp.control.as_deref(), Some("*"));
        assert_eq!(sdp.media[0].control(), Some("t1"));
    }

    #[test]
    fn an_m_line_without_port_or_protocol_keeps_its_payload_type() {
        for line in [
            "m=video 0 RTP/AVP 26",
            "m=video RTP/AVP 26",
            "m=video 0 26",
            "m=Video\t49170/2  rtp/avp 26 26 300 x",
        ] {
            let media = media(line);
            assert_eq!(
                (media[0].kind.as_str(), media[0].payload_types.as_slice()),
                ("video", [26].as_slice()),
                "{line}"
            );
        }
        assert_eq!(media("m=")[0], Media::default());
    }

    #[test]
    fn an_fmtp_in_the_wrong_medium_or_under_a_wrong_number_is_put_right() {
        let other = media("m=video 0 RTP/AVP 96\na=x\nm=audio 0 RTP/AVP 8\na=fmtp:96 a=1");
        assert_eq!((other[0].fmtp(96), other[1].fmtp(96)), (Some("a=1"), None));
        let number = media("m=video 0 RTP/AVP 96\na=fmtp:96 a=1\nm=audio 0 RTP/AVP 104\na=fmtp:97 b=1");
        assert_eq!((number[0].fmtp(96), number[1].fmtp(104)), (Some("a=1"), Some("b=1")));
        let kept = media("m=audio 0 RTP/AVP 104\na=fmtp:104 a=1\na=fmtp:97 b=1");
        assert_eq!((kept[0].fmtp(104), kept[0].fmtp(97)), (Some("a=1"), Some("b=1")));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            _ = parse(&bytes);
        }

        #[test]
        fn no_lines_panic_and_every_m_line_counts(
            lines in prop::collection::vec("(m=|a=rtpmap:|a=fmtp:|a=|b=|)(video|audio|96|0|RTP/AVP|AS|:|;|/| |é){0,8}", 0..30),
        ) {
            let expected = lines.iter().filter(|line| line.starts_with("m=")).count();
            let found = parse(lines.join("\r\n").as_bytes()).map_or(0, |sdp| {
                for media in &sdp.media {
                    media.encoding();
                    media.direction();
                }
                sdp.media.len()
            });
            prop_assert_eq!(found, expected);
        }
    }
}
