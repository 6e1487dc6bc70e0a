//! Actions and the jobs that wait.

use axum::response::Response;
use events::{ActingSwitched, Fact, Name};
use serde::Deserialize;
use serde_json::json;

use super::{by_key, json};
use crate::{App, Problem, app::asked, routes::Ask};

pub(crate) async fn actions(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let views = app.journal.views().await;
    json(json!({
        "configured": app.described.actions,
        "stopped_by": views.now.acting_stopped_by,
        "actions": by_key(views.actions.iter()),
        "runs": by_key(views.runs.iter()),
    }))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    action: Option<Name>,
}

pub(crate) async fn stop(app: App, ask: Ask) -> Result<Response, Problem> {
    switch(app, ask, true).await
}

pub(crate) async fn allow(app: App, ask: Ask) -> Result<Response, Problem> {
    switch(app, ask, false).await
}

async fn switch(app: App, ask: Ask, stopped: bool) -> Result<Response, Problem> {
    let Switch { action } = ask.json()?;
    if let Some(action) = &action {
        let configured = &app.described.actions;
        if !configured.iter().any(|known| known.name == *action) {
            let near = config::suggest(action.as_str(), configured.iter().map(|known| known.name.as_str()));
            let help = near.map_or_else(String::new, |near| format!("did you mean {near:?}?"));
            return Err(Problem::missing(format!("no action {:?}", action.as_str())).detail(help));
        }
    }
    let fact = Fact::ActingSwitched(ActingSwitched { action: action.clone(), stopped, by: ask.caller.name() });
    app.record(asked("acting", ask.caller, ask.key()?, fact)).await?;
    json(json!({ "action": action, "stopped": stopped }))
}

pub(crate) async fn jobs(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    json(app.journal.jobs().waiting().await?)
}
