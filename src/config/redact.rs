//! Showing a text of the configuration without the secrets in it.

/// Words in the name of a parameter whose value is not shown.
const SECRET_WORDS: [&str; 9] = ["pass", "pwd", "psw", "secret", "token", "auth", "key", "sig", "cred"];

/// Names of parameters that are secret only as a whole word.
const SECRET_NAMES: [&str; 2] = ["p", "pw"];

/// Most characters of a value that a message quotes.
const MAX_SHOWN: usize = 80;

/// The text in quotes, with control characters escaped, shortened, and [`redact`]ed.
pub(super) fn quote(text: &str) -> String {
    let redacted = redact(text);
    match redacted.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{:?}", format!("{}…", &redacted[..end])),
        None => format!("{redacted:?}"),
    }
}

/// Hides what may be credentials in a text that may be a URL, well-formed or not: rather too much than too little.
pub(super) fn redact(text: &str) -> String {
    let is_scheme = |s: &&str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let scheme = text.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme);
    let (scheme, rest) = text.split_at(scheme.map_or(0, |scheme| scheme.len() + 3));
    if let Some(at) = rest.rfind('@') {
        return format!("{scheme}***@{}", redact_path(&rest[at + 1..]));
    }
    // `rtsp://admin:secret`, the host forgotten: what cannot be a port may be a password.
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    match authority.split_once(':') {
        Some((host, port))
            if !scheme.is_empty() && !host.starts_with('[') && port.parse::<u16>().is_err() =>
        {
            format!("{scheme}{host}:***")
        }
        _ => format!("{scheme}{}", redact_path(rest)),
    }
}

/// Hides the values of parameters whose names speak of a password (`password=…`, in the query or, as XMEye cameras
/// have it, in the path), and the credentials of a URL inside a URL.
pub(crate) fn redact_path(path: &str) -> String {
    let nested = path.find("://").zip(path.rfind('@')).filter(|(from, to)| from < to);
    let path = match nested {
        Some((from, to)) => format!("{}://***{}", &path[..from], &path[to..]),
        None => path.to_owned(),
    };
    let mut shown = String::with_capacity(path.len());
    let mut rest = path.as_str();
    while let Some((name, after)) = rest.split_once('=') {
        shown.push_str(name);
        shown.push('=');
        // A value in a path may hold any separator but these; in a query they end it by definition.
        let end = after.find(['&', '?']).unwrap_or(after.len());
        let name = percent_decode(&name[name.rfind(['/', '?', '&', ';']).map_or(0, |at| at + 1)..]);
        if is_secret(&name.to_ascii_lowercase()) {
            shown.push_str("***");
            rest = &after[end..];
        } else {
            rest = after;
        }
    }
    shown + rest
}

fn is_secret(name: &str) -> bool {
    SECRET_NAMES.contains(&name) || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Undoes `%41`; a `%` that encodes nothing stays as it is, and so does a text that would not become UTF-8.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_hidden_wherever_they_stand() {
        for (text, shown) in [
            ("rtsp://u:p@cam/x", "rtsp://***@cam/x"),
            ("rtsp://u:p@ss#w@cam/x", "rtsp://***@cam/x"),
            ("u:p@cam/x", "***@cam/x"),
            ("u:p@rtsp://cam/x", "***@rtsp://cam/x"),
            ("rtsp://admin:secret", "rtsp://admin:***"),
            ("rtsp://admin:secret/x", "rtsp://admin:***"),
            ("rtsp://cam:554/x", "rtsp://cam:554/x"),
            ("rtsp://[::1]:554/x", "rtsp://[::1]:554/x"),
            ("upd", "upd"),
            ("12:34", "12:34"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn parameters_that_speak_of_a_password_are_hidden() {
        for (text, shown) in [
            ("cam/?user=a&Password=b&c=d", "cam/?user=a&Password=***&c=d"),
            ("cam/user=admin_password=x_channel=1_stream=0.sdp?real", "cam/user=admin_password=***?real"),
            ("cam/?p%61ss=x", "cam/?p%61ss=***"),
            ("cam/?p=x&pw=y&q=z", "cam/?p=***&pw=***&q=z"),
            ("cam/?x=1=2&token=a/b=c", "cam/?x=1=2&token=***"),
            ("cam/?src=rtsp://u:p@h/x", "cam/?src=rtsp://***@h/x"),
            ("cam/plain", "cam/plain"),
        ] {
            assert_eq!(redact_path(text), shown);
        }
    }

    #[test]
    fn quoted_text_is_short_and_printable() {
        assert_eq!(quote("a\n\u{1b}[31m"), r#""a\n\u{1b}[31m""#);
        assert_eq!(quote(&"é".repeat(200)), format!("\"{}…\"", "é".repeat(MAX_SHOWN)));
    }

    proptest! {
        #[test]
        fn a_planted_secret_is_never_shown(
            scheme in "(rtsp://|http://|x://|)", before in "[a-z:@#/?=&%]{0,8}", after in "[a-z@:/?=&.]{0,12}",
        ) {
            let text = format!("{scheme}{before}:hunter2@cam{after}");
            prop_assert!(!redact(&text).contains("hunter2"), "{} -> {}", text, redact(&text));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,24}", punctuation in "[:/@?&=%é]{0,16}") {
            let _ = (quote(&text), redact(&punctuation), percent_decode(&punctuation));
        }
    }
}
