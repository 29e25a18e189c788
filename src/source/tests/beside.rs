//! Several attempts at one source, and several sources.

use super::*;
use crate::config::Race;

#[tokio::test(start_paused = true)]
async fn the_losers_of_a_race_are_torn_down() {
    for race in [Race::FirstWins, Race::LastWins] {
        let three = |settings: &mut Settings| {
            (settings.race, settings.race_attempts, settings.race_stagger) = (race, 3, ms(1));
        };
        rehearse(1, three, async |rehearsal| {
            rehearsal.live().await;
            time::sleep(s(30)).await;
            rehearsal.camera().script(|script| script.round_trip = ms(300));
            let (attempts, opened) = (rehearsal.camera().attempts(), rehearsal.camera().opened());
            rehearsal.camera().end(FailureClass::Reset);
            time::sleep(s(5)).await;
            assert_eq!(rehearsal.camera().attempts() - attempts, 3, "{race:?}");
            let stays = if race == Race::FirstWins { opened + 1 } else { opened + 3 };
            assert_eq!(rehearsal.camera().seen(|seen| seen.open.clone()), [stays], "{race:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_camera_whose_new_sessions_end_the_old_ones_is_raced_to_the_last() {
    let last = |settings: &mut Settings| {
        (settings.race, settings.race_attempts) = (Race::LastWins, 3);
    };
    rehearse(1, last, async |rehearsal| {
        rehearsal.camera().script(|script| (script.new_ends_old, script.round_trip) = (true, ms(200)));
        let viewer = rehearsal.viewer_after_a_minute().await;
        time::sleep(s(1)).await;
        rehearsal.camera().end(FailureClass::Reset);
        time::sleep(s(30)).await;
        viewer.assert_gaps_below(s(3));
        assert_eq!(rehearsal.camera().open(), 1);
        let settled = rehearsal.camera().opened();
        time::sleep(s(60)).await;
        assert_eq!(rehearsal.camera().opened(), settled, "and there it stays");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_next_source_takes_over_and_the_preferred_one_comes_back_without_a_gap() {
    rehearse(
        2,
        |_| {},
        async |rehearsal| {
            let [first, second] = [&rehearsal.cameras[0], &rehearsal.cameras[1]];
            let viewer = rehearsal.viewer_after_a_minute().await;
            time::sleep(s(1)).await;
            first.script(|script| script.door = Door::Shut(FailureClass::Refused));
            first.end(FailureClass::Reset);
            time::sleep(s(20)).await;
            viewer.assert_gaps_below(s(1));
            assert_eq!((first.open(), second.open()), (0, 1));
            time::sleep(s(300)).await;
            assert_eq!(second.opened(), 1, "it is not left for one that does not answer");
            viewer.look_away();
            let back = now();
            first.script(|script| script.door = Door::Open);
            time::sleep(s(29)).await;
            assert_eq!(second.open(), 1, "not before it has been well for a while");
            time::sleep(s(60)).await;
            assert_eq!((first.open(), second.open()), (1, 0), "after {:?}", now() - back);
            viewer.assert_gaps_below(ms(200));
            viewer.assert_continuous();
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_stands_by_takes_over_on_suspicion() {
    rehearse(
        2,
        |settings| settings.standby = true,
        async |rehearsal| {
            let [first, second] = [&rehearsal.cameras[0], &rehearsal.cameras[1]];
            second.script(|script| script.gop = 250);
            rehearsal.live().await;
            time::sleep(s(67)).await;
            assert_eq!((first.open(), second.open()), (1, 1));
            let viewer = rehearsal.viewer();
            time::sleep(s(1)).await;
            first.script(|script| (script.stalled_up_to, script.door) = (1, Door::Silent));
            time::sleep(s(10)).await;
            viewer.assert_gaps_below(ms(700));
            viewer.assert_continuous();
            assert!(viewer.drift() < ms(100), "{:?}", viewer.drift());
            assert_eq!(second.open(), 1);
            // The preferred source stands by in its turn, proves itself, and takes over without a gap.
            first.script(|script| script.door = Door::Open);
            time::sleep(s(120)).await;
            assert_eq!((first.open(), second.open()), (1, 1));
            assert!(rehearsal.metrics.render().unwrap().contains("fanlight_source_up{stream=\"cam\"} 1"));
            viewer.assert_gaps_below(ms(700));
            viewer.assert_continuous();
        },
    )
    .await;
}

/// Whatever happens, in whatever order: afterwards one session is open, and the numbers at the viewer never broke.
#[tokio::test(start_paused = true)]
async fn a_thousand_faults_in_a_row_leave_one_session_and_an_unbroken_row_of_numbers() {
    rehearse_one(async |rehearsal| {
        rehearsal.live().await;
        let camera = rehearsal.camera();
        let viewer = rehearsal.viewer();
        let mut dice = 7u64;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        for _ in 0..1000 {
            let opened = camera.opened();
            match roll(8) {
                0 => camera.end(FailureClass::Reset),
                1 => camera.end(FailureClass::Protocol),
                2 => camera.script(|script| script.stalled_up_to = opened),
                3 => camera.script(|script| script.blind_up_to = opened),
                4 => camera.script(|script| script.door = Door::Shut(FailureClass::Refused)),
                5 => camera.script(|script| script.door = Door::Silent),
                6 => camera.script(|script| script.door = Door::Panics),
                _ => rehearsal.stream.request_reconnect(),
            }
            time::sleep(ms(roll(3000))).await;
            camera.script(|script| script.door = Door::Open);
            time::sleep(ms(roll(2000))).await;
        }
        time::sleep(s(30)).await;
        rehearsal.live().await;
        assert_eq!(camera.open(), 1);
        assert!(camera.seen(|seen| seen.most_open) <= 8);
        viewer.assert_continuous();
        assert!(viewer.drift() < ms(500), "{:?}", viewer.drift());
    })
    .await;
}
