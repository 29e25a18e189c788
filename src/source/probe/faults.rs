//! What is wrong with a camera's session description, in words. The relay puts up with all of it; players may not.

use crate::codec::{Codec, ParameterSets, parameters};
use crate::sdp::{Media, Sdp};

/// The known faults of a description: `body` as it came, `sdp` as it was understood. At most [`FAULTS_MAX`].
pub(super) fn faults(body: &[u8], sdp: &Sdp) -> Vec<String> {
    let mut found = Vec::new();
    lines(body, &mut found);
    controls(sdp, &mut found);
    for (index, media) in sdp.media.iter().enumerate() {
        of_track(index, media, &mut found);
    }
    found.truncate(FAULTS_MAX);
    found
}

fn lines(body: &[u8], found: &mut Vec<String>) {
    let mut add = |wrong: bool, words: &str| {
        if wrong {
            found.push(words.to_owned());
        }
    };
    add(std::str::from_utf8(body).is_err(), "it is not UTF-8 (RFC 8866 section 5)");
    add(body.contains(&0), "it has NUL bytes: its length is told wrong, or they end its lines");
    let newlines = body.iter().filter(|byte| **byte == b'\n').count();
    let pairs = body.windows(2).filter(|pair| pair == b"\r\n").count();
    add(newlines > pairs, "its lines end with LF alone, not CRLF (cameras.md C04)");
    add(newlines == 0 && body.contains(&b'\r'), "its lines end with CR alone, not CRLF");
    let text = String::from_utf8_lossy(body);
    let mut fields = text.split(['\r', '\n']).filter(|line| !line.trim().is_empty());
    let first = |kind: &str| {
        text.split(['\r', '\n'])
            .take_while(|line| !line.starts_with("m="))
            .find_map(|line| line.strip_prefix(kind))
    };
    add(fields.next().is_none_or(|line| line.trim() != "v=0"), "it does not begin with v=0 (C67)");
    match first("o=") {
        None => add(true, "the line o= is missing (C67)"),
        Some(origin) => {
            let words: Vec<&str> = origin.split_whitespace().collect();
            let numbers = words.iter().skip(1).take(2).all(|word| word.parse::<u64>().is_ok());
            add(
                words.len() != 6 || !numbers,
                "the line o= has not the six words it should have (C61 to C65)",
            );
        }
    }
    add(first("s=").is_none(), "the line s= is missing (C67)");
    match first("t=") {
        None => add(true, "the line t= is missing"),
        Some(time) => {
            let numbers = time.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).count();
            add(numbers != 2, "the line t= has not two numbers (C66)");
        }
    }
    let connections = text.split(['\r', '\n']).filter_map(|line| line.strip_prefix("c="));
    let broken = |line: &str| line.split_whitespace().count() != 3;
    add(connections.into_iter().any(broken), "a line c= is not `IN IP4 address` (C63)");
    let odd = |line: &str| line.as_bytes().get(1) != Some(&b'=') && !line.trim().is_empty();
    add(text.trim_end_matches('\0').split(['\r', '\n']).any(odd), "it has lines that are not `letter=value`");
}

fn controls(sdp: &Sdp, found: &mut Vec<String>) {
    let controls: Vec<Option<&str>> = sdp.media.iter().map(Media::control).collect();
    if controls.len() > 1 {
        if controls.iter().any(Option::is_none) {
            found.push("a track has no a=control: only the first can be set up for certain".to_owned());
        }
        let mut named: Vec<&str> = controls.into_iter().flatten().collect();
        let all = named.len();
        named.sort_unstable();
        named.dedup();
        if named.len() < all {
            found.push("two tracks have the same a=control".to_owned());
        }
    }
}

fn of_track(index: usize, media: &Media, found: &mut Vec<String>) {
    let mut add = |wrong: bool, words: &str| {
        if wrong {
            found.push(format!("track {index}: {words}"));
        }
    };
    add(media.kind.is_empty() || media.kind.contains('/'), "the line m= names no kind of medium");
    add(
        media.protocol != "RTP/AVP" && media.protocol != "RTP/AVPF",
        "the protocol on its line m= is not RTP/AVP",
    );
    let Some(payload_type) = media.payload_types.first().copied() else {
        add(true, "it has no payload type, so it is left out (C60)");
        return;
    };
    let Some(encoding) = media.encoding() else {
        add(true, "no a=rtpmap says what its payload type is: no player can decode it");
        return;
    };
    add(encoding.payload_type != payload_type, "its a=rtpmap is for another payload type");
    let codec = Codec::of(&media.kind, &encoding.name);
    let video = media.kind == "video";
    add(video && encoding.clock_rate != 90_000, "video whose clock is not 90000 Hz");
    let fmtp = media.fmtp(payload_type).unwrap_or_default();
    if matches!(codec, Codec::H264 | Codec::H265) {
        let told = parameters(fmtp).any(|(name, _)| name.to_ascii_lowercase().starts_with("sprop-"));
        let sets = ParameterSets::from_fmtp(codec, fmtp);
        add(!told, "it has no sprop parameter sets: players wait for those in the stream");
        add(told && !sets.is_complete(codec), "its sprop parameter sets are broken or incomplete");
    }
    if codec == Codec::H264 {
        let mode = parameters(fmtp).find(|(name, _)| name.eq_ignore_ascii_case("packetization-mode"));
        add(
            mode.is_some_and(|(_, mode)| !matches!(mode, "0" | "1")),
            "its packetization-mode is neither 0 nor 1",
        );
    }
    let aac = encoding.name == "MPEG4-GENERIC";
    let config =
        || parameters(fmtp).any(|(name, value)| name.eq_ignore_ascii_case("config") && !value.is_empty());
    add(aac && !config(), "AAC without its config: no player can decode it");
}

const FAULTS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp;

    fn of(text: &str) -> Vec<String> {
        faults(text.as_bytes(), &sdp::parse(text.as_bytes()).unwrap())
    }

    const GOOD: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.7\r\ns=Cam\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
        m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t0\r\n\
        a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=,aO48gA==\r\n\
        m=audio 0 RTP/AVP 0\r\na=control:t1\r\n";

    #[test]
    fn a_description_by_the_book_has_none() {
        assert_eq!(of(GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_known_fault_has_its_words() {
        for (from, to, words) in [
            ("\r\n", "\n", "LF alone"),
            ("v=0\r\n", "", "v=0"),
            ("o=- 1 1 IN IP4 10.0.0.7\r\n", "", "o= is missing"),
            ("o=- 1 1 IN IP4 10.0.0.7", "o=- 1001 1 IN", "six words"),
            ("t=0 0", "t=now-", "two numbers"),
            ("c=IN IP4 0.0.0.0", "c=IN 198.51.100.1", "IN IP4"),
            ("a=control:t1", "a=control:t0", "the same a=control"),
            ("a=control:t1\r\n", "", "no a=control"),
            ("a=rtpmap:96 H264/90000\r\n", "", "no a=rtpmap"),
            ("H264/90000", "H264/8000", "90000"),
            ("aO48gA==", "", "broken or incomplete"),
            ("packetization-mode=1", "packetization-mode=7", "packetization-mode"),
            ("sprop-parameter-sets", "nothing", "no sprop"),
            ("RTP/AVP 0", "RTP/AVP ", "no payload type"),
            ("s=Cam", "s=Cam\r\nwhat is this", "letter=value"),
        ] {
            let found = of(&GOOD.replace(from, to));
            assert!(found.iter().any(|fault| fault.contains(words)), "{words}: {found:?}");
        }
    }
}
