//! The configuration as a whole: fixtures, the documented example, the entries for API and command line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;

use super::draft::{CAMERA_KEYS, FILE_KEYS, STREAM_KEYS};
use super::viewing::VIEWING_KEYS;
use super::*;

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "SECRET" => "hunter2#:/@",
        "HOST" => "10.0.0.7",
        "COUNT" => "12",
        "PORT" => "6000",
        "FLAG" => "true",
        "ANN_PASSWORD" => "hunter2",
        "LINK_SECRET" => "hunter2-hunter2-hunter2",
        "CREDENTIALS_DIRECTORY" => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/config/credentials"),
        "YARD_PASSWORD" => "correct: horse #1",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse(text: &str) -> Config {
    Config::parse(text, &environment).unwrap_or_else(|problems| panic!("{problems}"))
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures(kind: &str) -> Vec<(PathBuf, String)> {
    let folder = project().join("tests/data/config").join(kind);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "yml"));
    files.sort();
    assert!(files.len() > 5, "fixtures are missing");
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn first_camera(stream: &Stream) -> &CameraUrl {
    match &stream.source {
        Source::Cameras(cameras) => &cameras[0],
        Source::File { path, .. } => panic!("a file: {}", path.display()),
    }
}

#[test]
fn valid_fixtures_are_accepted() {
    for (path, text) in fixtures("valid") {
        if let Err(problems) = Config::parse(&text, &environment) {
            panic!("{}:\n{problems}", path.display());
        }
    }
}

/// `FANLIGHT_BLESS=1 cargo test invalid_fixtures` writes what is found instead, to be read in the diff.
#[test]
fn invalid_fixtures_give_exactly_the_problems_beside_them() {
    for (path, text) in fixtures("invalid") {
        let found = Config::parse(&text, &environment).expect_err(&path.display().to_string());
        let found = format!("{found}\n");
        let beside = path.with_extension("txt");
        if std::env::var_os("FANLIGHT_BLESS").is_some() {
            fs::write(&beside, &found).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap();
        assert_eq!(found, expected, "{}", path.display());
    }
}

#[test]
fn no_problem_shows_a_secret() {
    for (path, text) in fixtures("invalid") {
        let found = Config::parse(&text, &environment).unwrap_err();
        assert!(!format!("{found} {found:?}").contains("hunter2"), "{}: {found}", path.display());
    }
}

#[test]
fn no_configuration_shows_a_secret() {
    let text = "streams: {a: {source: 'rtsp://u:${SECRET}@cam/?password=hunter2', password: hunter2}}";
    let users = format!(
        "users: {{ann: {{password: hunter2}}, bob: {{password_hash: 'ha1-md5:{}'}}}}",
        "beef".repeat(8)
    );
    let login = "login: {link_secret: hunter2-hunter2-hunter2}";
    let config = parse(&format!("{{defaults: {{password: hunter2}}, {text}, {users}, {login}}}"));
    assert!(!format!("{config:?}").contains("beef"), "{config:?}");
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
}

#[test]
fn an_empty_file_gives_the_defaults_without_udp() {
    let mut expected = Config::default();
    expected.rtsp.udp_ports = None;
    assert_eq!(parse(""), expected);
}

#[test]
fn empty_addresses_switch_listeners_off() {
    let config = parse("rtsp: {listen: }\nhttp: {listen: ''}\n");
    assert_eq!((config.rtsp.listen, config.http.listen), (None, None));
}

#[test]
fn a_certificate_switches_rtsps_on_unless_the_file_says_otherwise() {
    let tls = "tls: {certificate: '${CREDENTIALS_DIRECTORY}/relay.crt', key: '${CREDENTIALS_DIRECTORY}/relay.key'}\n";
    let config = parse(tls);
    assert_eq!(config.rtsp.tls_listen, Some("0.0.0.0:8322".parse().unwrap()));
    assert_eq!(config.http.tls_listen, None, "the API is not opened to the world by a certificate");
    assert_eq!(config.tls.unwrap().identity.fingerprint().len(), 32);
    let config =
        parse(&format!("rtsp: {{tls_listen: '[::]:322'}}\nhttp: {{tls_listen: 0.0.0.0:443}}\n{tls}"));
    assert_eq!(config.rtsp.tls_listen, Some("[::]:322".parse().unwrap()));
    assert_eq!(config.http.tls_listen, Some("0.0.0.0:443".parse().unwrap()));
    assert_eq!(parse(&format!("rtsp: {{tls_listen: }}\n{tls}")).rtsp.tls_listen, None);
    assert_eq!(parse("").tls, None);
}

#[test]
fn values_from_the_environment_take_the_type_that_is_expected() {
    let text = fs::read_to_string(project().join("tests/data/config/valid/environment.yml")).unwrap();
    let config = parse(&text);
    assert_eq!(config.rtsp.capacity.connections, 12);
    assert_eq!(config.rtsp.udp_ports, Some((6000, 6001)));
    assert_eq!(config.rtsp.listen, Some("127.0.0.1:0".parse().unwrap()));
    let door = &config.streams["door"];
    assert!(door.on_demand);
    assert_eq!(door.read_timeout, Duration::from_secs(2));
    assert_eq!(first_camera(door).url().as_str(), "rtsp://10.0.0.7:554/main");
    assert_eq!(first_camera(door).credentials().unwrap().password.reveal(), "hunter2#:/@");
    let clip = Source::File { path: "/media/${COUNT}.mjpeg".into(), fps: 12.5, packet_size: 1400 };
    assert_eq!(config.streams["clip"].source, clip);
}

#[test]
fn defaults_reach_streams_that_do_not_say_otherwise_wherever_they_stand() {
    let config = parse(
        "streams:\n  a: rtsp://x:y@10.0.0.7/\n  b: {source: [rtsp://10.0.0.8/], transport: tcp}\n  c: {file: f}\n\
         defaults: {transport: udp, username: ann, fps: 5, retry_max: 1m}\n",
    );
    let [a, b, c] = ["a", "b", "c"].map(|name| &config.streams[name]);
    assert_eq!((a.transport, b.transport), (UpstreamTransport::Udp, UpstreamTransport::Tcp));
    assert_eq!(a.retry_max, Duration::from_secs(60));
    let credentials = first_camera(a).credentials().unwrap();
    assert_eq!((credentials.username.as_str(), credentials.password.reveal()), ("ann", "y"));
    assert_eq!(c.source, Source::File { path: "f".into(), fps: 5.0, packet_size: 1400 });
}

#[test]
fn a_stream_with_the_same_meaning_is_equal_however_it_is_written() {
    let short = parse("streams: {a: 'rtsp://ann:p%40w@10.0.0.7/'}");
    let long = parse(
        "defaults: {username: ann}\nstreams:\n  a: {password: p@w, source: [rtsp://10.0.0.7/], transport: tcp}\n",
    );
    assert_eq!(short.streams, long.streams);
    let other = parse("streams: {a: 'rtsp://ann:other@10.0.0.7/'}");
    assert_ne!(short.streams, other.streams);
}

#[test]
fn a_stream_in_json_is_read_by_the_same_rules() {
    let config =
        parse("defaults: {transport: udp}\nstreams: {a: {source: rtsp://10.0.0.7/, on_demand: true}}\n");
    let body = json!({"source": "rtsp://10.0.0.7/", "on_demand": true});
    assert_eq!(Stream::from_json(&body, &config.defaults).as_ref(), Ok(&config.streams["a"]));
    let short = Stream::from_json(&json!("rtsp://10.0.0.7/"), &Defaults::default()).unwrap();
    assert_eq!(first_camera(&short).to_string(), "rtsp://10.0.0.7/");

    let wrong = json!({"source": ["rtsp://10.0.0.7/", "x"], "transport": 5, "fps": 1, "reed_timeout": "1s"});
    let problems = Stream::from_json(&wrong, &config.defaults).unwrap_err();
    let keys: Vec<&str> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["reed_timeout", "source[1]", "transport", "fps"], "{problems}");
    assert!(problems.0[0].message.contains("`read_timeout`"), "{problems}");
    assert_eq!(Stream::from_json(&json!(null), &config.defaults).unwrap_err().0[0].key, "");
}

#[test]
fn a_stream_in_json_cannot_read_the_environment() {
    let body = json!({"source": "rtsp://10.0.0.7/", "password": "${HOME}"});
    let stream = Stream::from_json(&body, &Defaults::default()).unwrap();
    assert_eq!(first_camera(&stream).credentials().unwrap().password.reveal(), "${HOME}");
}

#[test]
fn a_camera_on_the_command_line_becomes_a_stream_with_the_defaults() {
    let config = Config::for_camera(DEFAULT_CAMERA_NAME, "rtsp://ann:p@ss#w@10.0.0.7/main").unwrap();
    let expected =
        parse("rtsp: {udp_ports: [8000, 8001]}\nstreams: {cam: 'rtsp://ann:p@ss#w@10.0.0.7/main'}");
    assert_eq!(config, expected);
    let problems = Config::for_camera("/cam", "http://ann:hunter2@10.0.0.7/").unwrap_err().to_string();
    assert!(problems.contains("name: ") && problems.contains("url: ") && !problems.contains("hunter2"));
}

#[test]
fn a_file_that_cannot_be_read_and_a_wrong_one_are_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.yml");
    let message = |path: &Path| Config::load(path).unwrap_err().to_string();
    assert!(message(&path).contains("relay.yml: cannot be read"), "{}", message(&path));
    fs::write(&path, "rtsp: 5\n").unwrap();
    assert!(
        message(&path)
            .ends_with("relay.yml: not a valid configuration\nrtsp: expected a section of keys, found 5")
    );
    fs::write(&path, "\u{feff}streams: {door: rtsp://10.0.0.7/}\r\n").unwrap();
    assert_eq!(Config::load(&path).unwrap().streams.len(), 1);
    assert!(message(Path::new("/dev/zero")).contains("longer than"));
}

#[test]
fn viewers_are_told_a_shorter_session_timeout_than_is_enforced() {
    assert_eq!(Rtsp::default().advertised_session_timeout(), Duration::from_secs(55));
}

/// The example with its `#key: value` lines switched on.
fn whole_example() -> String {
    let text = fs::read_to_string(project().join("config/fanlight.yml")).unwrap();
    let switch_on = |line: &str| {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let example = rest
            .strip_prefix('#')
            .filter(|rest| rest.trim_start_matches("- ").starts_with(|c: char| c.is_ascii_lowercase()));
        format!("{indent}{}\n", example.unwrap_or(rest))
    };
    text.lines().map(switch_on).collect()
}

#[test]
fn the_documented_example_works_as_it_is() {
    let text = fs::read_to_string(project().join("config/fanlight.yml")).unwrap();
    let config = Config::parse(&text, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.streams.len(), 1);
}

#[test]
fn every_value_of_the_documented_example_is_the_default() {
    let config = parse(&whole_example());
    let expected = Config::default();
    let rtsps = Some(rtsps_listen()); // with a certificate
    assert_eq!(config.rtsp, Rtsp { tls_listen: rtsps, ..expected.rtsp });
    assert_eq!(Http { tls_listen: None, ..config.http }, expected.http);
    assert_eq!(config.shutdown_grace, expected.shutdown_grace);
    assert_eq!(config.defaults, expected.defaults);
    assert_eq!(Login { link_secret: None, ..config.login }, expected.login);
    assert_eq!(first_camera(&config.streams["yard"]).credentials().unwrap().username, "relay");
}

#[test]
fn every_key_stands_in_the_documented_example() {
    fn names<T>(tables: &[&[Key<T>]]) -> BTreeSet<String> {
        tables.iter().copied().flatten().map(|key| key.name.to_owned()).collect()
    }
    fn keys(node: &Node) -> BTreeSet<String> {
        match node {
            Node::Map(map) => map.iter().map(|(key, _)| key.clone()).collect(),
            other => panic!("{other:?}"),
        }
    }
    let example = Node::from_yaml(&whole_example()).unwrap();
    let section = |name: &str| match &example {
        Node::Map(map) => &map.iter().find(|(key, _)| key == name).unwrap().1,
        other => panic!("{other:?}"),
    };
    assert_eq!(keys(&example), names(&[TOP_KEYS]));
    assert_eq!(keys(section("rtsp")), names(&[RTSP_KEYS]));
    let Node::Map(rtsp) = section("rtsp") else { panic!("rtsp is a section") };
    let groups = &rtsp.iter().find(|(key, _)| key == "multicast").unwrap().1;
    assert_eq!(keys(groups), names(&[multicast::GROUPS_KEYS]));
    assert_eq!(keys(section("http")), names(&[HTTP_KEYS]));
    let Node::Map(streams) = section("streams") else { panic!("streams are a section") };
    let of_streams = streams.iter().filter(|(_, stream)| matches!(stream, Node::Map(_)));
    let mut documented: BTreeSet<String> = of_streams.flat_map(|(_, stream)| keys(stream)).collect();
    documented.extend(keys(section("defaults")));
    assert_eq!(documented, names(&[CAMERA_KEYS, FILE_KEYS, STREAM_KEYS, VIEWING_KEYS]));
    assert_eq!(keys(section("tls")), names(&[tls::TLS_KEYS]));
    let Node::Map(users) = section("users") else { panic!("users are a section") };
    let documented_of_users: BTreeSet<String> = users.iter().flat_map(|(_, user)| keys(user)).collect();
    assert_eq!(documented_of_users, names(&[users::USER_KEYS]));
    let Node::List(rules) = section("access") else { panic!("rules are a list") };
    let documented_of_rules: BTreeSet<String> = rules.iter().flat_map(keys).collect();
    assert_eq!(documented_of_rules, names(&[access::RULE_KEYS]));
    assert_eq!(keys(section("login")), names(&[access::LOGIN_KEYS]));
}

#[test]
fn tracks_are_kinds_and_numbers() {
    let read = |tracks: &str| {
        let text = format!("streams: {{a: {{source: 'rtsp://h/', tracks: {tracks}}}}}");
        Config::parse(&text, &environment).map(|config| config.streams["a"].tracks.to_string())
    };
    assert_eq!(read("[video, 2]").unwrap(), "video, 2");
    assert_eq!(read("audio").unwrap(), "audio");
    for wrong in ["[]", "[sound]", "[64]", "[-1]", "[[video]]"] {
        let problems = read(wrong).unwrap_err().to_string();
        assert!(problems.starts_with("streams.a.tracks"), "{wrong}: {problems}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "([a-z_]{1,4}: |\\$\\{|rtsp:|streams:|[\\[\\]{}&*!#@\n -]|\\PC){0,24}") {
        let _ = Config::parse(&text, &environment);
    }

    #[test]
    fn a_password_from_the_environment_cannot_break_the_url(password in "[ -$&-~]{0,12}") {
        let text = "streams: {a: 'rtsp://ann:${PASSWORD}@cam:8554/main?x=y@z'}";
        let config = Config::parse(text, &|_| Some(password.clone())).unwrap();
        let camera = first_camera(&config.streams["a"]);
        prop_assert_eq!(camera.credentials().unwrap().password.reveal(), password.as_str());
        prop_assert_eq!(camera.url().as_str(), "rtsp://cam:8554/main?x=y@z");
    }

    #[test]
    fn a_password_key_takes_any_text(password in "\\PC{0,16}") {
        let body = json!({"source": "rtsp://10.0.0.7/", "password": password});
        let stream = Stream::from_json(&body, &Defaults::default()).unwrap();
        prop_assert_eq!(first_camera(&stream).credentials().unwrap().password.reveal(), password);
    }
}
