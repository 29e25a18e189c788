//! The `RTP-Info` header (RFC 2326 section 12.33).

use std::fmt;

/// What PLAY says about one track. Its `Display` is one element of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpInfo {
    /// The track's URI, absolute or only its control; cameras leave it out or give a wrong one.
    pub url: Option<String>,
    /// The sequence number of the first packet.
    pub seq: Option<u16>,
    /// The RTP timestamp of the first packet.
    pub rtptime: Option<u32>,
}

/// Reads an `RTP-Info` header, one element for each track. A field that is missing or does not fit is `None`.
///
/// An element ends at a comma that one of the three known fields follows, since URLs may hold commas
/// themselves.
pub fn parse(header: &str) -> Vec<RtpInfo> {
    let mut infos: Vec<RtpInfo> = Vec::new();
    let mut rest = header;
    while !rest.is_empty() {
        let mut commas = rest.match_indices(',').map(|(at, _)| at);
        let end = commas.find(|at| begins_with_field(&rest[at + 1..])).unwrap_or(rest.len());
        infos.push(info(&rest[..end]));
        rest = rest.get(end + 1..).unwrap_or("");
    }
    infos
}

/// Writes an `RTP-Info` header.
pub fn format(infos: &[RtpInfo]) -> String {
    infos.iter().map(RtpInfo::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for RtpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "url={}", self.url.as_deref().unwrap_or_default())?;
        if let Some(seq) = self.seq {
            write!(f, ";seq={seq}")?;
        }
        if let Some(rtptime) = self.rtptime {
            write!(f, ";rtptime={rtptime}")?;
        }
        Ok(())
    }
}

fn info(element: &str) -> RtpInfo {
    let mut info = RtpInfo { url: None, seq: None, rtptime: None };
    for field in element.split(';') {
        let Some((key, value)) = field.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "url" => info.url = Some(value.trim_end_matches(',').to_owned()).filter(|url| !url.is_empty()),
            "seq" => info.seq = value.parse().ok(),
            "rtptime" => info.rtptime = value.parse().ok(),
            _ => {}
        }
    }
    info
}

fn begins_with_field(text: &str) -> bool {
    let key = text.split_once('=').map_or("", |(key, _)| key.trim());
    ["url", "seq", "rtptime"].iter().any(|known| known.eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(url: &str, seq: impl Into<Option<u16>>, rtptime: impl Into<Option<u32>>) -> RtpInfo {
        RtpInfo { url: Some(url.to_owned()), seq: seq.into(), rtptime: rtptime.into() }
    }

    #[test]
    fn a_list_is_read_with_its_blanks_and_extras() {
        assert_eq!(
            parse(
                "url=rtsp://h/t/trackID=1;seq=35243;rtptime=717574556;ssrc=56597976, URL=trackID=2 ; Seq = 1;"
            ),
            [entry("rtsp://h/t/trackID=1", 35243, 717_574_556), entry("trackID=2", 1, None)]
        );
    }

    #[test]
    fn a_url_may_hold_commas() {
        assert_eq!(
            parse("url=rtsp://h/a,b,c;seq=1,url=rtsp://h/d,;seq=2"),
            [entry("rtsp://h/a,b,c", 1, None), entry("rtsp://h/d", 2, None)]
        );
    }

    #[test]
    fn a_field_that_does_not_fit_is_left_out() {
        assert_eq!(parse("url=a;seq=70000;rtptime=5"), [entry("a", None, 5)]);
        assert_eq!(parse("url=a;seq=-1;rtptime=-1"), [entry("a", None, None)]);
        assert_eq!(parse("url=a;seq;rtptime=4294967296;x"), [entry("a", None, None)]);
        let [first, second] = &parse("seq=1;rtptime=2,seq=3")[..] else { panic!() };
        assert_eq!((&first.url, first.seq, second.seq), (&None, Some(1), Some(3)));
        assert_eq!(parse("rtptime")[0].rtptime, None);
        assert_eq!(parse(""), []);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            infos in prop::collection::vec(("[a-z:/=?&.]{1,20}", any::<Option<u16>>(), any::<Option<u32>>()), 0..4)
        ) {
            let infos: Vec<_> = infos.iter().map(|(url, seq, rtptime)| entry(url, *seq, *rtptime)).collect();
            prop_assert_eq!(parse(&format(&infos)), infos);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(url=|seq=|rtptime=|[0-9]{1,12}|[,;= ]|\\PC){0,20}") {
            let _ = parse(&text);
        }
    }
}
