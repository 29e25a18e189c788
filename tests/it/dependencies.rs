//! What the program is made of: licences that may be passed on, one registry, and nothing that was given up.
//!
//! `cargo deny` asks more (known vulnerabilities above all) and takes minutes to build, so that CI runs it where it is
//! installed only (`.ci/run`); this much is asked on every run, without the network.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Licences that a program under MIT or Apache-2.0 may contain. The same list stands in `.cargo/deny.toml`.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Not to come back by way of another crate, and why. The same list stands in `.cargo/deny.toml`.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "TLS is rustls with ring: one implementation to follow"),
    ("native-tls", "the same"),
    ("aws-lc-sys", "needs cmake, and is a second provider"),
    ("chrono", "times are jiff's, which retina uses as well"),
    ("reqwest", "far more than a health check needs"),
];

/// What is built for this system, ourselves left out. Crates of other systems are not on every machine.
fn packages() -> Vec<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let features: &[&str] = if cfg!(feature = "otel") { &["--features", "otel"] } else { &[] };
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", &platform])
        .args(features)
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().filter(|package| package["name"] != "fanlight").cloned().collect()
}

/// Whether an SPDX expression can be met with these licences. Older crates write `/` for `OR`.
fn is_met(expression: &str, licences: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = expression.split_whitespace().peekable();
    let met = any(&mut words, licences);
    met && words.peek().is_none()
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any(words: &mut Words<'_>, licences: &[&str]) -> bool {
    let mut met = all(words, licences);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, licences);
    }
    met
}

fn all(words: &mut Words<'_>, licences: &[&str]) -> bool {
    let mut met = one(words, licences);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, licences);
    }
    met
}

fn one(words: &mut Words<'_>, licences: &[&str]) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let met = any(words, licences);
        return words.next_if_eq(&")").is_some() && met;
    }
    match words.next_if_eq(&"WITH") {
        Some(_) => licences.contains(&format!("{word} WITH {}", words.next().unwrap_or_default()).as_str()),
        None => licences.contains(&word),
    }
}

#[test]
fn every_licence_may_be_passed_on() {
    let packages = packages();
    assert!(packages.len() > 100, "{}", packages.len());
    let refused: Vec<String> = packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or_default()))
        .filter(|(_, licence)| !is_met(licence, LICENCES))
        .map(|(name, licence)| format!("{name}: {licence:?}"))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<&str> = packages.iter().filter_map(|package| package["license"].as_str()).collect();
    assert!(used.iter().any(|expression| !is_met(expression, &["MIT"])), "the check can fail");
}

#[test]
fn an_expression_is_met_by_one_side_of_or_and_both_of_and() {
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/GPL-3.0", true),
        ("GPL-3.0 AND MIT", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(MIT AND GPL-3.0) OR LGPL-3.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 WITH other", false),
        ("MIT WITH", false),
        ("(MIT", false),
        ("MIT ISC", false),
        ("", false),
    ] {
        assert_eq!(is_met(expression, LICENCES), met, "{expression}");
    }
}

#[test]
fn everything_comes_from_one_registry_and_nothing_that_was_given_up_is_back() {
    for package in packages() {
        let (name, source) = (&package["name"], package["source"].as_str().unwrap_or("a folder"));
        assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
        let banned = BANNED.iter().find(|(banned, _)| name == banned);
        assert!(banned.is_none(), "{banned:?}");
    }
}

/// The other half of the check is told the same.
#[test]
fn cargo_deny_has_the_same_lists() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/.cargo/deny.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let list = |name: &str| {
        let (_, rest) = text.split_once(&format!("\n{name} = [")).unwrap_or_else(|| panic!("no {name}"));
        let quoted = rest.split_once("\n]").unwrap().0.lines().filter_map(|line| line.split('"').nth(1));
        quoted.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    assert_eq!(list("allow"), LICENCES.iter().map(|licence| (*licence).to_owned()).collect());
    assert_eq!(list("deny"), BANNED.iter().map(|(name, _)| (*name).to_owned()).collect());
}
