use proptest::prelude::*;

use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).unwrap()
}

fn parts(text: &str) -> (String, Option<String>, Option<TrackControl>) {
    let uri = uri(text);
    (uri.path, uri.query, uri.track)
}

#[test]
fn the_track_is_found_wherever_players_put_it() {
    let track = Some(TrackControl::Track(TrackId(3)));
    for (text, path, query, track) in [
        ("rtsp://h:8554/p/trackID=3", "p", None, track),
        ("rtsp://h:8554/p?a=1/trackID=3", "p", Some("a=1"), track),
        ("rtsp://h:8554/p/trackID=3?a=1", "p", Some("a=1"), track),
        ("rtsp://h:8554/p/", "p", None, None),
        ("rtsp://h:8554/p?a=1/", "p", Some("a=1"), None),
        ("rtsp://h:8554/p/?a=1", "p", Some("a=1"), None),
        ("rtsp://h:8554/a/b/c/trackID=3", "a/b/c", None, track),
        ("rtsp://h:8554/a/b/c/", "a/b/c", None, None),
        ("rtsp://h:8554/a/b/c?q=1/trackID=3", "a/b/c", Some("q=1"), track),
        ("rtsp://h:8554/a/b/c", "a/b/c", None, None),
        ("rtsp://h:8554/trackID=3", "", None, track),
        ("rtsp://h:8554//trackID=3", "", None, track),
        ("rtsp://h:8554/", "", None, None),
        ("rtsp://h:8554//", "", None, None),
        ("rtsp://h:8554", "", None, None),
        ("rtsp://h:8554/p/trackID=3/", "p", None, track),
        ("rtsp://h:8554/p//trackID=3", "p", None, track),
        ("rtsp://h:8554/p/?a=1/trackID=3/", "p", Some("a=1"), track),
        ("rtsp://h:8554/p?/trackID=3", "p", Some(""), track),
        ("rtsp://h:8554?a=1/trackID=3", "", Some("a=1"), track),
        ("rtsp://h:8554/p/trackid%3D3", "p", None, track),
        ("/p/trackID=3", "p", None, track),
        ("p/trackID=3", "p", None, track),
        ("trackID=3", "", None, track),
    ] {
        assert_eq!(parts(text), (path.to_owned(), query.map(str::to_owned), track), "{text}");
    }
}

#[test]
fn an_unparsable_track_is_not_the_aggregate() {
    for id in ["x", "", "-1", "+1", "256", "99999999999999999999", "1x", "1%20"] {
        assert_eq!(uri(&format!("rtsp://h/p/trackID={id}")).track, Some(TrackControl::Unknown), "{id}");
    }
    assert_eq!(uri("rtsp://h/p/trackID=255").track, Some(TrackControl::Track(TrackId(255))));
}

#[test]
fn a_query_parameter_is_not_a_control() {
    assert_eq!(parts("rtsp://h/p?trackID=3"), ("p".into(), Some("trackID=3".into()), None));
    assert_eq!(parts("rtsp://h/trackID=3/p"), ("trackID=3/p".into(), None, None));
}

#[test]
fn a_path_or_a_bare_name_is_a_uri() {
    for (text, path) in [("/yard", "yard"), ("movie.Mjpeg", "movie.Mjpeg"), ("a/b:c", "a/b:c"), ("/", "")] {
        let uri = uri(text);
        assert_eq!((uri.scheme, uri.host, uri.path.as_str()), (None, None, path), "{text}");
    }
}

#[test]
fn the_asterisk_is_no_uri() {
    assert_eq!(Uri::parse("*"), Ok(None));
}

#[test]
fn the_schemes_of_rtsp_are_known_in_any_case() {
    assert_eq!(uri("rtsp://h/p").scheme, Some(Scheme::Rtsp));
    assert_eq!(uri("RTSPS://h/p").scheme, Some(Scheme::Rtsps));
    assert_eq!(uri("rtspu://h/p").scheme, Some(Scheme::Rtspu));
}

#[test]
fn what_rtsp_is_not_spoken_over_is_refused() {
    for (text, error) in [
        ("", UriError::Empty),
        (" ", UriError::Empty),
        ("http://h/p", UriError::Scheme),
        ("foopy://padoop/", UriError::Scheme),
        ("mailto:a@b", UriError::Scheme),
        ("rtsp:opaque", UriError::Opaque),
        ("rtsp:/h/p", UriError::Opaque),
        ("rtsp:#", UriError::Fragment),
        ("rtsp://h/p#t=1", UriError::Fragment),
        ("rtsp://[fe80::1/p", UriError::Authority),
        ("rtsp://[]/p", UriError::Authority),
        ("rtsp://h:port/p", UriError::Authority),
        ("rtsp://h:65536/p", UriError::Authority),
        ("rtsp://h:+1/p", UriError::Authority),
        ("rtsp://h h/p", UriError::Authority),
        ("rtsp://[::1]x/p", UriError::Authority),
        ("rtsp://h/%00", UriError::Path),
        ("rtsp://h/a%0d%0aSession: x", UriError::Path),
        ("rtsp://h/%ff", UriError::Path),
    ] {
        assert_eq!(Uri::parse(text), Err(error), "{text}");
    }
}

#[test]
fn credentials_are_dropped() {
    for text in ["rtsp://ann:secret@h:554/p", "rtsp://ann@h:554/p", "rtsp://ann:se@cret@h:554/p"] {
        let uri = uri(text);
        assert_eq!(uri.host.as_deref(), Some("h:554"), "{text}");
        assert_eq!(uri.content_base("x"), "rtsp://h:554/p/");
        assert!(!format!("{uri:?}").contains("ann"));
    }
    assert_eq!(without_userinfo("rtsp://ann:s/e@cret@h/p"), "rtsp://h/p");
    assert_eq!(without_userinfo("rtsp://h/p"), "rtsp://h/p");
    assert_eq!(without_userinfo("*"), "*");
}

#[test]
fn a_path_is_decoded_once() {
    assert_eq!(uri("rtsp://h/a%20b").path, "a b");
    assert_eq!(uri("rtsp://h/a%2Fb%23c").path, "a/b#c");
    assert_eq!(uri("rtsp://h/%2541").path, "%41");
    assert_eq!(uri("rtsp://h/100%/%zz%4").path, "100%/%zz%4");
    assert_eq!(uri("rtsp://h/caf%C3%A9").path, uri("rtsp://h/café").path);
}

#[test]
fn an_ipv6_host_may_have_a_zone() {
    for host in ["[::1]", "[fe80::1%25eth0]:8554", "[fe80::1%eth0]"] {
        assert_eq!(uri(&format!("rtsp://{host}/p")).host.as_deref(), Some(host));
    }
}

#[test]
fn the_content_base_has_a_slash_and_no_query() {
    for (text, base) in [
        ("rtsp://h:8554/p?q/trackID=0", "rtsp://h:8554/p/"),
        ("rtsps://h/a%20b/%2541", "rtsps://h/a%20b/%2541/"),
        ("rtsp://h/caf\u{e9}\"", "rtsp://h/caf%C3%A9%22/"),
        ("rtsp://h", "rtsp://h/"),
        ("rtsp:///p", "rtsp://relay:8554/p/"),
        ("/p", "rtsp://relay:8554/p/"),
    ] {
        assert_eq!(uri(text).content_base("relay:8554"), base, "{text}");
    }
    assert_eq!(uri("/p?q").track_url("relay", TrackId(1)), "rtsp://relay/p/trackID=1");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(rtsp://)?[\\PC%/?@:\\[\\]#]{0,40}(/trackID=[0-9a-z]{0,4})?") {
        let _ = Uri::parse(&text);
        let _ = without_userinfo(&text);
    }

    #[test]
    fn a_track_url_leads_back_to_its_track(path in "[a-zA-Z0-9 %é/#?\"=_.-]{0,20}", track in any::<u8>()) {
        let path = path.trim_matches('/').to_owned();
        // A path that itself ends like a control is read as one.
        prop_assume!(!path.to_ascii_lowercase().contains("trackid="));
        let uri = Uri { scheme: None, host: None, path: path.clone(), query: None, track: None };
        let back = Uri::parse(&uri.track_url("h:1", TrackId(track))).unwrap().unwrap();
        prop_assert_eq!(back.path, path);
        prop_assert_eq!(back.track, Some(TrackControl::Track(TrackId(track))));
        prop_assert_eq!(back.query, None);
    }
}
