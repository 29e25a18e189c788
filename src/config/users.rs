//! Who may log in, and what their passwords are checked with.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use argon2::password_hash::PasswordHash;

use super::reader::{Key, Value};
use crate::rtsp::digest::Algorithm;
use crate::vocabulary::Secret;

/// The users by name. A name has no colon, which Basic credentials could not carry, and no control character.
pub type Users = BTreeMap<String, Password>;

/// What a user's password is checked with: at least one of these. `Debug` shows none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Password {
    /// The password itself.
    pub plain: Option<Secret>,
    /// `HA1` of Digest with MD5 for [`REALM`], in lower-case hexadecimal digits.
    pub ha1_md5: Option<Secret>,
    /// The same with SHA-256.
    pub ha1_sha256: Option<Secret>,
    /// An argon2id hash in PHC form: for Basic only, since Digest cannot be checked with it.
    pub argon2id: Option<Secret>,
}

/// The realm that log-ins are for: part of every stored `HA1`, so it never changes.
pub const REALM: &str = "fanlight";

/// What is in front of a stored `HA1`.
pub const HA1_MD5: &str = "ha1-md5:";

/// The same for SHA-256.
pub const HA1_SHA256: &str = "ha1-sha256:";

/// Keys of a user.
pub(super) const USER_KEYS: &[Key<Password>] = &[
    Key { name: "password", read: |user, value| value.read(&mut user.plain, password) },
    Key { name: "password_file", read: |user, value| value.read(&mut user.plain, password_file) },
    Key { name: "password_hash", read: read_hashes },
];

impl Password {
    /// Whether a log-in with Digest can be checked.
    pub fn knows_digest(&self) -> bool {
        self.knows(Algorithm::Md5) || self.knows(Algorithm::Sha256)
    }

    /// Whether a log-in with Digest and this hash can be checked.
    pub fn knows(&self, algorithm: Algorithm) -> bool {
        let stored = match algorithm {
            Algorithm::Md5 => &self.ha1_md5,
            Algorithm::Sha256 => &self.ha1_sha256,
        };
        self.plain.is_some() || stored.is_some()
    }
}

pub(super) fn read_users(users: &mut Users, value: &Value<'_>) {
    for (name, value) in value.entries() {
        if name == super::access::ANY {
            value.problem("is the word for every user in `access`, so it is nobody's name");
            continue;
        }
        if name.is_empty() || name.len() > MAX_NAME || name.contains(':') || name.contains(char::is_control) {
            value.problem(format!(
                "a user's name has 1 to {MAX_NAME} bytes and neither colons nor control characters"
            ));
            continue;
        }
        if !value.is_section() {
            // Without the text: it is a password in the wrong place.
            value.problem("expected a section with `password`, `password_file` or `password_hash`");
            users.insert(name.to_owned(), Password::default()); // there is such a user, for the rules
            continue;
        }
        let mut password = Password::default();
        value.read_section(&[USER_KEYS], &mut password);
        match USER_KEYS.iter().filter(|key| value.has(key.name)).count() {
            0 => value.problem("needs a `password`, a `password_file` or a `password_hash`"),
            1 => {}
            _ => value.problem("has more than one of `password`, `password_file` and `password_hash`"),
        }
        users.insert(name.to_owned(), password);
    }
}

fn password(value: &Value<'_>) -> Option<Option<Secret>> {
    let text = value.text("a password")?;
    if text.is_empty() {
        value.problem("an empty password lets everybody in who knows the name");
        return None;
    }
    Some(Some(Secret::new(text)))
}

/// The first line of a file, as secrets of containers and of systemd come.
fn password_file(value: &Value<'_>) -> Option<Option<Secret>> {
    let path = value.text("the path of a file")?;
    match read_password(Path::new(&path)) {
        Ok(password) => Some(Some(password)),
        Err(why) => {
            value.problem(format!("{} {why}", value.found()));
            None
        }
    }
}

fn read_password(path: &Path) -> Result<Secret, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    // Nothing that blocks, and nothing without an end.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_PASSWORD_FILE).read_to_string(&mut text))
        .map_err(cannot)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err("has nothing in its first line".to_owned()),
    }
}

fn read_hashes(password: &mut Password, value: &Value<'_>) {
    for item in value.items() {
        let Some(hash) = item.text("a hash as `fanlight hash-password` prints it") else { continue };
        let hexadecimal = |digits: &str, algorithm: Algorithm| {
            let valid = digits.len() == algorithm.digits() && digits.bytes().all(|b| b.is_ascii_hexdigit());
            valid.then(|| Secret::new(digits.to_ascii_lowercase()))
        };
        let (place, read) = if let Some(digits) = hash.strip_prefix(HA1_MD5) {
            (&mut password.ha1_md5, hexadecimal(digits, Algorithm::Md5))
        } else if let Some(digits) = hash.strip_prefix(HA1_SHA256) {
            (&mut password.ha1_sha256, hexadecimal(digits, Algorithm::Sha256))
        } else {
            let valid = hash.starts_with("$argon2id$")
                && PasswordHash::new(&hash).is_ok_and(|hash| hash.salt.is_some() && hash.hash.is_some());
            (&mut password.argon2id, valid.then(|| Secret::new(hash)))
        };
        match (&place, read) {
            // Without the text: it may be a password in the wrong place.
            (_, None) => item.problem(format!(
                "expected `{HA1_MD5}…`, `{HA1_SHA256}…` or `$argon2id$…` as `fanlight hash-password` prints them"
            )),
            (Some(_), Some(_)) => item.problem("a second hash of the same kind"),
            (None, read) => *place = read,
        }
    }
}

/// Bytes of a user's name.
const MAX_NAME: usize = 64;

/// Bytes of a password file that are looked at.
const MAX_PASSWORD_FILE: u64 = 4096;
