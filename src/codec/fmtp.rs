//! The parameters of an `a=fmtp` line: `name=value` pairs between semicolons.

/// The parameters of `fmtp` (without its payload type) in order, as name and value, both trimmed; a name alone has an
/// empty value. Base64 values keep their `=`.
pub(crate) fn parameters(fmtp: &str) -> impl Iterator<Item = (&str, &str)> {
    fmtp.split(';').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name.trim_end(), value.trim())
    })
}

/// The value of the first parameter called `name`, in any case (UniFi cameras write `SizeLength`).
pub(crate) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    parameters(fmtp).find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_padding_and_lose_their_spaces() {
        let fmtp = "packetization-mode=1; sprop-parameter-sets=Z0I=,aM4= ;;Flag;";
        let found: Vec<_> = parameters(fmtp).collect();
        assert_eq!(found, [("packetization-mode", "1"), ("sprop-parameter-sets", "Z0I=,aM4="), ("Flag", "")]);
        assert_eq!(parameter(fmtp, "Packetization-Mode"), Some("1"));
        assert_eq!(parameter(fmtp, "mode"), None);
    }
}
