//! `fanlight hash-password` and `fanlight link`: what an operator hands out or writes down.

use std::io::{self, BufRead as _, Read as _};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use super::cli::LinkArgs;
use super::{Stopped, say};
use crate::access::{hash, link};
use crate::config::{Config, StreamName};
use crate::vocabulary::Secret;

/// Reads a password from stdin and prints a user for the configuration.
pub(super) fn hash_password(user: &str) -> anyhow::Result<Stopped> {
    let mut line = String::new();
    io::stdin().lock().take(MAX_PASSWORD).read_line(&mut line).context("cannot read the password")?;
    let password = Secret::new(line.trim_end_matches(['\r', '\n']));
    if password.reveal().is_empty() {
        bail!(
            "expected the password as a line on stdin, such as: fanlight hash-password {user} < password.txt"
        );
    }
    let [sha256, md5, argon2id] = hash(user, &password).context("cannot hash the password")?;
    // As JSON, which is YAML, whatever the name holds.
    say(format_args!("users:\n  {}:", serde_json::to_string(user)?));
    say(format_args!("    password_hash:"));
    say(format_args!(
        "      # For Digest, which players use. As good as the password, so keep the file secret."
    ));
    say(format_args!("      - {sha256}\n      - {md5}"));
    say(format_args!(
        "      # For Basic (the page and the API, where no hash above stands). Of no use to whoever finds it."
    ));
    say(format_args!("      - {argon2id}"));
    Ok(Stopped::Cleanly)
}

/// Prints a link to a stream.
pub(super) fn link(config: &Config, args: &LinkArgs) -> anyhow::Result<Stopped> {
    let name: StreamName = args.stream.parse()?;
    let Some(secret) = &config.login.link_secret else {
        bail!("{}: there is no login.link_secret to sign links with", args.config.display());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is wrong")?.as_secs();
    let token = link::sign(secret, name.as_str(), now.saturating_add(args.lifetime.as_secs()));
    say(format_args!("rtsp://{}/{name}?token={token}", args.host));
    Ok(Stopped::Cleanly)
}

/// Bytes of a password.
const MAX_PASSWORD: u64 = 4096;
