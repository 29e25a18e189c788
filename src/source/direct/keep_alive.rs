//! Signs of life: which request, and when.
//!
//! GET_PARAMETER where the camera lists it or never says what it has, SET_PARAMETER where it lists only that (GW4089IP,
//! C51). A camera that lists neither gets OPTIONS and GET_PARAMETER in turn: EvoStream refreshes a session by the latter
//! only, listed or not (C15), and what is refused once is left out.

use std::time::{Duration, Instant};

use crate::config::{Flags, SignOfLife};
use crate::rtsp::session_id::DEFAULT_TIMEOUT;
use crate::rtsp::{Headers, Method, Status};

/// When the next sign of life is due, and what it is.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Duration,
    next: Option<Instant>,
    sent: u32,
    listed: Option<Listed>,
    /// GET_PARAMETER was refused.
    refused: bool,
    /// What the camera's profile says.
    wanted: SignOfLife,
    every: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    get_parameter: bool,
    set_parameter: bool,
}

impl KeepAlive {
    pub(super) fn new() -> Self {
        Self {
            interval: interval(DEFAULT_TIMEOUT),
            next: None,
            sent: 0,
            listed: None,
            refused: false,
            wanted: SignOfLife::Auto,
            every: None,
        }
    }

    /// The camera's profile is known.
    pub(super) fn obey(&mut self, flags: &Flags) {
        (self.wanted, self.every) = (flags.keep_alive, flags.keep_alive_every);
    }

    /// The next ones are of this kind, whatever the camera's profile says.
    pub(super) fn insist(&mut self, kind: SignOfLife) {
        self.wanted = kind;
    }

    fn interval(&self) -> Duration {
        self.every.unwrap_or(self.interval)
    }

    /// The camera named the session's timeout.
    pub(super) fn timeout(&mut self, timeout: Duration) {
        self.interval = interval(timeout);
    }

    /// Media plays from now on.
    pub(super) fn start(&mut self, now: Instant) {
        // Early, to know what the camera lists before the first that counts.
        let interval = self.interval();
        let learns = self.wanted == SignOfLife::Auto && self.listed.is_none();
        let first = if learns { interval.min(FIRST) } else { interval };
        self.next = (self.wanted != SignOfLife::None).then_some(now + first);
    }

    /// Nothing is due until it starts again.
    pub(super) fn stop(&mut self) {
        self.next = None;
    }

    /// When the next one is due; `None` before media plays.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// What to send now; the next one is due an interval later.
    pub(super) fn take(&mut self, now: Instant) -> Method {
        self.next = Some(now + self.interval());
        self.sent += 1;
        match self.wanted {
            SignOfLife::Auto | SignOfLife::None => {}
            SignOfLife::Options => return Method::Options,
            SignOfLife::GetParameter => return Method::GetParameter,
            SignOfLife::SetParameter => return Method::SetParameter,
        }
        match self.listed {
            None if self.sent == 1 => Method::Options,
            Some(Listed { get_parameter: true, .. }) | None if !self.refused => Method::GetParameter,
            Some(Listed { set_parameter: true, .. }) => Method::SetParameter,
            Some(_) if !self.refused && self.sent.is_multiple_of(2) => Method::GetParameter,
            _ => Method::Options,
        }
    }

    /// Reads `Public` (or `Allow`), if it is there.
    pub(super) fn learn(&mut self, headers: &Headers) {
        let names = ["Public", "Allow"];
        let Some(name) =
            names.into_iter().find(|name| headers.get(name).is_some_and(|list| !list.is_empty()))
        else {
            return;
        };
        let has = |method: &str| headers.list(name).any(|listed| listed.eq_ignore_ascii_case(method));
        let listed = Listed { get_parameter: has("GET_PARAMETER"), set_parameter: has("SET_PARAMETER") };
        self.listed = Some(listed);
    }

    /// A sign of life was answered.
    pub(super) fn answered(&mut self, method: &Method, status: Status) {
        // 451 and the like answer the empty body, not the method.
        self.refused |= *method == Method::GetParameter && matches!(status.0, 404 | 405 | 455 | 501 | 551);
    }
}

/// Under half the timeout, so that one may be lost; never rarer than cameras want that say 60 and mean less (Tapo, C16).
fn interval(timeout: Duration) -> Duration {
    (timeout * 2 / 5).min(RAREST)
}

const FIRST: Duration = Duration::from_secs(2);
const RAREST: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(public: Option<&str>, status: u16) -> Vec<Method> {
        let mut keep_alive = KeepAlive::new();
        let now = Instant::now();
        keep_alive.start(now);
        (0..4)
            .map(|_| {
                let method = keep_alive.take(now);
                if let (Method::Options, Some(public)) = (&method, public) {
                    let mut headers = Headers::new();
                    headers.push("Public", public);
                    keep_alive.learn(&headers);
                }
                keep_alive.answered(&method, Status(status));
                method
            })
            .collect()
    }

    #[test]
    fn the_sign_of_life_is_one_the_camera_has() {
        use Method::{GetParameter as Get, Options, SetParameter as Set};
        for (public, status, expected) in [
            (None, 200, [Options, Get, Get, Get]),
            (Some("OPTIONS, DESCRIBE, GET_PARAMETER, SET_PARAMETER"), 200, [Options, Get, Get, Get]),
            // C51
            (Some("OPTIONS, SET_PARAMETER"), 200, [Options, Set, Set, Set]),
            // C15
            (Some("OPTIONS, DESCRIBE, HEARTBEAT"), 200, [Options, Get, Options, Get]),
            (Some("OPTIONS, DESCRIBE"), 501, [Options, Get, Options, Options]),
            (Some("OPTIONS, GET_PARAMETER"), 501, [Options, Get, Options, Options]),
            (None, 501, [Options, Get, Options, Options]),
        ] {
            assert_eq!(signs(public, status), expected, "{public:?} {status}");
        }
    }

    #[test]
    fn it_comes_in_under_half_the_timeout() {
        for (timeout, seconds) in [(60, 24.0), (10, 4.0), (1, 0.4), (3600, 25.0)] {
            let mut keep_alive = KeepAlive::new();
            keep_alive.timeout(Duration::from_secs(timeout));
            let now = Instant::now();
            keep_alive.start(now);
            let first = keep_alive.due().unwrap();
            assert!(first <= now + FIRST);
            keep_alive.take(first);
            assert_eq!(keep_alive.due().unwrap() - first, Duration::from_secs_f64(seconds));
        }
        assert_eq!(KeepAlive::new().due(), None);
    }
}
