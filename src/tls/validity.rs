//! When a certificate expires: the one thing that an operator wants to know of it in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `notAfter` of a certificate in DER
/// ([RFC 5280 section 4.1](https://datatracker.ietf.org/doc/html/rfc5280#section-4.1)), if it can be read.
pub(crate) fn end(certificate: &[u8]) -> Option<SystemTime> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // The version is left out of version 1 certificates; then come serial number, signature and issuer.
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    let seconds = time(tag, text)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Tag, content and what follows the first element (X.690 section 8.1).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Seconds since 1970 of `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0i64, |number, d| number * 10 + i64::from(d - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (year + if year < 50 { 2000 } else { 1900 }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let field = |index: usize| number(&rest[2 * index..2 * index + 2]);
    let [month, day, hour, minute, second] = [0, 1, 2, 3, 4].map(field);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days of the civil calendar, counted in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// `[0]`, constructed.
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(text: &str) -> Option<i64> {
        time(if text.len() == 13 { UTC_TIME } else { GENERALIZED_TIME }, text.as_bytes())
    }

    #[test]
    fn both_spellings_of_a_time_are_read() {
        assert_eq!(seconds("19700101000000Z"), Some(0));
        assert_eq!(seconds("000229120000Z"), Some(951_825_600));
        assert_eq!(seconds("20240229120000Z"), Some(1_709_208_000));
        assert_eq!(seconds("491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds("500101000000Z"), Some(-631_152_000));
        assert_eq!(seconds("40960101000000Z"), Some(67_090_118_400));
        for wrong in [
            "",
            "Z",
            "20241301000000Z",
            "20240100000000Z",
            "2024022912000Z",
            "20240229120000+",
            "2024022912000aZ",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_the_one_it_was_made_with() {
        let mut made = rcgen::CertificateParams::new(["x".to_owned()]).unwrap();
        made.not_after = rcgen::date_time_ymd(2031, 7, 9);
        let made = made.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let expected = seconds("20310709000000Z").unwrap() as u64;
        assert_eq!(end(made.der()), Some(UNIX_EPOCH + Duration::from_secs(expected)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), cut in 0..400usize) {
            let _ = end(&bytes);
            let made = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
            let der = made.cert.der();
            let mut broken = der[..cut.min(der.len())].to_vec();
            for (at, byte) in bytes.iter().enumerate() {
                let length = broken.len().max(1);
                if let Some(place) = broken.get_mut(at * 7 % length) {
                    *place = *byte;
                }
            }
            let _ = end(&broken);
        }
    }
}
