//! Log-ins on the wire.

use std::time::Duration;

use super::*;
use crate::support::PATIENCE;
use crate::support::relay::{camera_settings, policy};
use fanlight::vocabulary::FailureClass;

/// A115.
#[tokio::test]
async fn nobody_watches_without_logging_in_and_sha_256_comes_before_md5() {
    let (_camera, relay) = guarded(USERS).await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    assert_eq!(viewer.options().await.status, 200, "what is about no stream needs nobody");
    let answer = viewer.describe().await;
    let lines = challenges(&answer);
    assert_eq!(lines.len(), 2, "no Basic without TLS: {lines:?}");
    assert!(lines[0].contains("algorithm=SHA-256") && lines[1].contains("algorithm=MD5"), "{lines:?}");
    assert!(answer.body.is_empty());
    for method in ["SETUP", "PLAY", "PAUSE", "TEARDOWN"] {
        assert_eq!(viewer.request(method, &relay.url("cam"), &[]).await.status, 401, "{method}");
    }
    let unknown = viewer.request("DESCRIBE", &relay.url("nothing"), &[]).await;
    assert_eq!(unknown.status, 401, "a stranger does not learn which streams there are");
    assert_eq!(relay.metric("fanlight_auth_failures_total"), 0.0, "to be asked is no failure");
}

/// A116.
#[tokio::test]
async fn a_player_that_signs_every_request_plays() {
    let (_camera, relay) = guarded(USERS).await;
    let (mut viewer, answer) = described_as(&relay, "ann", "correct horse").await;
    answer.ok();
    // live555 signs the aggregate's URI when it sets up a track; the nonce is the one of the connection.
    let mut other = Viewer::open(&relay.url("cam")).await;
    let challenge = last_digest(&other.describe().await);
    log_in(&mut other, &challenge, "ann", "correct horse").await.ok();
    let aggregate = format!("{}/", relay.url("cam"));
    let signed = digest::authorization("ann", "correct horse", &challenge, "SETUP", &aggregate);
    let transport = "RTP/AVP/TCP;unicast;interleaved=0-1";
    let setup = format!("{aggregate}trackID=0");
    other.request("SETUP", &setup, &[("Authorization", &signed), ("Transport", transport)]).await.ok();
    // And one that logs in once only: the connection is known.
    viewer.setup_tcp(0).await.ok();
    viewer.play().await.ok();
    viewer.packets(0, 3).await;
    viewer.teardown().await.ok();
}

#[tokio::test]
async fn both_algorithms_count_and_a_count_is_good_once() {
    let (_camera, relay) = guarded(USERS).await;
    for index in 0..2 {
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        let challenge = challenges(&viewer.describe().await)[index].clone();
        let url = viewer.url.clone();
        let signed = |count| digest::counted("ann", "correct horse", &challenge, "DESCRIBE", &url, count);
        for count in [1, 2, 7] {
            viewer.request("DESCRIBE", &url, &[("Authorization", &signed(count))]).await.ok();
        }
        let replayed = viewer.request("DESCRIBE", &url, &[("Authorization", &signed(7))]).await;
        assert!(last_digest(&replayed).contains("stale=true"), "{replayed:?}");
        let fresh = last_digest(&replayed);
        assert_ne!(digest::parameter(&fresh, "nonce"), digest::parameter(&challenge, "nonce"));
        log_in(&mut viewer, &fresh, "ann", "correct horse").await.ok();
    }
    assert_eq!(relay.metric("fanlight_auth_failures_total"), 0.0, "a stale nonce is no failure");
}

#[tokio::test]
async fn what_was_heard_on_another_connection_opens_nothing() {
    let (_camera, relay) = guarded(USERS).await;
    let mut heard = Viewer::open(&relay.url("cam")).await;
    let challenge = last_digest(&heard.describe().await);
    log_in(&mut heard, &challenge, "ann", "correct horse").await.ok();
    let mut thief = Viewer::open(&relay.url("cam")).await;
    let refused = log_in(&mut thief, &challenge, "ann", "correct horse").await;
    let fresh = last_digest(&refused);
    assert!(fresh.contains("stale=true"), "{fresh}");
    log_in(&mut thief, &fresh, "ann", "correct horse").await.ok();
}

#[tokio::test]
async fn a_wrong_password_is_answered_late_counted_and_logs_out() {
    let (_camera, relay) = guarded(&format!("{USERS}login: {{delay: 400ms}}\n")).await;
    let (mut viewer, answer) = described_as(&relay, "ann", "correct horse").await;
    answer.ok();
    let mut failures = 0.0;
    for (user, password) in [("ann", "wrong"), ("ann", "battery staple"), ("nobody", ""), ("", "")] {
        let challenge = last_digest(&Viewer::open(&relay.url("cam")).await.describe().await);
        let started = tokio::time::Instant::now();
        let refused = log_in(&mut viewer, &challenge, user, password).await;
        assert!(!last_digest(&refused).contains("stale"), "{refused:?}");
        assert!(started.elapsed() >= Duration::from_millis(400), "{user}: {:?}", started.elapsed());
        failures += 1.0;
        assert_eq!(relay.metric("fanlight_auth_failures_total"), failures);
    }
    assert_eq!(viewer.describe().await.status, 401, "the connection is nobody's now");
}

#[tokio::test]
async fn an_address_that_guesses_is_blocked_and_others_are_not() {
    let (_camera, relay) = guarded(&format!("{USERS}login: {{delay: 0s, failures: 3, block: 2s}}\n")).await;
    let (mut early, answer) = described_as(&relay, "ann", "correct horse").await;
    answer.ok();
    for _ in 0..3 {
        assert_eq!(described_as(&relay, "ann", "guess").await.1.status, 401);
    }
    let (_, blocked) = described_as(&relay, "ann", "correct horse").await;
    assert_eq!(blocked.status, 403, "even the right one is not looked at: {blocked:?}");
    assert!(blocked.header("Retry-After").is_some());
    early.setup_tcp(0).await.ok();
    let mut elsewhere = Viewer::connect_from("127.0.0.2".parse().unwrap(), relay.address()).await;
    elsewhere.url = relay.url("cam");
    let challenge = last_digest(&elsewhere.describe().await);
    log_in(&mut elsewhere, &challenge, "ann", "correct horse").await.ok();
    let over = tokio::time::Instant::now() + PATIENCE;
    while described_as(&relay, "ann", "correct horse").await.1.status != 200 {
        assert!(tokio::time::Instant::now() < over, "the block ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(relay.metric("fanlight_auth_failures_total"), 3.0);
}

#[tokio::test]
async fn basic_is_taken_where_it_is_allowed_only() {
    // ann:correct horse, ann:wrong
    let (right, wrong) = ("Basic YW5uOmNvcnJlY3QgaG9yc2U=", "Basic YW5uOndyb25n");
    let (_camera, relay) = guarded(&format!("{USERS}{QUICK}")).await;
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    let url = viewer.url.clone();
    assert_eq!(viewer.request("DESCRIBE", &url, &[("Authorization", right)]).await.status, 401);
    relay.access.replace(policy(&format!("{USERS}login: {{basic: true, delay: 0s}}\n")));
    let refused = viewer.request("DESCRIBE", &url, &[("Authorization", wrong)]).await;
    assert_eq!(challenges(&refused)[2], "Basic realm=\"fanlight\"");
    viewer.request("DESCRIBE", &url, &[("Authorization", right)]).await.ok();
}

#[tokio::test]
async fn stored_hashes_do_as_well_as_the_password() {
    let secret = fanlight::vocabulary::Secret::new("correct horse");
    let hashes = fanlight::access::hash("ann", &secret).unwrap();
    assert!(!hashes.concat().contains("horse"));
    let [sha256, md5, argon2id] = &hashes;
    let users = format!("users: {{ann: {{password_hash: [{sha256}, {md5}]}}}}\n{QUICK}");
    let (_camera, relay) = guarded(&users).await;
    described_as(&relay, "ann", "correct horse").await.1.ok();
    assert_eq!(described_as(&relay, "ann", "wrong").await.1.status, 401);
    // A slow hash, which only Basic can be checked with.
    relay.access.replace(policy(&format!(
        "users: {{ann: {{password_hash: '{argon2id}'}}}}\nlogin: {{basic: true, delay: 0s}}\n"
    )));
    let mut viewer = Viewer::open(&relay.url("cam")).await;
    assert_eq!(challenges(&viewer.describe().await), ["Basic realm=\"fanlight\""]);
    let url = viewer.url.clone();
    for (credentials, status) in
        [("Basic YW5uOndyb25n", 401), ("Basic Ym9iOng=", 401), ("Basic YW5uOmNvcnJlY3QgaG9yc2U=", 200)]
    {
        let answer = viewer.request("DESCRIBE", &url, &[("Authorization", credentials)]).await;
        assert_eq!(answer.status, status, "{credentials}");
    }
}

/// A117, B08, B18, B25: credentials that are none are refused, each with its own answer, and nothing comes of them.
#[tokio::test]
async fn broken_credentials_are_refused_and_harm_nobody() {
    let (_camera, relay) = guarded(&format!("{USERS}{QUICK}")).await;
    let long = format!("Basic {}", "A".repeat(15_000));
    let longer = format!("Digest username=\"{}\"", "a".repeat(15_000));
    for credentials in [
        "",
        "Basic",
        "Basic ",
        "Basic Og==",
        "Basic ====",
        "Basic AA==",
        "Digest",
        "Digest ",
        "Digest username",
        "Digest username=\"ann\"",
        "Bearer x",
        &long,
        &longer,
        "Digest username=\"",
        "Digest ,,,,",
        "Negotiate =",
    ] {
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        let url = viewer.url.clone();
        let answer = viewer.request("DESCRIBE", &url, &[("Authorization", credentials)]).await;
        assert_eq!(answer.status, 401, "{credentials:.40?}");
        // Twice is once too often or not, but never a way in.
        let twice = [("Authorization", credentials), ("Authorization", "Basic Og==")];
        assert_eq!(viewer.request("DESCRIBE", &url, &twice).await.status, 401, "{credentials:.40?}, twice");
    }
    for credentials in
        ["Digest \0".to_owned(), "\u{7f}".to_owned(), format!("Basic {}", "A".repeat(64 << 10))]
    {
        let mut viewer = Viewer::open(&relay.url("cam")).await;
        let url = viewer.url.clone();
        viewer.send("DESCRIBE", &url, &[("Authorization", &credentials)]).await;
        assert_eq!(viewer.read_answer().await.status, 400, "{credentials:.40?}");
    }
    let (_, answer) = described_as(&relay, "ann", "correct horse").await;
    answer.ok();
}

/// A relay is a client as well: one Fanlight watches another.
#[tokio::test]
async fn a_relay_logs_in_at_another() {
    let (_camera, relay) = guarded(&format!("{USERS}{QUICK}")).await;
    let url = relay.url("cam").replace("rtsp://", "rtsp://ann:correct%20horse@");
    let second = Relay::builder().stream("far", camera_settings(&url)).start().await;
    second.live("far").await;
    second.add("wrong", camera_settings(&url.replace("horse", "cow")));
    second.failed("wrong", FailureClass::Unauthorized).await;
}

/// B16, CVE-2026-41470: behind one address sit several people.
#[tokio::test]
async fn a_udp_session_is_its_users_own() {
    let (_camera, relay) = guarded(USERS).await;
    let (mut ann, answer) = described_as(&relay, "ann", "correct horse").await;
    answer.ok();
    ann.setup_udp(0).await.ok();
    ann.play().await.ok();
    let (mut bob, answer) = described_as(&relay, "bob", "battery staple").await;
    answer.ok();
    bob.session = ann.session.clone();
    assert_eq!(bob.teardown().await.status, 454, "it is not bob's");
    ann.packets(0, 3).await;
    let (mut again, answer) = described_as(&relay, "ann", "correct horse").await;
    answer.ok();
    again.session = ann.session.clone();
    again.teardown().await.ok();
}

#[tokio::test]
async fn a_reload_logs_out_who_is_no_user_any_more() {
    let (_camera, relay) = guarded(USERS).await;
    let (mut viewer, answer) = described_as(&relay, "ann", "correct horse").await;
    answer.ok();
    relay.access.replace(policy("users: {bob: {password: battery staple}}"));
    assert_eq!(viewer.setup_tcp(0).await.status, 401);
    let (_, answer) = described_as(&relay, "bob", "battery staple").await;
    answer.ok();
}
