//! Incidents, acknowledgements, silences, test messages.

use axum::response::Response;
use events::{Fact, IncidentAcked, IncidentId, Name, ServiceId, SilenceId, SilenceLifted, SilenceScope, SilenceSet, TestRequested, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::{by_key, json};
use crate::{App, Problem, app::asked, routes::Ask};

pub(crate) async fn alerts(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let views = app.journal.views().await;
    json(json!({
        "now": views.now.moment,
        "incidents": by_key(views.incidents.iter()),
        "phases": by_key(views.phases.iter()),
        "silences": by_key(views.silences.iter()),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AckBody {
    incident: String,
    by: Option<String>,
    note: Option<String>,
}

pub(crate) async fn ack(app: App, ask: Ask) -> Result<Response, Problem> {
    let body: AckBody = ask.json()?;
    let incident: IncidentId = app.incident(&body.incident).await?;
    let by = limited("by", body.by.unwrap_or_else(|| ask.caller.name()))?;
    let note = body.note.map(|note| limited("note", note)).transpose()?;
    let fact = Fact::IncidentAcked(IncidentAcked { incident, by, note });
    app.record(asked(&format!("incident/{incident}"), ask.caller, ask.key()?, fact)).await?;
    json(json!({ "incident": incident }))
}

pub(crate) async fn silences(app: App, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    json(by_key(app.journal.views().await.silences.iter()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceBody {
    rule: Option<Name>,
    service: Option<ServiceId>,
    #[serde(default)]
    all: bool,
    from: Option<Timestamp>,
    until: Timestamp,
    by: Option<String>,
    reason: Option<String>,
}

/// Longest silence: a forgotten one must end by itself.
const SILENCE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 366);

pub(crate) async fn silence(app: App, ask: Ask) -> Result<Response, Problem> {
    let body: SilenceBody = ask.json()?;
    let now = app.now();
    let from = body.from.unwrap_or(now);
    if body.until <= from || body.until <= now {
        return Err(Problem::bad(format!("until: {} is not after {}", body.until, from.max(now))));
    }
    if body.until.since(from) > SILENCE_MAX {
        return Err(Problem::bad("until: a silence lasts at most a year"));
    }
    if (body.rule.is_none() && body.service.is_none()) != body.all {
        return Err(Problem::bad("name a rule, a service, or say \"all\": true").detail("a silence over everything must be meant"));
    }
    known(&app, body.rule.as_ref())?;
    let by = limited("by", body.by.unwrap_or_else(|| ask.caller.name()))?;
    let reason = body.reason.map(|reason| limited("reason", reason)).transpose()?;
    let identity = app.journal.views().await.now.identity.clone();
    let key = ask.key()?;
    let unique = key.as_ref().map_or_else(|| now.0.to_string(), ToString::to_string);
    let silence = SilenceId::derive(&identity, &[&ask.caller.name(), &unique, &from.0.to_string(), &body.until.0.to_string()]);
    let scope = SilenceScope { rule: body.rule, service: body.service };
    let set = SilenceSet { silence, scope, from, until: body.until, by, reason };
    app.record(asked(&format!("silence/{silence}"), ask.caller, key, Fact::SilenceSet(set))).await?;
    json(json!({ "silence": silence }))
}

/// A silence over a rule that does not exist would silence nothing, and nobody would notice.
fn known(app: &App, rule: Option<&Name>) -> Result<(), Problem> {
    let Some(rule) = rule else { return Ok(()) };
    let rules = &app.described.rules;
    if rules.iter().any(|known| known == rule.as_str()) {
        return Ok(());
    }
    let help = config::suggest(rule.as_str(), rules.iter().map(String::as_str)).map_or_else(
        || "`watchkeep status` lists the rules".to_owned(),
        |near| format!("did you mean {near:?}?"),
    );
    Err(Problem::missing(format!("no rule {:?}", rule.as_str())).detail(help))
}

pub(crate) async fn lift(app: App, ask: Ask) -> Result<Response, Problem> {
    let prefix = ask.part("id");
    let found: Vec<SilenceId> = {
        let views = app.journal.views().await;
        views.silences.iter().filter(|(id, _)| !prefix.is_empty() && id.starts_with(prefix)).map(|(_, row)| row.id).collect()
    };
    let [silence] = *found.as_slice() else {
        return Err(Problem::missing(format!("no one silence begins with {prefix:?}")).detail(format!("{} do", found.len())));
    };
    let fact = Fact::SilenceLifted(SilenceLifted { silence, by: ask.caller.name() });
    app.record(asked(&format!("silence/{silence}"), ask.caller, ask.key()?, fact)).await?;
    json(json!({ "silence": silence }))
}

pub(crate) async fn test(app: App, ask: Ask) -> Result<Response, Problem> {
    let wanted = ask.part("destination");
    let destinations = &app.described.destinations;
    let Some(destination) = destinations.iter().find(|name| name.as_str() == wanted).cloned() else {
        let near = config::suggest(wanted, destinations.iter().map(Name::as_str));
        let help = near.map_or_else(|| "see [notify.…] in the configuration".to_owned(), |near| format!("did you mean {near:?}?"));
        return Err(Problem::missing(format!("no destination {wanted:?}")).detail(help));
    };
    let fact = Fact::TestRequested(TestRequested { destination: destination.clone(), by: ask.caller.name() });
    let facts = app.record(asked(&format!("notify/{destination}"), ask.caller, ask.key()?, fact)).await?;
    let job = facts.iter().find_map(|fact| match fact.fact() {
        Fact::Notified(notified) => Some(notified.job),
        _ => None,
    });
    json(json!({ "destination": destination, "job": job }))
}

/// Text of a person, within limits and without control characters.
pub(crate) fn limited(what: &str, text: String) -> Result<String, Problem> {
    if text.len() > 1000 || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::bad(format!("{what}: at most 1000 bytes, without control characters")));
    }
    Ok(text)
}
