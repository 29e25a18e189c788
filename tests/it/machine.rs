//! Any sequence of requests: each is answered once, as a small model of RFC 2326 appendix A says; who watches beside it
//! misses nothing; and nothing is left behind.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::audio::Audio;
use crate::support::camera::Camera;
use crate::support::relay::Relay;
use crate::support::viewer::{Viewer, assert_no_gap};
use crate::support::{PATIENCE, eventually};

/// One request.
#[derive(Clone, Copy, Debug)]
enum Step {
    Options(Of),
    Describe,
    Setup {
        of: Of,
        track: usize,
        udp: bool,
    },
    Play(Of),
    Pause(Of),
    Teardown(Of),
    Ping(Of),
    /// An interleaved frame on a channel that may be nobody's.
    Frame(u8),
    /// An answer, which is none of a client's business and is not answered.
    Answer,
    Unknown,
}

/// The session it names.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Nobody,
    /// The newest one of this connection, if there is any.
    Own,
    /// An id that nobody gave.
    Forged,
}

/// What is known of the newest session.
#[derive(Clone, Debug)]
struct Model {
    id: String,
    udp: bool,
    playing: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let of = || prop_oneof![2 => Just(Of::Nobody), 6 => Just(Of::Own), 1 => Just(Of::Forged)];
    prop_oneof![
        1 => of().prop_map(Step::Options),
        1 => Just(Step::Describe),
        5 => (of(), 0..2usize, any::<bool>()).prop_map(|(of, track, udp)| Step::Setup { of, track, udp }),
        4 => of().prop_map(Step::Play),
        2 => of().prop_map(Step::Pause),
        2 => of().prop_map(Step::Teardown),
        1 => of().prop_map(Step::Ping),
        1 => any::<u8>().prop_map(Step::Frame),
        1 => Just(Step::Answer),
        1 => Just(Step::Unknown),
    ]
}

/// The status of a request that is about a session: 454 unless it names one, else what the session makes of it.
fn about(of: Of, session: Option<&Model>, status: impl FnOnce(&Model) -> u16) -> u16 {
    match (of, session) {
        (Of::Own, Some(session)) => status(session),
        _ => 454,
    }
}

async fn follow(relay: &Relay, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.describe().await.ok();
    let mut newest: Option<Model> = None;
    let mut made = Vec::new();
    for step in steps {
        let mut name = |of: Of| {
            viewer.session = match of {
                Of::Nobody => None,
                Of::Own => newest.as_ref().map(|session| session.id.clone()),
                Of::Forged => Some("0123456789abcdef0123456789abcdef".to_owned()),
            };
        };
        let (answer, expected) = match *step {
            Step::Options(of) => {
                name(of);
                (viewer.options().await, if of == Of::Forged { 454 } else { 200 })
            }
            Step::Describe => {
                name(Of::Nobody);
                (viewer.describe().await, 200)
            }
            Step::Ping(of) => {
                name(of);
                (viewer.get_parameter().await, if of == Of::Forged { 454 } else { 200 })
            }
            Step::Setup { of, track, udp } => {
                name(of);
                let before = newest.as_ref().filter(|_| of == Of::Own);
                let expected = match (of, before) {
                    (Of::Forged, _) => 454,
                    (_, Some(session)) if session.udp != udp => 461,
                    (_, Some(session)) if session.playing => 455,
                    _ => 200,
                };
                let fresh = before.is_none();
                let answer = if udp { viewer.setup_udp(track).await } else { viewer.setup_tcp(track).await };
                if answer.status == 200 && fresh {
                    let id = viewer.session.clone().expect("a session");
                    prop_assert_eq!(id.len(), 32, "128 bits");
                    made.push(id.clone());
                    newest = Some(Model { id, udp, playing: false });
                }
                (answer, expected)
            }
            Step::Play(of) => {
                name(of);
                let expected = about(of, newest.as_ref(), |_| 200);
                newest.iter_mut().filter(|_| of == Of::Own).for_each(|session| session.playing = true);
                (viewer.play().await, expected)
            }
            Step::Pause(of) => {
                name(of);
                let expected = about(of, newest.as_ref(), |_| 200);
                newest.iter_mut().filter(|_| of == Of::Own).for_each(|session| session.playing = false);
                (viewer.pause().await, expected)
            }
            Step::Teardown(of) => {
                name(of);
                let expected = about(of, newest.as_ref(), |_| 200);
                let answer = viewer.teardown().await;
                if answer.status == 200 {
                    made.retain(|id| Some(id) != viewer.session.as_ref());
                    newest = None;
                }
                (answer, expected)
            }
            Step::Unknown => {
                name(Of::Nobody);
                (viewer.request("FROBNICATE", &relay.url("cam"), &[]).await, 501)
            }
            Step::Frame(channel) => {
                viewer.send_interleaved(channel, b"not rtcp").await;
                continue;
            }
            Step::Answer => {
                viewer.send_raw("RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n").await;
                continue;
            }
        };
        prop_assert_eq!(answer.status, expected, "{:?}: {:?}", step, answer);
    }
    for id in made {
        viewer.session = Some(id);
        prop_assert_eq!(viewer.teardown().await.status, 200);
    }
    Ok(())
}

#[test]
fn any_sequence_of_requests_is_answered_as_the_state_machine_says_and_harms_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (_camera, relay, mut good) = runtime.block_on(async {
        let camera = Camera::builder().h264(10).gop(5).audio(Audio::Pcmu).start().await; // little: nobody reads meanwhile
        let relay = Relay::builder().camera("cam", &camera.url()).start().await;
        relay.live("cam").await;
        let (good, _) = Viewer::play_tcp(&relay.url("cam")).await;
        (camera, relay, good)
    });
    let config = Config { cases: 48, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let result = TestRunner::new(config).run(&prop::collection::vec(step(), 1..14), |steps| {
        runtime.block_on(async {
            let followed = tokio::time::timeout(Duration::from_secs(60), follow(&relay, &steps)).await;
            followed.map_err(|_| TestCaseError::fail("a request was not answered"))?
        })
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    runtime.block_on(async {
        eventually("only the good viewer is left", PATIENCE, || relay.stream("cam").viewers().len() == 1)
            .await;
        assert_no_gap(&good.packets(0, 30).await);
        assert_eq!(relay.stream("cam").viewers()[0].skipped(), 0);
        assert_eq!(relay.metric("fanlight_task_panics_total"), 0.0);
    });
}
