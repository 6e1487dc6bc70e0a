//! Recording deployments.

use axum::response::Response;
use events::{Deployment, Fact, Migrations, ReleaseId, ServiceId};
use serde::Deserialize;
use serde_json::json;

use super::{
    alerts::{limited, moment_of},
    json,
};
use crate::{
    Desk, Problem,
    app::{asked, service_in},
    routes::Ask,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    service: ServiceId,
    version: ReleaseId,
    environment: Option<String>,
    began: Option<String>,
    migrations: Option<Migrations>,
    #[serde(default)]
    verified: bool,
    by: Option<String>,
    note: Option<String>,
}

pub(crate) async fn record(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let body: Body = ask.json()?;
    if body.migrations == Some(Migrations::Other) {
        return Err(Problem::bad("migrations: one of none, additive, destructive"));
    }
    let now = desk.now();
    let began = moment_of("began", body.began.as_deref(), now)?;
    if let Some(began) = began.filter(|began| *began > now) {
        let began = began.whole_seconds();
        return Err(Problem::bad(format!("began: {began} is in the future")));
    }
    let service = service_in(body.service, body.environment.as_deref(), &desk.described.environment)?;
    let deployment = Deployment {
        version: body.version,
        began,
        migrations: body.migrations,
        verified: body.verified,
        by: Some(limited("by", body.by.unwrap_or_else(|| ask.caller.person()))?),
        note: body.note.map(|note| limited("note", note)).transpose()?,
    };
    let release = Some(deployment.version.clone());
    let mut envelope = asked(
        &format!("service/{service}"),
        ask.caller,
        ask.key()?,
        Fact::DeploymentRecorded(deployment),
    );
    envelope.release = release;
    let facts = desk.report(envelope.about(Some(service.clone()))).await?;
    json(json!({ "service": service, "fact": facts.first().map(|fact| fact.seq) }))
}
