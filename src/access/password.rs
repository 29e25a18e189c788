//! Checking passwords, in a time that tells nothing about them.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Access, Policy};
use crate::config::{HA1_MD5, HA1_SHA256, Password, REALM};
use crate::rtsp::authorization::Proof;
use crate::rtsp::digest::{Algorithm, ha1};
use crate::vocabulary::Secret;

/// The stored forms of a user's password, for `password_hash`: two for Digest, as good as the password for this
/// program and to be kept as secret, and one for Basic.
///
/// # Errors
/// The system has no random numbers, or the password is longer than argon2 takes (4 GiB).
pub fn hash(user: &str, password: &Secret) -> Result<[String; 3], argon2::password_hash::Error> {
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>())?;
    let slow = Argon2::default().hash_password(password.reveal().as_bytes(), &salt)?;
    Ok([
        format!("{HA1_SHA256}{}", ha1(Algorithm::Sha256, user, REALM, password.reveal())),
        format!("{HA1_MD5}{}", ha1(Algorithm::Md5, user, REALM, password.reveal())),
        slow.to_string(),
    ])
}

/// Whether a Digest proof is that of the user it names. Takes as long for a user that there is not.
pub(super) fn proves(policy: &Policy, proof: &Proof, method: &str) -> bool {
    let known = policy.users.get(&proof.user).and_then(|password| {
        let stored = match proof.algorithm {
            Algorithm::Md5 => &password.ha1_md5,
            Algorithm::Sha256 => &password.ha1_sha256,
        };
        let made = || Some(ha1(proof.algorithm, &proof.user, REALM, password.plain.as_ref()?.reveal()));
        stored.as_ref().map(|stored| stored.reveal().to_owned()).or_else(made)
    });
    let decoy = || ha1(proof.algorithm, &proof.user, REALM, "");
    let (ha1, known) = known.map_or_else(|| (decoy(), false), |ha1| (ha1, true));
    same(&proof.expected(&ha1, method), proof.response()) & known
}

impl Access {
    /// Whether a password is that of the user.
    pub(super) async fn knows(&self, policy: &Policy, user: &str, password: &Secret) -> bool {
        let stored = policy.users.get(user);
        if let Some(Password { plain: Some(plain), .. }) = stored {
            return same(plain.reveal(), password.reveal());
        }
        for (algorithm, ha1_of) in [
            (Algorithm::Sha256, stored.and_then(|s| s.ha1_sha256.as_ref())),
            (Algorithm::Md5, stored.and_then(|s| s.ha1_md5.as_ref())),
        ] {
            if let Some(stored) = ha1_of {
                return same(stored.reveal(), &ha1(algorithm, user, REALM, password.reveal()));
            }
        }
        // For a user that there is not, as much is done as for one with a slow hash, if there is any.
        let any = || policy.users.values().find_map(|password| password.argon2id.as_ref());
        let (hash, known) = match stored.and_then(|password| password.argon2id.as_ref()) {
            Some(hash) => (hash.clone(), true),
            None => match any() {
                Some(hash) => (hash.clone(), false),
                None => return false,
            },
        };
        let Ok(_permit) = self.slow.acquire().await else { return false };
        let password = password.clone();
        let matches = tokio::task::spawn_blocking(move || {
            let Ok(hash) = PasswordHash::new(hash.reveal()) else { return false };
            Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok()
        });
        matches.await.unwrap_or(false) & known
    }
}

/// Whether two texts are the same; the time does not tell how much of them is, nor how long they are.
fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one).as_slice().ct_eq(Sha256::digest(other).as_slice()).into()
}
