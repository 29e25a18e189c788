//! A configuration to paste: what was found to work, and the password as a variable.

use super::report::{Report, Verdict};
use crate::config::{CameraUrl, redact_path};

/// The stream called `name`. A secret in the URL makes the whole of it a variable.
pub(super) fn block(camera: &CameraUrl, name: &str, report: &Report) -> String {
    let variable = variable(name);
    let mut lines = vec!["streams:".to_owned(), format!("  {name}:")];
    let address = camera.url().as_str();
    let shown = redact_path(address);
    if shown == address {
        lines.push(format!("    source: {}", quoted(address)));
    } else {
        lines.push(format!("    # Its URL has a password in it: {}", shown.replace(char::is_control, " ")));
        lines.push(format!("    source: ${{{variable}_URL}}"));
    }
    if let Some(credentials) = camera.credentials() {
        lines.push(format!("    username: {}", quoted(&credentials.username)));
        lines.push(format!("    password: ${{{variable}_PASSWORD}}"));
    } else if report.failure.as_ref().is_some_and(|failure| failure.class == "unauthorized") {
        lines.push("    username: admin".to_owned());
        lines.push(format!("    password: ${{{variable}_PASSWORD}}"));
    }
    if report.verdict != Verdict::NotWatchable && report.best().is_some_and(|best| best.transport == "udp") {
        lines.push("    transport: udp # it gives no pictures over TCP".to_owned());
    }
    if let Some(certificate) = report.certificate.as_ref().filter(|certificate| !certificate.verified)
        && camera.url().scheme() != "rtspx"
    {
        lines.push("    # Compare it with what the camera's own page shows before you trust it.".to_owned());
        lines.push(format!("    tls_fingerprint: {}", certificate.fingerprint));
    }
    lines.join("\n") + "\n"
}

/// The beginning of the names of environment variables for this stream.
fn variable(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable: String = name.chars().map(letter).collect();
    if variable.starts_with(|c: char| c.is_ascii_digit()) { format!("CAM_{variable}") } else { variable }
}

/// A YAML string that is what it is, whatever stands in it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%?=&,+~".contains(c);
    let text = text.replace("${", "$${");
    let safe = text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphabetic());
    let word = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if safe && !word.contains(&text.to_ascii_lowercase().as_str()) && !text.ends_with(':') {
        return text;
    }
    // JSON's strings are YAML's.
    serde_json::Value::String(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::report::{Certificate, Failure, Session};
    use super::*;
    use crate::config::{Config, Source, Stream, StreamName};
    use crate::vocabulary::Secret;

    /// What the relay makes of the block, with these variables.
    fn parsed(text: &str, name: &str, secret: &str) -> Stream {
        let config = Config::parse(text, &|_| Some(secret.to_owned()))
            .unwrap_or_else(|problems| panic!("{text}\n{problems}"));
        let name: StreamName = name.parse().unwrap();
        config.streams[&name].clone()
    }

    #[test]
    fn the_block_is_what_was_probed_without_the_password() {
        let camera: CameraUrl = "rtsp://ann:hunter2@10.0.0.7/main?x=1".parse().unwrap();
        let text = block(&camera, "front-door", &Report::default());
        assert_eq!(
            text,
            "streams:\n  front-door:\n    source: rtsp://10.0.0.7/main?x=1\n    username: ann\n    \
             password: ${FRONT_DOOR_PASSWORD}\n"
        );
        assert_eq!(parsed(&text, "front-door", "hunter2").source, Source::Cameras(vec![camera]));
    }

    #[test]
    fn a_url_with_a_secret_in_it_is_a_variable() {
        let url = "rtsp://10.0.0.7/user=a&password=hunter2&channel=1";
        let text = block(&url.parse().unwrap(), "cam", &Report::default());
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(parsed(&text, "cam", url).source, Source::Cameras(vec![url.parse().unwrap()]));
    }

    #[test]
    fn what_was_found_out_is_in_the_block() {
        let session = Session { transport: "udp".into(), ..Session::default() };
        let mut report = Report { verdict: Verdict::Remarks, sessions: vec![session], ..Report::default() };
        report.certificate = Some(Certificate { fingerprint: "ab".repeat(32), ..Certificate::default() });
        let text = block(&"rtsps://10.0.0.7/main".parse().unwrap(), "cam", &report);
        assert!(text.contains("    transport: udp") && text.contains("    tls_fingerprint: abab"), "{text}");
        parsed(&text, "cam", "");
        report.failure = Some(Failure { class: "unauthorized".into(), ..Failure::default() });
        assert!(block(&"rtsp://10.0.0.7/main".parse().unwrap(), "cam", &report).contains("${CAM_PASSWORD}"));
    }

    proptest! {
        #[test]
        fn any_user_name_and_path_arrive(user in "[ -~]{1,8}", path in "[!-~]{0,12}") {
            let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
            let url = format!("rtsp://{}:pw@cam/{}", encode(&user), path.replace('#', ""));
            let camera: Result<CameraUrl, _> = url.parse();
            if let Ok(camera) = camera && redact_path(camera.url().as_str()) == camera.url().as_str() {
                let text = block(&camera, "cam", &Report::default());
                let found = parsed(&text, "cam", "pw");
                prop_assert_eq!(camera.credentials().unwrap().password.clone(), Secret::new("pw"));
                prop_assert_eq!(found.source, Source::Cameras(vec![camera]), "{}", text);
            }
        }
    }
}
