//! Cameras that fail, in virtual time.

use super::*;
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A source that has delivered for an hour; and the time.
fn healthy() -> (History, Instant) {
    let start = Instant::now();
    let mut history = History::new(Limits::default());
    history.live(start);
    (history, start + s(3600))
}

/// Every attempt fails with `class` until `until` has passed; the times of the attempts, the first being now.
fn attempts(
    history: &mut History,
    class: FailureClass,
    start: Instant,
    until: Duration,
    random: f64,
) -> Vec<Duration> {
    let (mut at, mut times) = (start, Vec::new());
    while at - start < until {
        times.push(at - start);
        at += history.decide(class, at, random).delay;
    }
    times
}

#[test]
fn a_reset_of_a_healthy_session_is_followed_by_an_attempt_at_once() {
    for class in [
        FailureClass::Reset,
        FailureClass::EndOfStream,
        FailureClass::Protocol,
        FailureClass::Panic,
        FailureClass::Stall,
    ] {
        let (mut history, now) = healthy();
        let decision = history.decide(class, now, 1.0);
        assert!(decision.delay <= ms(50), "{class}: {decision:?}");
        assert!(!decision.next_source && !decision.wait_for_stale_sessions && decision.race.is_none());
        assert!(decision.why.ends_with("after 1 h: connecting again at once."), "{}", decision.why);
    }
}

#[test]
fn a_camera_that_reboots_is_found_within_a_quarter_of_a_second() {
    let (mut history, now) = healthy();
    let first = history.decide(FailureClass::Reset, now, 0.5);
    let times = attempts(&mut history, FailureClass::Refused, now + first.delay, s(38), 1.0);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= ms(250)));
    assert!(times.len() < 400, "{} attempts", times.len());
    let decision = history.decide(FailureClass::Refused, now + s(38), 0.0);
    assert_eq!(decision.delay, ms(100));
    assert!(decision.next_source);
    let why = "The camera refuses connections 38 s after it was healthy, so it probably reboots: trying every 100 ms \
               to 250 ms.";
    assert_eq!(decision.why, why);

    history.live(now + ms(38_100));
    assert!(history.learned().contains(&"It comes back about 38 s after a reboot.".to_owned()));
    let lost = now + s(4000);
    history.decide(FailureClass::Reset, lost, 0.5);
    let why = history.decide(FailureClass::Refused, lost + s(1), 0.5).why;
    assert!(why.contains("which usually takes it 38 s"), "{why}");
}

#[test]
fn a_camera_that_delivered_for_a_second_only_is_probed_as_well_when_it_goes_away() {
    let (mut history, now) = (History::new(Limits::default()), Instant::now());
    history.live(now);
    let first = history.decide(FailureClass::EndOfStream, now + s(1), 1.0);
    let times = attempts(&mut history, FailureClass::Refused, now + s(1) + first.delay, s(30), 1.0);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= ms(250)), "{times:?}");
}

#[test]
fn a_camera_that_takes_longer_to_boot_is_known_to() {
    let (mut history, mut now) = healthy();
    for _ in 0..2 {
        history.decide(FailureClass::Reset, now, 0.5);
        history.decide(FailureClass::Refused, now + s(1), 0.5);
        now += s(100);
        history.live(now);
        now += s(3600);
    }
    history.decide(FailureClass::Reset, now, 0.5);
    assert!(history.decide(FailureClass::Refused, now + s(140), 1.0).delay <= ms(250));
    assert!(history.decide(FailureClass::Refused, now + s(160), 1.0).delay > ms(250) / 2);
}

#[test]
fn a_camera_that_stays_away_is_tried_less_and_less() {
    let (mut history, now) = healthy();
    history.decide(FailureClass::Reset, now, 0.5);
    let times = attempts(&mut history, FailureClass::Refused, now, s(600), 1.0);
    let longest = |from: u64, to: u64| {
        let pairs = times.windows(2).filter(|pair| pair[0] >= s(from) && pair[1] < s(to));
        pairs.map(|pair| pair[1] - pair[0]).max().unwrap()
    };
    assert_eq!(longest(0, 60), ms(250));
    assert_eq!(longest(61, 119), s(1));
    assert_eq!(longest(130, 600), s(5));
}

#[test]
fn a_host_that_never_answered_is_tried_ever_more_slowly() {
    for class in [FailureClass::Unreachable, FailureClass::NameLookup, FailureClass::ConnectTimeout] {
        let mut history = History::new(Limits::default());
        let times = attempts(&mut history, class, Instant::now(), s(3600), 0.5);
        assert!(times[1] >= ms(500), "{class}: {:?}", times[1]);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= s(10)));
        assert!(times.len() < 800, "{class}: {} an hour", times.len());
    }
}

#[test]
fn a_silent_host_that_was_healthy_a_moment_ago_is_tried_twice_a_second() {
    let (mut history, now) = healthy();
    history.decide(FailureClass::Stall, now, 0.5);
    let times = attempts(&mut history, FailureClass::Unreachable, now, s(40), 1.0);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= ms(500)));
}

#[test]
fn a_host_that_is_back_without_its_server_is_probed() {
    let mut history = History::new(Limits::default());
    let start = Instant::now();
    let away = attempts(&mut history, FailureClass::Unreachable, start, s(600), 1.0);
    let now = start + away[away.len() - 1] + s(10);
    let decision = history.decide(FailureClass::Refused, now, 1.0);
    assert_eq!(decision.delay, ms(250));
    assert!(decision.why.starts_with("The host is back"), "{}", decision.why);
    assert!(history.decide(FailureClass::Refused, now + s(59), 1.0).delay <= ms(250));
    attempts(&mut history, FailureClass::Refused, now + s(61), s(60), 1.0);
    assert_eq!(history.decide(FailureClass::Refused, now + s(130), 1.0).delay, s(5));
}

#[test]
fn a_wrong_password_is_tried_three_times_in_the_first_minute_and_then_once_a_minute() {
    for random in [0.0, 0.5, 1.0] {
        let mut history = History::new(Limits::default());
        let times = attempts(&mut history, FailureClass::Unauthorized, Instant::now(), s(3600), random);
        assert_eq!(times.iter().filter(|at| **at < s(60)).count(), 3);
        assert!(times[2..].windows(2).all(|pair| (s(60)..=s(66)).contains(&(pair[1] - pair[0]))));
        let why = history.decide(FailureClass::Unauthorized, Instant::now() + s(7200), random).why;
        assert!(why.contains("one try a minute") && why.contains("lock"), "{why}");
    }
}

#[test]
fn the_breaker_stays_open_when_a_locked_camera_answers_otherwise_and_closes_when_somebody_asks() {
    let mut history = History::new(Limits::default());
    let mut now = Instant::now();
    for _ in 0..3 {
        now += history.decide(FailureClass::Unauthorized, now, 0.5).delay;
    }
    for class in
        [FailureClass::Reset, FailureClass::EndOfStream, FailureClass::Status, FailureClass::ConnectTimeout]
    {
        assert!(history.decide(class, now, 0.5).delay >= s(60), "{class}");
        now += s(60);
    }
    assert!(history.decide(FailureClass::Requested, now, 1.0).delay <= ms(50));
    assert!(history.decide(FailureClass::Unauthorized, now, 0.5).delay <= s(2));
}

#[test]
fn a_camera_that_forgets_the_password_of_a_running_session_is_asked_again_at_once() {
    let (mut history, now) = healthy();
    assert!(history.decide(FailureClass::Unauthorized, now, 1.0).delay <= ms(50));
    assert!(history.decide(FailureClass::Unauthorized, now + s(1), 0.5).delay >= s(4));
}

#[test]
fn stale_sessions_are_waited_out() {
    let (mut history, now) = healthy();
    history.decide(FailureClass::Reset, now, 0.5);
    let decision = history.decide(FailureClass::SessionLimit, now + ms(50), 0.0);
    assert!(decision.wait_for_stale_sessions && decision.delay >= s(2));
    let times = attempts(&mut history, FailureClass::SessionLimit, now + s(3), s(600), 1.0);
    assert_eq!(times.windows(2).map(|pair| pair[1] - pair[0]).max(), Some(s(30)));
    assert!(history.knows(Fact::SessionLimit));
    assert!(!history.decide(FailureClass::Refused, now + s(700), 0.0).wait_for_stale_sessions);
}

#[test]
fn a_path_that_is_not_there_is_asked_for_with_patience() {
    let mut history = History::new(Limits::default());
    let times = attempts(&mut history, FailureClass::NotFound, Instant::now(), s(600), 0.5);
    let waits: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64().round()).collect();
    assert_eq!(waits[..4], [1.0, 2.0, 3.0, 4.0]);
    assert!(waits.iter().all(|wait| *wait <= 15.0));
}

#[test]
fn tcp_follows_at_once_where_udp_does_not_get_through_and_for_good() {
    let mut history = History::new(Limits::default());
    let now = Instant::now();
    let decision = history.decide(FailureClass::NoUdp, now, 1.0);
    assert!(decision.use_tcp && decision.delay <= ms(50) && !decision.next_source);
    history.live(now + s(1));
    assert!(history.decide(FailureClass::Reset, now + s(100), 0.5).use_tcp);
    assert!(history.learned().contains(&"UDP does not get through: TCP is used.".to_owned()));
    // Where the user insists on UDP, it is not tried in a busy loop.
    let mut now = now + s(200);
    for _ in 0..10 {
        now += history.decide(FailureClass::NoUdp, now, 0.5).delay;
    }
    assert!(history.decide(FailureClass::NoUdp, now, 1.0).delay >= s(1));
}

#[test]
fn loss_over_udp_is_told_apart_from_a_blocked_port() {
    let (mut history, now) = healthy();
    history.learn(Fact::UdpLossy);
    assert!(history.decide(FailureClass::NoUdp, now, 0.0).use_tcp);
    assert!(history.knows(Fact::UdpLossy) && !history.knows(Fact::UdpBlocked));
}

#[test]
fn a_camera_whose_sessions_do_not_last_gets_a_rest() {
    let mut history = History::new(Limits::default());
    let mut now = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..20 {
        history.live(now);
        now += s(2);
        let decision = history.decide(FailureClass::Reset, now, 1.0);
        waits.push(decision.delay);
        now += decision.delay;
    }
    assert!(waits[..4].iter().all(|wait| *wait <= ms(250)), "{waits:?}");
    assert_eq!(waits[4..8], [s(1), s(2), s(4), s(5)]);
    assert!(waits[8..].iter().all(|wait| *wait == s(5)), "{waits:?}");
    // A session that lasts ends it.
    history.live(now);
    assert!(history.decide(FailureClass::Reset, now + s(10), 1.0).delay <= ms(50));
}

#[test]
fn attempts_race_where_single_ones_time_out_now_and_then() {
    let (mut history, mut now) = healthy();
    for _ in 0..2 {
        assert_eq!(history.decide(FailureClass::Stall, now, 0.5).race, None);
        assert_eq!(history.decide(FailureClass::ConnectTimeout, now + s(10), 0.5).race, None);
        history.live(now + s(11));
        now += s(60);
    }
    let race = history.decide(FailureClass::Stall, now, 0.5).race;
    assert_eq!(race.map(|race| (race.attempts, race.wins)), Some((2, Wins::First)));
    history.learn(Fact::NewSessionEndsOld);
    let race = history.decide(FailureClass::ConnectTimeout, now, 0.5).race;
    assert_eq!(race.map(|race| race.wins), Some(Wins::Last));
    history.learn(Fact::SessionLimit);
    assert_eq!(history.decide(FailureClass::ConnectTimeout, now, 0.5).race, None);
}

#[test]
fn a_first_try_that_rarely_works_becomes_a_probe() {
    let (mut history, mut now) = healthy();
    for _ in 0..4 {
        assert!(history.decide(FailureClass::Reset, now, 1.0).delay <= ms(50));
        history.decide(FailureClass::Protocol, now + s(1), 0.5);
        history.live(now + s(2));
        now += s(600);
    }
    assert_eq!(history.decide(FailureClass::Reset, now, 1.0).delay, ms(250));
    assert!(history.learned().contains(&"After a lost session the first new one rarely works.".to_owned()));
}

#[test]
fn a_session_that_was_replaced_in_time_counts_and_costs_no_wait() {
    let (mut history, now) = healthy();
    history.replaced(FailureClass::Stall, now);
    let failed = history.recent().next_back().copied();
    assert_eq!(failed, Some(Failed { class: FailureClass::Stall, at: now, healthy_for: Some(s(3600)) }));
    assert!(history.decide(FailureClass::Reset, now + s(20), 1.0).delay <= ms(50));
}

#[test]
fn waits_keep_to_the_configured_bounds() {
    let limits = Limits { retry_min: s(2), retry_max: s(3), ..Limits::default() };
    let mut history = History::new(limits);
    let now = Instant::now();
    history.live(now);
    history.decide(FailureClass::Reset, now + s(60), 0.5);
    let refused = history.decide(FailureClass::Refused, now + s(61), 0.0);
    assert_eq!(refused.delay, s(2));
    assert!(refused.why.ends_with("trying every 2 s to 2.5 s."), "{}", refused.why);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Live(u64),
    Fail(FailureClass),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0u64..100_000).prop_map(Step::Live),
        4 => prop::sample::select(FailureClass::ALL).prop_map(Step::Fail),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn no_wait_is_longer_than_configured_and_every_one_is_explained(
        steps in steps(), random in 0.0f64..=1.0, retry_min in 1u64..5000, retry_max in 1u64..20_000, others in 1u64..60_000,
    ) {
        let limits = Limits {
            retry_min: ms(retry_min),
            retry_max: ms(retry_max),
            unreachable_max: ms(others),
            refusal_max: ms(others / 2),
            stable_after: s(10),
        };
        let max = ms(retry_max.max(retry_min).max(others));
        let (mut history, mut now) = (History::new(limits), Instant::now());
        let mut wrong_passwords = 0;
        for step in steps {
            match step {
                Step::Live(span) => {
                    history.live(now);
                    now += ms(span);
                    wrong_passwords = 0;
                }
                Step::Fail(class) => {
                    wrong_passwords = match class {
                        FailureClass::Unauthorized => wrong_passwords + 1,
                        FailureClass::Requested => 0,
                        _ => wrong_passwords,
                    };
                    let decision = history.decide(class, now, random);
                    let bound = if wrong_passwords >= 3 { max.max(s(66)) } else { max };
                    prop_assert!(decision.delay <= bound, "{class}: {decision:?}");
                    prop_assert!(decision.why.ends_with('.') && decision.why.len() > 10, "{}", decision.why);
                    now += decision.delay;
                }
            }
            prop_assert!(history.recent().count() <= 64);
        }
    }

    /// Whatever else happens in between: a camera sees no more than three wrong passwords a minute.
    #[test]
    fn wrong_passwords_come_at_most_three_a_minute(
        classes in prop::collection::vec(prop_oneof![
            2 => Just(FailureClass::Unauthorized),
            1 => prop::sample::select(FailureClass::ALL),
        ], 1..300),
        random in 0.0f64..=1.0,
    ) {
        let (mut history, mut now) = (History::new(Limits::default()), Instant::now());
        let mut wrong: Vec<Instant> = Vec::new();
        for class in classes.into_iter().filter(|class| *class != FailureClass::Requested) {
            let decision = history.decide(class, now, random);
            if class == FailureClass::Unauthorized {
                wrong.push(now);
            }
            now += decision.delay;
        }
        prop_assert!(wrong.windows(4).all(|four| four[3] - four[0] >= s(60)));
        prop_assert!(wrong.iter().skip(2).zip(wrong.iter().skip(3)).all(|(a, b)| *b - *a >= s(60)));
    }

    /// A row of failures of any kind never becomes a busy loop.
    #[test]
    fn failures_without_a_session_never_make_a_busy_loop(
        classes in prop::collection::vec(prop::sample::select(FailureClass::ALL), 50..200), random in 0.0f64..=1.0,
    ) {
        let (mut history, start) = healthy();
        let mut now = start;
        let classes: Vec<_> = classes.into_iter().filter(|class| *class != FailureClass::Requested).collect();
        for class in &classes {
            now += history.decide(*class, now, random).delay;
        }
        // At once after the healthy session, and once for TCP in place of UDP.
        let waits = u32::try_from(classes.len()).unwrap() - 2;
        prop_assert!(now - start >= ms(100) * waits);
    }
}
