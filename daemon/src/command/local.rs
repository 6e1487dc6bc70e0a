//! Commands that need no daemon.

use config::Source;
use events::Clocks;
use outbound::{Finding, FindingState};

use super::{
    Failure, Verdict,
    failure::{BROKEN, NO, USAGE},
    output::Output,
    page::{Look, Page, Tone},
    source::{Place, block_on},
    text::{cause, clock_utc, counted, lasting, padded, plain},
};
use crate::{
    checking,
    cli::{AlertsTestArgs, CheckArgs, InitArgs, RecoveryKeyArgs, RestoreArgs},
    clock::MachineClocks,
    replaying::{self, Tested},
    restoring, settings,
};

pub(super) fn init(arguments: &InitArgs, output: &Output) -> Result<Verdict, Failure> {
    let said = checking::init(arguments.to.as_deref(), arguments.systemd)
        .map_err(|report| Failure::from_report(NO, &report))?;
    lines(&said, output)
}

pub(super) fn restore(arguments: &RestoreArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let done =
        restoring::restore(place.config.as_deref(), arguments).map_err(|report| Failure::from_report(NO, &report))?;
    lines(&done.lines, output)
}

pub(super) fn recovery_key(arguments: &RecoveryKeyArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let said = restoring::recovery_key(place.config.as_deref(), arguments)
        .map_err(|report| Failure::from_report(NO, &report))?;
    lines(&said, output)
}

fn lines(said: &[String], output: &Output) -> Result<Verdict, Failure> {
    let mut text = String::new();
    for line in said {
        // A command is copied as it is.
        if line.starts_with("  ") {
            text.push_str(&format!("{}\n", plain(line)));
        } else {
            let mut page = Page::new(output.look());
            page.wrapped(0, line);
            text.push_str(&page.finish());
        }
    }
    output.page(&text)?;
    Ok(Verdict::Well)
}

pub(super) fn check(arguments: &CheckArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let source = settings::source(place.config.as_deref()).map_err(|report| Failure::from_report(USAGE, &report))?;
    let findings = block_on(async {
        checking::check(&source, arguments.offline)
            .await
            .map_err(|report| Failure::from_report(NO, &report))
    })?;
    if arguments.asking.json {
        output.json(findings_json(&findings).to_string().as_bytes())?;
    } else {
        output.page(&findings_page(&findings, output.look()))?;
    }
    Ok((!findings.iter().any(Finding::is_problem)).into())
}

fn findings_json(findings: &[Finding]) -> serde_json::Value {
    let one = |finding: &Finding| {
        let state = match finding.state {
            FindingState::Ok => "ok",
            FindingState::Problem => "problem",
            FindingState::Skipped => "skipped",
        };
        serde_json::json!({ "what": finding.what, "state": state, "detail": finding.detail, "remedy": finding.remedy })
    };
    serde_json::json!({ "findings": findings.iter().map(one).collect::<Vec<_>>() })
}

/// Problems first, each with what to do; what works after them.
fn findings_page(findings: &[Finding], look: Look) -> String {
    let mut page = Page::new(look);
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.state != FindingState::Problem);
    for finding in sorted {
        let (tone, word) = match finding.state {
            FindingState::Ok => (Tone::Good, "ok"),
            FindingState::Problem => (Tone::Bad, "PROBLEM"),
            FindingState::Skipped => (Tone::Quiet, "skipped"),
        };
        let detail = if finding.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", finding.detail)
        };
        page.hanging(tone, &padded(word, 9), &format!("{}{detail}", finding.what));
        if !finding.remedy.is_empty() {
            page.wrapped(9, &format!("do: {}", finding.remedy));
        }
    }
    let problems = findings.iter().filter(|finding| finding.is_problem()).count();
    page.gap();
    match problems {
        0 => page.marked(Tone::Good, "no problem found", ""),
        many => page.marked(Tone::Bad, &counted(many as u64, "problem", "problems"), ""),
    }
    page.finish()
}

pub(super) fn alerts_test(arguments: &AlertsTestArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let named = arguments.rules.as_deref().or(place.config.as_deref());
    let source: Source = settings::source(named).map_err(|report| Failure::from_report(USAGE, &report))?;
    let now = MachineClocks::new().now().wall;
    let since = moment(&arguments.since, now)?;
    let folder = place.folder()?;
    let tested = block_on(async {
        replaying::test(&folder, &source, since)
            .await
            .map_err(|report| Failure::from_report(NO, &report))
    })?;
    if arguments.asking.json {
        output.json(&serde_json::to_vec(&tested).map_err(|error| Failure::new(BROKEN, error.to_string()))?)?;
    } else {
        output.page(&tested_page(&tested, now, output.look()))?;
    }
    Ok(Verdict::Well)
}

fn moment(text: &str, now: events::Timestamp) -> Result<events::Timestamp, Failure> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(events::Timestamp::from_jiff(at));
    }
    let wrong = |_| {
        Failure::new(USAGE, format!("--since: {:?} is no moment", plain(text)))
            .advice("write 2026-01-31T03:00:00Z, or how long ago, such as 7d")
    };
    let span: config::Span = text.parse().map_err(wrong)?;
    Ok(now.plus(-span.get()))
}

fn tested_page(tested: &Tested, now: events::Timestamp, look: Look) -> String {
    let mut page = Page::new(look);
    let times = counted(tested.incidents.len() as u64, "time", "times");
    page.line(&format!(
        "since {} these rules would have fired {times}",
        clock_utc(tested.since, now)
    ));
    page.gap();
    for incident in &tested.incidents {
        let end = match incident.resolved {
            Some(resolved) => format!("for {}", lasting(resolved.since(incident.fired))),
            None => "and would still fire".to_owned(),
        };
        page.line(&format!("{}  {} {end}", clock_utc(incident.fired, now), incident.rule));
        for reading in &incident.readings {
            page.wrapped(10, &cause(reading));
        }
    }
    page.gap();
    for note in &tested.notes {
        page.wrapped(0, note);
    }
    page.line(&counted(
        tested.facts as u64,
        "fact was folded again",
        "facts were folded again",
    ));
    page.finish()
}
