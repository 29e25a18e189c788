//! c2 and c4 over UDP.

use fanlight::config::UpstreamTransport;

use super::camera::{Script, Udp, VIDEO};
use super::{Outcome, Relayed, over};

fn script() -> Script {
    Script::new().sdp(VIDEO).udp(Udp::default())
}

async fn check(name: &str, script: Script, outcome: Outcome) {
    over(name, script, UpstreamTransport::Udp, outcome).await;
}

const PORTS: &str = ";server_port=UDP_RTP-UDP_RTCP";

#[tokio::test]
async fn c41_no_server_port() {
    check("c41", script().with("SETUP", PORTS, ""), Relayed).await;
}

#[tokio::test]
async fn c42_server_ports_of_zero() {
    check("c42 0-0", script().with("SETUP", PORTS, ";server_port=0-0"), Relayed).await;
    check("c42 0-1", script().with("SETUP", PORTS, ";server_port=0-1"), Relayed).await;
}

#[tokio::test]
async fn c42_server_ports_that_are_no_neighbours() {
    check("c42", script().with("SETUP", "UDP_RTP-UDP_RTCP", "UDP_RTP-9"), Relayed).await;
}

#[tokio::test]
async fn c43_packets_from_another_port_than_announced() {
    check("c43", script().with("SETUP", PORTS, ";server_port=6970-6971"), Relayed).await;
}

#[tokio::test]
async fn c40_a_single_server_port_over_udp() {
    check("c40", script().with("SETUP", "UDP_RTP-UDP_RTCP", "UDP_RTP"), Relayed).await;
}

#[tokio::test]
async fn c39_a_source_that_is_no_address_over_udp() {
    check("c39", script().with("SETUP", "unicast;", "unicast;source=camera.local;"), Relayed).await;
}

#[tokio::test]
async fn c44_one_spelling_of_the_transport() {
    let refuses = |wrong: &'static str| {
        script().on("SETUP", move |ask, text| match ask.has(wrong) {
            true => format!("RTSP/1.0 461 Unsupported Transport\r\nCSeq: {}\r\n\r\n", ask.cseq),
            false => text,
        })
    };
    check("c44 RTP/AVP", refuses("RTP/AVP/UDP"), Relayed).await;
    check("c44 RTP/AVP/UDP", refuses("RTP/AVP;"), Relayed).await;
}

#[tokio::test]
async fn c83_datagrams_of_ten_kilobytes() {
    check("c83", script().packet_size(10_000), Relayed).await;
}

#[tokio::test]
async fn c82_datagrams_that_overtake_each_other() {
    check("c82", script().udp(Udp { reorder: true }), Relayed).await;
}
