//! An RTSP answer, header by header as it was written.

/// An answer. Header names keep their case and order.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One entry of an `RTP-Info` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpInfo {
    pub url: String,
    pub sequence: u16,
    pub rtptime: u32,
}

impl Answer {
    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Itself, if it is a 200.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    /// The `RTP-Info` entries, in order; all three parts are asked for.
    #[track_caller]
    pub fn rtp_info(&self) -> Vec<RtpInfo> {
        let header = self.header("RTP-Info").unwrap_or_else(|| panic!("no RTP-Info in {self:?}"));
        let entry = |text: &str| {
            let part = |name: &str| {
                text.split(';')
                    .find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
            };
            Some(RtpInfo {
                url: part("url")?,
                sequence: part("seq")?.parse().ok()?,
                rtptime: part("rtptime")?.parse().ok()?,
            })
        };
        header.split(',').map(|text| entry(text).unwrap_or_else(|| panic!("RTP-Info: {header}"))).collect()
    }

    /// A parameter of the Transport header, such as `ssrc`; empty for one without a value.
    pub fn transport(&self, name: &str) -> Option<&str> {
        let parameters = self.header("Transport")?.split(';');
        parameters
            .map(|p| p.split_once('=').unwrap_or((p, "")))
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// `server_port` of the Transport header.
    pub fn server_ports(&self) -> Option<(u16, u16)> {
        let (rtp, rtcp) = self.transport("server_port")?.split_once('-')?;
        Some((rtp.parse().ok()?, rtcp.parse().ok()?))
    }

    /// Cuts one complete answer off `buffer`. Strict: the relay's answers are canonical.
    pub(super) fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&buffer[..head - 4]).expect("an answer in UTF-8").to_owned();
        let (first, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
        let status = first.strip_prefix("RTSP/1.0 ").and_then(|rest| rest.split_once(' '));
        let (status, reason) = status.unwrap_or_else(|| panic!("not a status line: {first:?}"));
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("not a header: {line:?}"));
            (name.to_owned(), value.to_owned())
        };
        let headers = rest.split("\r\n").filter(|line| !line.is_empty()).map(header).collect();
        let mut answer =
            Self { status: status.parse().unwrap(), reason: reason.to_owned(), headers, body: Vec::new() };
        let body: usize = answer.header("Content-Length").map_or(0, |len| len.parse().unwrap());
        if buffer.len() < head + body {
            return None;
        }
        answer.body = buffer.drain(..head + body).skip(head).collect();
        Some(answer)
    }
}

#[test]
fn an_answer_is_taken_only_when_its_body_is_there() {
    let whole = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Length: 2\r\n\r\nab$".to_vec();
    for cut in 0..whole.len() - 1 {
        assert!(Answer::take(&mut whole[..cut].to_vec()).is_none(), "cut at {cut}");
    }
    let mut buffer = whole;
    let answer = Answer::take(&mut buffer).unwrap();
    assert_eq!((answer.status, answer.header("cseq"), answer.text().as_str()), (200, Some("3"), "ab"));
    assert_eq!(buffer, b"$");
}
