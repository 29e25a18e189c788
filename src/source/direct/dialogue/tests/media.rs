//! Media (C26, C27, C59, C77 to C81), signs of life and reports.

use super::*;

#[test]
fn c59_packets_on_channels_nobody_agreed_on_find_their_track() {
    let mut camera = Fake::new(|_| None);
    camera.media = [frame(4, &rtp(96, 1, 5)), frame(6, &rtp(0, 1, 6)), frame(4, &rtp(96, 2, 5))].concat();
    assert_eq!(outcome(&mut camera, 1000), PLAYS);
}

#[test]
fn c26_c27_packets_count_from_play_on() {
    let mut camera = Fake::new(|request| {
        // Channel 0 of another session with every answer; with PLAY, our first packets come before it.
        let strays =
            String::from_utf8(frame(0, b"\0\0\0\x01").iter().map(|byte| byte & 0x7F).collect()).unwrap();
        (request.method != Method::Play).then(|| strays + &usual(request))
    });
    assert_eq!(outcome(&mut camera, 1000), PLAYS);
    let mut run = Run::new();
    run.give(&packets(), 10).unwrap();
    assert_eq!(run.came(), "", "before PLAY nothing counts");
}

#[test]
fn c77_to_c81_media_goes_on_whatever_comes_in_between() {
    let (mut run, _) = playing();
    let video = |sequence, ssrc| frame(0, &rtp(96, sequence, ssrc));
    let bytes = [
        video(3, 5),
        frame(0, b"runt"),
        frame(0, b""),
        frame(0, &[0; 20]),
        frame(1, &[0x80, 200]),
        frame(1, &[0x80, 200, 0xFF, 0xFF, 0, 0, 0, 0]),
        frame(1, &[0x81, 203, 0, 1, 0, 0, 0, 5]),
        b"\0\0\n".to_vec(),
        b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n".to_vec(),
        video(4, 5),
        video(100, 9),
        video(101, 9),
        video(50, 9),
        video(51, 9),
    ];
    run.give(&bytes.concat(), 10).unwrap();
    assert_eq!(run.came(), "0:3 0:4 0:E 0:100 0:101 0:E 0:50 0:51");
}

#[test]
fn c10_c14_signs_of_life_that_fail_do_not_end_media() {
    for answer in [
        "",
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
        "RTSP/1.0 200 OK\r\n\r\n",
        "RTSP/1.0 454 Session Not Found\r\nCSeq: CSEQ\r\n\r\n",
        "RTSP/1.0 501 Not Implemented\r\nCSeq: CSEQ\r\n\r\n",
        "RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\n\r\n",
        "RTSP/1.0 500\r\nContent-Length: 99999999\r\n\r\n",
    ] {
        let (mut run, _) = playing();
        let mut camera = Fake::new(move |_| Some(answer.to_owned()));
        for sequence in 10..40 {
            run.pass(&mut camera, Duration::from_secs(4)).unwrap();
            run.give(&frame(0, &rtp(96, sequence, 5)), 1000).unwrap();
        }
        assert_eq!(run.events.len(), 30, "{answer}");
        assert!(camera.log.len() > 25, "signs of life every 4 s of a timeout of 10: {}", camera.log.len());
    }
}

#[test]
fn c01_what_the_camera_asks_is_answered_while_playing() {
    let (mut run, _) = playing();
    for (asked, answer) in [
        ("OPTIONS * RTSP/1.0\r\nCSeq: 5\r\nSession: 7\r\n\r\n", "RTSP/1.0 200 OK\r\nCSeq: 5\r\n"),
        (
            "ANNOUNCE rtsp://x/ RTSP/1.0\r\nCSeq: 6\r\nContent-Length: 3\r\n\r\nm=x",
            "RTSP/1.0 200 OK\r\nCSeq: 6\r\n",
        ),
        ("RECORD * RTSP/1.0\r\nCSeq: 7\r\n\r\n", "RTSP/1.0 501 Not Implemented\r\nCSeq: 7\r\n"),
    ] {
        run.dialogue.out().clear();
        run.give(asked.as_bytes(), 9).unwrap();
        assert!(run.dialogue.out().starts_with(answer.as_bytes()), "{}", run.dialogue.out().escape_ascii());
    }
    // A camera that asks without end and never reads costs us no more than this.
    for _ in 0..10_000 {
        run.give(b"OPTIONS * RTSP/1.0\r\nCSeq: 5\r\n\r\n", 1000).unwrap();
    }
    assert!(run.dialogue.out().len() < 20_000);
}

#[test]
fn reports_go_back_over_the_channel_and_teardown_ends_it() {
    let (mut run, mut camera) = playing();
    run.now += Duration::from_millis(1000);
    run.dialogue.tick(run.now).unwrap();
    assert!(run.dialogue.out().starts_with(&[b'$', 1]), "a receiver report of the video");
    run.dialogue.out().clear();
    camera.log.clear();
    run.dialogue.tear_down(run.now);
    assert_eq!(run.dialogue.stage(), Stage::Ending);
    let answers = camera.answer(run.dialogue.out());
    run.give(&answers, 1000).unwrap();
    assert_eq!(camera.log, [format!("TEARDOWN {URI}")]);
    assert_eq!(run.dialogue.stage(), Stage::Ended);
}

#[test]
fn media_that_flows_is_an_answer_to_play() {
    let mut camera = Fake::new(|request| (request.method == Method::Play).then(String::new));
    let mut run = Run::new();
    let started = run.start(&mut camera, 1000);
    assert!(started.is_err(), "nothing comes: {started:?}");
    let mut run = Run::new();
    run.udp = false;
    let mut flood = Fake::new(|request| (request.method == Method::Play).then(String::new));
    loop {
        let answers = flood.answer(run.dialogue.out());
        run.give(&answers, 1000).unwrap();
        match run.dialogue.stage() {
            Stage::Described => {
                let offers =
                    vec![Offer::Tcp(Channels { rtp: 0, rtcp: 1 }), Offer::Tcp(Channels { rtp: 2, rtcp: 3 })];
                run.dialogue.play(offers, Ipv4Addr::LOCALHOST.into(), run.now).unwrap();
            }
            Stage::Starting if run.dialogue.out().is_empty() => break,
            _ => {}
        }
    }
    for sequence in 0..5000 {
        run.give(&frame(0, &rtp(96, sequence, 5)), 1000).unwrap();
    }
    assert_eq!(run.dialogue.stage(), Stage::Playing);
    assert_eq!(run.events.len(), 5000);
}
