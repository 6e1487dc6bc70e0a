//! Recording deployments.

use axum::response::Response;
use events::{Deployment, Fact, Migrations, ReleaseId, ServiceId, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::{alerts::limited, json};
use crate::{App, Problem, app::asked, routes::Ask};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    service: ServiceId,
    version: ReleaseId,
    environment: Option<String>,
    began: Option<Timestamp>,
    migrations: Option<Migrations>,
    #[serde(default)]
    verified: bool,
    by: Option<String>,
    note: Option<String>,
}

pub(crate) async fn record(app: App, ask: Ask) -> Result<Response, Problem> {
    let body: Body = ask.json()?;
    if body.migrations == Some(Migrations::Other) {
        return Err(Problem::bad("migrations: one of none, additive, destructive"));
    }
    if let Some(began) = body.began.filter(|began| *began > app.now()) {
        return Err(Problem::bad(format!("began: {began} is in the future")));
    }
    let own = body.environment.as_ref().is_none_or(|environment| *environment == app.described.environment);
    let service = match (&body.environment, own) {
        (Some(environment), false) => ServiceId::new(format!("{}@{environment}", body.service)).map_err(|error| Problem::bad(error.to_string()))?,
        _ => body.service,
    };
    let deployment = Deployment {
        version: body.version,
        began: body.began,
        migrations: body.migrations,
        verified: body.verified,
        by: Some(limited("by", body.by.unwrap_or_else(|| ask.caller.name()))?),
        note: body.note.map(|note| limited("note", note)).transpose()?,
    };
    let release = Some(deployment.version.clone());
    let mut envelope = asked(&format!("service/{service}"), ask.caller, ask.key()?, Fact::DeploymentRecorded(deployment));
    envelope.stream = events::name_of(&format!("service/{service}"));
    envelope.release = release;
    let facts = app.record(envelope.about(Some(service.clone()))).await?;
    json(json!({ "service": service, "fact": facts.first().map(|fact| fact.seq) }))
}
