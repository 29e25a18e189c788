//! Reading the `Transport` header.

use std::str::FromStr;

use super::{Channels, Fault, Mode, Ports, Profile, TransportSpec};
use crate::vocabulary::Transport;

/// Reads every alternative of a `Transport` header, in order of preference; of one with more than 16, the
/// first 16.
///
/// Serves both ways: a server reads offers, a client reads the one grant. Quotes, blanks, case, order and
/// unknown parameters do not matter.
pub fn parse(header: &str) -> Vec<TransportSpec> {
    split_unquoted(header, ',')
        .filter(|text| !text.trim_matches([' ', '\t', ';']).is_empty())
        .take(ALTERNATIVES_MAX)
        .map(spec)
        .collect()
}

fn spec(text: &str) -> TransportSpec {
    let mut spec = TransportSpec {
        profile: Profile::Other,
        lower: Transport::Udp,
        multicast: false,
        mode: Mode::Play,
        interleaved: None,
        client_port: None,
        server_port: None,
        port: None,
        ttl: None,
        ssrc: None,
        destination: None,
        source: None,
        fault: None,
    };
    let mut lower = None;
    for parameter in split_unquoted(text, ';') {
        let (key, value) = match parameter.split_once('=') {
            Some((key, value)) => (key.trim(), unquoted(value)),
            None => (parameter.trim(), ""),
        };
        match key.to_ascii_lowercase().as_str() {
            "unicast" => spec.multicast = false,
            "multicast" => spec.multicast = true,
            "interleaved" => spec.interleaved = channels(value).or_fault(Fault::Channels, &mut spec.fault),
            "client_port" => spec.client_port = ports(value).or_fault(Fault::Ports, &mut spec.fault),
            "server_port" => spec.server_port = ports(value).or_fault(Fault::Ports, &mut spec.fault),
            "port" => spec.port = ports(value).or_fault(Fault::Ports, &mut spec.fault),
            "ttl" => spec.ttl = number(value),
            "ssrc" => spec.ssrc = ssrc(value),
            "mode" => spec.mode = mode(value),
            "destination" => spec.destination = filled(value),
            "source" => spec.source = filled(value),
            name if name.contains('/') => (spec.profile, lower) = protocol(name),
            _ => {}
        }
    }
    spec.lower = lower.unwrap_or(match (spec.interleaved, spec.client_port) {
        (Some(_), None) => Transport::Tcp,
        _ => Transport::Udp,
    });
    spec
}

/// Reads `rtp/avp`, `rtp/avp/tcp` and the like, in lower case.
fn protocol(name: &str) -> (Profile, Option<Transport>) {
    let mut parts = name.split('/').map(str::trim);
    let profile = match (parts.next(), parts.next()) {
        (Some("rtp"), Some("avp")) => Profile::Avp,
        (Some("rtp"), Some("savp" | "savpf")) => Profile::Savp,
        _ => Profile::Other,
    };
    match (parts.next(), parts.next()) {
        (None | Some(""), _) => (profile, None),
        (Some("udp"), None) => (profile, Some(Transport::Udp)),
        (Some("tcp"), None) => (profile, Some(Transport::Tcp)),
        _ => (Profile::Other, None),
    }
}

trait OrFault: Sized {
    /// Notes the fault of an illegible value, the first one only.
    fn or_fault(self, fault: Fault, first: &mut Option<Fault>) -> Self;
}

impl<T> OrFault for Option<T> {
    fn or_fault(self, fault: Fault, first: &mut Option<Fault>) -> Self {
        if self.is_none() {
            first.get_or_insert(fault);
        }
        self
    }
}

fn channels(value: &str) -> Option<Channels> {
    let (rtp, rtcp) = range::<u8>(value)?;
    // Some servers and clients name the first channel only.
    let rtcp = rtcp.or_else(|| rtp.checked_add(1))?;
    (rtp < rtcp).then_some(Channels { rtp, rtcp })
}

fn ports(value: &str) -> Option<Ports> {
    let (rtp, rtcp) = range::<u16>(value)?;
    // Cameras that have no ports to give say `0-0`.
    rtcp.is_none_or(|rtcp| rtp < rtcp || (rtp, rtcp) == (0, 0)).then_some(Ports { rtp, rtcp })
}

/// Reads `a` or `a-b`.
fn range<T: FromStr>(value: &str) -> Option<(T, Option<T>)> {
    match value.split_once('-') {
        Some((first, second)) => Some((number(first)?, Some(number(second)?))),
        None => Some((number(value)?, None)),
    }
}

/// Reads digits; a sign is none.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Dahua and Hikvision pad with blanks, Rubetek writes `0x`, several leave leading zeros out.
fn ssrc(value: &str) -> Option<u32> {
    let digits = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")).unwrap_or(value);
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal && digits.len() <= 8 { u32::from_str_radix(digits, 16).ok() } else { None }
}

fn mode(value: &str) -> Mode {
    let sends =
        |word: &str| ["record", "receive"].iter().any(|known| known.eq_ignore_ascii_case(word.trim()));
    if value.split(',').any(sends) { Mode::Record } else { Mode::Play }
}

fn filled(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches('"').trim()
}

/// Splits at a separator that does not stand in quotes.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

/// Far more than players send (one to three, or so); each takes some memory.
const ALTERNATIVES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn only(header: &str) -> TransportSpec {
        let mut specs = parse(header);
        assert_eq!(specs.len(), 1, "{header}");
        specs.remove(0)
    }

    #[test]
    fn the_answers_of_servers_are_read() {
        let spec =
            only("RTP/AVP/UDP;unicast;client_port=3056-3057;server_port=5000-5001;source=10.0.0.7;ttl=300");
        assert_eq!(spec.client_port, Some(Ports { rtp: 3056, rtcp: Some(3057) }));
        assert_eq!(spec.server_port, Some(Ports { rtp: 5000, rtcp: Some(5001) }));
        assert_eq!((spec.source.as_deref(), spec.ttl, spec.fault), (Some("10.0.0.7"), None, None));

        let spec = only("RTP/AVP;multicast;destination=225.219.201.15;port=7000-7001;ttl=127");
        assert!(spec.multicast);
        assert_eq!((spec.port, spec.ttl), (Some(Ports { rtp: 7000, rtcp: Some(7001) }), Some(127)));
        assert_eq!(spec.destination.as_deref(), Some("225.219.201.15"));
    }

    #[test]
    fn a_server_may_name_one_port_or_none() {
        for (value, ports) in [
            ("8052", Some(Ports { rtp: 8052, rtcp: None })),
            ("0-0", Some(Ports { rtp: 0, rtcp: Some(0) })),
            ("0-1", Some(Ports { rtp: 0, rtcp: Some(1) })),
            ("40004-50000", Some(Ports { rtp: 40004, rtcp: Some(50000) })),
            ("x", None),
        ] {
            let spec = only(&format!("RTP/AVP/TCP;unicast;server_port={value};interleaved=0-1"));
            assert_eq!((spec.server_port, spec.fault.is_some()), (ports, ports.is_none()), "{value}");
        }
        assert_eq!(only("RTP/AVP;unicast").server_port, None);
    }

    #[test]
    fn an_ssrc_is_read_as_cameras_write_it() {
        for (value, ssrc) in [
            ("30A98EE7", Some(0x30a9_8ee7)),
            (" 4317f", Some(0x4317f)),
            ("     D93FF", Some(0xd93ff)),
            ("0x6f7c", Some(0x6f7c)),
            ("A046", Some(0xa046)),
            ("0", Some(0)),
            ("1449463210", None),
            ("", None),
            ("-1", None),
            ("+1", None),
        ] {
            let spec = only(&format!("RTP/AVP/TCP;ssrc={value};interleaved=0-1"));
            assert_eq!((spec.ssrc, spec.fault), (ssrc, None), "{value}");
        }
    }

    #[test]
    fn an_empty_source_is_none() {
        let spec =
            only("RTP/AVP/UDP;unicast;source=;client_port=32560-32561;server_port=3046-3047;ssrc=45dcb578");
        assert_eq!((spec.source, spec.fault), (None, None));
    }

    #[test]
    fn a_separator_in_quotes_does_not_separate() {
        let spec = only("RTP/AVP/TCP;x=\"a,b;interleaved=6-7\";interleaved=2-3;mode=\"PLAY,RECORD\"");
        assert_eq!((spec.interleaved, spec.mode), (Some(Channels { rtp: 2, rtcp: 3 }), Mode::Record));
    }

    #[test]
    fn a_flood_of_alternatives_is_cut() {
        assert_eq!(parse(&"RTP/AVP,".repeat(4000)).len(), 16);
        assert_eq!(parse(", ;, ,"), []);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(RTP/AVP(/TCP|/UDP)?|[a-z_]{1,6}=|interleaved=|ssrc=|[0-9]{1,6}|[-;,=\"]|\\PC){0,20}") {
            let _ = parse(&text).iter().map(TransportSpec::offer).count();
        }

        #[test]
        fn numbers_never_wrap(a in 0u64..100_000, b in 0u64..100_000) {
            let channels = only(&format!("RTP/AVP/TCP;interleaved={a}-{b}")).interleaved;
            prop_assert_eq!(channels.map(|c| (u64::from(c.rtp), u64::from(c.rtcp))), (a < b && b < 256).then_some((a, b)));
            let ports = only(&format!("RTP/AVP;client_port={a}-{b}")).client_port;
            let fits = (a < b || a + b == 0) && b < 65536;
            prop_assert_eq!(ports.map(|p| (u64::from(p.rtp), p.rtcp.map(u64::from))), fits.then_some((a, Some(b))));
        }
    }
}
