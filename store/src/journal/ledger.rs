//! What the writer writes: a commit's facts, rows, jobs and link, in one transaction.

use std::collections::BTreeMap;

use events::{Commit, CommitId, Dictionary, Recorded, encode, encode::Digest};
use sqlx::{SqliteConnection, query, query_scalar};

use super::{
    connection::execute,
    stored::{Encoded, encode as encode_fact, stored_number},
};
use crate::{
    StoreError,
    jobs::{JobChange, write_change},
};

/// The writing connection and what it needs to know of what is written.
pub(crate) struct Ledger {
    pub(crate) connection: SqliteConnection,
    pub(crate) boots: BTreeMap<String, i64>,
    pub(crate) dictionary: Dictionary,
    pub(crate) link: Digest,
}

/// What was written, to be taken over into memory after COMMIT.
pub(crate) struct Written {
    /// The commit's link; the one before when it held no facts.
    pub(crate) link: Digest,
    /// Place of each job that was queued, in the order of the changes; `None` for one that was there before.
    pub(crate) places: Vec<Option<i64>>,
}

impl Ledger {
    /// Writes a commit up to, and not including, COMMIT.
    pub(crate) async fn write(&mut self, commit: &Commit, changes: &[JobChange]) -> Result<Written, StoreError> {
        let mut encoded = Vec::with_capacity(commit.facts.len());
        let before = self.dictionary.len();
        for fact in &commit.facts {
            encoded.push(encode_fact(fact, &mut self.dictionary)?);
        }
        execute(&mut self.connection, "BEGIN IMMEDIATE")
            .await
            .map_err(StoreError::database("begin a commit"))?;
        let mut series = before;
        for (fact, encoded) in commit.facts.iter().zip(&encoded) {
            self.write_fact(fact, encoded)
                .await
                .map_err(StoreError::database("write a fact"))?;
            for named in &encoded.named {
                let json = serde_json::to_string(named.as_ref()).unwrap_or_default();
                query("INSERT INTO series (id, series) VALUES (?, ?)")
                    .bind(i64::try_from(series).unwrap_or(i64::MAX))
                    .bind(json)
                    .execute(&mut self.connection)
                    .await
                    .map_err(StoreError::database("write the name of a series"))?;
                series += 1;
            }
        }
        let digests: Vec<Digest> = encoded.iter().map(|encoded| encoded.digest).collect();
        let link = self
            .write_link(commit, &digests)
            .await
            .map_err(StoreError::database("write a link of the chain"))?;
        self.write_rows(commit)
            .await
            .map_err(StoreError::database("write the rows of a commit"))?;
        let mut places = Vec::with_capacity(changes.len());
        for change in changes {
            let place = write_change(&mut self.connection, change)
                .await
                .map_err(StoreError::database("write a job"))?;
            places.push(place);
        }
        Ok(Written { link, places })
    }

    /// Makes what was written durable.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        execute(&mut self.connection, "COMMIT")
            .await
            .map_err(StoreError::database("commit"))
    }

    async fn write_fact(&mut self, fact: &Recorded, encoded: &Encoded) -> Result<(), sqlx::Error> {
        let boot = self.boot(&fact.recorded_at.boot_id.0).await?;
        let envelope = &fact.envelope;
        query(
            "INSERT INTO fact (seq, commit_id, cause_seq, cause_reactor, wall, boot, boot_ref, at, watched, stream, \
             source, key, kind, service, trace, body, blob) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )
        .bind(stored_number(fact.seq.0))
        .bind(stored_number(fact.commit.0))
        .bind(fact.cause.as_ref().map(|(seq, _)| stored_number(seq.0)))
        .bind(fact.cause.as_ref().map(|(_, reactor)| reactor.as_str()))
        .bind(fact.recorded_at.wall.0)
        .bind(fact.recorded_at.boot.0)
        .bind(boot)
        .bind(fact.recorded_at.at.0)
        .bind(fact.recorded_at.watched.0)
        .bind(envelope.stream.as_str())
        .bind(envelope.source.as_str())
        .bind(envelope.key.as_ref().map(events::Key::as_str))
        .bind(envelope.fact.kind())
        .bind(envelope.service.as_ref().map(events::ServiceId::as_str))
        .bind(envelope.trace.as_ref().map(|trace| trace.as_bytes().as_slice()))
        .bind(encoded.body.as_str())
        .bind(encoded.blob.as_deref())
        .execute(&mut self.connection)
        .await?;
        query("INSERT INTO digest (seq, digest) VALUES (?, ?)")
            .bind(stored_number(fact.seq.0))
            .bind(encoded.digest.as_slice())
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    /// The small number of a boot.
    async fn boot(&mut self, boot_id: &str) -> Result<i64, sqlx::Error> {
        if let Some(id) = self.boots.get(boot_id) {
            return Ok(*id);
        }
        let id: i64 = query_scalar("INSERT INTO boot (boot_id) VALUES (?) RETURNING id")
            .bind(boot_id)
            .fetch_one(&mut self.connection)
            .await?;
        self.boots.insert(boot_id.to_owned(), id);
        Ok(id)
    }

    async fn write_link(&mut self, commit: &Commit, digests: &[Digest]) -> Result<Digest, sqlx::Error> {
        let Some(first) = commit.facts.first() else {
            return Ok(self.link);
        };
        let link = encode::link(&self.link, commit.id, first.seq, digests);
        query("INSERT INTO commit_link (id, first_seq, n, link) VALUES (?, ?, ?, ?)")
            .bind(stored_number(commit.id.0))
            .bind(stored_number(first.seq.0))
            .bind(i64::try_from(digests.len()).unwrap_or(i64::MAX))
            .bind(link.as_slice())
            .execute(&mut self.connection)
            .await?;
        Ok(link)
    }

    async fn write_rows(&mut self, commit: &Commit) -> Result<(), sqlx::Error> {
        let seq = commit.facts.last().map_or(0, |fact| fact.seq.0);
        for row in &commit.rows {
            write_row(&mut self.connection, row, seq).await?;
        }
        Ok(())
    }
}

/// Writes a row of a view over the one before.
pub(crate) async fn write_row(
    connection: &mut SqliteConnection,
    row: &events::ChangedRow,
    seq: u64,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO view (view, key, shape, closed, seq, row) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (view, key) DO \
         UPDATE SET shape = excluded.shape, closed = excluded.closed, seq = excluded.seq, row = excluded.row",
    )
    .bind(row.view)
    .bind(row.key.as_str())
    .bind(i64::from(row.shape))
    .bind(i64::from(row.closed))
    .bind(stored_number(seq))
    .bind(row.json.as_str())
    .execute(connection)
    .await
    .map(drop)
}

/// Numbers of the boots that facts name.
pub(crate) async fn boots(connection: &mut SqliteConnection) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT boot_id, id FROM boot")
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Number and link of the last commit; zeros before the first.
pub(crate) async fn last_link(connection: &mut SqliteConnection) -> Result<(CommitId, Digest), StoreError> {
    let last: Option<(i64, Vec<u8>)> = sqlx::query_as("SELECT id, link FROM commit_link ORDER BY id DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .map_err(StoreError::database("read the last link of the chain"))?;
    let Some((id, link)) = last else {
        return Ok((CommitId(0), [0; 32]));
    };
    let link = link
        .try_into()
        .map_err(|_| StoreError::damaged(format!("the link of commit {id} is not 32 bytes long")))?;
    Ok((CommitId(super::stored::number(id)), link))
}
