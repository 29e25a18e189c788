//! Access rules and watch links on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::support::relay::policy;
use fanlight::access::link;
use fanlight::vocabulary::Secret;

#[tokio::test]
async fn the_first_rule_that_applies_decides() {
    let rules = "
access:
  - {streams: [cam], from: [127.0.0.2], deny: watch}
  - {streams: [cam], from: [127.0.0.0/8], allow: watch}
  - {users: [ann], streams: [yard/*], allow: watch}
  - {users: any, deny: [watch, control]}
";
    let (_camera, relay) = guarded(&format!("{USERS}{rules}")).await;
    Viewer::open(&relay.url("cam")).await.describe().await.ok();
    let mut denied = Viewer::connect_from("127.0.0.2".parse().unwrap(), relay.address()).await;
    denied.url = relay.url("cam");
    assert_eq!(denied.describe().await.status, 403, "nobody may from there, so nobody is asked to log in");
    let mut viewer = Viewer::open(&relay.url("yard/main")).await;
    let challenge = last_digest(&viewer.describe().await);
    log_in(&mut viewer, &challenge, "ann", "correct horse").await.ok();
    let mut viewer = Viewer::open(&relay.url("yard/main")).await;
    let challenge = last_digest(&viewer.describe().await);
    let refused = log_in(&mut viewer, &challenge, "bob", "battery staple").await;
    assert_eq!(refused.status, 403, "bob is bob, and may not");
}

#[tokio::test]
async fn what_everybody_may_watch_needs_no_log_in_and_takes_any() {
    let (_camera, relay) = guarded(&format!("{USERS}access: [{{streams: [cam], allow: watch}}]\n")).await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    // A Java client that always sends `:` (mediamtx#1761).
    viewer.headers.push(("Authorization".into(), "Basic Og==".into()));
    viewer.describe().await.ok();
    assert_eq!(viewer.request("DESCRIBE", &relay.url("yard/main"), &[]).await.status, 401);
}

/// The rules hold for the stream that is meant, however it is written.
#[tokio::test]
async fn no_spelling_of_a_path_leads_around_a_rule() {
    let (_camera, relay) = guarded(&format!("{USERS}access: [{{streams: [cam], allow: watch}}]\n")).await;
    for path in [
        "yard/main/",
        "yard/main?x=cam",
        "yard%2Fmain",
        "/yard/main",
        "cam/../yard/main",
        "yard/main/trackID=0",
    ] {
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        let answer = viewer.request("DESCRIBE", &relay.url(path), &[]).await;
        assert_eq!(answer.status, 401, "{path}");
    }
    // A session of a stream that is open does not open another stream.
    let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
    let setup = format!("{}/trackID=0", relay.url("yard/main"));
    let answer =
        viewer.request("SETUP", &setup, &[("Transport", "RTP/AVP/TCP;unicast;interleaved=2-3")]).await;
    assert_eq!(answer.status, 459, "{answer:?}");
    viewer.session = None;
    let answer =
        viewer.request("SETUP", &setup, &[("Transport", "RTP/AVP/TCP;unicast;interleaved=2-3")]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test]
async fn a_watch_link_opens_one_stream_until_it_expires() {
    let secret = Secret::new("0123456789abcdef");
    let policy_with_links = format!("{USERS}login: {{link_secret: 0123456789abcdef}}\n");
    let (_camera, relay) = guarded(&policy_with_links).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = link::sign(&secret, "cam", now + 3600);
    // The query is on DESCRIBE alone: players leave it out afterwards.
    let (mut viewer, _) = Viewer::play_tcp(&format!("{}?token={token}", relay.url("cam"))).await;
    viewer.packets(0, 3).await;
    let tampered = token.replace(&(now + 3600).to_string(), &(now + 7200).to_string());
    let expired = link::sign(&secret, "cam", now - 1);
    for (stream, token) in
        [("yard/main", &token), ("cam", &tampered), ("cam", &expired), ("cam", &String::new())]
    {
        let mut viewer = Viewer::open(&format!("{}?token={token}", relay.url(stream))).await;
        assert_eq!(viewer.describe().await.status, 401, "{stream} {token}");
    }
    assert_eq!(relay.metric("fanlight_auth_failures_total"), 4.0);
    // Another secret ends all links.
    relay.access.replace(policy(&policy_with_links.replace("abcdef", "fedcba")));
    let mut viewer = Viewer::open(&format!("{}?token={token}", relay.url("cam"))).await;
    assert_eq!(viewer.describe().await.status, 401);
}
