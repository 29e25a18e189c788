use proptest::prelude::*;

use super::*;

const OPTIONS: &[u8] = b"OPTIONS rtsp://h/p RTSP/1.0\r\nCSeq: 1\r\n\r\n";

fn one(buf: &[u8]) -> (Item<'_>, usize) {
    parse(buf, &Limits::default()).unwrap().expect("complete")
}

fn request(buf: &[u8]) -> Request {
    match one(buf) {
        (Item::Request(request), len) if len == buf.len() => request,
        other => panic!("{other:?}"),
    }
}

fn response(buf: &[u8]) -> Response {
    match one(buf) {
        (Item::Response(response), len) if len == buf.len() => response,
        other => panic!("{other:?}"),
    }
}

fn rejection(buf: &[u8]) -> Rejection {
    match parse(buf, &Limits::default()) {
        Err(rejection) => rejection,
        Ok(other) => panic!("{other:?} from {}", buf.escape_ascii()),
    }
}

fn is_incomplete(buf: &[u8]) -> bool {
    parse(buf, &Limits::default()) == Ok(None)
}

/// The status, and whether the connection goes on with everything consumed.
fn verdict(buf: &[u8]) -> (u16, bool) {
    let rejection = rejection(buf);
    if let Some(consumed) = rejection.consumed {
        assert_eq!(consumed, buf.len());
    }
    (rejection.status.0, rejection.consumed.is_some())
}

#[test]
fn a_request_is_taken_apart() {
    let request =
        request(b"SETUP rtsp://h/p RTSP/1.0\r\nCSeq: 0007\r\nTransport: a,b\r\nContent-Length: 3\r\n\r\nxyz");
    assert_eq!(request.method, Method::Setup);
    assert_eq!(request.uri, "rtsp://h/p");
    assert_eq!(request.cseq(), Ok("0007"));
    assert_eq!(request.headers.get("transport"), Some("a,b"));
    assert_eq!(&request.body[..], b"xyz");
}

#[test]
fn every_proper_prefix_is_incomplete() {
    let messages: [&[u8]; 6] = [
        OPTIONS,
        b"\r\n \n\tOPTIONS * RTSP/1.0\nCSeq: 1\nA: b\n c\n\n",
        b"RTSP/1.0 200\r\nCSeq: 1\r\n\r\n",
        b"OPTIONS * RTSP/1.0\rCSeq: 1\r\r",
        b"SET_PARAMETER * RTSP/1.0\r\nContent-Length: 4\r\n\r\na\r\n\0",
        b"$\x01\x00\x05$\x00\x00\x01\x00",
    ];
    for message in messages {
        for cut in 0..message.len() {
            assert!(is_incomplete(&message[..cut]), "{}", message[..cut].escape_ascii());
        }
        assert_eq!(one(message).1, message.len());
    }
}

#[test]
fn pipelined_messages_come_one_by_one() {
    let mut buf = [OPTIONS, b"$\x00\x00\x01x", OPTIONS, b"\r\nRTSP/1.0 200 OK\r\n\r\n"].concat();
    let mut kinds = String::new();
    while let Some((item, len)) = parse(&buf, &Limits::default()).unwrap() {
        kinds.push(match item {
            Item::Request(_) => 'q',
            Item::Response(_) => 'r',
            Item::Data { .. } => 'd',
        });
        buf.drain(..len);
    }
    assert_eq!((kinds.as_str(), buf.len()), ("qdqr", 0));
}

#[test]
fn a_line_may_end_with_lf_or_cr_alone() {
    for end in ["\r\n", "\n", "\r"] {
        let text = format!("OPTIONS * RTSP/1.0{end}CSeq: 1{end}A: b{end}{end}");
        let request = request(text.as_bytes());
        assert_eq!((request.cseq(), request.headers.get("a")), (Ok("1"), Some("b")), "{end:?}");
    }
    request(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\n\r\n");
    // The next request must not be taken for the missing half of a line end.
    let (_, len) = one(b"OPTIONS * RTSP/1.0\nCSeq: 1\n\rOPTIONS");
    assert_eq!(len, 28);
}

#[test]
fn blanks_before_a_message_are_skipped() {
    for noise in ["\r\n", "\n\n", "  ", "\t\r\n "] {
        request(&[noise.as_bytes(), OPTIONS].concat());
        assert_eq!(leading_blanks(&[noise.as_bytes(), OPTIONS].concat()), noise.len());
    }
    assert_eq!(one(b"\n$\x07\x00\x00").0, Item::Data { channel: 7, payload: b"" });
    let flood = vec![b'\n'; Limits::default().head + 1];
    assert!(is_incomplete(&flood[1..]));
    assert_eq!(verdict(&flood), (400, false));
}

#[test]
fn a_header_is_read_with_and_without_its_blanks() {
    let request =
        request(b"OPTIONS * RTSP/1.0\r\nCSeq:1\r\nA:    b c \t\r\nD :e\r\nE:\r\nF: \r\ne: second\r\n\r\n");
    let fields: Vec<_> = request.headers.iter().collect();
    assert_eq!(fields, [("CSeq", "1"), ("A", "b c"), ("D", "e"), ("E", ""), ("F", ""), ("e", "second")]);
}

#[test]
fn a_folded_line_continues_the_header_before() {
    let request = request(b"OPTIONS * RTSP/1.0\r\nA: b,\r\n \tc: d\r\n\te\r\nG:\r\n h\r\nCSeq: 1\r\n\r\n");
    let fields: Vec<_> = request.headers.iter().collect();
    assert_eq!(fields, [("A", "b, c: d e"), ("G", "h"), ("CSeq", "1")]);
    assert_eq!(verdict(b"OPTIONS * RTSP/1.0\r\n Session: 1\r\nCSeq: 1\r\n\r\n"), (400, true));
}

#[test]
fn a_header_line_without_colon_or_name_is_refused_and_the_connection_goes_on() {
    for line in ["nonsense", ": value"] {
        let text = format!("GET_PARAMETER * RTSP/1.0\r\nCSeq: 8\r\n{line}\r\nContent-Length: 2\r\n\r\nxy");
        let rejection = rejection(text.as_bytes());
        assert_eq!(rejection.reason, Reason::HeaderLine);
        assert_eq!((rejection.cseq.as_deref(), rejection.consumed), (Some("8"), Some(text.len())));
        assert!(is_incomplete(&text.as_bytes()[..text.len() - 1]));
    }
}

#[test]
fn a_control_character_in_the_head_is_refused_and_never_echoed() {
    for head in
        ["OPTIONS * RTSP/1.0\r\nCSeq: 1\0x", "OPTIONS /\0", "OPTIONS * RTSP/1.0\r\n\x1b[2J", "OPTIONS /\x7f"]
    {
        let rejection = rejection(head.as_bytes());
        assert_eq!(rejection.reason, Reason::ControlCharacter, "{head:?}");
        assert_eq!((rejection.status, rejection.cseq, rejection.consumed), (Status::BAD_REQUEST, None, None));
    }
    let later = rejection(b"OPTIONS * RTSP/1.0\r\nCSeq: 3\r\nA: \0");
    assert_eq!(later.cseq.as_deref(), Some("3"));
}

#[test]
fn a_head_is_refused_as_soon_as_it_passes_a_limit() {
    let start = b"OPTIONS * RTSP/1.0\r\n";
    let long = [start, b"A: ".as_slice(), &vec![b'x'; 2 << 20]].concat();
    assert!(is_incomplete(&long[..Limits::default().head]));
    assert_eq!(rejection(&long[..=Limits::default().head]).reason, Reason::HeadTooLong);
    assert_eq!(verdict(&long), (400, false));

    let fields = |n: usize| [start.as_slice(), b"A: b\r\n".repeat(n).as_slice()].concat();
    assert!(is_incomplete(&fields(64)));
    assert_eq!(one(&[fields(64), b"\r\n".to_vec()].concat()).1, 20 + 64 * 6 + 2);
    assert_eq!(rejection(&fields(65)).reason, Reason::TooManyHeaders);
    assert_eq!(verdict(&fields(300)), (400, false));
}

#[test]
fn a_long_uri_is_refused_before_its_end() {
    let uri = |n: usize| format!("OPTIONS rtsp://h/{} RTSP/1.0\r\nCSeq: 1\r\n\r\n", "x".repeat(n - 9));
    request(uri(2048).as_bytes());
    assert_eq!(verdict(uri(2049).as_bytes()), (414, false));
    let endless = format!("OPTIONS {}", "x".repeat(2048 + 64));
    assert_eq!(verdict(endless.as_bytes()), (414, false));
}

#[test]
fn a_content_length_that_leaves_a_doubt_closes_the_connection() {
    for length in
        ["-1", "+5", "5x", "18446744073709551616", "", "5, 5", "0x5", "5\r\n 6", "5\r\ncontent-length: 6"]
    {
        let text = format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {length}\r\n\r\nhello");
        let rejection = rejection(text.as_bytes());
        assert_eq!((rejection.reason, rejection.consumed), (Reason::ContentLength, None), "{length}");
        assert_eq!((rejection.status.0, rejection.cseq.as_deref()), (400, Some("1")));
    }
}

#[test]
fn a_content_length_above_the_limit_is_refused_without_waiting() {
    for length in ["65537", "8000000000", "18446744073709551615"] {
        let text = format!("OPTIONS * RTSP/1.0\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(verdict(text.as_bytes()), (413, false), "{length}");
    }
    assert!(is_incomplete(b"OPTIONS * RTSP/1.0\r\nContent-Length: 65536\r\n\r\n"));
}

#[test]
fn equal_content_lengths_are_one() {
    let text = b"OPTIONS * RTSP/1.0\r\nContent-Length: 2\r\ncontent-length : 002\r\n\r\nxy";
    assert_eq!(&request(text).body[..], b"xy");
}

#[test]
fn another_version_of_rtsp_gets_505_and_the_connection_goes_on() {
    let with = |version: &str| format!("OPTIONS * {version}\r\nCSeq: 5\r\n\r\n");
    for version in ["RTSP/2.0", "RTSP/1.1", "rtsp/0.9"] {
        assert_eq!(verdict(with(version).as_bytes()), (505, true), "{version}");
    }
    for version in ["RTSP/999.0", "RTSP/1", "RTSP/", "SIP/2.0", "x"] {
        assert_eq!(verdict(with(version).as_bytes()), (400, true), "{version}");
    }
    request(with("rtsp/1.0").as_bytes());
}

#[test]
fn a_request_line_may_be_spaced_freely() {
    for line in ["OPTIONS * RTSP/1.0  ", "OPTIONS\t*\tRTSP/1.0", "OPTIONS   *   RTSP/1.0\t"] {
        let request = request(format!("{line}\r\n\r\n").as_bytes());
        assert_eq!((request.method, request.uri.as_str()), (Method::Options, "*"), "{line:?}");
    }
    let request = request(b"PLAY rtsp://h/my front door RTSP/1.0\r\n\r\n");
    assert_eq!(request.uri, "rtsp://h/my front door");
}

#[test]
fn a_request_line_of_too_few_words_is_refused_and_the_connection_goes_on() {
    for line in ["OPTIONS", "OPTIONS RTSP/1.0", "OPTIONS rtsp://h/\u{e9}"] {
        let text = format!("{line}\r\nCSeq: 5\r\n\r\n");
        assert_eq!(verdict(text.as_bytes()), (400, true), "{line}");
        assert_eq!(rejection(text.as_bytes()).cseq.as_deref(), Some("5"));
    }
    assert_eq!(verdict(b"OPTIONS rtsp://h/\xff RTSP/1.0\r\n\r\n"), (400, true));
    assert_eq!(request("OPTIONS rtsp://h/\u{e9} RTSP/1.0\r\n\r\n".as_bytes()).uri, "rtsp://h/\u{e9}");
}

#[test]
fn an_unknown_method_is_a_request() {
    for name in ["FOO", "options", "!#$%&'*+-.^_`|~0"] {
        let text = format!("{name} * RTSP/1.0\r\n\r\n");
        assert_eq!(request(text.as_bytes()).method, Method::Other(name.to_owned()));
    }
}

#[test]
fn http_is_recognised_at_its_request_line() {
    for text in ["GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\n", "OPTIONS rtsp://h/p HTTP/1.1\r\n"] {
        let rejection = rejection(text.as_bytes());
        assert_eq!((rejection.reason, rejection.consumed), (Reason::Http, None), "{text}");
        assert!(is_incomplete(&text.as_bytes()[..text.len() - 2]));
    }
}

#[test]
fn what_cannot_be_rtsp_is_refused_at_its_first_byte() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for noise in [&hello[..1], b"\0", b"\xff", b"(", b"{", b"A\x80", b"OPT\0", b"HTTP/", b"\"", b"OPTIONS/"] {
        let rejection = rejection(noise);
        assert_eq!(rejection.reason, Reason::NotRtsp, "{}", noise.escape_ascii());
        assert_eq!((rejection.consumed, rejection.answer()), (None, None));
        assert_eq!(verdict(&noise.repeat(100_000)), (400, false));
    }
    assert!(is_incomplete(&[b'A'; 64]));
    assert_eq!(rejection(&[b'A'; 65]).reason, Reason::NotRtsp);
}

#[test]
fn an_interleaved_frame_may_have_any_length_and_content() {
    for len in [0, 1, 1400, 65535] {
        let payload = vec![b'$'; len];
        let header = [b'$', 200, (len >> 8) as u8, len as u8];
        let frame = [&header, &payload[..], b"OPTIONS"].concat();
        assert_eq!(one(&frame), (Item::Data { channel: 200, payload: &payload }, 4 + len));
        for cut in [1, 2, 3, 3 + len] {
            assert!(is_incomplete(&frame[..cut]), "{cut} of {len}");
        }
    }
}

#[test]
fn a_response_is_read_with_or_without_its_phrase() {
    for line in
        ["RTSP/1.0 200 OK", "RTSP/1.0 200", "RTSP/1.0 200 ", "RTSP/2.0 200 All well", "rtsp/1.0  200\tOK"]
    {
        let response = response(format!("{line}\r\nCSeq: 2 \r\n\r\n").as_bytes());
        assert_eq!((response.status, response.cseq()), (Status::OK, Some(2)), "{line}");
    }
    assert_eq!(response(b"RTSP/1.0 461 \xc3\xa9\xff\nA: b\n\n").status, Status::UNSUPPORTED_TRANSPORT);
}

#[test]
fn a_bad_line_in_a_response_is_left_out() {
    let response = response(b"RTSP/1.0 200 OK\r\nnonsense\r\nCSeq: 4\r\n: x\r\n\r\n");
    assert_eq!(response.headers.iter().collect::<Vec<_>>(), [("CSeq", "4")]);
}

#[test]
fn a_malformed_response_is_not_answered() {
    for text in
        ["RTSP/1.0 abc\r\n\r\n", "RTSP/1.0\r\n\r\n", "RTSP/1.0 2000 OK\r\n\r\n", "RTSP/1.0 20 OK\r\n\r\n"]
    {
        let rejection = rejection(text.as_bytes());
        assert_eq!((rejection.reason, rejection.consumed), (Reason::StatusLine, Some(text.len())), "{text}");
        assert_eq!(rejection.answer(), None);
    }
    assert_eq!(rejection(b"RTSP/1.0 200 OK\r\nA: \0").answer(), None);
    assert_eq!(rejection(b"RTSP/1.0 200 \0").answer(), None);
}

#[test]
fn a_rejection_answers_with_the_cseq_it_found() {
    let answer = rejection(b"OPTIONS * RTSP/2.0\r\nCSeq: 0005\r\n\r\n").answer().unwrap();
    assert_eq!((answer.status, answer.headers.get("CSeq")), (Status::VERSION_NOT_SUPPORTED, Some("0005")));
    let answer = rejection(b"OPTIONS * RTSP/2.0\r\nCSeq: x\r\n\r\n").answer().unwrap();
    assert_eq!((answer.status, answer.headers.get("CSeq")), (Status::VERSION_NOT_SUPPORTED, None));
    assert_eq!(answer.body, &b"this server speaks RTSP/1.0 (RFC 2326)\n"[..]);
}

/// Text that is nearly RTSP: the pieces that matter, in any order.
fn nearly_rtsp() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&'static [u8]; 34] = [
        b"OPTIONS",
        b"GET",
        b"RTSP/1.0",
        b"RTSP/2.0",
        b"HTTP/1.1",
        b" ",
        b" ",
        b"\t",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b":",
        b": ",
        b"CSeq",
        b"CSeq: 1\r\n",
        b"Content-Length: 3",
        b"Content-Length: 3\r\n",
        b"content-length:",
        b"5",
        b"200",
        b"*",
        b"rtsp://h/p",
        b"a",
        b"$",
        b"$\0\0\x02",
        b"\0",
        b"\xff",
        b"OPTIONS * RTSP/1.0\r\n",
        b"RTSP/1.0 200 OK\r\n",
        b"A: b\r\n",
        b" c\r\n",
        b"\r\n\r\n",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..14).prop_map(|parts| parts.concat())
}

/// A request that can be written as it is.
fn any_request() -> impl Strategy<Value = Request> {
    let fields = prop::collection::vec(("[A-Za-z][A-Za-z-]{0,12}", "([!-~é]([ -~é]{0,20}[!-~é])?)?"), 0..6);
    let body = prop::collection::vec(any::<u8>(), 0..40);
    ("[A-Z_]{1,14}", "[!-~é]{1,40}", any::<u32>(), fields, body).prop_map(
        |(method, uri, cseq, fields, body)| {
            let request = Request::new(Method::from(method.as_str()), uri).header("CSeq", cseq);
            let fields = fields.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case(CSEQ));
            let fields = fields.filter(|(name, _)| !name.eq_ignore_ascii_case(CONTENT_LENGTH));
            let request = fields.fold(request, |request, (name, value)| request.header(&name, value));
            let len = body.len();
            let request = request.body("text/parameters", body);
            if len > 0 { request.header(CONTENT_LENGTH, len) } else { request }
        },
    )
}

/// Limits small enough for generated text to pass them.
fn small() -> Limits {
    Limits { head: 90, body: 4, headers: 3, uri: 12 }
}

#[test]
fn a_packet_that_looks_like_a_head_misses_no_body() {
    let missing = |text: &str| missing_body(text.as_bytes(), &Limits::default());
    assert_eq!(missing("$\0*S\r\nContent-Length: 9\r\n\r\nab"), None);
    assert_eq!(missing("x *S\r\nContent-Length: 9\r\n\r\nab"), Some(7));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_said_does_not_depend_on_the_cut(buf in nearly_rtsp(), tight in any::<bool>()) {
        let limits = if tight { small() } else { Limits::default() };
        let whole = parse(&buf, &limits);
        let first = (0..buf.len()).map(|cut| parse(&buf[..cut], &limits)).find(|said| *said != Ok(None));
        prop_assert_eq!(first.unwrap_or(whole.clone()), whole);
    }

    #[test]
    fn what_is_consumed_is_there(buf in nearly_rtsp()) {
        let consumed = match parse(&buf, &Limits::default()) {
            Ok(Some((_, len))) => len,
            Err(Rejection { consumed: Some(len), .. }) => len,
            _ => return Ok(()),
        };
        prop_assert!(0 < consumed && consumed <= buf.len());
    }

    #[test]
    fn a_request_written_is_read_back(request in any_request()) {
        let mut out = Vec::new();
        request.write(&mut out);
        let len = out.len();
        out.extend_from_slice(OPTIONS);
        prop_assert_eq!(parse(&out, &Limits::default()), Ok(Some((Item::Request(request), len))));
    }

    #[test]
    fn a_response_written_is_read_back(status in 100u16..1000, from in any_request()) {
        let response = Response { status: Status(status), headers: from.headers, body: from.body };
        let mut out = Vec::new();
        response.write(&mut out);
        let len = out.len();
        prop_assert_eq!(parse(&out, &Limits::default()), Ok(Some((Item::Response(response), len))));
    }

    #[test]
    fn bytes_of_any_kind_do_not_make_it_panic(buf in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&buf, &Limits::default());
    }
}
