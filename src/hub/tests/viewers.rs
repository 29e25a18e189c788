//! Viewers: their wishes, their losses, their counters.

use super::*;

#[tokio::test]
async fn demand_lasts_as_long_as_somebody_holds_it() {
    let source = Source::live();
    let stream = source.stream();
    let demand = stream.demand();
    let (wanted, viewer) = (stream.want(), stream.want());
    let _follows_only = stream.subscribe();
    assert_eq!(*demand.borrow(), 2);
    drop(wanted);
    assert_eq!(*demand.borrow(), 1);
    drop(viewer);
    assert_eq!(*demand.borrow(), 0);
    let mut asked = Box::pin(stream.reconnect_requested());
    assert!(asked.as_mut().now_or_never().is_none());
    stream.request_reconnect();
    asked.await;
}

#[tokio::test]
async fn a_viewer_that_lags_can_tell_how_many_frames_it_missed() {
    let mut source = Source::live();
    let mut viewer = source.stream().subscribe();
    for n in 0..600 {
        source.send(VIDEO, if n % 50 == 0 { KEY } else { INTER }, n * 10);
    }
    assert!(matches!(viewer.next().await, Delivery::Lagged));
    let Delivery::Burst(oldest) = viewer.next().await else { panic!("a burst") };
    // The ring holds 512; the first frame is number 1.
    assert_eq!(oldest.packets()[0].frame, 600 - 512 + 1);
    for _ in 1..512 {
        burst(&mut viewer);
    }
    assert!(viewer.try_next().is_none());
}

#[test]
fn a_seat_counts_what_its_viewer_gets_and_how_it_leaves() {
    let source = Source::live();
    let stream = source.stream();
    let (one, other) = (join(&stream), join(&stream));
    let viewer = Arc::clone(one.viewer());
    assert_ne!(viewer.id, other.viewer().id);
    assert_eq!(viewer.user_agent.as_deref(), Some("player"));
    assert_eq!(stream.viewers().len(), 2);
    let latency = Duration::from_millis(8);
    one.sent(3, 1000, latency);
    let mut tally = Tally::new(stream.metrics(), Transport::Udp);
    let received = viewer.since + latency;
    tally.sent(&viewer, 1, 10, received, received + latency);
    tally.flush();
    one.skipped(Skip::Lagged, 5);
    one.started(Duration::from_millis(30));
    assert_eq!((viewer.packets(), viewer.bytes(), viewer.skipped()), (4, 1010, 5));
    assert_eq!((viewer.latency(), viewer.reached()), (latency, received));
    let of = |family: &str| format!("fanlight_{family}{{stream=\"door\",transport=\"udp\"}}");
    assert_eq!(source.metric(&of("viewers")), 2.0);
    assert_eq!(source.metric(&of("viewer_sent_packets_total")), 4.0);
    assert_eq!(source.metric("fanlight_viewer_start_seconds_count{stream=\"door\"}"), 1.0);
    viewer.kick(Disconnect::Kicked);
    viewer.kick(Disconnect::Timeout);
    assert_eq!(one.viewer().kicked().now_or_never(), Some(Disconnect::Kicked), "the first reason stands");
    one.leave(Disconnect::Kicked);
    drop(other);
    assert!(stream.viewers().is_empty());
    assert_eq!((source.metric(&of("viewers")), source.metric(&of("viewer_sessions_total"))), (0.0, 2.0));
    for reason in ["kicked", "closed"] {
        let series = format!("fanlight_viewer_disconnects_total{{reason=\"{reason}\",stream=\"door\"}}");
        assert_eq!(source.metric(&series), 1.0);
    }
}

#[test]
fn a_viewer_that_pauses_is_behind_by_nothing_and_afterwards_counts_from_its_play() {
    let mut source = Source::live();
    let stream = source.stream();
    let seat = join(&stream);
    let viewer = Arc::clone(seat.viewer());
    assert_eq!(stream.lag(&viewer), None, "it has not said PLAY");
    seat.plays();
    source.send(VIDEO, KEY, 10_000);
    let seconds = |lag: Option<Duration>| lag.map(|lag| lag.as_secs_f64().round());
    assert_eq!(seconds(stream.lag(&viewer)), Some(10.0));
    seat.reached(source.started + Duration::from_secs(10));
    assert_eq!(seconds(stream.lag(&viewer)), Some(0.0));
    seat.pauses();
    source.send(VIDEO, INTER, 30_000);
    assert_eq!(stream.lag(&viewer), None);
    seat.plays();
    assert_eq!(
        seconds(stream.lag(&viewer)),
        Some(30.0),
        "from its PLAY, which the clock of this test has at 0"
    );
}
