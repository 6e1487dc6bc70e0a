//! What libraries say only to programmers, in words.

/// What rustls writes before the name of what is wrong with a certificate.
const CERTIFICATE: &str = "invalid peer certificate: ";

/// Names of rustls and webpki for what is wrong with a certificate, the special ones first.
const WRONG: &[(&str, &str)] = &[
    (
        "CaUsedAsEndEntity",
        "it is the certificate of an authority, which no server may show as its own; give the server one that the authority signed",
    ),
    ("EndEntityUsedAsCa", "whoever signed it is no authority"),
    ("UnknownIssuer", "its issuer is not among the trusted authorities"),
    ("UnsupportedCertVersion", "it is not of version 3"),
    (
        "RequiredEkuNotFound",
        "it is not meant for servers (extended key usage)",
    ),
    ("InvalidPurpose", "it is not meant for servers (extended key usage)"),
    ("NameConstraintViolation", "its authority may not sign for this name"),
    (
        "PathLenConstraintViolated",
        "too many authorities stand between it and a trusted one",
    ),
    (
        "MaximumPathDepthExceeded",
        "too many authorities stand between it and a trusted one",
    ),
    ("NotValidForName", "it is for another name"),
    ("NotValidYet", "it is not valid yet"),
    ("Expired", "it has expired"),
    ("Revoked", "it was revoked"),
    (
        "UnsupportedSignatureAlgorithm",
        "it is signed in a way that is not supported",
    ),
    ("Signature", "its signature is wrong"),
    ("BadDer", "it cannot be read"),
    ("BadEncoding", "it cannot be read"),
];

/// Layers of the HTTP client that say nothing beside what is below them.
const LAYERS: &[(&str, &str)] = &[
    (
        "error sending request: client error (Connect): tcp connect error: ",
        "connect: ",
    ),
    ("error sending request: client error (Connect): ", "connect: "),
    (
        "error sending request: client error (SendRequest): ",
        "send the request: ",
    ),
    ("error sending request: ", "send the request: "),
    // The mail client says it once for each of its layers.
    ("Connection error: Connection error: ", "Connection error: "),
];

/// The text of an error as a person reads it: without the layers of the HTTP client and the numbers of the system's errors,
/// and with the names that a library gives to what is wrong with a certificate put into words.
pub fn in_words(text: &str) -> String {
    let layers = LAYERS
        .iter()
        .fold(text.to_owned(), |text, (said, words)| text.replace(said, words));
    certificate(&without_numbers(&layers))
}

/// Without `(os error 111)`, which says nothing that the words before it do not.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.chars().all(|c| c.is_ascii_digit()) => kept.push_str(rest),
            _ => kept.push_str(&format!(" (os error {part}")),
        }
    }
    kept
}

fn certificate(text: &str) -> String {
    let Some((before, rest)) = text.split_once(CERTIFICATE) else {
        return text.to_owned();
    };
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '(' | ')')))
        .unwrap_or(rest.len());
    let (name, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
    // What is a word already is no name of a type.
    let known = WRONG.iter().find(|(known, _)| name.contains(known));
    match known.filter(|_| name.starts_with(|c: char| c.is_ascii_uppercase())) {
        Some((_, words)) => format!("{before}{CERTIFICATE}{words}{}", certificate(behind)),
        None => format!("{before}{CERTIFICATE}{name}{}", certificate(behind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_become_words() {
        let said = in_words("Connection error: invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))");
        assert!(
            said.starts_with("Connection error: invalid peer certificate: it is the certificate of an authority"),
            "{said}"
        );
        assert!(!said.contains("Other"), "{said}");
        assert_eq!(
            in_words("invalid peer certificate: UnknownIssuer: a; invalid peer certificate: BadSignature."),
            "invalid peer certificate: its issuer is not among the trusted authorities: a; invalid peer certificate: its \
             signature is wrong."
        );
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let said =
            "error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)";
        assert_eq!(in_words(said), "connect: Connection refused");
        let said = "error sending request: client error (Connect): invalid peer certificate: UnknownIssuer";
        assert!(in_words(said).starts_with("connect: invalid peer certificate: its issuer"));
        assert_eq!(in_words("a (os error x) b (os error 2): c"), "a (os error x) b: c");
        assert_eq!(
            in_words("Connection error: Connection error: Connection refused (os error 111)"),
            "Connection error: Connection refused"
        );
    }

    #[test]
    fn what_is_said_in_words_stays() {
        for said in [
            "",
            "connect: Connection refused",
            "invalid peer certificate: certificate expired: verification time 1 (UNIX)",
            "invalid peer certificate: ",
            "invalid peer certificate: Strange(1)",
        ] {
            assert_eq!(in_words(said), said);
        }
    }

    #[test]
    fn what_rustls_says_is_known() {
        use rustls::{CertificateError, Error};
        for error in [
            CertificateError::UnknownIssuer,
            CertificateError::BadSignature,
            CertificateError::BadEncoding,
            CertificateError::InvalidPurpose,
            CertificateError::Revoked,
        ] {
            let said = Error::InvalidCertificate(error).to_string();
            assert_ne!(in_words(&said), said);
        }
    }
}
