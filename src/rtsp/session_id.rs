//! The `Session` header (RFC 2326 section 12.37).

use std::time::Duration;

/// What a session's timeout is if nobody says (RFC 2326 section 12.37).
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads a `Session` header: the id, and the timeout if there is a usable one. `None` if the id is empty.
///
/// Clients send back the parameters or the bare semicolon (an old ExoPlayer), cameras put blanks everywhere,
/// and some mean the default by `timeout=0`. The id is whatever stands before the first semicolon.
///
/// ```
/// use std::time::Duration;
/// use fanlight::rtsp::session_id;
/// assert_eq!(session_id::parse("4F8A ; Timeout=30;"), Some(("4F8A", Some(Duration::from_secs(30)))));
/// ```
pub fn parse(header: &str) -> Option<(&str, Option<Duration>)> {
    let mut parts = header.split(';').map(str::trim);
    let id = parts.next().filter(|id| !id.is_empty())?;
    Some((id, parts.find_map(timeout)))
}

/// Writes a `Session` header; the timeout in whole seconds.
pub fn format(id: &str, timeout: Duration) -> String {
    format!("{id};timeout={}", timeout.as_secs())
}

fn timeout(parameter: &str) -> Option<Duration> {
    let (key, value) = parameter.split_once('=')?;
    let seconds: u32 = value.trim().trim_matches('"').parse().ok()?;
    let timeout = if seconds == 0 { DEFAULT_TIMEOUT } else { Duration::from_secs(seconds.into()) };
    key.trim().eq_ignore_ascii_case("timeout").then_some(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_with_or_without_a_tail() {
        for (header, seconds) in [
            ("A3eqwsafq3", None),
            ("A3eqwsafq3;", None),
            ("  A3eqwsafq3  ", None),
            ("A3eqwsafq3;timeout=47", Some(47)),
            ("A3eqwsafq3; timeout=47", Some(47)),
            ("A3eqwsafq3 ; timeout = 47 ;", Some(47)),
            ("A3eqwsafq3;Timeout=47", Some(47)),
            ("A3eqwsafq3;x;timeout=47", Some(47)),
            ("A3eqwsafq3;timeout=0", Some(60)),
            ("A3eqwsafq3;timeout=", None),
            ("A3eqwsafq3;timeout=abc", None),
            ("A3eqwsafq3;timeout=-1", None),
            ("A3eqwsafq3;timeout=99999999999", None),
            ("A3eqwsafq3;timeout", None),
            ("A3eqwsafq3;idle=5", None),
        ] {
            assert_eq!(parse(header), Some(("A3eqwsafq3", seconds.map(Duration::from_secs))), "{header}");
        }
    }

    #[test]
    fn an_empty_id_is_none() {
        for header in ["", " ", ";", ";timeout=60", " ;=\""] {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let header = format("4f8a", Duration::from_millis(60_500));
        assert_eq!(header, "4f8a;timeout=60");
        assert_eq!(parse(&header), Some(("4f8a", Some(DEFAULT_TIMEOUT))));
    }
}
