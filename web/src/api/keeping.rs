//! Backups, copies, proofs.

use axum::response::Response;
use events::{BackupRequested, BackupTask, Fact, Name};
use serde_json::json;

use super::{by_key, json};
use crate::{App, Problem, app::asked, routes::Ask};

pub(crate) async fn backups(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let views = app.journal.views().await;
    json(json!({
        "now": views.now.moment,
        "configured": app.described.backups,
        "backups": by_key(views.backups.iter()),
        "snapshots": by_key(views.snapshots.iter()),
    }))
}

pub(crate) async fn request(app: App, ask: Ask) -> Result<Response, Problem> {
    let wanted = ask.part("backup");
    let configured = &app.described.backups;
    let Some(backup) = configured.iter().find(|name| name.as_str() == wanted).cloned() else {
        let near = config::suggest(wanted, configured.iter().map(Name::as_str));
        let help = near.map_or_else(|| "`watchkeep backup list` names them".to_owned(), |near| format!("did you mean {near:?}?"));
        return Err(Problem::missing(format!("no backup {wanted:?}")).detail(help));
    };
    let task = match ask.part("task") {
        "run" => BackupTask::Run,
        "prove" => BackupTask::Prove,
        other => return Err(Problem::missing(format!("no task {other:?}")).detail("run or prove")),
    };
    let fact = Fact::BackupRequested(BackupRequested { backup: backup.clone(), task, by: ask.caller.name() });
    let facts = app.record(asked(&format!("backup/{backup}"), ask.caller, ask.key()?, fact)).await?;
    let job = facts.iter().find_map(|fact| match fact.fact() {
        Fact::BackupDue(due) => Some(due.job),
        _ => None,
    });
    json(json!({ "backup": backup, "job": job, "after": facts.first().map(|fact| fact.seq) }))
}
