//! What happened, in the order of the journal.

use axum::response::Response;
use events::{Fact, Name, Recorded, Seq, ServiceId, TraceId};
use store::FactQuery;

use super::json;
use crate::{
    Desk, Problem,
    answer::{ChainAnswer, ShownFact, TimelineAnswer},
    routes::Ask,
};

/// Facts that are only of use to the daemon itself; shown when a kind is asked for.
const QUIET: &[&str] = &[
    "tick",
    "job_started",
    "certificate_seen",
    "backup_scheduled",
    "act_ready",
];

/// A fact as an answer shows it.
pub(crate) fn shown(fact: &Recorded) -> ShownFact {
    ShownFact {
        seq: fact.seq,
        commit: fact.commit,
        wall: fact.recorded_at.wall,
        cause: fact.cause.clone(),
        fact: fact.envelope.clone(),
    }
}

pub(crate) async fn timeline(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[
        "service", "stream", "kind", "trace", "since", "until", "before", "after", "limit",
    ])?;
    let now = desk.now();
    let after = ask.read::<u64>("after")?.map(Seq);
    let query = FactQuery {
        service: ask.read::<ServiceId>("service")?,
        stream: ask.read::<Name>("stream")?,
        kinds: kinds(ask.read("kind")?)?,
        trace: ask.read::<TraceId>("trace")?,
        from_wall: ask.moment("since", now)?,
        until_wall: ask.moment("until", now)?,
        before_seq: ask.read::<u64>("before")?.map(Seq),
        after_seq: after,
        limit: ask.limit()?,
        newest_first: after.is_none(),
    };
    let page = desk.reader().facts(&query).await?;
    json(TimelineAnswer {
        asked_at: now,
        facts: page.items.iter().map(shown).collect(),
        more: page.more,
    })
}

fn kinds(wanted: Option<String>) -> Result<Vec<String>, Problem> {
    let Some(wanted) = wanted else {
        return Ok(Fact::KINDS
            .iter()
            .filter(|kind| !QUIET.contains(kind))
            .map(|kind| (*kind).to_owned())
            .collect());
    };
    let kinds: Vec<String> = wanted.split(',').map(|kind| kind.trim().to_owned()).collect();
    let Some(unknown) = kinds.iter().find(|kind| !Fact::KINDS.contains(&kind.as_str())) else {
        return Ok(kinds);
    };
    let near = config::suggest(unknown, Fact::KINDS.iter().copied())
        .map_or_else(String::new, |near| format!("did you mean {near:?}? "));
    let shown: String = unknown.chars().take(80).collect();
    Err(Problem::bad(format!("kind: no kind {shown:?}")).detail(format!("{near}known: {}", Fact::KINDS.join(", "))))
}

pub(crate) async fn chain(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let report = desk.reader().verify_chain().await?;
    let damage = report.damage.map(|damage| {
        let fact = damage.seq.map_or_else(String::new, |seq| format!(", fact {seq}"));
        format!("commit {}{fact}: {}", damage.commit, damage.what)
    });
    json(ChainAnswer {
        commits: report.commits,
        facts: report.facts,
        link: report.link,
        damage,
    })
}
