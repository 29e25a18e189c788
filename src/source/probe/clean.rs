//! What a camera wrote, fit to be printed: without control characters, short, and without our password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::config::{CameraUrl, redact_path};

/// Knows what must not be printed.
#[derive(Clone)]
pub(super) struct Clean {
    secrets: Vec<String>,
}

impl Clean {
    /// Of this camera: its password, plain, percent-encoded and as Basic has it, and what looks like one in its path.
    pub(super) fn new(camera: &CameraUrl) -> Self {
        let mut secrets = Vec::new();
        if let Some(credentials) = camera.credentials() {
            let (username, password) = (&credentials.username, credentials.password.reveal());
            secrets.push(password.to_owned());
            secrets.push(url::form_urlencoded::byte_serialize(password.as_bytes()).collect());
            let percent = |byte: u8| match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => {
                    char::from(byte).to_string()
                }
                _ => format!("%{byte:02X}"),
            };
            secrets.push(password.bytes().map(percent).collect());
            secrets.push(BASE64.encode(format!("{username}:{password}")));
        }
        let address = camera.url().as_str();
        for parameter in address.split(['/', '?', '&', ';']) {
            let shown = redact_path(parameter);
            if let Some(kept) = shown.strip_suffix("***")
                && let Some(value) = parameter.strip_prefix(kept)
            {
                secrets.push(value.to_owned());
                // XMEye separates by `_` what follows the password.
                secrets.extend(value.split('_').next().map(str::to_owned));
            }
        }
        secrets.retain(|secret| secret.len() >= SECRET_MIN);
        // The longest first, since one may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// The text as it may be printed.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, "***");
        }
        let printable = text.chars().map(|c| if c.is_control() || is_bidirectional(c) { ' ' } else { c });
        let mut shown: String = printable.take(LENGTH_MAX).collect();
        if text.chars().nth(LENGTH_MAX).is_some() {
            shown.push('…');
        }
        redact_path(shown.trim())
    }
}

/// Characters that turn the order of others around: a line on a terminal is to say what it says.
fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shorter ones stand in everything.
const SECRET_MIN: usize = 3;

const LENGTH_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(url: &str) -> Clean {
        Clean::new(&url.parse().unwrap())
    }

    #[test]
    fn a_password_is_hidden_in_every_form_a_camera_may_give_it_back_in() {
        let clean = clean("rtsp://ann:hunter%202@cam/x");
        for echo in ["hunter 2", "hunter%202", "hunter+2", "YW5uOmh1bnRlciAy"] {
            let shown = clean.text(&format!("Camera of {echo}, rtsp://cam/{echo}"));
            assert_eq!(shown, "Camera of ***, rtsp://cam/***");
        }
    }

    #[test]
    fn a_password_in_the_path_is_hidden_too() {
        let shown = clean("rtsp://cam/user=a_password=s3cret_channel=1?x").text("no stream for s3cret");
        assert_eq!(shown, "no stream for ***");
        assert_eq!(clean("rtsp://cam/?token=abcdef&x=1").text("abcdef 1"), "*** 1");
    }

    #[test]
    fn what_is_printed_moves_no_cursor_and_has_an_end() {
        let clean = clean("rtsp://cam/x");
        assert_eq!(clean.text("a\u{1b}[2J\u{202e}b\r\n"), "a [2J b");
        assert_eq!(clean.text(&"x".repeat(1000)).chars().count(), LENGTH_MAX + 1);
    }
}
