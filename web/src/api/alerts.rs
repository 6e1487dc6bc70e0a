//! Incidents, acknowledgements, silences, test messages.

use axum::response::Response;
use events::{
    Fact, Incident, IncidentAcked, IncidentId, Name, ServiceId, SilenceId, SilenceLifted, SilenceScope, SilenceSet,
    TestRequested, Timestamp,
};
use serde::Deserialize;
use serde_json::json;

use super::{by_key, instant, json};
use crate::{
    Desk, Problem,
    answer::{AlertsAnswer, SilenceAnswer, SilencesAnswer},
    app::{asked, known},
    routes::Ask,
};

/// Ended incidents in one answer.
const ENDED_MAX: u32 = 100;

pub(crate) async fn alerts(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&["all"])?;
    let ended = if ask.read::<bool>("all")?.unwrap_or(false) {
        ended(&desk).await?
    } else {
        Vec::new()
    };
    let views = desk.views().await;
    json(AlertsAnswer {
        asked_at: desk.now(),
        now: views.now.clone(),
        rules: desk.described.rules.clone(),
        phases: by_key(views.phases.iter()),
        incidents: by_key(views.incidents.iter()),
        silences: by_key(views.silences.iter()),
        runs: by_key(views.runs.iter()),
        ended,
    })
}

/// Incidents that ended, newest first: those that are told first, then those that still wait to be.
async fn ended(desk: &Desk) -> Result<Vec<Incident>, Problem> {
    let rows = desk.reader().rows("incidents", true, store::PAGE_MAX).await?;
    let mut ended: Vec<Incident> = rows
        .iter()
        .filter_map(|row| serde_json::from_str(&row.json).ok())
        .collect();
    ended.retain(|incident| incident.resolved.is_some());
    ended.sort_by_key(|incident| std::cmp::Reverse(incident.fired.seq));
    ended.truncate(usize::try_from(ENDED_MAX).unwrap_or(usize::MAX));
    Ok(ended)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AckBody {
    incident: String,
    by: Option<String>,
    note: Option<String>,
}

pub(crate) async fn ack(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let body: AckBody = ask.json()?;
    let incident: IncidentId = desk.incident(&body.incident).await?;
    let by = limited("by", body.by.unwrap_or_else(|| ask.caller.person()))?;
    let note = body.note.map(|note| limited("note", note)).transpose()?;
    let fact = Fact::IncidentAcked(IncidentAcked { incident, by, note });
    desk.record(asked(&format!("incident/{incident}"), ask.caller, ask.key()?, fact))
        .await?;
    json(json!({ "incident": incident }))
}

pub(crate) async fn silences(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    json(SilencesAnswer {
        asked_at: desk.now(),
        silences: by_key(desk.views().await.silences.iter()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceBody {
    rule: Option<Name>,
    service: Option<ServiceId>,
    #[serde(default)]
    all: bool,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    #[serde(rename = "for")]
    lasting: Option<String>,
    by: Option<String>,
    reason: Option<String>,
}

impl SilenceBody {
    /// From when, and until when.
    fn stretch(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
        let from = self.from.unwrap_or(now);
        let until = match (&self.lasting, self.until) {
            (Some(lasting), None) => {
                let span: config::Span = lasting.parse().map_err(|error| Problem::bad(format!("for: {error}")))?;
                from.plus(span.get())
            }
            (None, Some(until)) => until,
            _ => {
                return Err(Problem::bad("say how long it lasts").detail("either \"for\": \"2h\" or \"until\": a time"));
            }
        };
        if until <= from || until <= now {
            let (until, after) = (until.whole_seconds(), from.max(now).whole_seconds());
            return Err(Problem::bad(format!("until: {until} is not after {after}")));
        }
        if until.since(from) > SILENCE_MAX {
            return Err(Problem::bad("a silence lasts at most a year"));
        }
        Ok((from, until))
    }
}

/// Longest silence: a forgotten one must end by itself.
const SILENCE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 366);

pub(crate) async fn silence(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let body: SilenceBody = ask.json()?;
    let now = desk.now();
    let (from, until) = body.stretch(now)?;
    if (body.rule.is_none() && body.service.is_none()) != body.all {
        return Err(Problem::bad("name a rule, a service, or say \"all\": true")
            .detail("a silence over everything must be meant"));
    }
    known_rule(&desk, body.rule.as_ref())?;
    let warning = unseen(&desk, body.service.as_ref()).await;
    let by = limited("by", body.by.unwrap_or_else(|| ask.caller.person()))?;
    let reason = body.reason.map(|reason| limited("reason", reason)).transpose()?;
    let identity = desk.views().await.now.identity.clone();
    let key = ask.key()?;
    let unique = key.as_ref().map_or_else(|| now.0.to_string(), ToString::to_string);
    let silence = SilenceId::derive(
        &identity,
        &[&ask.caller.name(), &unique, &from.0.to_string(), &until.0.to_string()],
    );
    let scope = SilenceScope {
        rule: body.rule,
        service: body.service,
    };
    let set = SilenceSet {
        silence,
        scope,
        from,
        until,
        by,
        reason,
    };
    desk.record(asked(
        &format!("silence/{silence}"),
        ask.caller,
        key,
        Fact::SilenceSet(set),
    ))
    .await?;
    json(SilenceAnswer { silence, warning })
}

/// A service may be silenced before it is there; a name that was mistyped must not pass without a word all the same.
async fn unseen(desk: &Desk, service: Option<&ServiceId>) -> Option<String> {
    let service = service?;
    if desk.was_seen(service).await {
        return None;
    }
    let known = desk.services().await;
    let near = config::suggest(service.as_str(), known.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
    let name = service.as_str();
    Some(format!(
        "no service {name:?} was ever seen: as it is, this silences nothing{near}"
    ))
}

/// A silence over a rule that does not exist would silence nothing, and nobody would notice.
fn known_rule(desk: &Desk, rule: Option<&Name>) -> Result<(), Problem> {
    let Some(rule) = rule else { return Ok(()) };
    let rules = &desk.described.rules;
    if rules.iter().any(|known| known == rule.as_str()) {
        return Ok(());
    }
    let help = config::suggest(rule.as_str(), rules.iter().map(String::as_str)).map_or_else(
        || "`watchkeep alerts --all` lists the rules".to_owned(),
        |near| format!("did you mean {near:?}?"),
    );
    Err(Problem::missing(format!("no rule {:?}", rule.as_str())).detail(help))
}

pub(crate) async fn lift(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let by = asker(&ask)?;
    let prefix = ask.part("id");
    let found: Vec<SilenceId> = {
        let views = desk.views().await;
        views
            .silences
            .iter()
            .filter(|(id, _)| !prefix.is_empty() && id.starts_with(prefix))
            .map(|(_, row)| row.id)
            .collect()
    };
    let [silence] = *found.as_slice() else {
        let title = match found.len() {
            0 => format!("no silence begins with {prefix:?}"),
            many => format!("{many} silences begin with {prefix:?}"),
        };
        return Err(Problem::missing(title).detail("`watchkeep silence --list` lists them"));
    };
    let fact = Fact::SilenceLifted(SilenceLifted { silence, by });
    desk.record(asked(&format!("silence/{silence}"), ask.caller, ask.key()?, fact))
        .await?;
    json(SilenceAnswer { silence, warning: None })
}

pub(crate) async fn test(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let by = asker(&ask)?;
    let otherwise = "see the [notify.…] sections of the configuration";
    let destination = known(
        "destination",
        ask.part("destination"),
        desk.described.destinations.iter(),
        otherwise,
    )?;
    let fact = Fact::TestRequested(TestRequested {
        destination: destination.clone(),
        by,
    });
    let facts = desk
        .record(asked(&format!("notify/{destination}"), ask.caller, ask.key()?, fact))
        .await?;
    let job = facts.iter().find_map(|fact| match fact.fact() {
        Fact::Notified(notified) => Some(notified.job),
        _ => None,
    });
    json(json!({ "destination": destination, "job": job, "after": facts.first().map(|fact| fact.seq) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByBody {
    by: Option<String>,
}

/// Who asks for it: as the body says, else the user at the socket.
pub(crate) fn asker(ask: &Ask) -> Result<String, Problem> {
    let ByBody { by } = ask.json()?;
    limited("by", by.unwrap_or_else(|| ask.caller.person()))
}

/// Text of a person, within limits and without control characters.
pub(crate) fn limited(what: &str, text: String) -> Result<String, Problem> {
    if text.len() > 1000 || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::bad(format!(
            "{what}: at most 1000 bytes, without control characters"
        )));
    }
    Ok(text)
}

/// A moment in a body.
pub(crate) fn moment_of(what: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| instant(what, text, now)).transpose()
}
