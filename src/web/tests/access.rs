//! Log-ins at the sidecar.

use super::*;
use crate::access::{Access, Policy};
use crate::config::Config;

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
