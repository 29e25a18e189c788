//! A session is lost, or about to be.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reset_of_a_camera_that_answers_costs_less_than_half_a_second() {
    rehearse_one(async |rehearsal| {
        let viewer = rehearsal.viewer_after_a_minute().await;
        for round in 0..10u32 {
            // Not always after the same time: that would be expected.
            time::sleep(s(20) + s(3) * round).await;
            rehearsal.camera().end(FailureClass::Reset);
        }
        time::sleep(s(20)).await;
        viewer.assert_gaps_below(ms(500));
        assert!(viewer.drift() < ms(100), "{:?}", viewer.drift());
        viewer.assert_continuous();
        assert_eq!((rehearsal.camera().opened(), rehearsal.camera().open()), (11, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_two_seconds_is_over_half_a_second_after_the_camera_is_back() {
    for door in [Door::Shut(FailureClass::Refused), Door::Silent] {
        rehearse_one(async |rehearsal| {
            rehearsal.live().await;
            for round in 0..8u32 {
                time::sleep(s(40) + ms(4077) * round).await;
                let viewer = rehearsal.viewer();
                time::sleep(s(2)).await;
                rehearsal.camera().script(|script| script.door = door);
                // A host that is gone says no more than a camera whose picture has stopped.
                let opened = rehearsal.camera().opened();
                match door {
                    Door::Silent => rehearsal.camera().script(|script| script.stalled_up_to = opened),
                    _ => rehearsal.camera().end(FailureClass::Reset),
                }
                time::sleep(s(2)).await;
                rehearsal.camera().script(|script| script.door = Door::Open);
                time::sleep(s(20)).await;
                assert!(viewer.longest_gap() < ms(2500), "{door:?}: {:?}", viewer.longest_gap());
                viewer.assert_continuous();
                assert_eq!(rehearsal.camera().open(), 1, "{door:?}");
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stall_is_bridged_by_a_second_session_before_the_first_is_given_up() {
    rehearse_one(async |rehearsal| {
        let viewer = rehearsal.viewer_after_a_minute().await;
        for round in 0..10u32 {
            time::sleep(s(60) + s(7) * round).await;
            let opened = rehearsal.camera().opened();
            rehearsal.camera().script(|script| script.stalled_up_to = opened);
        }
        time::sleep(s(20)).await;
        viewer.assert_gaps_below(ms(800));
        assert!(viewer.drift() < ms(100), "{:?}", viewer.drift());
        viewer.assert_continuous();
        assert_eq!((rehearsal.camera().opened(), rehearsal.camera().open()), (11, 1));
        let failure = rehearsal.status().last_failure.unwrap();
        assert_eq!(failure.class, FailureClass::Stall);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sound_without_a_picture_is_a_stall() {
    rehearse_one(async |rehearsal| {
        let viewer = rehearsal.viewer_after_a_minute().await;
        time::sleep(s(1)).await;
        rehearsal.camera().script(|script| script.blind_up_to = 1);
        time::sleep(s(20)).await;
        viewer.assert_gaps_below(s(3));
        viewer.assert_continuous();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_hangs_for_all_sessions_is_found_as_soon_as_it_is_back() {
    rehearse_one(async |rehearsal| {
        let viewer = rehearsal.viewer_after_a_minute().await;
        time::sleep(s(1)).await;
        rehearsal.camera().script(|script| script.blind_up_to = 1000);
        time::sleep(s(2)).await;
        rehearsal.camera().script(|script| script.blind_up_to = 0);
        time::sleep(s(20)).await;
        viewer.assert_gaps_below(s(4));
        viewer.assert_continuous();
        assert_eq!(rehearsal.camera().open(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_comes_back_in_time_keeps_its_session() {
    rehearse_one(async |rehearsal| {
        rehearsal.live().await;
        time::sleep(s(60)).await;
        // The second session would take longer than the hiccup.
        rehearsal.camera().script(|script| (script.round_trip, script.stalled_up_to) = (ms(200), 1));
        time::sleep(ms(700)).await;
        rehearsal.camera().script(|script| script.stalled_up_to = 0);
        time::sleep(s(10)).await;
        assert!(rehearsal.camera().attempts() > 1, "a second session was tried");
        assert_eq!(rehearsal.camera().seen(|seen| seen.open.clone()), [1]);
        assert!(!rehearsal.failures(FailureClass::Stall));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sessions_that_end_for_want_of_keep_alives_are_replaced_before_they_do() {
    for lifetime in [s(60), s(5)] {
        let lived = async |rehearsal: &Rehearsal| {
            rehearsal.camera().script(|script| script.lifetime = Some(lifetime));
            rehearsal.live().await;
            time::sleep(lifetime + s(2)).await; // the first is lost, and tells
            let viewer = rehearsal.viewer();
            time::sleep(s(600)).await;
            assert!(viewer.longest_gap() < ms(200), "{lifetime:?}: {:?}", viewer.longest_gap());
            // A millisecond a session is the grain of the timers.
            let grain = ms(2) * rehearsal.camera().opened();
            assert!(viewer.drift() < ms(50) + grain, "{:?}", viewer.drift());
            viewer.assert_continuous();
            assert!(rehearsal.camera().seen(|seen| seen.most_open) <= 2);
            assert_eq!(rehearsal.status().last_failure.unwrap().class, FailureClass::KeepAlive);
        };
        rehearse_one(lived).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_camera_with_one_session_gets_the_next_after_the_goodbye_of_the_last() {
    rehearse_one(async |rehearsal| {
        rehearsal.camera().script(|script| script.most = 1);
        rehearsal.live().await;
        time::sleep(s(60)).await;
        // It is learned from the first stall that there is no second session.
        for round in 0..3 {
            let viewer = rehearsal.viewer();
            time::sleep(s(5)).await;
            let opened = rehearsal.camera().opened();
            rehearsal.camera().script(|script| script.stalled_up_to = opened);
            time::sleep(s(30)).await;
            assert!(viewer.longest_gap() < s(2), "{round}: {:?}", viewer.longest_gap());
            assert_eq!(rehearsal.camera().opened(), opened + 1);
        }
        assert_eq!(rehearsal.camera().attempts(), 5, "and no attempt more than one was refused");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_three_times_in_the_first_minute_and_then_once_a_minute() {
    for race in [crate::config::Race::Auto, crate::config::Race::FirstWins] {
        rehearse(
            1,
            |settings| settings.race = race,
            async |rehearsal| {
                rehearsal.camera().script(|script| script.door = Door::Shut(FailureClass::Unauthorized));
                let began = now();
                time::sleep(s(1800)).await;
                let times: Vec<_> =
                    rehearsal.camera().seen(|seen| seen.attempts.iter().map(|(at, _)| *at - began).collect());
                assert_eq!(times.iter().filter(|at| **at < s(60)).count(), 3, "{times:?}");
                assert!(times[2..].windows(2).all(|pair| pair[1] - pair[0] >= s(60)), "{times:?}");
                assert!(times.len() > 25);
                let why = rehearsal.status().decision.unwrap();
                assert!(why.contains("one try a minute"), "{why}");
            },
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_per_cent_of_loss_over_udp_lead_to_tcp_and_five_do_not() {
    let auto = |settings: &mut Settings| settings.transport = UpstreamTransport::Auto;
    rehearse(1, auto, async |rehearsal| {
        rehearsal.camera().script(|script| script.loss = 0.05);
        rehearsal.live().await;
        time::sleep(s(600)).await;
        assert_eq!(rehearsal.camera().opened(), 1);
        let viewer = rehearsal.viewer();
        rehearsal.camera().script(|script| script.loss = 0.12);
        time::sleep(s(120)).await;
        let status = rehearsal.status();
        assert_eq!(status.transport.map(|transport| transport.as_str()), Some("tcp"));
        assert!(status.last_failure.unwrap().message.contains("% loss over UDP"));
        assert_eq!(rehearsal.camera().open(), 1);
        viewer.assert_gaps_below(ms(500));
        rehearsal.camera().end(FailureClass::Reset);
        time::sleep(s(5)).await;
        assert_eq!(rehearsal.status().transport.map(|transport| transport.as_str()), Some("tcp"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_what_a_camera_answers_hurts_nothing_else() {
    rehearse_one(async |rehearsal| {
        rehearsal.camera().script(|script| script.door = Door::Panics);
        time::sleep(s(5)).await;
        assert_eq!(rehearsal.status().last_failure.unwrap().class, FailureClass::Panic);
        rehearsal.camera().script(|script| script.door = Door::Open);
        rehearsal.live().await;
        time::sleep(s(60)).await;
        // Of an attempt beside a session that is kept: the session goes on when its picture does.
        rehearsal.camera().script(|script| (script.door, script.stalled_up_to) = (Door::Panics, 1));
        time::sleep(ms(800)).await;
        rehearsal.camera().script(|script| script.stalled_up_to = 0);
        time::sleep(s(5)).await;
        assert_eq!(rehearsal.camera().seen(|seen| seen.open.clone()), [1]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_is_tried_seldom() {
    rehearse_one(async |rehearsal| {
        rehearsal.camera().script(|script| script.door = Door::Silent);
        time::sleep(s(3600)).await;
        assert!(rehearsal.camera().attempts() < 500, "{} an hour", rehearsal.camera().attempts());
    })
    .await;
}
