//! Reading challenges.

use super::{Algorithm, Challenge, DigestChallenge, Qop};

/// Reads the challenges of every `WWW-Authenticate` field, in order; of more than 8, the first 8. Schemes and algorithms
/// nobody here can answer are left out.
pub fn challenges<'h>(fields: impl IntoIterator<Item = &'h str>) -> Vec<Challenge> {
    let mut found: Vec<Raw<'h>> = Vec::new();
    for field in fields {
        // Parameters belong to the scheme before them in the same field.
        let first = found.len();
        for part in unquoted_parts(field) {
            let part = part.trim();
            let (scheme, parameter) = split_scheme(part);
            if let Some(scheme) = scheme {
                if found.len() == CHALLENGES_MAX {
                    break;
                }
                found.push(Raw { scheme, parameters: Vec::new() });
            }
            if let (Some(raw), Some((key, value))) = (found[first..].last_mut(), parameter.split_once('='))
                && raw.parameters.len() < PARAMETERS_MAX
            {
                raw.parameters.push((key.trim(), unquoted(value)));
            }
        }
    }
    found.iter().filter_map(Raw::challenge).collect()
}

struct Raw<'h> {
    scheme: &'h str,
    parameters: Vec<(&'h str, String)>,
}

impl Raw<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn challenge(&self) -> Option<Challenge> {
        if self.scheme.eq_ignore_ascii_case("Basic") {
            return Some(Challenge::Basic);
        }
        if !self.scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let named = self.get("algorithm").filter(|name| !name.is_empty());
        let algorithm = named.map_or(Some(Algorithm::Md5), Algorithm::named)?;
        let qop = self.get("qop").filter(|qop| !qop.is_empty());
        Some(Challenge::Digest(DigestChallenge {
            realm: self.get("realm").unwrap_or_default().to_owned(),
            nonce: self.get("nonce")?.to_owned(),
            opaque: self.get("opaque").map(str::to_owned),
            algorithm,
            algorithm_named: named.map(str::to_owned),
            qop: qop.map_or(Some(None), |qop| Qop::of(qop).map(Some))?,
            stale: self.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        }))
    }
}

/// The scheme at the front of a part, if a new challenge begins there, and the parameter behind it.
fn split_scheme(part: &str) -> (Option<&str>, &str) {
    let (word, rest) = part.split_once([' ', '\t']).unwrap_or((part, ""));
    // `realm = "x"` has a blank in front of the equals sign, not a scheme.
    let is_scheme = !word.is_empty() && !word.contains('=') && !rest.trim_start().starts_with('=');
    if is_scheme { (Some(word), rest.trim_start()) } else { (None, part) }
}

/// Splits at commas that do not stand in quotes.
fn unquoted_parts(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let literal = std::mem::take(&mut escaped);
        match c {
            '\\' if quoted && !literal => escaped = true,
            '"' if !literal => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    })
}

/// A value without its quotes and escapes; a quote that is never closed is left out as well.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            '"' => break,
            c => text.push(c),
        }
    }
    text
}

/// More than any camera offers.
const CHALLENGES_MAX: usize = 8;

/// Of one challenge; seven are known.
const PARAMETERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digests(fields: &[&str]) -> Vec<DigestChallenge> {
        let digest = |challenge| match challenge {
            Challenge::Digest(digest) => Some(digest),
            Challenge::Basic => None,
        };
        challenges(fields.iter().copied()).into_iter().filter_map(digest).collect()
    }

    #[test]
    fn the_challenges_of_devices_are_read() {
        // gortsplib, pkg/headers/authenticate_test.go; the last one is a Longse.
        for (field, realm, nonce, algorithm, stale) in [
            (
                "Digest realm=\"4419b63f5e51\", nonce=\"8b84a3b789283a8bea8da7fa7d41f08b\", stale=\"FALSE\"",
                "4419b63f5e51",
                "8b84a3b789283a8bea8da7fa7d41f08b",
                Algorithm::Md5,
                false,
            ),
            (
                "Digest realm=\"4419b63f5e51\",nonce=\"133767111917411116111311118211673010032\",  stale=\"FALSE\"",
                "4419b63f5e51",
                "133767111917411116111311118211673010032",
                Algorithm::Md5,
                false,
            ),
            (
                "Digest realm=\"IP Camera(AB705)\", nonce=\"fcc86deace979a488b2bfb89f4d0812c\", algorithm=\"SHA-256\", stale=\"FALSE\"",
                "IP Camera(AB705)",
                "fcc86deace979a488b2bfb89f4d0812c",
                Algorithm::Sha256,
                false,
            ),
            ("digest  Realm = a b,nonce=1 , STALE=True", "a b", "1", Algorithm::Md5, true),
            ("Digest realm=\"a, \\\"b\\\"\", nonce=\"1\"", "a, \"b\"", "1", Algorithm::Md5, false),
            ("Digest nonce=\"1", "", "1", Algorithm::Md5, false),
        ] {
            let found = digests(&[field]);
            assert_eq!(found.len(), 1, "{field}");
            assert_eq!((found[0].realm.as_str(), found[0].nonce.as_str()), (realm, nonce), "{field}");
            assert_eq!((found[0].algorithm, found[0].stale), (algorithm, stale), "{field}");
        }
        let login =
            "Digest realm=\"Please log in with a valid username\",nonce=\"752a\",opaque=\"\",stale=FALSE";
        assert_eq!(digests(&[login])[0].opaque.as_deref(), Some(""));
    }

    #[test]
    fn several_challenges_come_in_one_field_or_in_several() {
        let basic = "Basic realm=\"x\"";
        let digest = "Digest realm=\"x\", nonce=\"1\", qop=\"auth,auth-int\"";
        for fields in [vec![basic, digest], vec![digest, basic], vec![&format!("{basic}, {digest}")[..]]] {
            assert_eq!(challenges(fields.iter().copied()).len(), 2, "{fields:?}");
            assert_eq!(digests(&fields)[0].qop, Some(Qop::Auth));
        }
    }

    #[test]
    fn what_cannot_be_answered_is_left_out() {
        for field in [
            "",
            "Negotiate",
            "Bearer realm=\"x\"",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"1\", algorithm=SHA-1",
            "Digest realm=\"x\", nonce=\"1\", qop=\"else\"",
            "nonce=\"1\"",
        ] {
            assert_eq!(challenges([field]), [], "{field}");
        }
        assert_eq!(challenges(["Negotiate, Basic"]), [Challenge::Basic]);
        assert_eq!(challenges(["Basic"; 20]).len(), 8);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(Digest |Basic |nonce=|qop=|[\",= \\\\]|\\PC){0,20}") {
            let _ = challenges([text.as_str(), &text]);
        }
    }
}
