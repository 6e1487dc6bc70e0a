//! How a fact is written and chained.
//!
//! The body is the envelope as JSON; a tick's bins lie beside it as a blob. The digest is BLAKE3 over the stored bytes,
//! after stamping; digests are stored apart from bodies, so that the chain still verifies when ticks are thinned.

use crate::{CommitId, Envelope, Fact, Recorded, Seq};

/// Digest of a fact, and link of a commit.
pub type Digest = [u8; 32];

/// Body of a fact as JSON. A body cannot fail to serialise: it holds texts, whole numbers and lists of them.
#[must_use]
pub fn body(envelope: &Envelope) -> String {
    serde_json::to_string(envelope).unwrap_or_default()
}

/// Why a stored fact could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read fact {seq}: {source}")]
pub struct BodyError {
    /// Which.
    pub seq: Seq,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// Reads a body. A kind this version does not know reads as [`Fact::Unknown`].
///
/// # Errors
/// When it is no JSON object with the fields of an envelope.
pub fn envelope(seq: Seq, body: &str) -> Result<Envelope, BodyError> {
    serde_json::from_str(body).map_err(|source| BodyError { seq, source })
}

/// Digest of a fact over everything that is stored of it, each part with its length before it.
#[must_use]
pub fn digest(fact: &Recorded, body: &[u8], blob: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let moment = &fact.recorded_at;
    for number in [moment.wall.0, moment.boot.0, moment.at.0, moment.watched.0] {
        hasher.update(&number.to_le_bytes());
    }
    let (cause, reactor) = fact
        .cause
        .as_ref()
        .map_or((0, ""), |(seq, name)| (seq.0, name.as_str()));
    for number in [fact.seq.0, fact.commit.0, cause] {
        hasher.update(&number.to_le_bytes());
    }
    for part in [moment.boot_id.0.as_bytes(), reactor.as_bytes(), body, blob] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Link of a commit: over the link before it, its number, and the digests of its facts.
#[must_use]
pub fn link(before: &Digest, commit: CommitId, first: Seq, digests: &[Digest]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    for number in [commit.0, first.0, digests.len() as u64] {
        hasher.update(&number.to_le_bytes());
    }
    for digest in digests {
        hasher.update(digest);
    }
    *hasher.finalize().as_bytes()
}

/// The bins of a fact, if it is a tick that counted something.
#[must_use]
pub fn bins(fact: &Recorded) -> Option<&crate::Bins> {
    match fact.fact() {
        Fact::Tick(tick) if !tick.bins.is_empty() => Some(&tick.bins),
        _ => None,
    }
}
