//! How a body is written: its type and its compression.

use std::{borrow::Cow, io::Read};

use flate2::read::MultiGzDecoder;

use super::{BODY_MAX, DECODED_MAX, Refusal};

/// So much is inflated at a time.
const PIECE: usize = 32 * 1024;
/// Deflate makes at most so many bytes of one.
const DEFLATE_RATIO: usize = 1032;

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
    inflated(body).map(Cow::Owned)
}

/// Inflates up to the limit. A body that may go beyond is counted first, piece by piece: a bomb costs time, which is bounded
/// by the limit, and no memory.
fn inflated(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let may_be_large = body.len() > DECODED_MAX / DEFLATE_RATIO;
    let length = if may_be_large { inflate(body, |_| ())? } else { 0 };
    let mut inflated = Vec::with_capacity(length);
    inflate(body, |piece| inflated.extend_from_slice(piece))?;
    Ok(inflated)
}

/// Hands over piece by piece what a body holds, up to the limit, and gives its length.
fn inflate(body: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize, Refusal> {
    let mut decoder = MultiGzDecoder::new(body);
    let (mut length, mut piece) = (0, vec![0; PIECE]);
    loop {
        let count = decoder
            .read(&mut piece)
            .map_err(|error| Refusal::Gzip(error.to_string()))?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else {
            return Ok(length);
        };
        length += read.len();
        if length > DECODED_MAX {
            return Err(Refusal::BodyTooLarge { max: DECODED_MAX });
        }
        take(read);
    }
}
