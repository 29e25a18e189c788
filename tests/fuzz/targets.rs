//! What is done with hostile input, one function for each target. `tests/fuzz/run` feeds them what libFuzzer thinks of,
//! and a test (`tests/it/fuzzing.rs`) feeds them the seeds and everything that was ever found, on every run.
//!
//! None may panic, whatever comes, and each asserts what has to be true of anything that is accepted.

use std::time::Duration;

use bytes::Bytes;
use fanlight::codec::{AccessPoints, Codec, ParameterSets};
use fanlight::config::{Config, Defaults, Stream};
use fanlight::jpeg::{Assembler, Clip, Frame};
use fanlight::rtp::{Header, Rewriter, Start, Timeline, rtcp};
use fanlight::rtsp::authorization::Authorization;
use fanlight::rtsp::range::Range;
use fanlight::rtsp::{
    Item, Limits, Uri, leading_blanks, missing_body, parse, parse_http_head, rtp_info, session_id, transport,
    without_userinfo,
};
use fanlight::sdp::{self, Description};
use fanlight::vocabulary::TrackId;

/// What eats input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its file in `fuzz_targets`.
pub const ALL: &[(&str, Target)] = &[
    ("rtsp_message", rtsp_message),
    ("camera", camera),
    ("http_head", http_head),
    ("headers", headers),
    ("sdp", sdp),
    ("rtp", rtp),
    ("rtcp", rtcp),
    ("jpeg_payload", jpeg_payload),
    ("jpeg_image", jpeg_image),
    ("config", config),
];

/// What a connection reads, to its end.
pub fn rtsp_message(data: &[u8]) {
    let limits = Limits::default();
    let mut rest = data;
    loop {
        let (item, consumed) = match parse(rest, &limits) {
            Ok(None) => {
                assert!(leading_blanks(rest) <= rest.len());
                return;
            }
            Ok(Some(found)) => found,
            Err(rejection) => {
                let mut answer = Vec::new();
                rejection.answer().inspect(|response| response.write(&mut answer));
                let Some(consumed) = rejection.consumed else { return };
                assert!(consumed > 0 && consumed <= rest.len());
                rest = &rest[consumed..];
                continue;
            }
        };
        assert!(consumed > 0 && consumed <= rest.len());
        let mut written = Vec::new();
        match &item {
            Item::Request(request) => {
                let _ = (request.cseq(), Uri::parse(&request.uri), format!("{request:?}"));
                request.write(&mut written);
            }
            Item::Response(response) => {
                let _ = response.cseq();
                response.write(&mut written);
            }
            Item::Data { payload, .. } => {
                assert!(payload.len() + 4 <= consumed, "blanks may stand before it")
            }
        }
        if !written.is_empty() && written.len() < limits.head {
            // What is written is canonical: it is read back as the same, but for what is normalised on the way.
            let (again, length) = parse(&written, &limits).expect("it is canonical").expect("it is whole");
            assert_eq!(length, written.len());
            let mut once_more = Vec::new();
            match again {
                Item::Request(request) => request.write(&mut once_more),
                Item::Response(response) => response.write(&mut once_more),
                Item::Data { .. } => unreachable!("it begins with a letter"),
            }
            assert_eq!(once_more, written);
        }
        rest = &rest[consumed..];
    }
}

/// All that a camera sends to the direct client, from the answer to DESCRIBE to the last packet.
pub fn camera(data: &[u8]) {
    fanlight::source::converse(data);
}

/// What a tunnel or a proxy says before RTSP begins.
pub fn http_head(data: &[u8]) {
    let limits = Limits::default();
    if let Ok(Some((head, consumed))) = parse_http_head(data, &limits) {
        assert!(consumed > 0 && consumed <= data.len() && consumed <= 2 * limits.head);
        assert!(head.headers.len() <= limits.headers);
    }
    if let Some(missing) = missing_body(data, &limits) {
        assert!(missing > 0 && missing <= limits.body);
        // With that much more it is whole, unless something is wrong with its head.
        let whole = [data, &vec![b'\n'; missing]].concat();
        assert!(!matches!(parse(&whole, &limits), Ok(None)));
    }
}

/// The value of any header, and a URI.
pub fn headers(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    for spec in transport::parse(text) {
        if let Some(offer) = spec.offer() {
            let _ = offer.transport();
        }
    }
    if let Ok(range) = Range::parse(text) {
        let written = range.to_string();
        assert!(Range::parse(&written).is_ok(), "{written}");
    }
    if let Some((id, _)) = session_id::parse(text) {
        assert!(!id.is_empty() && !id.contains(';'));
    }
    let infos = rtp_info::parse(text);
    let _ = rtp_info::format(&infos);
    let _ = without_userinfo(text);
    if let Ok(Some(uri)) = Uri::parse(text) {
        assert!(!uri.path.chars().any(char::is_control));
        let base = uri.content_base("127.0.0.1:8554");
        let again = Uri::parse(&base).expect("what we write is a URI").expect("and no asterisk");
        // A path may hold what looks like a control of ours once it is decoded.
        assert!(again.query.is_none() && (again.path == uri.path || again.track.is_some()), "{base}");
        let _ = uri.track_url("127.0.0.1:8554", TrackId(0));
    }
    if let Ok(Authorization::Digest(proof)) = Authorization::parse(text) {
        assert_eq!(proof.expected("", "PLAY").len(), proof.algorithm.digits());
    }
}

/// A camera's description, and what viewers are told of it.
pub fn sdp(data: &[u8]) {
    let Ok(parsed) = sdp::parse(data) else { return };
    let description = Description::from_sdp(&parsed);
    if description.tracks.is_empty() {
        return; // nothing in it can be played, so no viewer is told of it
    }
    let written = description.write("cam", 1, sdp::Range::Live);
    let again = Description::from_sdp(&sdp::parse(written.as_bytes()).expect("what we write is read"));
    assert_eq!(again.tracks.len(), description.tracks.len(), "{written}");
    for media in &parsed.media {
        let _ = (media.encoding(), media.control(), media.direction(), parsed.is_back_channel(media));
    }
}

/// Packets of a camera, each behind its length in two bytes: numbered, inspected by every codec, rewritten for a viewer.
pub fn rtp(data: &[u8]) {
    let codecs = [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp8, Codec::Vp9, Codec::Jpeg, Codec::Audio];
    let mut watches = codecs.map(|codec| AccessPoints::new(codec, None));
    let mut timeline = Timeline::new(90_000);
    let mut rewriter = Rewriter::new(7, Start { sequence: 65_000, timestamp: u32::MAX });
    for (packet, number) in chunks(data).zip(0..) {
        let Ok(header) = Header::parse(packet) else { continue };
        let payload = &packet[header.payload.clone()];
        for watch in &mut watches {
            watch.inspect(payload, header.timestamp);
            let _ = (watch.parameter_sets_changed(), watch.parameter_sets().map(ParameterSets::is_empty));
        }
        let arrival = Duration::from_millis(40 * number);
        if let Some(place) = timeline.place(header.ssrc, header.sequence, header.timestamp, arrival) {
            let mut copy = packet.to_vec();
            rewriter.rewrite(place.sequence, place.timestamp, &mut copy);
            let rewritten = Header::parse(&copy).expect("it still is a packet");
            assert_eq!((rewritten.ssrc, rewritten.payload), (7, header.payload));
        }
    }
}

/// A compound packet of a camera or a viewer.
pub fn rtcp(data: &[u8]) {
    let mut items = 0;
    rtcp::read(data, |_| items += 1);
    assert!(items <= data.len() / 4);
}

/// Payloads of a camera that sends JPEG, each behind its length in two bytes; the first byte is the marker bit and a
/// step of the timestamp.
pub fn jpeg_payload(data: &[u8]) {
    let mut assembler = Assembler::new(data.len().is_multiple_of(2).then_some((2560, 1920)));
    let mut timestamp = 0;
    for chunk in chunks(data) {
        let Some((&control, payload)) = chunk.split_first() else { continue };
        timestamp += u32::from(control >> 1 & 1) * 3600;
        if let Ok(Some(image)) = assembler.push(timestamp, control & 1 == 1, payload) {
            assert!(image.len() <= Assembler::MAX_IMAGE && image.starts_with(&[0xFF, 0xD8]));
        }
    }
    assert!(assembler.lost_frames() <= data.len() as u64);
}

/// A file of pictures: what can be sent arrives as the same picture.
pub fn jpeg_image(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let _ = Clip::parse(data.clone());
    let Ok(frame) = Frame::parse(data) else { return };
    let mut assembler = Assembler::new(None);
    let mut arrived = None;
    frame.packetize(600, |headers, data, marker| {
        let payload = [headers, data].concat();
        assert!(payload.len() <= 600);
        arrived = assembler.push(1, marker, &payload).expect("our own payloads fit");
    });
    let arrived = arrived.expect("the last payload completes it");
    let again = Frame::parse(arrived).expect("what we put together can be sent again");
    let padded = |length: u16| length.next_multiple_of(8);
    assert_eq!((again.width(), again.height()), (padded(frame.width()), padded(frame.height())));
}

/// A configuration file, and a stream as the API takes it. The environment holds a secret that no message may show.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = |name: &str| (name != "NONE").then(|| format!("pl4nted-{name}"));
    if let Err(problems) = Config::parse(text, &environment) {
        assert!(!problems.0.is_empty());
        assert!(text.contains("pl4nted") || !problems.to_string().contains("pl4nted"), "{problems}");
    }
    if let Ok(json) = serde_json::from_str(text) {
        let _ = Stream::from_json(&json, &Defaults::default());
    }
}

/// Pieces of `data`, each behind its length in two bytes; the last one may be cut.
fn chunks(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let (chunk, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        data = rest;
        Some(chunk)
    })
}
