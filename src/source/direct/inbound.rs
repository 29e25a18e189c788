//! The camera's side of the connection, cut into messages and packets, and back in step after stray bytes.
//!
//! Cheap cameras put NULs, line ends or parts of a frame between the frames (C79), old ones the packets of another
//! session in front of the first answer (C26). What makes no sense is passed over up to the next `$` of a channel we
//! know with RTP behind it, or the next status line.

use bytes::{Buf, Bytes, BytesMut};

use crate::rtsp::{self, Item, Limits, Reason, Request, Response, leading_blanks, missing_body};

/// What the camera sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    /// An answer to one of our requests, or to none.
    Response(Response),
    /// A request of its own.
    Request(Request),
    /// An interleaved packet.
    Data { channel: u8, packet: Bytes },
}

/// Why reading cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InboundError {
    /// A message that cannot be taken.
    #[error("a message that cannot be taken: {reason}{}", number(*reason))]
    Message {
        /// What is wrong with it.
        reason: Reason,
    },
    /// Bytes of nothing.
    #[error("more than {STRAY_MAX} bytes that are neither RTSP nor RTP")]
    Stray,
}

/// Cuts the stream of bytes. Keeps no bytes itself: the buffer is the caller's, and holds at most a frame (65,539
/// bytes) or a message (head and body, [`Limits`]) that is not yet complete.
#[derive(Debug)]
pub(super) struct Framing {
    limits: Limits,
    /// Channels in use; before there are any, every channel will do.
    channels: Vec<u8>,
    /// Bytes passed over since the last item.
    stray: usize,
    /// Out of step: looking for the next beginning.
    lost: bool,
    /// Bytes passed over in all.
    skipped: u64,
    /// What comes next is a description, whatever its answer says of its length.
    described: bool,
    /// An answer without a length: what follows is its body, until nothing more comes.
    open: Option<Response>,
    /// Nothing more of a body will come.
    impatient: bool,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self {
            limits: Limits::default(),
            channels: Vec::new(),
            stray: 0,
            lost: false,
            skipped: 0,
            described: false,
            open: None,
            impatient: false,
        }
    }

    /// A description is awaited, or not any more. Its answer may lack a length, or have one that is too large.
    pub(super) fn expect_description(&mut self, expected: bool) {
        (self.described, self.open, self.impatient) = (expected, None, false);
    }

    /// Whether an answer waits for a body of unknown length.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What has come of a description is all of it.
    pub(super) fn give_up_waiting(&mut self) {
        self.impatient = self.described;
    }

    /// From now on frames of these channels are expected.
    pub(super) fn expect_channels(&mut self, channels: impl IntoIterator<Item = u8>) {
        self.channels.extend(channels);
    }

    /// Bytes passed over so far because they made no sense.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes the next item off the front of `buf`; `None` if it has not come yet. With `media`, a message that cannot be
    /// taken is passed over as well, for the sake of the packets behind it.
    pub(super) fn next(&mut self, buf: &mut BytesMut, media: bool) -> Result<Option<Inbound>, InboundError> {
        loop {
            if self.open.is_some() {
                return self.rest_of_description(buf);
            }
            if self.lost {
                let (at, found) = self.search(buf);
                self.skip(buf, at)?;
                if !found {
                    return Ok(None);
                }
                self.lost = false;
            }
            buf.advance(leading_blanks(buf));
            match buf.first() {
                None => return Ok(None),
                Some(b'$') => match self.frame(buf) {
                    Frame::Whole(inbound) => {
                        self.stray = 0;
                        return Ok(Some(inbound));
                    }
                    Frame::Part => return Ok(None),
                    Frame::None => self.lose(buf)?,
                },
                Some(_) => {
                    if let Some(name) = buf.get_mut(..5).filter(|name| name.eq_ignore_ascii_case(b"HTTP/")) {
                        // Old DVRs answer RTSP with the status line of HTTP (C07).
                        name[..4].copy_from_slice(b"RTSP");
                    }
                    match rtsp::parse(buf, &self.limits) {
                        Ok(None) if self.impatient => {
                            // Its length counts something that was never sent; line ends do no harm to an SDP.
                            let Some(missing) = missing_body(buf, &self.limits) else { return Ok(None) };
                            buf.extend(std::iter::repeat_n(b'\n', missing));
                            self.impatient = false;
                        }
                        Ok(None) => return Ok(None),
                        Ok(Some((Item::Response(response), len)))
                            if self.lacks_length(&response, &buf[len..]) =>
                        {
                            buf.advance(len);
                            self.open = Some(response);
                        }
                        Ok(Some((item, len))) => {
                            let inbound = match item {
                                Item::Request(request) => Inbound::Request(request),
                                Item::Response(response) => Inbound::Response(response),
                                Item::Data { channel, payload } => {
                                    Inbound::Data { channel, packet: Bytes::copy_from_slice(payload) }
                                }
                            };
                            buf.advance(len);
                            self.stray = 0;
                            return Ok(Some(inbound));
                        }
                        Err(rejection) => match (rejection.consumed, rejection.reason) {
                            // Nothing of RTSP: what follows it may be.
                            (Some(_), Reason::RequestLine) => self.lose(buf)?,
                            // The end of a string in C, in the middle of a header.
                            (None, Reason::ControlCharacter) if blank_controls(buf) => {}
                            (Some(len), _) => self.skip(buf, len)?,
                            (None, reason) if !media && is_fatal(reason) => {
                                return Err(InboundError::Message { reason });
                            }
                            // An HTTP status line that has only begun looks like nothing.
                            (None, Reason::NotRtsp) if b"HTTP/".starts_with(buf) => return Ok(None),
                            (None, _) => self.lose(buf)?,
                        },
                    }
                }
            }
        }
    }

    /// A description without a length, and none that came with it. An answer that nobody asked for says nothing of a
    /// content (C11).
    fn lacks_length(&self, response: &Response, rest: &[u8]) -> bool {
        let headers = &response.headers;
        let has_content = headers.get("Content-Type").is_some() || rest.starts_with(b"v=");
        let of_unknown_length = headers.get("Content-Length").is_none() && has_content;
        self.described && response.status.is_success() && of_unknown_length
    }

    /// Everything up to where nothing more comes is the body.
    fn rest_of_description(&mut self, buf: &mut BytesMut) -> Result<Option<Inbound>, InboundError> {
        if buf.len() > self.limits.body {
            return Err(InboundError::Message { reason: Reason::BodyTooLong });
        }
        if !std::mem::take(&mut self.impatient) {
            return Ok(None);
        }
        let body = buf.split().freeze();
        Ok(self.open.take().map(|response| Inbound::Response(Response { body, ..response })))
    }

    fn frame(&self, buf: &mut BytesMut) -> Frame {
        let [_, channel, high, low, rest @ ..] = &buf[..] else { return Frame::Part };
        let (channel, len) = (*channel, usize::from(u16::from_be_bytes([*high, *low])));
        let known = self.channels.is_empty() || self.channels.contains(&channel);
        if !known && (len == 0 || rest.first().is_some_and(|first| first >> 6 != 2)) {
            return Frame::None;
        }
        if rest.len() < len {
            return Frame::Part;
        }
        let mut frame = buf.split_to(4 + len);
        frame.advance(4);
        Frame::Whole(Inbound::Data { channel, packet: frame.freeze() })
    }

    /// Finds the next beginning, or where one may be that has not come whole.
    fn search(&self, buf: &[u8]) -> (usize, bool) {
        for (at, byte) in buf.iter().enumerate() {
            let rest = &buf[at..];
            match byte {
                b'$' => match rest {
                    [_, channel, high, low, version, ..] => {
                        let known = self.channels.is_empty() || self.channels.contains(channel);
                        if known && version >> 6 == 2 && (*high, *low) != (0, 0) {
                            return (at, true);
                        }
                    }
                    _ => return (at, false),
                },
                b'R' if rest.starts_with(STATUS) => return (at, true),
                b'R' if STATUS.starts_with(rest) => return (at, false),
                _ => {}
            }
        }
        (buf.len(), false)
    }

    /// The front of the buffer makes no sense.
    fn lose(&mut self, buf: &mut BytesMut) -> Result<(), InboundError> {
        self.lost = true;
        self.skip(buf, 1)
    }

    fn skip(&mut self, buf: &mut BytesMut, len: usize) -> Result<(), InboundError> {
        buf.advance(len);
        self.stray += len;
        self.skipped += len as u64;
        if self.stray > STRAY_MAX { Err(InboundError::Stray) } else { Ok(()) }
    }
}

enum Frame {
    Whole(Inbound),
    Part,
    None,
}

/// Puts a blank in place of every control character in the head of a response; `false` if there is none, or no response.
fn blank_controls(buf: &mut [u8]) -> bool {
    if !buf.get(..STATUS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(STATUS)) {
        return false;
    }
    let end = buf.windows(2).position(|pair| pair == b"\n\r" || pair == b"\n\n").unwrap_or(buf.len());
    let mut found = false;
    for byte in &mut buf[..end] {
        if byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t') {
            *byte = b' ';
            found = true;
        }
    }
    found
}

/// What says that the message is one, and not to be had.
fn is_fatal(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ContentLength | Reason::HeadTooLong | Reason::TooManyHeaders | Reason::BodyTooLong
    )
}

/// The limit a reason is about.
fn number(reason: Reason) -> String {
    let limits = Limits::default();
    match reason {
        Reason::HeadTooLong => format!(" (at most {} bytes)", limits.head),
        Reason::TooManyHeaders => format!(" (at most {})", limits.headers),
        Reason::BodyTooLong => format!(" (at most {} bytes)", limits.body),
        _ => String::new(),
    }
}

const STATUS: &[u8] = b"RTSP/";

/// Bytes passed over in one piece; the largest frame we may have lost step in has as many.
const STRAY_MAX: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything in `bytes`, which come in pieces of `size`; the packets of channel 0 by their content.
    fn read(bytes: &[u8], size: usize, channels: &[u8], media: bool) -> Result<Vec<String>, InboundError> {
        let mut framing = Framing::new();
        framing.expect_channels(channels.iter().copied());
        let mut buf = BytesMut::new();
        let mut found = Vec::new();
        for piece in bytes.chunks(size.max(1)) {
            buf.extend_from_slice(piece);
            while let Some(inbound) = framing.next(&mut buf, media)? {
                found.push(match inbound {
                    Inbound::Response(response) => response.status.0.to_string(),
                    Inbound::Request(request) => request.method.to_string(),
                    Inbound::Data { channel, packet } => format!("{channel}:{}", packet.len()),
                });
            }
        }
        Ok(found)
    }

    fn frame(channel: u8, len: u8) -> Vec<u8> {
        let mut frame = vec![b'$', channel, 0, len];
        frame.extend((0..len).map(|at| if at == 0 { 0x80 } else { b'x' }));
        frame
    }

    const OK: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n";

    #[test]
    fn c79_stray_bytes_between_frames_cost_no_frame() {
        for stray in [
            &b"\0"[..],
            b"\n\n",
            b"\r\n",
            b"\0\0\0\0",
            b"garbage",
            b"a b c\n",
            b"\xff\xd8$\x07",
            b"$",
            b"RTS",
        ] {
            let bytes = [&frame(0, 20)[..], stray, &frame(1, 8), stray, OK, stray, &frame(0, 30)].concat();
            for size in [1, 3, 1000] {
                let found = read(&bytes, size, &[0, 1], true).unwrap();
                assert_eq!(found, ["0:20", "1:8", "200", "0:30"], "{} by {size}", stray.escape_ascii());
            }
        }
    }

    #[test]
    fn c81_a_frame_of_a_channel_nobody_agreed_on_is_a_frame() {
        let bytes = [frame(9, 20), frame(0, 12)].concat();
        assert_eq!(read(&bytes, 7, &[0, 1], true).unwrap(), ["9:20", "0:12"]);
    }

    #[test]
    fn c80_an_empty_frame_is_a_frame() {
        let bytes = [frame(0, 0), frame(0, 12)].concat();
        assert_eq!(read(&bytes, 1, &[0, 1], true).unwrap(), ["0:0", "0:12"]);
    }

    #[test]
    fn c26_packets_before_the_first_answer_are_told_apart_from_it() {
        let bytes = [&frame(0, 200)[..], OK].concat();
        assert_eq!(read(&bytes, 5, &[], false).unwrap(), ["0:200", "200"]);
    }

    #[test]
    fn c07_a_status_line_of_http_counts() {
        let answer = b"HTTP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 2\r\n\r\nxy";
        for size in [1, 2, 4, 100] {
            assert_eq!(read(answer, size, &[], false).unwrap(), ["200"]);
        }
    }

    #[test]
    fn c30_what_would_fill_us_up_is_refused_by_its_limit() {
        let endless = [b"RTSP/1.0 200 OK\r\nA: ", &vec![b'x'; 100_000][..]].concat();
        let many = [b"RTSP/1.0 200 OK\r\n", b"A: b\r\n".repeat(100).as_slice()].concat();
        let body = |length: &str| format!("RTSP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        for (bytes, words) in [
            (endless, "head too long (at most 16384 bytes)"),
            (many, "too many header fields (at most 64)"),
            (body("8000000000"), "body too long (at most 65536 bytes)"),
            (body("-1"), "malformed content-length"),
            (body("1\r\nContent-Length: 2"), "malformed content-length"),
        ] {
            let error = read(&bytes, 1000, &[], false).unwrap_err();
            assert!(error.to_string().ends_with(words), "{error}");
            // Packets that flow are worth more than one bad message.
            let with_media = [&bytes[..], &frame(0, 20)].concat();
            assert_eq!(read(&with_media, 1000, &[0, 1], true).unwrap().last().unwrap(), "0:20");
        }
        assert_eq!(read(&vec![0; 200_000], 1000, &[0, 1], true), Err(InboundError::Stray));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn how_the_bytes_are_cut_does_not_matter(
            pieces in prop::collection::vec(prop_oneof![
                (0u8..3, 1u8..40).prop_map(|(channel, len)| frame(channel, len)),
                Just(OK.to_vec()),
                Just(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec()),
                Just(b"\r\n".to_vec()),
            ], 0..12),
            size in 1usize..30,
        ) {
            let bytes = pieces.concat();
            prop_assert_eq!(read(&bytes, size, &[0, 1], true), read(&bytes, bytes.len(), &[0, 1], true));
        }

        #[test]
        fn nothing_makes_it_panic_or_hold_more_than_a_frame(
            bytes in prop::collection::vec(prop_oneof![Just(b'$'), Just(0), Just(0x80), Just(b'R'), any::<u8>()], 0..1000),
            media: bool,
        ) {
            let _ = read(&bytes, 700, &[0, 1], media);
        }
    }
}
