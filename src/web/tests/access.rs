//! Log-ins at the sidecar.

use super::*;
use crate::access::{Access, Policy};
use crate::config::Config;
use crate::rtsp::digest::{Algorithm, Counted, ha1, response};

const POLICY: &str = "
users: {ann: {password: pl4nted}, bob: {password: other}}
access:
  - {users: ann, streams: [door], deny: control}
  - {from: 127.0.0.2, allow: metrics}
  - {users: bob, deny: control}
login: {delay: 0s, failures: 4}
";

/// ann:pl4nted, bob:other, ann:wrong
const ANN: &str = "Authorization: Basic YW5uOnBsNG50ZWQ=\r\n";
const BOB: &str = "Authorization: Basic Ym9iOm90aGVy\r\n";
const WRONG: &str = "Authorization: Basic YW5uOndyb25n\r\n";

async fn guarded() -> Site {
    let site = Site::start().await;
    site.access.replace(Policy::of(&Config::parse(POLICY, &|_| None).unwrap()));
    site
}

#[tokio::test]
async fn everything_but_health_needs_a_log_in() {
    let site = guarded().await;
    let _camera = site.camera("door");
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(site.get(path).await.status, 200, "{path}");
    }
    for (path, _) in routes() {
        let path =
            path.replace("{*path}", "door").replace("{id}", "1").replace("{version}/{file}", "x/app.js");
        if path.ends_with('z') {
            continue;
        }
        let answer = site.get(&path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.head.contains("www-authenticate: basic realm=\"fanlight\""), "{}", answer.head);
        assert!(!answer.body.contains("door"), "{path}: {}", answer.body);
    }
    assert_eq!(site.ask("GET", "/api/v1/streams", ANN, "").await.status, 200);
    assert_eq!(site.ask("GET", "/metrics", WRONG, "").await.status, 401);
    assert!(site.ask("GET", "/metrics", ANN, "").await.body.contains("fanlight_auth_failures_total 1\n"));
}

#[tokio::test]
async fn changes_need_a_user_who_may() {
    let site = guarded().await;
    let (_door, _yard) = (site.camera("door"), site.camera("yard"));
    for (credentials, path, status) in [
        ("", "yard", 401),
        ("", "door", 403), // nobody may, so nobody is asked to log in
        (BOB, "yard", 403),
        (ANN, "door", 403),
        (ANN, "%64oor", 403),
        (ANN, "yard", 202),
    ] {
        let path = format!("/api/v1/streams/{path}/reconnect");
        assert_eq!(site.ask("POST", &path, credentials, "").await.status, status, "{credentials} {path}");
        // Where the camera is and how it is reached is for who may change it.
        let path = path.replace("reconnect", "config");
        let status = if status == 202 { 409 } else { status };
        assert_eq!(site.ask("GET", &path, credentials, "").await.status, status, "{credentials} {path}");
    }
    let headers = format!("{ANN}Origin: http://evil\r\n");
    let answer = site.ask("POST", "/api/v1/streams/yard/reconnect", &headers, "").await;
    assert_eq!(answer.status, 403, "whoever is logged in, not for another page");
}

#[tokio::test]
async fn a_guessing_address_is_blocked_here_too() {
    let site = guarded().await;
    for _ in 0..4 {
        assert_eq!(site.ask("GET", "/metrics", WRONG, "").await.status, 401);
    }
    let answer = site.ask("GET", "/metrics", ANN, "").await;
    assert_eq!(answer.status, 403);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    assert_eq!(site.get("/livez").await.status, 200);
}

#[tokio::test]
async fn without_users_nobody_logs_in() {
    let site = Site::start().await;
    assert_eq!(site.get("/metrics").await.status, 200);
    assert!(Access::open(Arc::clone(site.hub.metrics())).policy().is_open());
}

/// The answer to a request that is signed with Digest, to the challenge that names this algorithm.
async fn digest(site: &Site, algorithm: Algorithm, signed: &str, challenge: &str, count: u32) -> Answer {
    let ha1 = ha1(algorithm, "ann", "fanlight", "pl4nted");
    let nc = format!("{count:08x}");
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let counted = Some(Counted { nc: &nc, cnonce: "cn" });
    let response = response(algorithm, &ha1, nonce, counted, "GET", signed);
    let header = format!(
        "Authorization: Digest username=\"ann\", realm=\"fanlight\", nonce=\"{nonce}\", uri=\"{signed}\", \
         algorithm={}, qop=auth, nc={nc}, cnonce=\"cn\", response=\"{response}\"\r\n",
        algorithm.name()
    );
    site.ask("GET", "/metrics", &header, "").await
}

#[tokio::test]
async fn digest_logs_in_on_connections_of_one_request_each() {
    let site = guarded().await;
    for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
        let refused = site.get("/metrics").await;
        let lines: Vec<&str> =
            refused.head.lines().filter(|l| l.starts_with("www-authenticate: digest")).collect();
        assert_eq!(lines.len(), 2, "{}", refused.head);
        let challenge = lines[0];
        for count in [1, 3, 2] {
            assert_eq!(digest(&site, algorithm, "/metrics", challenge, count).await.status, 200, "{count}");
        }
        let replayed = digest(&site, algorithm, "/metrics", challenge, 3).await;
        assert_eq!(replayed.status, 401);
        assert!(replayed.head.contains("stale=true"), "{}", replayed.head);
        assert_eq!(
            digest(&site, algorithm, "/api/v1/streams", challenge, 4).await.status,
            401,
            "of another URI"
        );
        assert_eq!(digest(&site, algorithm, "http://relay.lan:8580/metrics", challenge, 5).await.status, 200);
    }
    let unknown =
        digest(&site, Algorithm::Md5, "/metrics", &format!("nonce=\"{}\"", "0".repeat(64)), 1).await;
    assert!(unknown.status == 401 && unknown.head.contains("stale=true"), "{}", unknown.head);
}

/// A name of the attacker's that leads to the relay's address: the browser takes its page for the relay's own.
#[tokio::test]
async fn a_page_whose_name_was_led_here_changes_nothing_without_a_log_in() {
    let site = Site::start().await;
    let _camera = site.camera("door");
    let post = |host: &str, headers: &str| {
        let (address, path) = (site.address, "/api/v1/streams/door/reconnect");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nOrigin: http://{host}\r\n{headers}\r\n"
        );
        async move { ask_raw(address, &request).await.status }
    };
    assert_eq!(post("evil.example:8580", "").await, 403);
    assert_eq!(post("127.0.0.1:8580", "").await, 202);
    assert_eq!(post("localhost:8580", "").await, 202);
    site.access.replace(Policy::of(&Config::parse(POLICY, &|_| None).unwrap()));
    let _yard = site.camera("yard");
    assert_eq!(post("relay.lan:8580", "").await, 403, "nobody may do that with door");
    let by_name = format!(
        "POST /api/v1/streams/yard/reconnect HTTP/1.1\r\nHost: relay.lan\r\nConnection: close\r\nOrigin: http://relay.lan\r\n{ANN}\r\n"
    );
    assert_eq!(ask_raw(site.address, &by_name).await.status, 202, "who logs in may use any name");
}
