//! What profiles of camera families change on the wire: every flag, and every profile that is compiled in, with a camera
//! that says who it is as those cameras do.

use super::*;

/// A camera that introduces itself.
#[derive(Clone, Copy, Default)]
struct Family {
    url: &'static str,
    server: &'static str,
    session: &'static str,
    public: &'static str,
}

impl Family {
    fn camera(self) -> Fake {
        Fake::new(move |request| {
            let mut answer = usual(request);
            if !self.session.is_empty() {
                let longer = SDP.len() + self.session.len() - 1;
                let sdp = SDP.replace("s=x", &format!("s={}", self.session));
                answer = answer.replace(SDP, &sdp);
                answer = answer.replace(&format!("Length: {}", SDP.len()), &format!("Length: {longer}"));
            }
            let says = |name: &str, value: &str| match value {
                "" => String::new(),
                value => format!("{name}: {value}\r\n"),
            };
            let own = says("Server", self.server) + &says("Public", self.public);
            Some(answer.replacen("CSEQ\r\n", &format!("CSEQ\r\n{own}"), 1))
        })
    }

    /// Everything it is asked from DESCRIBE to TEARDOWN, with `quirks`, in half a minute of play.
    fn asked(self, quirks: Arc<Quirks>, udp: bool) -> Vec<Request> {
        let mut run =
            Run::with(if self.url.is_empty() { URI } else { self.url }, Options { quirks, ..options() });
        run.udp = udp;
        let mut camera = self.camera();
        run.start(&mut camera, 1000).unwrap();
        run.pass(&mut camera, Duration::from_secs(30)).unwrap();
        run.dialogue.tear_down(run.now);
        camera.answer(run.dialogue.out());
        camera.requests
    }
}

const ODD: Family = Family { url: "", server: "Odd/1.0", session: "", public: "" };

fn asked_with(set: &str, udp: bool) -> Vec<Request> {
    let text = format!("- {{name: Odd, source: a test, when: {{server: odd}}, set: {{{set}}}}}");
    ODD.asked(Arc::new(Quirks::parse(&text).unwrap()), udp)
}

fn asked_by_default(udp: bool) -> Vec<Request> {
    ODD.asked(Arc::new(Quirks::default()), udp)
}

/// The methods after PLAY and before TEARDOWN.
fn signs(requests: &[Request]) -> Vec<&Method> {
    let methods = requests.iter().map(|request| &request.method);
    let after = methods.skip_while(|method| **method != Method::Play).skip(1);
    after.take_while(|method| **method != Method::Teardown).collect()
}

fn header<'r>(requests: &'r [Request], method: &Method, name: &str) -> Option<&'r str> {
    requests.iter().find(|request| request.method == *method).and_then(|request| request.headers.get(name))
}

#[test]
fn keep_alive_names_the_sign_of_life() {
    for (set, method) in [
        ("options", Method::Options),
        ("get_parameter", Method::GetParameter),
        ("set_parameter", Method::SetParameter),
    ] {
        let asked = asked_with(&format!("keep_alive: {set}"), false);
        let signs = signs(&asked);
        assert!(signs.len() >= 2 && signs.iter().all(|sign| **sign == method), "{set}: {signs:?}");
    }
    assert_eq!(signs(&asked_with("keep_alive: none", false)), [&Method::Options; 0]);
    let usual = asked_by_default(false);
    assert!(signs(&usual).contains(&&Method::Options) && signs(&usual).contains(&&Method::GetParameter));
}

#[test]
fn keep_alive_every_says_how_often() {
    let often = signs(&asked_with("keep_alive: options, keep_alive_every: 1s", false)).len();
    let rarely = signs(&asked_with("keep_alive: options, keep_alive_every: 9s", false)).len();
    assert_eq!((often, rarely), (30, 3), "in 30 s");
}

/// The camera is known by its URL before it is asked anything.
#[test]
fn options_first_comes_before_describe() {
    let text = "- {name: Odd, source: a test, when: {url: 10.0.0.7}, set: {options_first: true}}";
    let asked = ODD.asked(Arc::new(Quirks::parse(text).unwrap()), false);
    assert_eq!([&asked[0].method, &asked[1].method], [&Method::Options, &Method::Describe]);
    assert_eq!(asked_by_default(false)[0].method, Method::Describe);
}

#[test]
fn rtp_avp_udp_spells_the_transport_out() {
    let spelt = |asked: &[Request]| header(asked, &Method::Setup, "Transport").unwrap().to_owned();
    assert!(spelt(&asked_with("rtp_avp_udp: true", true)).starts_with("RTP/AVP/UDP;unicast;client_port="));
    assert!(spelt(&asked_by_default(true)).starts_with("RTP/AVP;unicast;client_port="));
    assert!(spelt(&asked_with("rtp_avp_udp: true", false)).starts_with("RTP/AVP/TCP;"));
}

#[test]
fn play_range_false_leaves_the_range_out() {
    assert_eq!(header(&asked_with("play_range: false", false), &Method::Play, "Range"), None);
    assert_eq!(header(&asked_by_default(false), &Method::Play, "Range"), Some("npt=0.000-"));
}

#[test]
fn teardown_false_says_no_goodbye() {
    let said = |asked: &[Request]| asked.iter().any(|request| request.method == Method::Teardown);
    assert!(!said(&asked_with("teardown: false", false)));
    assert!(said(&asked_by_default(false)));
}

#[test]
fn single_challenge_gives_one_answer() {
    for (set, attempts) in [("single_challenge: true", 2), ("options_first: false", 4)] {
        assert_eq!(
            wrong_answers(
                "Odd",
                URI,
                &format!("- {{name: Odd, source: a test, when: {{server: Odd}}, set: {{{set}}}}}")
            ),
            attempts,
            "{set}"
        );
    }
}

/// How often a camera with these profiles is asked, which challenges every time.
fn wrong_answers(server: &'static str, uri: &str, quirks: &str) -> usize {
    let quirks =
        if quirks.is_empty() { Quirks::built_in() } else { Arc::new(Quirks::parse(quirks).unwrap()) };
    let count = std::cell::Cell::new(0);
    let mut camera = Fake::new(move |_| {
        count.set(count.get() + 1);
        let nonce = count.get();
        Some(format!(
            "RTSP/1.0 401 No\r\nCSeq: CSEQ\r\nServer: {server}\r\n\
             WWW-Authenticate: Digest realm=\"x\", nonce=\"{nonce}\", stale=true\r\n\r\n"
        ))
    });
    let mut run = Run::with(uri, Options { quirks, ..options() });
    assert!(run.start(&mut camera, 1000).is_err());
    camera.requests.len()
}

// The profiles that are compiled in

/// Its signs of life, with the profile and without any.
fn changes(family: Family) -> [Vec<Method>; 2] {
    [Quirks::built_in(), Arc::new(Quirks::default())].map(|quirks| {
        let asked = family.asked(quirks, false);
        signs(&asked).into_iter().cloned().collect()
    })
}

#[test]
fn evostream_is_kept_alive_by_what_it_does_not_list() {
    let public = "DESCRIBE, OPTIONS, PAUSE, PLAY, SETUP, TEARDOWN, ANNOUNCE, RECORD";
    let [signs, usual] =
        changes(Family { server: "EvoStream Media Server (www.evostream.com)", public, ..Family::default() });
    assert!(signs.iter().all(|sign| *sign == Method::GetParameter), "{signs:?}");
    assert!(usual.contains(&Method::Options));
}

#[test]
fn unifi_is_known_by_its_url() {
    let public = "DESCRIBE, OPTIONS, PLAY, SETUP, TEARDOWN";
    let url = "rtsp://10.0.0.7:7441/abc?enableSrtp";
    let [signs, usual] = changes(Family { url, public, ..Family::default() });
    assert!(signs.iter().all(|sign| *sign == Method::GetParameter), "{signs:?}");
    assert!(usual.contains(&Method::Options));
}

#[test]
fn gw_wants_set_parameter() {
    let session = "Session streamed by \"H264Server\"";
    let [signs, usual] = changes(Family { server: "Rtsp Server/2.0", session, ..Family::default() });
    assert!(signs.iter().all(|sign| *sign == Method::SetParameter), "{signs:?}");
    assert!(!usual.contains(&Method::SetParameter));
}

/// A Tapo C220 lists SET_PARAMETER and answers 400 to it.
#[test]
fn tp_link_gets_options_every_six_seconds() {
    let session = "Session streamed by \"TP-LINK RTSP Server\"";
    let public = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, SET_PARAMETER";
    let [signs, usual] = changes(Family { session, public, ..Family::default() });
    assert_eq!(signs, [const { Method::Options }; 5], "in 30 s");
    assert!(usual.contains(&Method::SetParameter), "{usual:?}");
}

#[test]
fn hikvision_is_shown_one_wrong_password() {
    let uri = "rtsp://10.0.0.7:554/Streaming/Channels/101";
    assert_eq!(wrong_answers("", uri, ""), 2);
    assert_eq!(wrong_answers("", URI, ""), 4);
}
