//! From what went wrong to a reason of the closed list.

use std::{io, net::SocketAddr};

use events::{EVIDENCE_MAX, Look, Reason, Status, Timestamp};
use outbound::{ConnectError, ResolveError};
use rustix::io::Errno;
use rustls::CertificateError;

/// The target failed.
pub(crate) fn fail(reason: Reason, detail: impl Into<String>) -> Look {
    Look::new(Status::Fail, reason, detail)
}

/// We failed: says nothing about the target.
pub(crate) fn broken(detail: impl Into<String>) -> Look {
    Look::new(Status::Unknown, Reason::ProbeBroken, detail)
}

/// A command that was not run says nothing of what it would have looked at.
pub(crate) fn not_started(program: &str, error: &io::Error) -> Look {
    if is_ours(error) && !matches!(Errno::from_io_error(error), Some(Errno::ACCESS | Errno::PERM)) {
        return broken(format!("start {program}: {error}"));
    }
    Look::new(Status::Unknown, Reason::NotStarted, format!("start {program}: {error}"))
}

/// No connection.
pub(crate) fn of_connect(error: &ConnectError) -> Look {
    match error {
        ConnectError::Resolve(error) => of_resolve(error),
        ConnectError::TimedOut { address } => fail(Reason::ConnectTimeout, format!("no answer from {address}")),
        ConnectError::Io { address, source } => of_connect_io(*address, source),
    }
}

fn of_resolve(error: &ResolveError) -> Look {
    match error {
        ResolveError::NotFound { .. } => fail(Reason::DnsNxdomain, error.to_string()),
        ResolveError::TimedOut { .. } => fail(Reason::DnsTimeout, error.to_string()),
        ResolveError::Failed { .. } => fail(Reason::DnsFailed, error.to_string()),
        ResolveError::Forbidden(_) => broken(error.to_string()),
    }
}

fn of_connect_io(address: SocketAddr, error: &io::Error) -> Look {
    if is_ours(error) {
        return broken(format!("connect to {address}: {error}"));
    }
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
            Reason::ConnectUnreachable
        }
        _ => Reason::ConnectionReset,
    };
    // The reason says it all, unless the system knows better.
    match reason {
        Reason::ConnectRefused | Reason::ConnectTimeout => fail(reason, address.to_string()),
        _ => fail(reason, format!("{address}: {}", outbound::in_words(&error.to_string()))),
    }
}

/// This machine ran out of something, or forbids it: the target is not to blame.
fn is_ours(error: &io::Error) -> bool {
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::ACCESS,
        Errno::PERM,
        Errno::AFNOSUPPORT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| ours.contains(&errno))
}

/// The connection broke while talking.
pub(crate) fn of_talk(doing: &str, error: &io::Error) -> Look {
    if is_ours(error) {
        return broken(format!("{doing}: {error}"));
    }
    let reason = match tls_error(error) {
        Some(_) => Reason::TlsFailed,
        None => Reason::ConnectionReset,
    };
    fail(reason, format!("{doing}: {}", outbound::in_words(&error.to_string())))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// The handshake failed.
pub(crate) fn of_handshake(error: &io::Error) -> Look {
    let Some(error) = tls_error(error) else {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reason::ConnectionReset,
            _ => Reason::TlsFailed,
        };
        return fail(
            reason,
            format!("TLS handshake: {}", outbound::in_words(&error.to_string())),
        );
    };
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return fail(
            Reason::TlsFailed,
            format!("TLS handshake: {}", outbound::in_words(&error.to_string())),
        );
    };
    let (reason, expires) = match certificate {
        CertificateError::ExpiredContext { not_after, .. } => (Reason::TlsExpired, Some(not_after.as_secs())),
        CertificateError::Expired => (Reason::TlsExpired, None),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (Reason::TlsName, None),
        _ => (Reason::TlsUntrusted, None),
    };
    let detail = match certificate {
        CertificateError::ExpiredContext { not_after, .. } => format!("it ended {}", moment(not_after.as_secs())),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}", moment(not_before.as_secs()))
        }
        // The reason says that already; where trust comes from is what is left to say.
        CertificateError::UnknownIssuer => {
            "no authority of this machine signed it, nor one that is given with `ca`".to_owned()
        }
        _ => {
            let words = outbound::in_words(&error.to_string());
            let words = words.strip_prefix("invalid peer certificate: ").unwrap_or(&words);
            words.to_owned()
        }
    };
    let mut look = fail(reason, detail);
    look.certificate_expires = expires.map(moment);
    look
}

/// Seconds since 1970 as a person reads them.
fn moment(seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp(seconds.saturating_mul(1_000_000_000))
}

/// What came back, as far as it is shown: at most [`EVIDENCE_MAX`] bytes, control characters replaced.
pub(crate) fn evidence(parts: &[&[u8]]) -> String {
    let mut text = String::new();
    for part in parts {
        // No more than what could still be kept, so that a large body is not converted whole.
        let part = part.get(..EVIDENCE_MAX).unwrap_or(part);
        for c in String::from_utf8_lossy(part).chars() {
            let c = match c {
                '\n' | '\t' => c,
                '\r' => continue,
                c if c.is_control() => char::REPLACEMENT_CHARACTER,
                c => c,
            };
            if text.len() + c.len_utf8() > EVIDENCE_MAX {
                return text;
            }
            text.push(c);
        }
    }
    text
}

/// What to do about it, for `watchkeep check`. `has_ca`: an authority is given already.
pub(crate) fn remedy(reason: Reason, has_ca: bool) -> &'static str {
    match reason {
        Reason::DnsNxdomain => "correct the host name, or add it to the name server",
        Reason::DnsTimeout | Reason::DnsFailed => "check /etc/resolv.conf and the name server",
        Reason::ConnectRefused => "start the service, or correct the port",
        Reason::ConnectTimeout | Reason::ConnectUnreachable => "check the address, the route and the firewall",
        Reason::TlsExpired => "renew the certificate",
        Reason::TlsName => "use the name in the certificate, or get one for this name",
        Reason::TlsUntrusted if has_ca => {
            "the certificate in `ca` is not that of the authority that signed the server's: give the authority's, not \
             the server's own"
        }
        Reason::TlsUntrusted => "give the authority's certificate with `ca = \"/path/to/ca.pem\"`",
        Reason::HttpStatus => "correct the address, or say which status is expected: `status = \"200-399\"`",
        Reason::NotStarted => "give an absolute path of a program that this user may run",
        Reason::DiskMissing => "correct the path",
        _ => "see what came back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_short_and_harmless() {
        let text = evidence(&[b"HTTP/1.1 500 Oops\r\n\x1b[31m\xff", &[b'x'; 9000]]);
        assert!(text.len() <= EVIDENCE_MAX);
        assert!(text.starts_with("HTTP/1.1 500 Oops\n\u{fffd}[31m\u{fffd}xxx"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        let wide = "ü".repeat(5000);
        assert_eq!(evidence(&[b"a", wide.as_bytes()]).len(), EVIDENCE_MAX - 1);
    }

    #[test]
    fn our_own_limits_blame_nobody() {
        let address = "10.0.0.1:80".parse().unwrap();
        let ours = of_connect_io(address, &io::Error::from(Errno::MFILE));
        assert_eq!((ours.status, ours.reason), (Status::Unknown, Reason::ProbeBroken));
        let theirs = of_connect_io(address, &io::Error::from(Errno::CONNREFUSED));
        assert_eq!((theirs.status, theirs.reason), (Status::Fail, Reason::ConnectRefused));
    }
}
