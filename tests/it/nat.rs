//! Viewers behind a NAT: their packets come from other ports than SETUP named, and media goes there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::support::camera::{Audio, Camera};
use crate::support::relay::{Relay, relay};
use crate::support::rtp::{Rtp, bye, receiver_report};
use crate::support::viewer::{Answer, Viewer};
use crate::support::{PATIENCE, within};

/// The ways players open a NAT: ffmpeg, live555, GStreamer; an RTP header, a receiver report or a few bytes.
const OPENINGS: [&[u8]; 3] = [
    &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    &[0xfe, 0xed, 0xfa, 0xce],
    &[0xce, 0xfa, 0xed, 0xfe, 0, 0, 0, 0],
];

async fn socket(ip: IpAddr) -> UdpSocket {
    UdpSocket::bind((ip, 0)).await.unwrap()
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Sets tracks up over UDP under ports that nobody listens on. Gives the server's ports.
async fn set_up(viewer: &mut Viewer, tracks: usize, named: u16) -> (SocketAddr, SocketAddr) {
    let mut ports = None;
    for track in 0..tracks {
        let port = named + 2 * track as u16;
        let answer: Answer =
            viewer.setup(track, &format!("RTP/AVP;unicast;client_port={port}-{}", port + 1)).await;
        ports = answer.server_ports();
    }
    let (rtp, rtcp) = ports.unwrap();
    ((HERE, rtp).into(), (HERE, rtcp).into())
}

async fn hears(socket: &UdpSocket) -> Vec<u8> {
    let mut data = vec![0; 2048];
    let length = within("a datagram", PATIENCE, socket.recv(&mut data)).await.unwrap();
    data.truncate(length);
    data
}

async fn start() -> (Camera, Relay) {
    let camera = Camera::builder().h264(50).gop(5).audio(Audio::Pcmu).start().await;
    let relay = relay(&camera.url()).await;
    relay.live("cam").await;
    (camera, relay)
}

#[tokio::test]
async fn media_follows_a_viewer_to_the_ports_it_really_has() {
    let (_camera, relay) = start().await;
    for (round, opening) in OPENINGS.into_iter().enumerate() {
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        viewer.describe().await.ok();
        let (rtp, rtcp) = set_up(&mut viewer, 2, 2000 + 10 * round as u16).await;
        let sockets = [socket(HERE).await, socket(HERE).await, socket(HERE).await, socket(HERE).await];
        for track in 0..2 {
            sockets[2 * track].send_to(opening, rtp).await.unwrap();
            sockets[2 * track + 1].send_to(&receiver_report(7), rtcp).await.unwrap();
            // The two server sockets are read in no order; a player waits for the answer to each SETUP as well.
            viewer.get_parameter().await.ok();
        }
        viewer.play().await.ok();
        assert_eq!(Rtp::parse(&hears(&sockets[0]).await).payload_type, 96);
        assert_eq!(Rtp::parse(&hears(&sockets[2]).await).payload_type, 0);
        assert_eq!(hears(&sockets[1]).await[1], 200, "a sender report");
        assert_eq!(hears(&sockets[3]).await[1], 200);
        viewer.teardown().await.ok();
    }
}

#[tokio::test]
async fn a_packet_from_another_address_moves_nothing() {
    let (_camera, relay) = start().await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    viewer.describe().await.ok();
    let (rtp, _) = set_up(&mut viewer, 1, 2100).await;
    let stranger = socket(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))).await;
    stranger.send_to(OPENINGS[0], rtp).await.unwrap();
    viewer.get_parameter().await.ok();
    viewer.play().await.ok();
    let own = socket(HERE).await;
    own.send_to(OPENINGS[0], rtp).await.unwrap();
    assert_eq!(Rtp::parse(&hears(&own).await).payload_type, 96, "its own may, also after PLAY");
    let mut data = [0; 2048];
    assert!(timeout(Duration::from_millis(200), stranger.recv(&mut data)).await.is_err());
    let late = socket(HERE).await;
    late.send_to(OPENINGS[0], rtp).await.unwrap();
    assert!(timeout(Duration::from_millis(200), late.recv(&mut data)).await.is_err(), "each port moves once");
    hears(&own).await;
}

#[tokio::test]
async fn a_viewer_that_is_where_it_said_is_not_moved_by_its_neighbours() {
    let (_camera, relay) = start().await;
    let (mut viewer, _) = Viewer::play_udp(&relay.url("cam")).await;
    viewer.send_rtcp(0, &receiver_report(1)).await;
    viewer.next_rtp(0).await;
    viewer.get_parameter().await.ok();
    // One that has left says goodbye, and one that never was here opens a port.
    let mut other = Viewer::open(&relay.url("cam")).await;
    other.describe().await.ok();
    let (rtp, rtcp) = set_up(&mut other, 1, 2200).await;
    let socket = socket(HERE).await;
    other.play().await.ok();
    // Again and again, as live555 does: who is meant is clear once the first viewer's report has been read.
    let mut data = [0; 2048];
    let heard = async {
        loop {
            socket.send_to(OPENINGS[1], rtp).await.unwrap();
            if timeout(Duration::from_millis(100), socket.recv(&mut data)).await.is_ok() {
                break;
            }
        }
    };
    within("media at the port that was opened", PATIENCE, heard).await;
    other.teardown().await.ok();
    socket.send_to(&bye(9), rtcp).await.unwrap();
    socket.send_to(OPENINGS[1], rtp).await.unwrap();
    while timeout(Duration::from_millis(200), socket.recv(&mut data)).await.is_ok() {}
    let newest = viewer.packets(0, 30).await;
    assert!(newest.len() == 30);
}
