//! `rtsp-types` as the oracle: what it accepts, we accept, and read the same from it.
//!
//! The differences we mean to have:
//!
//! | it accepts | we |
//! |---|---|
//! | requests of RTSP/2.0 | answer 505: we speak 1.0 |
//! | CR, LF and other control characters inside a header's value | end the line there, or refuse |
//! | two `Content-Length` that differ (it takes the first), `+5` | refuse: the next message's beginning would be in doubt |
//! | a body of any length | refuse above [`Limits::body`] |
//! | an empty header name | refuse |
//! | names of which one begins the other, as one (`Sess` and `Session`, a slip in its ordering) | tell them apart |
//! | an empty method | skip the blank, so that the URI becomes the method |

use proptest::prelude::*;

use super::{Item, Limits, Reason, Rejection, Response, Status, parse};

type Oracle = rtsp_types::Message<Vec<u8>>;

/// What we have to say to bytes the oracle accepts.
#[derive(Debug, PartialEq)]
enum Expected {
    Same,
    Refused(Reason),
    Anything,
}

fn expected(head: &[u8], oracle: &Oracle) -> Expected {
    let text = String::from_utf8_lossy(head).trim_start().replace("\r\n", "");
    if text.contains(|c: char| c.is_ascii_control() && c != '\t') {
        return Expected::Anything;
    }
    let headers = fields(oracle);
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"));
    if let Some((_, length)) = length {
        let numbers: Vec<usize> = length.split(',').map(|number| number.trim().parse().unwrap()).collect();
        if length.contains('+') || numbers.iter().any(|number| *number != numbers[0]) {
            return Expected::Refused(Reason::ContentLength);
        }
        if numbers[0] > Limits::default().body {
            return Expected::Refused(Reason::BodyTooLong);
        }
    }
    match oracle {
        rtsp_types::Message::Request(request) if request.version() == rtsp_types::Version::V2_0 => {
            Expected::Refused(Reason::Version)
        }
        _ => Expected::Same,
    }
}

fn fields(oracle: &Oracle) -> Vec<(&str, &str)> {
    match oracle {
        rtsp_types::Message::Request(request) => {
            request.headers().map(|(n, v)| (n.as_str(), v.as_str())).collect()
        }
        rtsp_types::Message::Response(response) => {
            response.headers().map(|(n, v)| (n.as_str(), v.as_str())).collect()
        }
        rtsp_types::Message::Data(_) => Vec::new(),
    }
}

/// Every header, repeated ones joined and blanks left out, as the oracle joins and folds its own way.
fn normalised<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let value: String = value.split_ascii_whitespace().collect();
        match out.iter_mut().find(|(known, _)| *known == name) {
            Some((_, joined)) => *joined = format!("{joined},{value}"),
            None => out.push((name, value)),
        }
    }
    out.sort();
    out
}

fn compare(bytes: &[u8], oracle: &Oracle, consumed: usize) -> Result<(), TestCaseError> {
    let body: &[u8] = match oracle {
        rtsp_types::Message::Request(request) => request.body(),
        rtsp_types::Message::Response(response) => response.body(),
        rtsp_types::Message::Data(data) => data.as_slice(),
    };
    let said = parse(bytes, &Limits::default());
    match expected(&bytes[..consumed - body.len()], oracle) {
        Expected::Anything => return Ok(()),
        Expected::Refused(reason) => {
            prop_assert_eq!(said.map_err(|Rejection { reason, .. }| reason), Err(reason));
            return Ok(());
        }
        Expected::Same => {}
    }
    match (said, oracle) {
        (Ok(Some((Item::Request(request), len))), rtsp_types::Message::Request(theirs)) => {
            prop_assert_eq!(len, consumed);
            prop_assert_eq!(request.method.as_str(), <&str>::from(theirs.method()));
            let uri = (request.uri != "*").then(|| rtsp_types::Url::parse(&request.uri).unwrap());
            prop_assert_eq!(uri.as_ref(), theirs.request_uri());
            prop_assert_eq!(normalised(request.headers.iter()), normalised(fields(oracle).into_iter()));
            prop_assert_eq!(&request.body[..], body);
        }
        (Ok(Some((Item::Response(response), len))), rtsp_types::Message::Response(theirs)) => {
            prop_assert_eq!(len, consumed);
            prop_assert_eq!(response.status.0, u16::from(theirs.status()));
            prop_assert_eq!(normalised(response.headers.iter()), normalised(fields(oracle).into_iter()));
            prop_assert_eq!(&response.body[..], body);
        }
        (Ok(Some((Item::Data { channel, payload }, len))), rtsp_types::Message::Data(theirs)) => {
            prop_assert_eq!((len, channel, payload), (consumed, theirs.channel_id(), body));
        }
        (said, _) => prop_assert!(false, "{said:?} to {oracle:?}"),
    }
    Ok(())
}

fn start_line() -> impl Strategy<Value = String> {
    let version = || prop_oneof![9 => Just("RTSP/1.0"), 1 => Just("RTSP/2.0")];
    let uri = prop_oneof![Just("*".to_owned()), "rtsp://[a-z0-9.]{1,9}(:[0-9]{1,4})?(/[!-~]{0,9}){0,2}"];
    prop_oneof![
        ("[A-Z_!#%&'*+.^`|~-]{1,14}", uri, version())
            .prop_map(|(method, uri, version)| format!("{method} {uri} {version}")),
        (version(), "[0-9]{3}", "[ -~é]{0,12}")
            .prop_map(|(version, status, phrase)| format!("{version} {status} {phrase}")),
    ]
}

fn header_line() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        // Of one length, so that none begins another; the empty name has its test below.
        "X[A-Za-z0-9!#$%&'*+.^_`|~-]{9}",
        prop::sample::select(vec!["CSeq", "cseq", "Session", "Transport", "Content-Type"])
            .prop_map(str::to_owned),
    ];
    let value = prop_oneof![
        8 => "[ \t]{0,2}[ -~é\t]{0,20}",
        1 => "[ -~]{0,5}(\r\n[ \t]{1,2}[!-~]{0,6}){1,2}",
        // Controls, but no whole line end.
        1 => prop_oneof!["[\\x00-\\x09\\x0b-\\x7f]{0,9}", "[\\x00-\\x0c\\x0e-\\x7f]{0,9}"],
    ];
    prop_oneof![
        8 => (name, value).prop_map(|(name, value)| format!("{name}:{value}\r\n")),
        1 => "[Cc]ontent-[lL]ength: ?([+]?[0-9]{1,2}|70000) ?\r\n",
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(header_line(), 0..6);
    let body = prop::collection::vec(any::<u8>(), 100);
    let text = ("(\r\n){0,2}", start_line(), lines, body);
    prop_oneof![
        9 => text.prop_map(|(blank, start, lines, body)| {
            [format!("{blank}{start}\r\n{}\r\n", lines.concat()).as_bytes(), &body].concat()
        }),
        1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(channel, payload)| {
            let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
            [&[b'$', channel, len[0], len[1]], &payload[..]].concat()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_the_oracle_accepts_we_read_the_same(bytes in message()) {
        let Ok((oracle, consumed)) = Oracle::parse(&bytes) else {
            // Too many of these end the test with a failure.
            return Err(TestCaseError::reject("the oracle refuses it"));
        };
        compare(&bytes, &oracle, consumed)?;
    }

    #[test]
    fn what_we_write_the_oracle_reads(
        status in 100u16..600, cseq in any::<u32>(), value in "[!-~]{1,20}", body in "[ -~]{0,30}"
    ) {
        let mut bytes = Vec::new();
        let response = Response::new(Status(status)).header("Session", value).header("CSeq", cseq);
        response.body("text/parameters", body).write(&mut bytes);
        let (oracle, consumed) = Oracle::parse(&bytes).unwrap();
        prop_assert_eq!(consumed, bytes.len());
        compare(&bytes, &oracle, consumed)?;
    }
}

#[test]
fn the_meant_differences_are_real() {
    for (bytes, reason) in [
        (&b"OPTIONS * RTSP/2.0\r\n\r\n"[..], Reason::Version),
        (b"OPTIONS * RTSP/1.0\r\nA: \0\r\n\r\n", Reason::ControlCharacter),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", Reason::ContentLength),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: +1\r\n\r\nx", Reason::ContentLength),
        (b"OPTIONS * RTSP/1.0\r\n: x\r\n\r\n", Reason::HeaderLine),
        (b" * RTSP/1.0\r\n\r\n", Reason::RequestLine),
    ] {
        assert!(Oracle::parse(bytes).is_ok(), "{}", bytes.escape_ascii());
        assert_eq!(parse(bytes, &Limits::default()).unwrap_err().reason, reason);
    }
}
