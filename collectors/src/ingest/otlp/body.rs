//! How a body is written: its type and its compression.

use std::{borrow::Cow, io::Read};

use flate2::read::MultiGzDecoder;

use super::{BODY_MAX, DECODED_MAX, Refusal};

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    pub(super) fn of(content_type: Option<&str>) -> Result<Self, Refusal> {
        let content_type = content_type.unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-protobuf") {
            Ok(Self::Protobuf)
        } else if essence.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else {
            Err(Refusal::ContentType(content_type.chars().take(80).collect()))
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// The body without its compression.
pub(super) fn decoded<'a>(content_encoding: Option<&str>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Refusal> {
    if body.len() > BODY_MAX {
        return Err(Refusal::BodyTooLarge { max: BODY_MAX });
    }
    let name = content_encoding.unwrap_or("identity").trim();
    if name.eq_ignore_ascii_case("identity") || name.is_empty() {
        return Ok(Cow::Borrowed(body));
    }
    if !name.eq_ignore_ascii_case("gzip") {
        return Err(Refusal::ContentEncoding(name.chars().take(80).collect()));
    }
    let mut inflated = Vec::new();
    // One byte more than allowed tells a full body from one that goes on.
    let limit = u64::try_from(DECODED_MAX).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut inflated)
        .map_err(|error| Refusal::Gzip(error.to_string()))?;
    if inflated.len() > DECODED_MAX {
        return Err(Refusal::BodyTooLarge { max: DECODED_MAX });
    }
    Ok(Cow::Owned(inflated))
}
