//! Frames whose packets come one by one.

use super::*;

/// What the source's task does when the camera pauses.
fn settle(source: &mut Source) {
    source.publisher.settle(&mut std::task::Context::from_waker(std::task::Waker::noop()));
}

/// A camera that spreads its frames of two packets, after ten of them; with this many viewers.
async fn spread(viewers: usize) -> (Source, Vec<Seat>) {
    let mut source = Source::live();
    // The stream began by the real clock: what comes to it comes later, also where the machine stood still since the other
    // clock did.
    tokio::time::advance(tokio::time::Instant::now().into_std().elapsed()).await;
    source.started = tokio::time::Instant::now().into_std();
    for frame in 0..10 {
        source.part(VIDEO, KEY, frame * 40, frame * 40, false);
        source.part(VIDEO, INTER, frame * 40, frame * 40 + 30, true);
        source.publisher.flush();
    }
    let seats = (0..viewers).map(|_| join(&source.stream())).collect();
    (source, seats)
}

#[tokio::test(start_paused = true)]
async fn with_many_viewers_the_first_packets_of_a_frame_wait_for_the_last_one_but_not_for_ever() {
    let (mut source, _seats) = spread(100).await;
    let mut viewer = source.stream().subscribe();
    tokio::time::advance(Duration::from_millis(400)).await;
    source.part(VIDEO, KEY, 400, 400, false);
    settle(&mut source);
    assert!(viewer.try_next().is_none(), "it waits");
    tokio::time::advance(Duration::from_millis(10)).await;
    source.part(VIDEO, INTER, 400, 410, true);
    settle(&mut source);
    assert_eq!(burst(&mut viewer).packets().len(), 2, "the last packet takes the first with it");
    tokio::time::advance(Duration::from_millis(30)).await;
    source.part(VIDEO, KEY, 440, 440, false);
    settle(&mut source);
    tokio::time::advance(Duration::from_millis(15)).await;
    source.part(VIDEO, INTER, 440, 455, false);
    settle(&mut source);
    assert!(viewer.try_next().is_none(), "15 ms are not too long");
    tokio::time::advance(Duration::from_millis(6)).await;
    settle(&mut source);
    assert_eq!(burst(&mut viewer).packets().len(), 2, "20 ms are");
}

#[tokio::test(start_paused = true)]
async fn with_few_viewers_no_packet_waits_nor_does_sound_or_who_does_not_mark_its_frames() {
    let (mut source, _seats) = spread(2).await;
    let mut viewer = source.stream().subscribe();
    tokio::time::advance(Duration::from_millis(400)).await;
    source.part(VIDEO, KEY, 400, 400, false);
    settle(&mut source);
    assert_eq!(burst(&mut viewer).packets().len(), 1);
    let (mut source, _seats) = spread(100).await;
    let mut viewer = source.stream().subscribe();
    source.part(AUDIO, &[1], 400, 400, false);
    settle(&mut source);
    assert_eq!(burst(&mut viewer).packets().len(), 1, "sound");
    source.part(VIDEO, KEY, 400, 400, false);
    source.publisher.flush();
    burst(&mut viewer);
    for frame in 11..13 {
        source.part(VIDEO, KEY, frame * 40, frame * 40, false);
        settle(&mut source);
        assert_eq!(burst(&mut viewer).packets().len(), 1, "the frame before had no marker");
    }
}

#[test]
fn pictures_take_their_time_to_come_when_three_in_a_row_do() {
    let mut source = Source::live();
    let metrics = Arc::clone(source.hub.metrics());
    let mut at = 0;
    let mut frames = |lasting: &[u32]| {
        for millis in lasting {
            at += 40;
            source.part(VIDEO, KEY, at, at, false);
            source.part(VIDEO, INTER, at, at + millis, true);
        }
        metrics.has_spread()
    };
    assert!(!frames(&[1, 1, 1, 30, 30, 1, 30, 30]), "one was cut in two by accident, and another");
    assert!(frames(&[30]));
    assert!(frames(&[1, 1, 30, 1, 1]));
    assert!(!frames(&[1]));
    assert!(frames(&[30, 30, 30]));
    source.publisher.failed(FailureClass::Reset, "reset".into(), Duration::from_secs(1), String::new());
    assert!(!metrics.has_spread(), "it is gone");
}
