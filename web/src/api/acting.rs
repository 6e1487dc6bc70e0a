//! Actions and the jobs that wait.

use axum::response::Response;
use events::{ActingSwitched, Fact, Name};
use serde::Deserialize;
use serde_json::json;

use super::{by_key, json};
use crate::{
    Desk, Problem,
    answer::ActionsAnswer,
    api::{alerts::limited, status::waiting},
    app::{asked, known},
    routes::Ask,
};

pub(crate) async fn actions(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let views = desk.views().await;
    json(ActionsAnswer {
        asked_at: desk.now(),
        configured: desk.described.actions.clone(),
        stopped_by: views.now.acting_stopped_by.clone(),
        actions: by_key(views.actions.iter()),
        runs: by_key(views.runs.iter()),
    })
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    action: Option<Name>,
    by: Option<String>,
}

pub(crate) async fn stop(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    switch(desk, ask, true).await
}

pub(crate) async fn allow(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    switch(desk, ask, false).await
}

async fn switch(desk: Desk, ask: Ask, stopped: bool) -> Result<Response, Problem> {
    ask.only(&[])?;
    let Switch { action, by } = ask.json()?;
    let by = limited("by", by.unwrap_or_else(|| ask.caller.person()))?;
    if let Some(action) = &action {
        known(
            "action",
            action.as_str(),
            desk.described.actions.iter().map(|known| &known.name),
            "`watchkeep actions` lists them",
        )?;
    }
    let fact = Fact::ActingSwitched(ActingSwitched {
        action: action.clone(),
        stopped,
        by,
    });
    desk.record(asked("acting", ask.caller, ask.key()?, fact)).await?;
    json(json!({ "action": action, "stopped": stopped }))
}

pub(crate) async fn jobs(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    desk.running()
        .map_err(|problem| problem.detail("only a running daemon knows how its jobs stand"))?;
    json(waiting(&desk).await)
}
