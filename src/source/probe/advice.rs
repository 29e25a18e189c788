//! The verdict in words, and what to do about it.

use super::report::{Failure, KeepAlive, Report, Session, State, Verdict};
use super::words;
use crate::config::CameraUrl;

/// Draws the conclusions from what was found.
pub(super) fn conclude(report: &mut Report, camera: &CameraUrl) {
    let Some(best) = report.best().cloned() else {
        not_watchable(report, camera);
        return;
    };
    let mut advice = Vec::new();
    if let Some(failure) =
        report.failure.take_if(|failure| matches!(failure.class.as_str(), "out_of_time" | "stopped"))
    {
        advice.push(format!("The probe did not come to its end: {}.", failure.words));
    }
    report.failure = None;
    about_sessions(report, &best, &mut advice);
    if let Some(certificate) = report.certificate.as_ref().filter(|certificate| certificate.expired) {
        let expires = certificate.expires.as_deref().unwrap_or_default();
        advice.push(format!("The camera's certificate expired ({expires}): give it a new one."));
    }
    if report.camera.login.is_none() && camera.credentials().is_none() {
        advice.push("Anybody on its network may watch this camera: set a password in it.".to_owned());
    }
    if report.keep_alive.as_ref().is_some_and(|keep_alive| keep_alive.method.is_none()) {
        advice
            .push("It answers no sign of life well: watch for sessions that end at its timeout.".to_owned());
    }
    if report.clock_offset_seconds.is_some_and(|offset| offset.abs() > CLOCK) {
        advice.push("Let the camera set its clock by NTP: recordings carry its time.".to_owned());
    }
    let broken = advice.iter().any(|words| !words.starts_with("Anybody")) || best.state == State::Remark;
    report.verdict = if broken { Verdict::Remarks } else { Verdict::Good };
    let but = if broken { "It can be watched, with remarks" } else { "Good" };
    report.summary = format!("{but}: {}.", essence(report, &best));
    report.advice = advice;
}

/// Whether there is a configuration to be suggested: it works, or would with one more thing that is the user's to know.
pub(super) fn deserves_a_block(report: &Report) -> bool {
    report.verdict != Verdict::NotWatchable
        || report.failure.as_ref().is_some_and(|failure| {
            matches!(failure.class.as_str(), "unauthorized" | "certificate") && report.camera.redirects == 0
        })
}

/// What a viewer gets: `1920x1080 H264 at 25.0 fps and 4.1 Mbit/s over TCP`.
fn essence(report: &Report, best: &Session) -> String {
    let mut parts = Vec::new();
    for track in &report.tracks {
        let reading = best.tracks.iter().find(|reading| reading.track == track.track);
        let Some(reading) = reading.filter(|reading| reading.packets > 0) else { continue };
        let name = track.encoding.clone().unwrap_or_else(|| track.kind.clone());
        let mut words = match (track.width, track.height) {
            (Some(width), Some(height)) => format!("{width}x{height} {name}"),
            _ => name,
        };
        if track.kind == "video" {
            words += &reading.fps.map(|fps| format!(" at {fps:.1} fps")).unwrap_or_default();
            words += &reading.bit_rate.map(|bits| format!(", {}", words::bit_rate(bits))).unwrap_or_default();
        }
        parts.push(words);
    }
    format!("{} over {}", parts.join(" and "), best.transport.to_uppercase())
}

fn about_sessions(report: &Report, best: &Session, advice: &mut Vec<String>) {
    let udp = report.sessions.iter().find(|session| session.transport == "udp");
    let loss = |session: &Session| session.tracks.iter().map(|track| track.loss).fold(0.0, f64::max);
    if best.first_key_frame_seconds.is_none() {
        advice.push(format!(
            "No key frame came in {}: shorten the key-frame interval (GOP, I-frame interval) in the camera, or probe longer \
             (--seconds).",
            words::time(best.measured_seconds)
        ));
    }
    let longest = best.tracks.iter().filter_map(|track| track.key_frame_interval_seconds).fold(0.0, f64::max);
    if longest > KEY_FRAMES {
        advice.push(format!(
            "Its key frames are {} apart: players that begin without the relay's fast start wait that long. 1 to 2 s are \
             usual (GOP, I-frame interval in the camera).",
            words::time(longest)
        ));
    }
    for track in best.tracks.iter().filter(|track| track.packets == 0) {
        advice.push(format!(
            "Track {} is described, but nothing came on it: `tracks:` can leave it out.",
            track.track
        ));
    }
    if best.transport == "udp" {
        advice.push(
            "It gives no pictures over TCP: `transport: udp` is in the configuration below.".to_owned(),
        );
    }
    if loss(best) > LOSS && best.transport == "tcp" {
        advice.push(
            "Packets are missing although TCP loses none: the camera drops them, because the network takes them too slowly \
             or its processor is busy. Lower its bit rate."
                .to_owned(),
        );
    }
    match udp {
        Some(udp) if udp.state == State::Failed && best.transport != "udp" => advice.push(
            "Nothing came over UDP: a firewall or NAT on the way drops it, or the camera has none. TCP, the relay's default, \
             does."
                .to_owned(),
        ),
        Some(udp) if loss(udp) > LOSS => advice.push(format!(
            "Over UDP {:.1} % of the packets are lost: stay with TCP, or look at the network (Wi-Fi, a 100 Mbit/s port, \
             another cable).",
            loss(udp) * 100.0
        )),
        _ => {}
    }
}

fn not_watchable(report: &mut Report, camera: &CameraUrl) {
    report.verdict = Verdict::NotWatchable;
    let silent = report.sessions.iter().find(|session| session.state == State::Failed).cloned();
    let failure = report.failure.clone().unwrap_or_else(|| Failure {
        class: "no_media".to_owned(),
        step: "media".to_owned(),
        words: silent.map_or_else(|| "no session was opened".to_owned(), |session| session.words),
    });
    let at = match failure.class.as_str() {
        "no_media" | "out_of_time" | "stopped" => String::new(),
        _ => format!("{}: ", failure.step),
    };
    report.summary = format!("It cannot be watched: {at}{}.", failure.words.trim_end_matches('.'));
    report.advice = of_failure(&failure, report, camera);
    report.failure = Some(failure);
}

fn of_failure(failure: &Failure, report: &Report, camera: &CameraUrl) -> Vec<String> {
    let url = camera.url();
    let host = url.host_str().unwrap_or_default();
    let port = url.port().unwrap_or(match url.scheme() {
        "rtsp" => 554,
        "rtsps" | "rtspx" => 322,
        "rtsp+http" => 80,
        _ => 443,
    });
    let lines: Vec<String> = match (failure.class.as_str(), failure.step.as_str()) {
        ("name_lookup", _) => vec![
            format!("Nobody knows the name {host}: is it spelt right? Write the camera's address instead, or add the name to the DNS."),
        ],
        ("refused", _) => vec![
            format!("Somebody is at {host}, but nothing listens on port {port}: switch RTSP on in the camera, and look there for its port."),
            "Usual ports: 554; 8554 (many relays and apps), 88 (Foscam), 7447 (UniFi), 322 (rtsps).".to_owned(),
        ],
        ("unreachable", _) => vec![
            format!("There is no way to {host} from here: another network or VLAN, a missing route, or nobody has that address."),
        ],
        ("connect_timeout", "TCP" | "name") => vec![
            format!("Nobody answers at {host}: is the camera switched on, and is this its address (ping it)?"),
            format!("If it is there, a firewall on the way drops port {port}."),
        ],
        ("connect_timeout", "TLS") => vec![
            format!("Port {port} takes the connection, but speaks no TLS: does plain rtsp:// do?"),
        ],
        ("connect_timeout", "SETUP" | "PLAY") => vec![
            "The camera answered up to here and then no more: restart it, and look for newer firmware.".to_owned(),
        ],
        ("connect_timeout", _) => vec![
            format!("Port {port} takes the connection, but speaks no RTSP: is it the right port (554 is usual)?"),
            "If it is, the camera may hang: restart it.".to_owned(),
        ],
        ("unauthorized", _) if camera.credentials().is_none() => vec![
            "The camera wants a user name and a password: rtsp://USER:PASSWORD@HOST/PATH, or `username` and `password` in the configuration.".to_owned(),
            "Many cameras have an account of their own for RTSP or ONVIF, apart from the one for their app.".to_owned(),
        ],
        ("unauthorized", _) => vec![
            "The user name or the password is wrong, or the account may not watch. A password with signs such as @ or # may need percent-encoding.".to_owned(),
            "Do not try on at once: many cameras lock the account for minutes after five wrong passwords.".to_owned(),
            "Many cameras have an account of their own for RTSP or ONVIF, apart from the one for their app.".to_owned(),
        ],
        ("certificate", _) => match &report.certificate {
            Some(certificate) => vec![
                format!("Its certificate is not one this system trusts. If SHA-256 {} is what the camera itself shows, pin it: `tls_fingerprint`, as below.", certificate.fingerprint),
                "rtspx:// takes any certificate: encrypted, but nobody knows with whom.".to_owned(),
            ],
            None => vec!["Its certificate is not one this system trusts: pin it with `tls_fingerprint`, or take any with rtspx://.".to_owned()],
        },
        ("not_found" | "status", "SETUP") => vec![
            "The camera describes tracks that it does not set up: restart it, or look for newer firmware.".to_owned(),
        ],
        ("not_found", _) => vec![
            format!("The camera knows no stream at {}. Its manual or an ONVIF tool tells the path.", words_of_path(camera)),
            "Usual ones: /Streaming/Channels/101 (Hikvision), /cam/realmonitor?channel=1&subtype=0 (Dahua, Amcrest), \
             /axis-media/media.amp (Axis), /h264Preview_01_main (Reolink), /stream1 (Tapo), /videoMain (Foscam), \
             /media/video1 (Uniview)."
                .to_owned(),
        ],
        ("session_limit", _) => vec![
            "The camera has no session left: close other players, apps and recorders that watch it, which can watch the relay instead.".to_owned(),
            "Sessions that were never closed end by themselves after a minute or so; a restart of the camera ends them at once.".to_owned(),
        ],
        ("protocol", "TLS") => vec![format!("What answers on port {port} speaks no TLS that we know: does plain rtsp:// do?")],
        ("protocol", "DESCRIBE") => vec![
            "Its session description cannot be used: another profile or stream of the camera (sub-stream, H.264 instead of H.264+ or \"smart\" codecs), or newer firmware, may give a better one.".to_owned(),
            "If other players can watch it, please report it, with `--json` attached.".to_owned(),
        ],
        ("protocol" | "end_of_stream" | "reset", _) => vec![
            format!("What answers on port {port} does not speak RTSP as it should: is it the right port? A camera that is starting up does so too: try again in a minute."),
        ],
        ("no_udp" | "stall" | "no_media", _) => no_media(report),
        ("stopped", _) => Vec::new(),
        ("out_of_time", _) => vec![
            "The camera answers, but slowly: is its network or its processor busy? Other clients may be using it up.".to_owned(),
        ],
        _ => vec![
            "The camera refuses the request. Another path, another stream of it or newer firmware may do; its log may say why.".to_owned(),
        ],
    };
    lines
}

fn no_media(report: &Report) -> Vec<String> {
    let mut lines = vec![
        "The camera agreed to everything and sends no pictures: its encoder may hang (restart it), or this stream is switched off in it.".to_owned(),
    ];
    if report.sessions.iter().all(|session| session.transport == "udp") {
        lines.push("Over UDP a firewall or NAT may drop them: try TCP.".to_owned());
    }
    lines
}

fn words_of_path(camera: &CameraUrl) -> String {
    let shown = camera.to_string();
    let rest = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
    rest.find('/').map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned())
}

/// Puts into words what signs of life a camera answers. `timeout` is that of its sessions, in seconds.
pub(super) fn keep_alive(keep_alive: &mut KeepAlive, timeout: Option<f64>) {
    let tried: Vec<String> =
        keep_alive.tried.iter().map(|(method, answer)| format!("{method}: {answer}")).collect();
    let timeout = timeout
        .map(|seconds| format!("; its sessions time out after {}", words::time(seconds)))
        .unwrap_or_default();
    let verdict = match &keep_alive.method {
        Some(method) => format!("{method} keeps its sessions alive"),
        None => "none is answered well; what keeps its sessions is the media".to_owned(),
    };
    keep_alive.words = format!("{verdict} ({}){timeout}", tried.join(", "));
}

/// What the camera's clock is like.
pub(super) fn clock(offset: Option<f64>) -> (State, String) {
    match offset {
        None => (State::Skipped, "no sender report came, so its clock is not known".to_owned()),
        Some(offset) => {
            let side = if offset < 0.0 { "behind" } else { "ahead of" };
            let state = if offset.abs() > CLOCK { State::Remark } else { State::Ok };
            (state, format!("{} {side} this machine's", words::time(offset.abs())))
        }
    }
}

/// A clock that is further off in seconds is wrong.
const CLOCK: f64 = 2.0;

/// Key frames further apart, in seconds, make players wait.
const KEY_FRAMES: f64 = 4.5;

/// Loss that is seen: one packet in a thousand.
const LOSS: f64 = 0.001;
