//! The parts of a packet's way, one by one, in nanoseconds:
//!
//!     cargo bench --bench micro
#![allow(clippy::unwrap_used, reason = "a benchmark stops where it cannot go on")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fanlight::hub::{Delivery, Hub};
use fanlight::metrics::Metrics;
use fanlight::rtp::{Header, Rewriter, Start};
use fanlight::rtsp::{self, Limits};
use fanlight::sdp::{self, Description};
use fanlight::vocabulary::{TrackId, Transport};

/// One viewer's numbers into a frame of 12 packets.
fn rewrite(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rewrite");
    group.throughput(Throughput::Elements(PACKETS));
    let mut frame = vec![packet(0, false); PACKETS as usize];
    let mut rewriter = Rewriter::new(7, Start { sequence: 1, timestamp: 2 });
    let mut sequence = 0;
    group.bench_function("frame of 12 packets", |bencher| {
        bencher.iter(|| {
            for packet in &mut frame {
                rewriter.rewrite(sequence, sequence / PACKETS * 3000, black_box(packet));
                sequence += 1;
            }
        });
    });
    group.finish();
}

/// Requests as players send them, and the header of a packet.
fn parse(criterion: &mut Criterion) {
    let limits = Limits::default();
    let setup =
        b"SETUP rtsp://10.0.0.1:8554/door/trackID=0 RTSP/1.0\r\nCSeq: 3\r\nUser-Agent: Lavf60.16.100\r\n\
        Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n";
    criterion.bench_function("parse/SETUP", |bencher| {
        bencher.iter(|| rtsp::parse(black_box(setup), &limits).unwrap().unwrap().1);
    });
    let description = SDP.as_bytes();
    criterion.bench_function("parse/SDP", |bencher| {
        bencher.iter(|| Description::from_sdp(&sdp::parse(black_box(description)).unwrap()));
    });
    let packet = packet(1, true);
    criterion.bench_function("parse/RTP header", |bencher| {
        bencher.iter(|| Header::parse(black_box(&packet)).unwrap());
    });
}

/// A frame from the source's hands into those of one worker: numbered, marked, gathered, published, received.
fn hub(criterion: &mut Criterion) {
    let hub = Hub::new(Arc::new(Metrics::new()));
    let mut publisher = hub.add("cam");
    publisher.connecting();
    publisher.begin(Description::from_sdp(&sdp::parse(SDP.as_bytes()).unwrap()));
    publisher.live(Some(Transport::Tcp));
    let mut worker = publisher.stream().subscribe();
    let mut sequence = 0u16;
    let mut group = criterion.benchmark_group("hub");
    group.throughput(Throughput::Elements(PACKETS));
    group.bench_function("frame of 12 packets", |bencher| {
        let frame = || {
            let frame: Vec<_> = (0..PACKETS)
                .map(|index| packet(sequence.wrapping_add(index as u16), index == PACKETS - 1))
                .collect();
            sequence = sequence.wrapping_add(PACKETS as u16);
            frame
        };
        bencher.iter_batched(
            frame,
            |frame| {
                let now = Instant::now();
                for packet in &frame {
                    publisher.packet(TrackId(0), packet, now).unwrap();
                }
                publisher.flush();
                let Some(Delivery::Burst(burst)) = worker.try_next() else { panic!("no burst") };
                burst
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// 1400 bytes of a picture that is no key frame.
fn packet(sequence: u16, marker: bool) -> Vec<u8> {
    let timestamp = u32::from(sequence / PACKETS as u16) * 3000;
    let header = Header { marker, payload_type: 96, sequence, timestamp, ssrc: 1, payload: 12..1400 };
    let mut packet = header.write().to_vec();
    packet.extend([0x7C, 0x01]);
    packet.resize(1400, 0x5A);
    packet
}

const PACKETS: u64 = 12;

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=bench\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z01AHppkA8ARPyzUBAQFAAADAAEAAAMAPI8WLeA=,aO48gA==\r\n";

criterion_group!(benches, rewrite, parse, hub);
criterion_main!(benches);
