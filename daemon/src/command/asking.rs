//! Commands that ask: one question, one page.

use std::collections::{BTreeMap, BTreeSet};

use events::{Fact, Seq, Timestamp};
use web::answer::{StatusAnswer, TimelineAnswer};

use super::{
    Failure, Verdict,
    output::Output,
    show,
    source::{Answer, Place, ask, block_on},
};
use crate::{
    cli::{Asking, LatencyArgs, LogsArgs, TimelineArgs, TraceArgs, WhyArgs},
    client::{Question, escaped},
};

/// Starts of which it is asked how the run before ended.
const STARTS_MAX: usize = 10;

/// Asks, and prints the answer as it is or as a page.
fn answer(
    question: &Question,
    asking: Asking,
    place: &Place,
    output: &Output,
    page: impl FnOnce(&Answer) -> Result<(String, Verdict), Failure>,
) -> Result<Verdict, Failure> {
    let answer = block_on(ask(place, question, output))?;
    if asking.json {
        output.json(&answer.body)?;
        return page(&answer).map(|(_, verdict)| verdict).or(Ok(Verdict::Well));
    }
    let (page, verdict) = page(&answer)?;
    output.page(&page)?;
    Ok(verdict)
}

pub(super) fn status(asking: Asking, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    answer(&Question::get("/api/v1/status", &[]), asking, place, output, |answer| {
        let (page, well) = show::status::page(&answer.read()?, output.look());
        Ok((page, well.into()))
    })
}

pub(super) fn alerts(all: bool, asking: Asking, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let question = Question::get("/api/v1/alerts", &[("all", all.then_some("true"))]);
    answer(&question, asking, place, output, |answer| {
        let (page, well) = show::alerts::page(&answer.read()?, all, output.look());
        Ok((page, well.into()))
    })
}

pub(super) fn timeline(arguments: &TimelineArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let limit = arguments.limit.to_string();
    let question = Question::get(
        "/api/v1/timeline",
        &[
            ("service", arguments.service.as_deref()),
            ("kind", arguments.kind.as_deref()),
            ("trace", arguments.trace.as_deref()),
            ("since", arguments.stretch.since.as_deref()),
            ("until", arguments.stretch.until.as_deref()),
            ("limit", Some(&limit)),
        ],
    );
    let (asking, service) = (arguments.asking, arguments.service.as_deref());
    answer(&question, asking, place, output, |answer| {
        let timeline: TimelineAnswer = answer.read()?;
        if asking.json {
            return Ok((String::new(), Verdict::Well));
        }
        unknown_service(service.filter(|_| timeline.facts.is_empty()), place, output);
        let broken_off = broken_off(&timeline, place, output)?;
        Ok((
            show::timeline::page(&timeline, broken_off, output.look()),
            Verdict::Well,
        ))
    })
}

/// Of starts that came after an end without a stop: when the last fact before was recorded. Of the newest starts only.
fn broken_off(timeline: &TimelineAnswer, place: &Place, output: &Output) -> Result<BTreeMap<Seq, Timestamp>, Failure> {
    let kinds = Fact::KINDS.join(",");
    let mut found = BTreeMap::new();
    let starts = timeline
        .facts
        .iter()
        .filter(|fact| matches!(fact.fact.fact, Fact::Started(_)));
    for start in starts.take(STARTS_MAX) {
        let before = start.seq.to_string();
        let query = [
            ("before", Some(before.as_str())),
            ("kind", Some(kinds.as_str())),
            ("limit", Some("5")),
        ];
        let asked = block_on(ask(place, &Question::get("/api/v1/timeline", &query), output))?;
        let earlier: TimelineAnswer = asked.read()?;
        let stopped = earlier
            .facts
            .iter()
            .take_while(|fact| !matches!(fact.fact.fact, Fact::Started(_)))
            .any(|fact| matches!(fact.fact.fact, Fact::Stopped(_)));
        if let Some(last) = earlier.facts.first().filter(|_| !stopped) {
            found.insert(start.seq, last.wall);
        }
    }
    Ok(found)
}

/// Says that nothing is known of the service that nothing was found of, and which one may have been meant.
fn unknown_service(service: Option<&str>, place: &Place, output: &Output) {
    let Some(service) = service else { return };
    let asked = block_on(async { ask(place, &Question::get("/api/v1/status", &[]), output).await?.read() });
    let Ok::<StatusAnswer, _>(status) = asked else { return };
    let described = &status.described;
    let probes = described.probes.iter().map(|probe| probe.service.to_string());
    let known: BTreeSet<String> = probes
        .chain(described.services.iter().cloned())
        .chain(status.releases.keys().cloned())
        .collect();
    if known.contains(service) {
        return;
    }
    let near = config::suggest(service, known.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
    output.note(&format!(
        "no service {service:?} is configured, and none was deployed{near}"
    ));
}

pub(super) fn logs(arguments: &LogsArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let limit = arguments.limit.to_string();
    let question = Question::get(
        "/api/v1/logs",
        &[
            ("service", arguments.service.as_deref()),
            ("severity", arguments.severity.as_deref()),
            ("contains", arguments.contains.as_deref()),
            ("trace", arguments.trace.as_deref()),
            ("since", arguments.stretch.since.as_deref()),
            ("until", arguments.stretch.until.as_deref()),
            ("limit", Some(&limit)),
        ],
    );
    answer(&question, arguments.asking, place, output, |answer| {
        let logs: web::answer::LogsAnswer = answer.read()?;
        let service = arguments.service.as_deref();
        unknown_service(service.filter(|_| logs.records.is_empty()), place, output);
        Ok((show::logs::page(&logs, output.look()), Verdict::Well))
    })
}

pub(super) fn trace(arguments: &TraceArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let question = Question::get(&format!("/api/v1/traces/{}", escaped(&arguments.trace)), &[]);
    answer(&question, arguments.asking, place, output, |answer| {
        let trace: web::answer::TraceAnswer = answer.read()?;
        let known = !trace.spans.is_empty() || !trace.logs.is_empty();
        Ok((show::trace::page(&trace, arguments.lines, output.look()), known.into()))
    })
}

pub(super) fn latency(arguments: &LatencyArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let path = format!("/api/v1/latency/{}", escaped(&arguments.service));
    let question = Question::get(
        &path,
        &[
            ("since", arguments.stretch.since.as_deref()),
            ("until", arguments.stretch.until.as_deref()),
        ],
    );
    answer(&question, arguments.asking, place, output, |answer| {
        let latency: web::answer::LatencyAnswer = answer.read()?;
        let seen = latency.series.iter().any(|series| series.requests > 0);
        unknown_service(Some(arguments.service.as_str()).filter(|_| !seen), place, output);
        Ok((show::latency::page(&latency, output.look()), Verdict::Well))
    })
}

pub(super) fn why(arguments: &WhyArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let question = Question::get(&format!("/api/v1/why/{}", escaped(&arguments.id)), &[]);
    answer(&question, arguments.asking, place, output, |answer| {
        Ok((show::why::page(&answer.read()?, output.look()), Verdict::Well))
    })
}

pub(super) fn backups(asking: Asking, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    answer(
        &Question::get("/api/v1/backups", &[]),
        asking,
        place,
        output,
        |answer| {
            let (page, well) = show::backups::page(&answer.read()?, output.look());
            Ok((page, well.into()))
        },
    )
}

pub(super) fn actions(asking: Asking, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    answer(
        &Question::get("/api/v1/actions", &[]),
        asking,
        place,
        output,
        |answer| {
            let (page, well) = show::actions::page(&answer.read()?, output.look());
            Ok((page, well.into()))
        },
    )
}

pub(super) fn jobs(asking: Asking, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    answer(&Question::get("/api/v1/jobs", &[]), asking, place, output, |answer| {
        let waiting: Vec<web::answer::WaitingJob> = answer.read()?;
        let (page, well) = show::jobs::page(&waiting, output.look());
        Ok((page, well.into()))
    })
}

pub(super) fn chain(asking: Asking, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    answer(&Question::get("/api/v1/chain", &[]), asking, place, output, |answer| {
        let (page, well) = show::chain::page(&answer.read()?, output.look());
        Ok((page, well.into()))
    })
}

/// `silence --list`.
pub(super) fn silences(asking: Asking, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    answer(
        &Question::get("/api/v1/silences", &[]),
        asking,
        place,
        output,
        |answer| Ok((show::alerts::silences(&answer.read()?, output.look()), Verdict::Well)),
    )
}
