//! Backups, copies, proofs.

use axum::response::Response;
use events::{BackupRequested, BackupTask, Fact};

use super::{alerts::asker, by_key, json};
use crate::{
    Desk, Problem,
    answer::{BackupsAnswer, RequestedAnswer},
    app::{asked, known},
    routes::Ask,
};

pub(crate) async fn backups(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let views = desk.views().await;
    json(BackupsAnswer {
        asked_at: desk.now(),
        configured: desk.described.backups.clone(),
        backups: by_key(views.backups.iter()),
        snapshots: by_key(views.snapshots.iter()),
    })
}

pub(crate) async fn request(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let by = asker(&ask)?;
    let backup = known(
        "backup",
        ask.part("backup"),
        desk.described.backups.iter(),
        "`watchkeep backup list` names them",
    )?;
    let task = match ask.part("task") {
        "run" => BackupTask::Run,
        "prove" => BackupTask::Prove,
        other => return Err(Problem::missing(format!("no task {other:?}")).detail("run or prove")),
    };
    let fact = Fact::BackupRequested(BackupRequested {
        backup: backup.clone(),
        task,
        by,
    });
    let facts = desk
        .record(asked(&format!("backup/{backup}"), ask.caller, ask.key()?, fact))
        .await?;
    let job = facts.iter().find_map(|fact| match fact.fact() {
        Fact::BackupDue(due) => Some(due.job),
        _ => None,
    });
    json(RequestedAnswer {
        job,
        after: facts.first().map(|fact| fact.seq),
    })
}
