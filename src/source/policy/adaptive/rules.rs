//! The rules of `auto`: from the class of a failure and the history to a wait and a sentence.

use std::time::{Duration, Instant};

use super::super::strategy::Strategy;
use super::super::words::{between, spoken};
use super::{Fact, Failed, History, Race, Wins};
use crate::vocabulary::FailureClass;

impl History {
    /// How long to wait after a failure that is already in the books, and why.
    pub(super) fn wait(&mut self, failed: Failed, udp_was_new: bool, random: f64) -> (Duration, String) {
        use FailureClass as F;
        let Failed { class, at: now, healthy_for } = failed;
        match class {
            F::Requested => {
                (self.at_once(random), "Somebody asked for a new session: connecting at once.".to_owned())
            }
            F::Unauthorized => self.password(healthy_for.is_some(), random),
            // These three never got as far as to show a password; anything else may have counted as a wrong one.
            _ if self.unauthorized >= PASSWORD_TRIES
                && !matches!(class, F::Refused | F::Unreachable | F::NameLookup) =>
            {
                self.password(false, random)
            }
            F::NoUdp if udp_was_new => {
                let what =
                    if self.learned.knows(Fact::UdpLossy) { "loses packets" } else { "does not get through" };
                (self.at_once(random), format!("UDP {what}: connecting at once over TCP, and from now on."))
            }
            F::SessionLimit => {
                let wait = self.grow(class, LIMIT_FROM, self.limits.refusal_max, random);
                let why = format!(
                    "The camera has no session left, perhaps because it still keeps an old one of ours: waiting \
                     until that one is forgotten, with a try at least every {}.",
                    spoken(self.limits.refusal_max)
                );
                (wait, why)
            }
            F::File => self.refused_in_words(class, "The file cannot be played", random),
            _ => match healthy_for {
                Some(span) => self.ended(class, span, random),
                None => self.attempt_failed(class, now, random),
            },
        }
    }

    /// Whether to try with several attempts side by side.
    pub(super) fn race(&self, class: FailureClass, now: Instant) -> Option<Race> {
        let lossy = matches!(class, FailureClass::ConnectTimeout | FailureClass::Stall | FailureClass::Reset)
            && self.learned.is_lossy(now);
        // Where sessions are few, a second attempt takes the place of the first.
        if !lossy || self.learned.knows(Fact::SessionLimit) {
            return None;
        }
        let wins = if self.learned.knows(Fact::NewSessionEndsOld) { Wins::Last } else { Wins::First };
        Some(Race { attempts: 2, stagger: RACE_STAGGER, wins })
    }

    /// A session that delivered came to its end.
    fn ended(&mut self, class: FailureClass, span: Duration, random: f64) -> (Duration, String) {
        let what = end_in_words(class);
        if self.flaps > 0 {
            let wait = grown(FLAPPING_FROM, self.limits.retry_max, self.flaps, random);
            let why = format!(
                "{what} after {}, and so did other sessions within the last minute: waiting longer each time, up \
                 to {}, to give the camera a rest.",
                spoken(span),
                spoken(self.limits.retry_max)
            );
            (wait, why)
        } else if span < self.limits.stable_after {
            (
                self.probe(PROBE, random),
                format!("{what} after only {}: trying again in a moment.", spoken(span)),
            )
        } else if self.learned.first_try_works() == Some(false) {
            let why = format!(
                "{what} after {}; the first try after that rarely works with this camera: trying again in a moment.",
                spoken(span)
            );
            (self.probe(PROBE, random), why)
        } else {
            (self.at_once(random), format!("{what} after {}: connecting again at once.", spoken(span)))
        }
    }

    /// No session came of an attempt.
    fn attempt_failed(&mut self, class: FailureClass, now: Instant, random: f64) -> (Duration, String) {
        use FailureClass as F;
        let Some(outage) = self.outage else {
            return (self.at_once(random), "Connecting.".to_owned()); // every failed attempt is part of an outage
        };
        let away = now.saturating_duration_since(outage.since);
        let gone = self.healthy_until.map(|until| now.saturating_duration_since(until));
        let missed = gone.filter(|gone| *gone <= self.reboot_window());
        let what = attempt_in_words(class);
        match class {
            F::NotFound | F::Certificate => self.refused_in_words(class, what, random),
            F::Status => self.refused_in_words(class, what, random),
            F::Unreachable | F::NameLookup | F::ConnectTimeout => {
                if let Some(gone) = missed {
                    return (self.probe(PROBE_HOST, random), self.reboot_in_words(what, gone, PROBE_HOST));
                }
                let max = self.limits.unreachable_max;
                let wait = self.grow(class, HOST_FROM, max, random);
                (wait, format!("{what}, for {} so far: waits grow up to {}.", spoken(away), spoken(max)))
            }
            _ => {
                if let Some(gone) = missed {
                    return (self.probe(PROBE, random), self.reboot_in_words(what, gone, PROBE));
                }
                let back = outage.back_since.map(|since| now.saturating_duration_since(since));
                if class == F::Refused && back.is_some_and(|back| back <= STARTING) {
                    let why = format!(
                        "The host is back and its RTSP server not yet: trying every {}.",
                        range_in_words(self.probes(PROBE))
                    );
                    return (self.probe(PROBE, random), why);
                }
                // Seen healthy not so long ago: a slow boot, or an update of its firmware.
                let slow_boot = gone.is_some_and(|gone| gone <= SLOW_BOOT);
                let max =
                    if slow_boot { SLOW_BOOT_MAX.min(self.limits.retry_max) } else { self.limits.retry_max };
                let wait = self.grow(class, self.limits.retry_min, max, random);
                (wait, format!("{what}, for {} so far: waits grow up to {}.", spoken(away), spoken(max)))
            }
        }
    }

    /// The breaker: many cameras lock an account after a handful of wrong passwords in a row.
    fn password(&self, was_playing: bool, random: f64) -> (Duration, String) {
        let limits = &self.limits;
        match self.unauthorized {
            // A camera that has let us in has a new nonce more likely than a new password.
            ..=1 if was_playing => {
                let why =
                    "The camera suddenly refuses the password that it had accepted: connecting anew at once.";
                (self.at_once(random), why.to_owned())
            }
            tries @ ..PASSWORD_TRIES => {
                let (low, high) = PASSWORD_WAITS[usize::from(tries > 1)];
                let wait = between(low, high, random).clamp(limits.retry_min.min(high), limits.retry_max);
                let why = format!(
                    "The camera refuses the user name or password: try {} of {PASSWORD_TRIES} follows shortly.",
                    tries + 1
                );
                (wait, why)
            }
            tries => {
                let why = format!(
                    "The camera has refused the user name or password {tries} times: one try a minute from now on, so \
                     that it does not lock the account. A reconnect by hand is tried at once."
                );
                (between(PASSWORD_MINUTE, PASSWORD_MINUTE + PASSWORD_MINUTE / 10, random), why)
            }
        }
    }

    /// The camera answers, and says no: asking often would not change its mind.
    fn refused_in_words(&mut self, class: FailureClass, what: &str, random: f64) -> (Duration, String) {
        let max = SAYS_NO_MAX.min(self.limits.refusal_max);
        let strategy = Strategy::Linear { step: SAYS_NO_STEP, max };
        let wait = strategy.delay(self.grown_for(class), random);
        (wait, format!("{what}: waits grow by {} up to {}.", spoken(SAYS_NO_STEP), spoken(max)))
    }

    fn reboot_in_words(&self, what: &str, gone: Duration, probe: (Duration, Duration)) -> String {
        let usually = match self.learned.reboot() {
            Some(reboot) => format!(", which usually takes it {}", spoken(reboot)),
            None => String::new(),
        };
        format!(
            "{what} {} after it was healthy, so it probably reboots{usually}: trying every {}.",
            spoken(gone),
            range_in_words(self.probes(probe))
        )
    }

    /// How long after it was healthy a camera is taken to reboot.
    fn reboot_window(&self) -> Duration {
        let learned = self.learned.reboot().unwrap_or_default();
        REBOOT.max((learned * 3 / 2).min(LONGEST_REBOOT))
    }

    fn at_once(&self, random: f64) -> Duration {
        between(Duration::ZERO, AT_ONCE.min(self.limits.retry_max), random)
    }

    fn probe(&self, range: (Duration, Duration), random: f64) -> Duration {
        let (low, high) = self.probes(range);
        between(low, high, random)
    }

    /// The range of a probe, within the configured bounds.
    fn probes(&self, (low, high): (Duration, Duration)) -> (Duration, Duration) {
        let low = low.max(self.limits.retry_min);
        let high = high.max(low + low / 4).min(self.limits.retry_max);
        (low.min(high), high)
    }

    /// The next wait of the class in this outage, of a row that doubles.
    fn grow(&mut self, class: FailureClass, from: Duration, max: Duration, random: f64) -> Duration {
        grown(from.max(self.limits.retry_min), max, self.grown_for(class), random)
    }

    fn grown_for(&mut self, class: FailureClass) -> u32 {
        let Some(outage) = &mut self.outage else { return 1 };
        let count = &mut outage.grown[class.index()];
        *count = count.saturating_add(1);
        *count
    }
}

/// Drawn from the upper half of the span: cameras that have been away for long cost the relay as few attempts as the longest
/// wait allows (200 of them: under 2 % of a core), and are still spread over half of it.
fn grown(from: Duration, max: Duration, times: u32, random: f64) -> Duration {
    let min = from.min(max);
    let longest = Strategy::Exponential { min, max }.delay(times, 1.0);
    between(min.max(longest / 2), longest, random)
}

fn range_in_words((low, high): (Duration, Duration)) -> String {
    format!("{} to {}", spoken(low), spoken(high))
}

/// The beginning of a sentence on a session that ended.
fn end_in_words(class: FailureClass) -> &'static str {
    use FailureClass as F;
    match class {
        F::Reset => "The camera reset the connection",
        F::EndOfStream => "The camera closed the connection",
        F::Protocol => "The camera sent something that could not be understood",
        F::Panic => "The RTSP library failed on what the camera sent",
        F::Stall => "The picture stood still",
        F::Unreachable => "The camera could not be reached any more",
        F::KeepAlive => "A keep-alive was not answered as it should be",
        F::NoUdp => "Too few packets came over UDP",
        F::NotFound | F::Status => "The camera ended the session with an error",
        F::Refused
        | F::NameLookup
        | F::ConnectTimeout
        | F::Unauthorized
        | F::Certificate
        | F::SessionLimit
        | F::File
        | F::Requested => "The session was lost",
    }
}

/// The beginning of a sentence on an attempt that failed.
fn attempt_in_words(class: FailureClass) -> &'static str {
    use FailureClass as F;
    match class {
        F::Refused => "The camera refuses connections",
        F::Unreachable => "The host cannot be reached",
        F::NameLookup => "The host name is not known",
        F::ConnectTimeout => "The camera does not answer",
        F::Certificate => "The camera's certificate is not taken",
        F::NotFound => "The camera does not know this path",
        F::Status => "The camera answers with an error",
        F::Protocol => "The camera's answer could not be understood",
        F::Panic => "The RTSP library failed on the camera's answer",
        F::EndOfStream => "The camera closes new connections",
        F::Reset => "The camera resets new connections",
        F::Stall => "The camera accepts a session and sends no picture",
        F::NoUdp => "No packet comes over UDP",
        F::Unauthorized | F::SessionLimit | F::File | F::KeepAlive | F::Requested => "No session came about",
    }
}

/// At once is not at the same instant: a switch that restarts ends the sessions of all its cameras together.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Probes of a camera that reboots. Four to ten attempts a second cost it a SYN each, and are what finds it a quarter
/// of a second after it listens.
const PROBE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(250));

/// Probes of a host that was healthy a moment ago and is not there: every attempt takes a second or more by itself
/// (ARP, or SYNs without an answer).
const PROBE_HOST: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(500));

/// Cameras take 25 to 60 s to boot.
const REBOOT: Duration = Duration::from_secs(60);

/// A camera that is known to take longer is probed for half as long again, but never longer than this.
const LONGEST_REBOOT: Duration = Duration::from_secs(180);

/// An update of the firmware takes minutes. Until then a refused connection may turn any second.
const SLOW_BOOT: Duration = Duration::from_secs(120);

/// The longest wait meanwhile.
const SLOW_BOOT_MAX: Duration = Duration::from_secs(1);

/// A host that answers again after it was gone starts its RTSP server within this time.
const STARTING: Duration = Duration::from_secs(60);

/// The first wait for a host that is not there.
const HOST_FROM: Duration = Duration::from_millis(500);

/// The first wait for a camera without a free session: it forgets a lost one after its session timeout, mostly 30 to
/// 65 s.
const LIMIT_FROM: Duration = Duration::from_secs(2);

/// The first wait of a camera whose sessions do not last.
const FLAPPING_FROM: Duration = Duration::from_millis(500);

/// Waits for a camera that says no: a person has to change something, or it is still starting.
const SAYS_NO_STEP: Duration = Duration::from_secs(1);
const SAYS_NO_MAX: Duration = Duration::from_secs(15);

/// Wrong passwords before the breaker opens.
const PASSWORD_TRIES: u32 = 3;

/// The waits before the second and the third try.
const PASSWORD_WAITS: [(Duration, Duration); 2] =
    [(Duration::from_secs(1), Duration::from_secs(2)), (Duration::from_secs(4), Duration::from_secs(5))];

/// The wait while the breaker is open: soon enough after the password was put right, and no guessing of passwords.
const PASSWORD_MINUTE: Duration = Duration::from_secs(60);

/// Between the attempts of a race: longer than a handshake in a good network, which then needs no second attempt.
const RACE_STAGGER: Duration = Duration::from_millis(300);
