//! Commands that ask: one question, one page.

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
    answer(&question, arguments.asking, place, output, |answer| {
        Ok((show::timeline::page(&answer.read()?, output.look()), Verdict::Well))
    })
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
        Ok((show::logs::page(&answer.read()?, output.look()), Verdict::Well))
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
        Ok((show::latency::page(&answer.read()?, output.look()), Verdict::Well))
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
