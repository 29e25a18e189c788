//! What the API shows and does.

use serde_json::json;

use super::*;
use crate::config::{Problem, Problems, Viewing};
use crate::hub::Provenance;
use crate::vocabulary::Disconnect;

#[tokio::test]
async fn a_live_stream_shows_its_rates_its_tracks_and_its_url() {
    let site = Site::start().await;
    let mut publisher = site.camera("site/door");
    let half_a_second_ago: WallTime = (std::time::SystemTime::now() - Duration::from_millis(500)).into();
    publisher.sender_report(TrackId(0), half_a_second_ago, 99 * 3600);
    let stream = site.get("/api/v1/streams/site/door").await.json();
    assert_eq!(stream["name"], "site/door");
    assert_eq!(stream["urls"]["rtsp"], "rtsp://relay.lan:8554/site/door");
    let source = &stream["source"];
    assert_eq!(source["state"], "live");
    assert_eq!((&source["attempt"], &source["sessions"]), (&json!(0), &json!(1)));
    assert_eq!((&source["next_try_in"], &source["last_failure"]), (&Value::Null, &Value::Null));
    assert_eq!(source["transport"], "tcp");
    assert_eq!(source["decision"], "packets arrive over TCP");
    assert!(source["since"].as_str().unwrap().ends_with('Z'));
    let track = &stream["tracks"][0];
    assert_eq!((&track["id"], &track["kind"], &track["codec"]), (&json!(0), &json!("video"), &json!("jpeg")));
    assert_eq!((&track["encoding"], &track["payload_type"]), (&json!("JPEG"), &json!(26)));
    assert_eq!((&track["clock_rate"], &track["frames"]), (&json!(90000), &json!(100)));
    assert_eq!((&track["fps"], &stream["fps"]), (&json!(25.0), &json!(25.0)));
    assert_eq!((&track["lost"], &track["reordered"]), (&json!(0), &json!(0)));
    assert_eq!((&track["jitter_ms"], &track["last_frame_age"]), (&json!(0.0), &json!(0.0)));
    assert_eq!(track["key_frame_interval"], Value::Null);
    let clip = Clip::demo();
    let bytes: usize = clip.frames().iter().cycle().take(100).map(|frame| frame.data().len()).sum();
    let rate = track["bit_rate"].as_f64().unwrap();
    assert!((rate / (bytes as f64 * 8.0 / 4.0) - 1.0).abs() < 0.3, "{rate} of {bytes} bytes in 4 s");
    assert_eq!(stream["bit_rate"], track["bit_rate"]);
    assert_eq!(
        stream["viewers"],
        json!({"count": 0, "tcp": 0, "tls": 0, "udp": 0, "multicast": 0, "websocket": 0, "http": 0})
    );
    assert_eq!(stream["latency_ms"], Value::Null);
    let all = site.get("/api/v1/streams").await.json();
    assert_eq!(all["streams"].as_array().unwrap().len(), 1);
    assert_eq!(all["streams"][0]["name"], "site/door");
}

#[tokio::test]
async fn a_source_that_retries_says_when_and_why() {
    let site = Site::start().await;
    let mut publisher = site.hub.add("door");
    for _ in 0..3 {
        publisher.connecting();
        publisher.failed(
            FailureClass::Refused,
            "connection refused".to_owned(),
            Duration::from_secs(60),
            String::new(),
        );
    }
    let source = &site.get("/api/v1/streams/door").await.json()["source"];
    assert_eq!((&source["state"], &source["attempt"]), (&json!("retrying"), &json!(3)));
    let wait = source["next_try_in"].as_f64().unwrap();
    assert!(wait > 50.0 && wait <= 60.0);
    assert_eq!(source["last_failure"]["class"], "refused");
    assert_eq!(source["last_failure"]["message"], "connection refused");
    assert!(source["last_failure"]["at"].as_str().unwrap().starts_with("20"));
    let decision = source["decision"].as_str().unwrap();
    assert!(decision.starts_with("retrying in "), "{decision}");
    assert!(decision.ends_with(" s after 3 failed attempts: connection refused"), "{decision}");
}

#[tokio::test]
async fn the_history_of_a_source_is_told() {
    let site = Site::start().await;
    let mut publisher = site.camera("door");
    let source = &site.get("/api/v1/streams/door").await.json()["source"];
    assert_eq!((&source["strategy"], &source["learned"]), (&Value::Null, &json!([])));
    assert_eq!(source["outages"], json!({"count": 0, "seconds": 0.0, "list": []}));
    for (class, message) in [
        (FailureClass::Reset, "the camera reset the connection"),
        (FailureClass::Unauthorized, "401"),
        (FailureClass::Unauthorized, "401"),
    ] {
        publisher.failed(class, message.to_owned(), Duration::from_secs(60), "Wrong password.".to_owned());
        publisher.explain("Auto", vec!["It sends nothing over UDP.".to_owned()]);
    }
    let source = &site.get("/api/v1/streams/door").await.json()["source"];
    assert_eq!((&source["strategy"], &source["why"]), (&json!("Auto"), &json!("Wrong password.")));
    assert_eq!(source["learned"], json!(["It sends nothing over UDP."]));
    let [latest, before] = source["last_errors"].as_array().unwrap().as_slice() else { panic!("{source}") };
    assert_eq!((&latest["class"], &latest["count"]), (&json!("unauthorized"), &json!(2)));
    assert_eq!(
        (&before["message"], &before["count"]),
        (&json!("the camera reset the connection"), &json!(1))
    );
    assert!(latest["first"].as_str().unwrap() <= latest["last"].as_str().unwrap());
    let outages = &source["outages"];
    assert_eq!((&outages["count"], &outages["list"][0]["end"]), (&json!(1), &Value::Null));
    assert_eq!(outages["list"][0]["class"], "reset");
    assert!(outages["list"][0]["start"].as_str().unwrap().ends_with('Z'));
    publisher.live(Some(Transport::Tcp));
    let source = &site.get("/api/v1/streams/door").await.json()["source"];
    let outage = &source["outages"]["list"][0];
    assert!(outage["end"].as_str().unwrap() >= outage["start"].as_str().unwrap());
    assert_eq!((&source["why"], &source["attempt"]), (&Value::Null, &json!(0)));
    assert_eq!(source["last_errors"].as_array().unwrap().len(), 2, "they stay");
}

#[tokio::test]
async fn viewers_are_listed_and_can_be_disconnected() {
    let site = Site::start().await;
    let publisher = site.hub.add("door");
    let seat = publisher.stream().join(ME, Transport::Udp, Some("mpv".to_owned()));
    seat.sent(10, 14_000, Duration::from_millis(4));
    seat.skipped(crate::vocabulary::Skip::Lagged, 3);
    seat.plays();
    let other = publisher.stream().join(ME, Transport::Tcp, None);
    other.plays();
    other.pauses();
    let viewers = site.get("/api/v1/streams/door/viewers").await.json();
    let viewer = &viewers["viewers"][0];
    assert_eq!((&viewer["peer"], &viewer["transport"]), (&json!("127.0.0.1"), &json!("udp")));
    assert_eq!((&viewer["packets"], &viewer["bytes"]), (&json!(10), &json!(14_000)));
    assert_eq!((&viewer["user_agent"], &viewer["skipped_frames"]), (&json!("mpv"), &json!(3)));
    assert_eq!(viewer["lag_seconds"], 0.0, "nothing has come that it could lack");
    assert_eq!(viewers["viewers"][1]["lag_seconds"], Value::Null, "who pauses lacks nothing");
    let latency = viewer["latency_ms"].as_f64().unwrap();
    assert!((4.0..1000.0).contains(&latency));
    let stream = site.get("/api/v1/streams/door").await.json();
    assert_eq!(
        stream["viewers"],
        json!({"count": 2, "tcp": 1, "tls": 0, "udp": 1, "multicast": 0, "websocket": 0, "http": 0})
    );
    assert_eq!(stream["latency_ms"]["mean"], latency, "who got nothing yet has no latency");
    assert_eq!(stream["latency_ms"]["max"], latency);

    let gone = site.ask("DELETE", &format!("/api/v1/viewers/{}", viewer["id"]), "", "").await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    let reason = time::timeout(Duration::from_secs(5), seat.viewer().kicked()).await.unwrap();
    assert_eq!(reason, Disconnect::Kicked);
    for id in ["999999999", "abc", "-1", "%ff"] {
        assert_eq!(site.ask("DELETE", &format!("/api/v1/viewers/{id}"), "", "").await.status, 404, "{id}");
    }
}

#[tokio::test]
async fn a_source_can_be_told_to_connect_anew() {
    let site = Site::start().await;
    let publisher = site.hub.add("door");
    let asked = time::timeout(Duration::from_secs(5), publisher.stream().reconnect_requested());
    let (asked, answer) = tokio::join!(asked, site.ask("POST", "/api/v1/streams/door/reconnect", "", ""));
    asked.unwrap();
    assert_eq!((answer.status, answer.json()), (202, json!({"name": "door"})));
    assert_eq!(site.ask("POST", "/api/v1/streams/yard/reconnect", "", "").await.status, 404);
}

/// A change that is not in the file.
fn unwritten() -> Kept {
    Kept::UntilRestart("read-only".to_owned())
}

/// Asks for a stream while the app answers `result`; gives what the app was asked for as well.
async fn put(
    site: &mut Site,
    path: &str,
    body: &str,
    result: Result<(Change, Kept), Problems>,
) -> (Answer, String, Value) {
    let address = site.address;
    let app = async {
        match site.commands.recv().await.unwrap() {
            Command::Put { name, stream, reply } => {
                reply.send(result).unwrap();
                (name.to_string(), stream)
            }
            Command::Delete { .. } => panic!("nothing was to be removed"),
        }
    };
    let (answer, (name, stream)) = tokio::join!(ask(address, "PUT", path, "", body), app);
    (answer, name, stream)
}

#[tokio::test]
async fn a_stream_that_is_put_goes_to_the_app() {
    let mut site = Site::start().await;
    for (change, status, word) in [
        (Change::Created, 201, "created"),
        (Change::Replaced, 200, "replaced"),
        (Change::Unchanged, 200, "unchanged"),
    ] {
        let body = r#"{"source": "rtsp://10.0.0.7/main", "on_demand": true}"#;
        let result = Ok((change, Kept::InFile));
        let (answer, name, stream) = put(&mut site, "/api/v1/streams/site/door", body, result).await;
        assert_eq!(answer.status, status);
        let said = json!({"name": "site/door", "change": word, "written": true, "why_not_written": null});
        assert_eq!(answer.json(), said);
        assert_eq!(name, "site/door");
        assert_eq!(stream, json!({"source": "rtsp://10.0.0.7/main", "on_demand": true}));
    }
    let (answer, _, stream) =
        put(&mut site, "/api/v1/streams/door", "\"rtsp://10.0.0.7/\"", Ok((Change::Created, unwritten())))
            .await;
    assert_eq!((answer.status, stream), (201, json!("rtsp://10.0.0.7/")));
    let said = answer.json();
    assert_eq!((&said["written"], &said["why_not_written"]), (&json!(false), &json!("read-only")));
    let problems = Problems(vec![Problem { key: "transport".to_owned(), message: "is wrong".to_owned() }]);
    let (answer, ..) = put(&mut site, "/api/v1/streams/door", "{}", Err(problems)).await;
    assert_eq!(answer.status, 400);
    assert!(!answer.error().is_empty());
    assert_eq!(answer.json()["problems"], json!([{"key": "transport", "message": "is wrong"}]));
}

#[tokio::test]
async fn what_cannot_be_a_stream_never_reaches_the_app() {
    let mut site = Site::start().await;
    let big = format!("\"{}\"", "x".repeat(64 * 1024));
    for (path, body, status, says) in [
        ("door", r#"{"file": "/etc/passwd"}"#, 400, "only be named in the configuration file"),
        (
            "door",
            r#"{"source": "rtsp://cam/", "file": null}"#,
            400,
            "only be named in the configuration file",
        ),
        ("front%20door", "\"rtsp://cam/\"", 400, "cannot be part of a stream's name"),
        ("door//a", "\"rtsp://cam/\"", 400, "nor has two in a row"),
        ("door", "{", 400, "the body is not JSON"),
        ("door", "", 400, "the body is not JSON"),
        ("door", &big, 413, "length limit"),
    ] {
        let answer = site.ask("PUT", &format!("/api/v1/streams/{path}"), "", body).await;
        assert_eq!(answer.status, status, "{path} {body:.40}");
        answer.error();
        assert!(answer.body.contains(says), "{}", answer.body);
    }
    assert!(site.commands.try_recv().is_err());
}

#[tokio::test]
async fn a_stream_can_be_removed() {
    let mut site = Site::start().await;
    let address = site.address;
    for (kept, status) in [(Some(Kept::InFile), 200), (Some(unwritten()), 200), (None, 404)] {
        let written = kept == Some(Kept::InFile);
        let app = async {
            match site.commands.recv().await.unwrap() {
                Command::Delete { name, reply } => {
                    assert_eq!(name.as_str(), "a/viewers");
                    reply.send(kept).unwrap();
                }
                Command::Put { .. } => panic!("nothing was to be added"),
            }
        };
        let (answer, ()) = tokio::join!(ask(address, "DELETE", "/api/v1/streams/a%2Fviewers", "", ""), app);
        assert_eq!(answer.status, status);
        if status == 200 {
            let said = answer.json();
            assert_eq!((&said["change"], &said["written"]), (&json!("removed"), &json!(written)));
        }
    }
    assert_eq!(site.ask("DELETE", "/api/v1/streams/no%20name", "", "").await.status, 404);
}

#[tokio::test]
async fn without_an_app_streams_stay_as_they_are() {
    let mut site = Site::start().await;
    site.commands.close();
    let put = site.ask("PUT", "/api/v1/streams/door", "", "\"rtsp://cam/\"").await;
    let delete = site.ask("DELETE", "/api/v1/streams/door", "", "").await;
    assert_eq!((put.status, delete.status), (503, 503));
    assert!(put.error().contains("stopping"));
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let mut site = Site::start().await;
    let publisher = site.hub.add("door");
    let seat = publisher.stream().join(ME, Transport::Tcp, None);
    let viewer = format!("/api/v1/viewers/{}", seat.viewer().id);
    for header in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        for (method, path) in [
            ("DELETE", viewer.as_str()),
            ("POST", "/api/v1/streams/door/reconnect"),
            ("PUT", "/api/v1/streams/door"),
            ("DELETE", "/api/v1/streams/door"),
        ] {
            let answer = site.ask(method, path, header, "\"rtsp://cam/\"").await;
            assert_eq!(answer.status, 403, "{method} {path} {header}");
            assert!(!answer.error().is_empty());
        }
        assert_eq!(site.ask("GET", "/api/v1/streams", header, "").await.status, 200);
    }
    assert!(site.commands.try_recv().is_err());
    assert!(time::timeout(Duration::from_millis(1), seat.viewer().kicked()).await.is_err());
    // Its own, by a name that anybody's name server may lead here.
    let named = site.ask("DELETE", &viewer, "Origin: http://relay.lan:8580\r\n", "").await;
    assert_eq!(named.status, 403);
    let program = site.ask("DELETE", &viewer, "", "").await;
    assert_eq!(program.status, 204);
}

#[tokio::test]
async fn the_settings_of_a_stream_can_be_looked_at_unless_it_plays_a_file() {
    let site = Site::start().await;
    let (door, _file) = (site.camera("site/door"), site.camera("clip"));
    let settings = json!({"source": "rtsp://***@10.0.0.7/a", "password": "***", "on_demand": true});
    let provenance = Provenance { settings: Some(Arc::new(settings.clone())), ..Provenance::default() };
    door.stream().comes_from(provenance);
    assert_eq!(site.get("/api/v1/streams/site/door/config").await.json(), settings);
    let file = site.get("/api/v1/streams/clip/config").await;
    assert_eq!(file.status, 409);
    assert!(file.error().contains("configuration file"));
    assert_eq!(site.get("/api/v1/streams/yard/config").await.status, 404);
}

#[tokio::test]
async fn the_description_names_exactly_what_there_is() {
    let mut site = Site::start().await;
    site.commands.close();
    site.draining.cancel(); // events would have no end
    let _publisher = site.hub.add("door");
    let document = site.get("/api/v1/openapi.json").await.json();
    let described = document["paths"].as_object().unwrap();
    // What is described exists, with these methods and no others.
    for (path, operations) in described {
        let concrete = path.replace("{name}", "door").replace("{id}", "1");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let answer = site.ask(method, &concrete, "", "").await;
            let exists = answer.status != 405 && !answer.body.contains("there is nothing at");
            let is_described = operations.get(method.to_lowercase()).is_some();
            assert_eq!(exists, is_described, "{method} {path} gave {}", answer.status);
            if is_described {
                let status = answer.status.to_string();
                assert!(
                    operations[method.to_lowercase()]["responses"].get(&status).is_some(),
                    "{method} {path}: {status} is not described"
                );
            }
        }
    }
    // What exists is described, but for the files of the page.
    let files = ["/page/{version}/{file}", "/icon.svg"];
    let mut paths: Vec<_> = routes().iter().map(|(path, _)| path.replace("{*path}", "{name}")).collect();
    paths.extend(target::PARTS.map(|(suffix, _)| format!("/api/v1/streams/{{name}}{suffix}")));
    for path in paths.iter().filter(|path| !files.contains(&path.as_str())) {
        assert!(described.contains_key(path), "{path} is not described");
    }
}

#[tokio::test]
async fn who_talks_to_a_camera_is_shown() {
    let site = Site::start().await;
    let viewing = Viewing { back_channel: true, ..Viewing::default() };
    let mut publisher = site.hub.add_with("door", viewing);
    let shown = async || site.get("/api/v1/streams/door").await.json()["backchannel"].take();
    assert_eq!(shown().await, json!({"encoding": null, "talker": null}));
    let camera = crate::sdp::parse(b"m=audio 0 RTP/AVP 8\na=sendonly").unwrap();
    publisher.listens(camera.back_channel());
    let channel = publisher.stream().back_channel().unwrap();
    let floor = channel.take("a secret", ME).unwrap();
    let seat = publisher.stream().join(ME, Transport::Tcp, None);
    floor.plays(seat.viewer());
    floor.say(&[0x80, 8]);
    let state = shown().await;
    assert_eq!(state["encoding"], "PCMA/8000");
    let talker = &state["talker"];
    assert_eq!((&talker["viewer"], &talker["peer"]), (&json!(seat.viewer().id), &json!(ME.to_string())));
    assert_eq!((&talker["packets"], talker["session"].is_null()), (&json!(1), true));
    let _other = site.camera("yard");
    assert_eq!(site.get("/api/v1/streams/yard").await.json()["backchannel"], Value::Null);
}

#[tokio::test]
async fn the_fields_of_the_description_are_those_of_the_answers() {
    let site = Site::start().await;
    let publisher = site.camera("door");
    let _seat = publisher.stream().join(ME, Transport::Tcp, None);
    let schemas = site.get("/api/v1/openapi.json").await.json()["components"]["schemas"].take();
    let stream = site.get("/api/v1/streams/door").await.json();
    let viewers = site.get("/api/v1/streams/door/viewers").await.json();
    for (schema, shown) in [
        ("Stream", &stream),
        ("Source", &stream["source"]),
        ("Track", &stream["tracks"][0]),
        ("Viewer", &viewers["viewers"][0]),
    ] {
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&schemas[schema]["properties"]), keys(shown), "{schema}");
    }
    let listed = |schema: &str| schemas[schema]["enum"].as_array().unwrap().clone();
    let phases = crate::vocabulary::Phase::ALL.iter().map(|phase| json!(phase.as_str()));
    assert_eq!(listed("State"), phases.collect::<Vec<_>>());
    let classes = FailureClass::ALL.iter().map(|class| json!(class.as_str()));
    assert_eq!(listed("FailureClass"), classes.collect::<Vec<_>>());
}
