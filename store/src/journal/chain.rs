//! The scrub: every stored byte of every fact is held against its digest, and every digest against the chain.

use events::{
    CommitId, Seq,
    encode::{self, Digest},
    hex,
};
use sqlx::{Row as _, SqliteConnection, query, sqlite::SqliteRow};

use super::{
    reader::Reader,
    stored::{Stored, number, stored_number},
};
use crate::{StoreError, chain_of};

/// Commits checked in one read.
const CHUNK: i64 = 500;

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// Commits that are right.
    pub commits: u64,
    /// Facts that are right.
    pub facts: u64,
    /// Link of the last right commit, hexadecimal.
    pub link: String,
    /// The first damage, if any; nothing after it was looked at.
    pub damage: Option<ChainDamage>,
}

/// The first place at which the journal is not what was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainDamage {
    /// In which commit.
    pub commit: CommitId,
    /// At which fact, when it is known.
    pub seq: Option<Seq>,
    /// What is wrong.
    pub what: String,
}

struct Link {
    id: CommitId,
    first: Seq,
    n: i64,
    link: Vec<u8>,
}

impl Reader {
    /// Computes all digests and links anew and compares them; stops at the first that differs.
    ///
    /// # Errors
    /// When the database cannot be read at all.
    pub async fn verify_chain(&self) -> Result<ChainReport, StoreError> {
        let mut report = ChainReport::default();
        let mut before: Digest = [0; 32];
        let mut next = Seq(1);
        loop {
            let mut connection = self.connection().await?;
            let links = links(&mut connection, CommitId(report.commits.saturating_add(1))).await?;
            if links.is_empty() {
                break;
            }
            for link in links {
                let expected = CommitId(report.commits.saturating_add(1));
                match check(&mut connection, &link, (expected, next), &before).await? {
                    Ok((facts, computed)) => {
                        before = computed;
                        next = Seq(next.0.saturating_add(facts));
                        report.commits += 1;
                        report.facts += facts;
                    }
                    Err((seq, what)) => {
                        let commit = link.id;
                        report.damage = Some(ChainDamage { commit, seq, what });
                        report.link = hex(&before);
                        return Ok(report);
                    }
                }
            }
        }
        report.link = hex(&before);
        report.damage = self.beyond(next, report.commits).await?;
        Ok(report)
    }

    /// Facts after the last link are no part of any commit.
    async fn beyond(&self, next: Seq, commits: u64) -> Result<Option<ChainDamage>, StoreError> {
        let last: Option<i64> =
            sqlx::query_scalar("SELECT max(seq) FROM (SELECT seq FROM fact UNION ALL SELECT seq FROM digest)")
                .fetch_one(&self.pool)
                .await
                .map_err(StoreError::database("read the last fact"))?;
        // A commit that came in since the last link was read is none of this scrub's business.
        let (newest, _) = self.last_link().await?;
        let beyond = newest == CommitId(commits) && last.is_some_and(|last| number(last) >= next.0);
        Ok(beyond.then(|| ChainDamage {
            commit: CommitId(commits),
            seq: Some(next),
            what: "facts stand after the last link".to_owned(),
        }))
    }
}

async fn links(connection: &mut SqliteConnection, from: CommitId) -> Result<Vec<Link>, StoreError> {
    let rows: Vec<(i64, i64, i64, Vec<u8>)> =
        sqlx::query_as("SELECT id, first_seq, n, link FROM commit_link WHERE id >= ? ORDER BY id LIMIT ?")
            .bind(stored_number(from.0))
            .bind(CHUNK)
            .fetch_all(connection)
            .await
            .map_err(StoreError::database("read the chain"))?;
    let link = |(id, first, n, link)| Link {
        id: CommitId(number(id)),
        first: Seq(number(first)),
        n,
        link,
    };
    Ok(rows.into_iter().map(link).collect())
}

type Checked = Result<(u64, Digest), (Option<Seq>, String)>;

/// Checks one commit: its facts, their digests, its link. The inner error says what is damaged.
async fn check(
    connection: &mut SqliteConnection,
    link: &Link,
    (expected, next): (CommitId, Seq),
    before: &Digest,
) -> Result<Checked, StoreError> {
    if link.id != expected || link.first != next {
        let what = format!("expected commit {expected} with facts from {next} on");
        return Ok(Err((None, what)));
    }
    let rows = query(OF_A_COMMIT)
        .bind(stored_number(link.first.0))
        .bind(stored_number(link.first.0).saturating_add(link.n))
        .fetch_all(connection)
        .await
        .map_err(StoreError::database("read the facts of a commit"))?;
    let mut digests = Vec::with_capacity(rows.len());
    for row in &rows {
        let seq = Seq(link.first.0.saturating_add(digests.len() as u64));
        match check_fact(row, seq, link.id) {
            Ok(digest) => digests.push(digest),
            Err(what) => return Ok(Err((Some(seq), what))),
        }
    }
    if i64::try_from(digests.len()).unwrap_or(i64::MAX) != link.n {
        return Ok(Err((None, format!("{} of {} facts are there", digests.len(), link.n))));
    }
    let computed = encode::link(before, link.id, link.first, &digests);
    if computed.as_slice() != link.link.as_slice() {
        return Ok(Err((None, "the link does not follow from the one before".to_owned())));
    }
    Ok(Ok((digests.len() as u64, computed)))
}

/// Digests with their facts, and the columns that repeat the body. Joined one by one: a joined subquery would be built anew from
/// all facts for each commit.
const OF_A_COMMIT: &str = "SELECT d.seq AS digest_seq, d.digest, f.seq, f.commit_id, f.cause_seq, f.cause_reactor, f.wall, \
                           f.boot, b.boot_id, f.at, f.watched, f.body, f.blob, f.stream, f.source, f.key, f.kind, \
                           f.service, f.trace FROM digest d LEFT JOIN fact f ON f.seq = d.seq LEFT JOIN boot b ON b.id = \
                           f.boot_ref WHERE d.seq >= ? AND d.seq < ? ORDER BY d.seq";

fn check_fact(row: &SqliteRow, seq: Seq, commit: CommitId) -> Result<Digest, String> {
    let unreadable = |error: sqlx::Error| format!("a column cannot be read: {error}");
    let digest: Vec<u8> = row.try_get("digest").map_err(unreadable)?;
    let stored = Stored::read_from(row, 2).map_err(|error| chain_of(&error))?;
    if stored.fact.seq != seq || stored.fact.commit != commit {
        return Err("the fact is not in its place".to_owned());
    }
    let blob = stored.blob.as_deref().unwrap_or_default();
    let computed = encode::digest(&stored.fact, stored.body.as_bytes(), blob);
    if computed.as_slice() != digest.as_slice() {
        return Err("the fact is not what its digest says".to_owned());
    }
    let kind = serde_json::from_str::<serde_json::Value>(&stored.body)
        .ok()
        .and_then(|body| Some(body.get("kind")?.as_str()?.to_owned()))
        .unwrap_or_default();
    let envelope = &stored.fact.envelope;
    let texts = [
        ("stream", Some(envelope.stream.as_str())),
        ("source", Some(envelope.source.as_str())),
        ("key", envelope.key.as_ref().map(events::Key::as_str)),
        ("kind", Some(kind.as_str())),
        ("service", envelope.service.as_ref().map(events::ServiceId::as_str)),
    ];
    for (column, said) in texts {
        let stored: Option<String> = row.try_get(column).map_err(unreadable)?;
        if stored.as_deref() != said {
            return Err(format!("column {column} is not what the body says"));
        }
    }
    let trace: Option<Vec<u8>> = row.try_get("trace").map_err(unreadable)?;
    if trace.as_deref() != envelope.trace.as_ref().map(|trace| trace.as_bytes().as_slice()) {
        return Err("column trace is not what the body says".to_owned());
    }
    Ok(computed)
}
