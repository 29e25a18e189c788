//! Who plays by a right that ends is disconnected, and nobody else.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::support::relay::policy;
use crate::support::viewer::{Ended, assert_no_gap};
use crate::support::{PATIENCE, eventually, within};
use fanlight::access::link;
use fanlight::vocabulary::Secret;

const ENDED: &str = "fanlight_viewer_disconnects_total{reason=\"access_ended\",stream=\"cam\"}";

async fn plays_as(relay: &Relay, user: &str, password: &str, udp: bool) -> Viewer {
    let (mut viewer, answer) = described_as(relay, user, password).await;
    answer.ok();
    if udp {
        viewer.setup_udp(0).await.ok()
    } else {
        viewer.setup_tcp(0).await.ok()
    };
    viewer.play().await.ok();
    viewer.packets(0, 3).await;
    viewer
}

/// The connection closes in order, behind a goodbye.
async fn assert_ended(viewer: &mut Viewer) {
    let (ended, _) = within("the session ends", PATIENCE, viewer.ended()).await;
    assert_eq!(ended, Ended::Closed);
}

#[tokio::test]
async fn a_session_ends_with_the_user_the_password_or_the_rule_that_let_it_in() {
    for changed in [
        "users: {bob: {password: battery staple}}".to_owned(),
        "users: {ann: {password: another}, bob: {password: battery staple}}".to_owned(),
        format!("{USERS}access: [{{users: ann, streams: [cam], deny: watch}}]"),
    ] {
        let (_camera, relay) = guarded(USERS).await;
        let mut tcp = plays_as(&relay, "ann", "correct horse", false).await;
        let mut udp = plays_as(&relay, "ann", "correct horse", true).await;
        let mut bob = plays_as(&relay, "bob", "battery staple", false).await;
        relay.access.replace(policy(&changed));
        assert_ended(&mut tcp).await;
        eventually("both are gone", PATIENCE, || relay.metric(ENDED) == 2.0).await;
        assert_ne!(udp.get_parameter().await.status, 200, "{changed}");
        assert_no_gap(&bob.packets(0, 50).await);
        assert_eq!(relay.stream("cam").viewers().len(), 1, "{changed}");
    }
}

#[tokio::test]
async fn who_watched_as_nobody_leaves_once_there_are_users() {
    let (_camera, relay) = guarded("").await;
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    relay.access.replace(policy(USERS));
    assert_ended(&mut viewer).await;
    assert_eq!(Viewer::open(&relay.url("cam")).await.describe().await.status, 401);
}

#[tokio::test]
async fn a_reload_that_changes_nothing_for_a_viewer_ends_nothing() {
    let (_camera, relay) = guarded(USERS).await;
    let mut tcp = plays_as(&relay, "ann", "correct horse", false).await;
    let mut udp = plays_as(&relay, "ann", "correct horse", true).await;
    relay.access.replace(policy(&format!("{USERS}  eve: {{password: new}}\n{QUICK}")));
    // Longer than it takes to look who may stay.
    assert_no_gap(&tcp.packets(0, 60).await);
    assert_no_gap(&udp.packets(0, 60).await);
    assert_eq!(relay.metric(ENDED), 0.0);
}

#[tokio::test]
async fn a_watch_link_that_expires_ends_what_is_played_by_it() {
    let secret = Secret::new("0123456789abcdef");
    let (_camera, relay) = guarded(&format!("{USERS}login: {{link_secret: 0123456789abcdef}}\n")).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let link = |until| format!("{}?token={}", relay.url("cam"), link::sign(&secret, "cam", until));
    let (mut long, _) = Viewer::play_tcp(&link(now + 3600)).await;
    let (mut short, _) = Viewer::play_tcp(&link(now + 3)).await;
    short.packets(0, 3).await;
    assert_ended(&mut short).await;
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(then >= now + 3, "not before its time");
    assert_no_gap(&long.packets(0, 10).await);
    assert_eq!(relay.metric(ENDED), 1.0);
}
