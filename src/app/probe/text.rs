//! A report as a page of text.

use std::fmt;

use crate::source::probe::{Report, State, Track, time};

/// The report, for people.
pub(super) struct Page<'a>(pub(super) &'a Report);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(f, "{}\n", report.url)?;
        for step in &report.steps {
            let took = step.seconds.map(|seconds| format!(" ({})", time(seconds))).unwrap_or_default();
            // The first packet's time is part of its words.
            let took = if step.name == "media" { String::new() } else { took };
            writeln!(f, "  {}  {:<10}  {}{took}", sign(step.state), step.name, step.words)?;
        }
        if !report.tracks.is_empty() {
            writeln!(f, "\nTracks")?;
        }
        for track in &report.tracks {
            writeln!(f, "  {}  {}", track.track, line(track))?;
        }
        if !report.sdp_faults.is_empty() {
            writeln!(f, "\nFaults of its session description (the relay puts up with them)")?;
        }
        for fault in &report.sdp_faults {
            writeln!(f, "  - {fault}")?;
        }
        writeln!(f, "\n{}", report.summary)?;
        for advice in &report.advice {
            writeln!(f, "  - {advice}")?;
        }
        if let Some(config) = &report.config {
            let lines = config.trim_end();
            write!(
                f,
                "\nFor the configuration of the relay (`fanlight check FILE` looks at it):\n\n{lines}"
            )?;
        } else {
            write!(f, "\nTook {}.", time(report.seconds))?;
        }
        Ok(())
    }
}

/// A track in a line: `video: H264 High 4.0, 1920x1080`.
pub(super) fn line(track: &Track) -> String {
    let mut parts =
        vec![track.encoding.clone().unwrap_or_else(|| "a format the camera does not explain".to_owned())];
    if let (Some(profile), Some(level)) = (&track.profile, &track.level) {
        parts[0] += &format!(" {profile} {level}");
    }
    if let (Some(width), Some(height)) = (track.width, track.height) {
        parts.push(format!("{width}x{height}"));
    }
    if track.kind == "audio" {
        parts.push(format!("{} Hz", track.clock_rate));
        parts.extend(
            track.channels.map(|channels| {
                if channels == 1 { "mono".to_owned() } else { format!("{channels} channels") }
            }),
        );
    }
    format!("{}: {}", track.kind, parts.join(", "))
}

fn sign(state: State) -> &'static str {
    match state {
        State::Ok => "ok  ",
        State::Remark => "note",
        State::Failed => "FAIL",
        State::Skipped => "-   ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::probe::Step;

    #[test]
    fn a_page_has_steps_tracks_verdict_advice_and_configuration() {
        let step = |name: &str, state, words: &str, seconds| Step {
            name: name.into(),
            state,
            words: words.into(),
            seconds,
        };
        let video = Track {
            kind: "video".into(),
            encoding: Some("H264".into()),
            width: Some(640),
            height: Some(360),
            profile: Some("High".into()),
            level: Some("3.0".into()),
            ..Track::default()
        };
        let audio = Track {
            track: 1,
            kind: "audio".into(),
            encoding: Some("PCMU".into()),
            clock_rate: 8000,
            channels: Some(1),
            ..Track::default()
        };
        let report = Report {
            url: "rtsp://***@cam/x".into(),
            summary: "Good: so it is.".into(),
            advice: vec!["Do that.".into()],
            steps: vec![
                step("TCP", State::Ok, "10.0.0.7:554", Some(0.001)),
                step("UDP", State::Skipped, "no", None),
            ],
            tracks: vec![video, audio],
            sdp_faults: vec!["no v=".into()],
            config: Some("streams:\n  cam:\n    source: rtsp://cam/x\n".into()),
            ..Report::default()
        };
        assert_eq!(
            Page(&report).to_string(),
            "rtsp://***@cam/x\n\n  ok    TCP         10.0.0.7:554 (1.0 ms)\n  -     UDP         no\n\nTracks\n  \
             0  video: H264 High 3.0, 640x360\n  1  audio: PCMU, 8000 Hz, mono\n\n\
             Faults of its session description (the relay puts up with them)\n  - no v=\n\nGood: so it is.\n  - Do that.\n\n\
             For the configuration of the relay (`fanlight check FILE` looks at it):\n\nstreams:\n  cam:\n    source: rtsp://cam/x"
        );
    }
}
