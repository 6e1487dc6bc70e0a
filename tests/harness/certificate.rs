//! Certificates for the servers of the tests, signed by an authority of the test's own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// Files of a server certificate for `localhost` and `127.0.0.1`, and of the authority that signed it.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The authority's certificate, PEM: what a client has to trust.
    pub authority: PathBuf,
    /// The server's certificate, PEM.
    pub chain: PathBuf,
    /// The server's private key, PEM.
    pub key: PathBuf,
}

/// Makes a certificate that is valid from yesterday for `days` days; negative days give one that has expired.
#[must_use]
pub fn make(folder: &Path, days: i64) -> Certificate {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Watchkeep test authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();

    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let (from, until) = validity(days);
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();

    let files = Certificate {
        authority: folder.join("authority.pem"),
        chain: folder.join("server.pem"),
        key: folder.join("server.key"),
    };
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&files.authority, authority.pem()).unwrap();
    std::fs::write(&files.chain, leaf.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

type Day = (i32, u8, u8);

/// First and last day of a certificate.
fn validity(days: i64) -> (Day, Day) {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = |offset: i64| {
        let date = today + jiff::Span::new().days(offset);
        (
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    (day(if days < 0 { days - 30 } else { -1 }), day(days))
}
