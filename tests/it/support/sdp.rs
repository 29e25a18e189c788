//! Just enough SDP to find one's way: the text is looked at, not modelled.

/// The lines of a media section, from its `m=` line on; `None` when there are fewer media.
pub fn media(sdp: &str, track: usize) -> Option<Vec<&str>> {
    let mut sections = Vec::new();
    for line in sdp.lines() {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    (track < sections.len()).then(|| sections.swap_remove(track))
}

/// How many `m=` lines there are.
pub fn tracks(sdp: &str) -> usize {
    sdp.lines().filter(|line| line.starts_with("m=")).count()
}

/// The value of the first `a=NAME:` line of a track.
pub fn attribute<'a>(sdp: &'a str, track: usize, name: &str) -> Option<&'a str> {
    media(sdp, track)?
        .into_iter()
        .find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

/// One parameter of a track's `a=fmtp` line, such as `sprop-parameter-sets`.
pub fn fmtp<'a>(sdp: &'a str, track: usize, name: &str) -> Option<&'a str> {
    let (_, parameters) = attribute(sdp, track, "fmtp")?.split_once(' ')?;
    parameters.split(';').find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn attributes_are_looked_up_in_their_own_track() {
    let sdp = "v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=control:a\r\nm=audio 0 RTP/AVP 97\r\n\
               a=fmtp:97 mode=AAC-hbr; config=1190\r\na=control:b\r\n";
    assert_eq!(tracks(sdp), 2);
    assert_eq!(attribute(sdp, 0, "control"), Some("a"));
    assert_eq!(attribute(sdp, 1, "control"), Some("b"));
    assert_eq!(fmtp(sdp, 1, "config"), Some("1190"));
    assert_eq!(attribute(sdp, 2, "control"), None);
}
