//! Policies, as a configuration gives them.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::config::{Action, Config};
use crate::rtsp::digest::Algorithm;

fn policy(yaml: &str) -> Policy {
    Policy::of(&Config::parse(yaml, &|_| None).unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const USERS: &str = "users: {ann: {password: a}, bob: {password: b}}\n";
const NEAR: &str = "10.0.0.7";

#[test]
fn without_users_and_rules_everything_is_allowed() {
    let policy = Policy::default();
    assert!(policy.is_open() && policy.allows(None, ip(NEAR), None, Action::Control));
}

#[test]
fn once_there_are_users_nobody_else_may_do_anything() {
    let policy = policy(USERS);
    for action in [Action::Watch, Action::Control, Action::Metrics] {
        assert!(!policy.allows(None, ip(NEAR), Some("door"), action));
        assert!(!policy.allows(Some("eve"), ip(NEAR), Some("door"), action));
        assert!(policy.allows(Some("ann"), ip(NEAR), Some("door"), action));
    }
}

/// The example of the contract: `{streams: [door], from: [10.0.0.0/8], allow: watch}`.
#[test]
fn a_rule_opens_one_stream_to_a_network() {
    let policy = policy(&format!("{USERS}access: [{{streams: [door], from: [10.0.0.0/8], allow: watch}}]"));
    let may = |address: &str, stream, action| policy.allows(None, ip(address), stream, action);
    assert!(may(NEAR, Some("door"), Action::Watch));
    assert!(may("::ffff:10.0.0.7", Some("door"), Action::Watch), "the same address on an IPv6 socket");
    assert!(!may("192.168.0.7", Some("door"), Action::Watch));
    assert!(!may(NEAR, Some("yard"), Action::Watch));
    assert!(!may(NEAR, Some("door"), Action::Control));
    assert!(!may(NEAR, None, Action::Watch));
}

#[test]
fn the_first_rule_that_applies_decides() {
    let policy = policy(&format!(
        "{USERS}access: [{{users: ann, streams: [door], deny: watch}}, {{streams: [door, site/*], allow: watch}}, {{users: any, deny: control}}]"
    ));
    let watch = |user, stream| policy.allows(user, ip(NEAR), Some(stream), Action::Watch);
    assert!(!watch(Some("ann"), "door") && watch(Some("bob"), "door") && watch(None, "door"));
    assert!(watch(None, "site/a") && !watch(None, "site") && !watch(None, "sites"));
    assert!(watch(Some("ann"), "yard"), "no rule applies to it");
    assert!(!policy.allows(Some("bob"), ip(NEAR), None, Action::Control));
}

#[test]
fn rules_without_users_close_what_they_do_not_open() {
    let policy = policy("access: [{from: [127.0.0.1, '::1'], allow: [watch, metrics]}]");
    assert!(!policy.is_open());
    assert!(policy.allows(None, ip("::1"), Some("door"), Action::Watch));
    assert!(!policy.allows(None, ip(NEAR), Some("door"), Action::Watch));
    assert!(!policy.allows(None, ip("::1"), None, Action::Control));
}

#[test]
fn an_algorithm_that_some_user_cannot_answer_is_not_offered() {
    let offered = |users: &str| {
        policy(&format!("{{users: {users}, login: {{basic: true}}}}")).algorithms().collect::<Vec<_>>()
    };
    let (md5, sha256) = (format!("'ha1-md5:{}'", "0".repeat(32)), format!("'ha1-sha256:{}'", "0".repeat(64)));
    let both = [Algorithm::Sha256, Algorithm::Md5];
    assert_eq!(offered("{a: {password: x}}"), both);
    assert_eq!(offered(&format!("{{a: {{password: x}}, b: {{password_hash: {md5}}}}}")), [Algorithm::Md5]);
    assert_eq!(
        offered(&format!("{{a: {{password_hash: {sha256}}}, b: {{password_hash: {md5}}}}}")),
        both,
        "none does for all, so each user needs his own"
    );
    assert_eq!(offered("{}"), []);
}

proptest! {
    /// Whoever is denied by name stays denied, whatever rules follow.
    #[test]
    fn no_later_rule_changes_an_earlier_decision(
        rules in prop::collection::vec(("(ann|bob|any)", any::<bool>(), "(watch|control|metrics)"), 0..6),
    ) {
        let mut text = format!("{USERS}access:\n  - {{users: ann, deny: watch}}\n");
        for (user, allow, action) in rules {
            text += &format!("  - {{users: {user}, {}: {action}}}\n", if allow { "allow" } else { "deny" });
        }
        prop_assert!(!policy(&text).allows(Some("ann"), ip(NEAR), Some("door"), Action::Watch));
        prop_assert!(!policy(&text).allows(None, ip(NEAR), Some("door"), Action::Watch));
    }
}

#[tokio::test]
async fn without_users_changes_are_for_this_machine() {
    let access = Access::open(Arc::default());
    let schemes = Schemes { digest: Digest::Address, basic: true };
    for (address, action, admitted) in [
        (NEAR, Action::Metrics, true),
        (NEAR, Action::Watch, true),
        (NEAR, Action::Control, false),
        ("::ffff:127.0.0.1", Action::Control, true),
        ("::1", Action::Control, true),
    ] {
        let wish = Wish { action, stream: None, method: "PUT", uri: None, authorization: None, token: None };
        let answer = Visitor::new(ip(address), schemes).admit(&access, &wish).await;
        assert_eq!(answer, if admitted { Ok(()) } else { Err(Refusal::Forbidden) }, "{address} {action:?}");
    }
}
