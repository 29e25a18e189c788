//! `fanlight self-signed`: a certificate for tests, and for networks where each side knows the other's fingerprint.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::cli::SelfSignedArgs;
use super::{Stopped, say};
use crate::tls::{self, Identity};

/// Makes a key (ECDSA, P-256) and a certificate signed with it, and says how they are used.
pub(super) fn run(args: &SelfSignedArgs) -> anyhow::Result<Stopped> {
    let (certificate, key) = make(&args.names, args.days).context("cannot make a certificate")?;
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes())?;
    // The key first: a certificate without one looks as if it were usable.
    write(&args.key, 0o600, &key)?;
    write(&args.certificate, 0o644, &certificate)?;
    say(format_args!("tls:"));
    // As JSON, which is YAML, whatever the path holds.
    say(format_args!("  certificate: {}", serde_json::to_string(&args.certificate)?));
    say(format_args!("  key: {}", serde_json::to_string(&args.key)?));
    say(format_args!("# Another relay knows this one by its fingerprint:"));
    let fingerprint: Vec<String> = identity.fingerprint().iter().map(|byte| format!("{byte:02x}")).collect();
    say(format_args!("# tls_fingerprint: \"{}\"", fingerprint.join(":")));
    Ok(Stopped::Cleanly)
}

/// Certificate and key in PEM.
fn make(names: &[String], days: u32) -> anyhow::Result<(String, String)> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = names.first() {
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = SignedDuration::from_hours(24);
    let now = Timestamp::now();
    // Whoever looks at it may be in another time zone, or have a clock that is slow.
    let (begin, end) =
        (now.checked_sub(day)?, now.checked_add(day.checked_mul(days as i32).context("too many days")?)?);
    let date = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
    };
    (params.not_before, params.not_after) = (date(begin), date(end));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((tls::pem("CERTIFICATE", certificate.der()), tls::pem("PRIVATE KEY", &key.serialize_der())))
}

/// Writes a file that was not there: whoever asks for a new key twice keeps the first one.
fn write(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn args(folder: &Path) -> SelfSignedArgs {
        SelfSignedArgs {
            names: vec!["relay.test".to_owned(), "10.0.0.5".to_owned()],
            days: 30,
            certificate: folder.join("relay.crt"),
            key: folder.join("relay.key"),
        }
    }

    #[test]
    fn the_files_are_a_certificate_for_so_many_days_and_a_key_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path());
        run(&args).unwrap();
        let identity = Identity::load(&args.certificate, &args.key).unwrap();
        let left = identity.expires().unwrap().duration_since(SystemTime::now()).unwrap();
        let day = Duration::from_secs(86_400);
        assert!(left > 28 * day && left <= 30 * day, "{left:?}");
        assert_eq!(std::fs::metadata(&args.key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn files_that_are_there_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path());
        std::fs::write(&args.key, "mine").unwrap();
        let error = format!("{:#}", run(&args).unwrap_err());
        assert!(error.contains("relay.key") && error.contains("exists"), "{error}");
        assert_eq!(std::fs::read_to_string(&args.key).unwrap(), "mine");
        assert!(!args.certificate.exists());
    }
}
