//! Commands that record what a person asks for.

use std::path::Path;

use serde_json::{Map, Value, json};
use web::answer::SilenceAnswer;

use super::{
    Failure, Verdict, asking,
    failure::{UNREACHABLE, USAGE},
    output::Output,
    source::{Answer, Place, ask, block_on},
    text::{plain, short},
};
use crate::{
    cli::{AckArgs, Asking, DeployArgs, MigrationsArg, SilenceArgs, SwitchArgs},
    client::{Question, escaped},
    keeping::KILL_SWITCH,
};

/// Records, and prints the answer as it is or one sentence.
fn record(
    question: &Question,
    asking: Asking,
    place: &Place,
    output: &Output,
    sentence: impl FnOnce(&Answer) -> Result<String, Failure>,
) -> Result<Verdict, Failure> {
    let answer = block_on(ask(place, question, output))?;
    if asking.json {
        output.json(&answer.body)?;
    } else {
        output.page(&format!("{}\n", plain(&sentence(&answer)?)))?;
    }
    Ok(Verdict::Well)
}

/// A body of what was said; what was not said is left out.
fn body<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let said: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    Value::Object(said)
}

fn text(value: Option<&String>) -> Option<Value> {
    value.map(|text| json!(text))
}

/// A body that says nothing but who asks.
pub(super) fn by() -> Value {
    body([("by", text(user().as_ref()))])
}

pub(super) fn ack(arguments: &AckArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let by = arguments.by.clone().or_else(user);
    let body = body([
        ("incident", Some(json!(arguments.incident))),
        ("by", text(by.as_ref())),
        ("note", text(arguments.note.as_ref())),
    ]);
    record(
        &Question::post("/api/v1/ack", body),
        arguments.asking,
        place,
        output,
        |answer| {
            let said: Value = answer.read()?;
            let id = short(said.get("incident").and_then(Value::as_str).unwrap_or_default());
            let by = by.as_deref().unwrap_or("you");
            Ok(format!(
                "incident {id} is taken by {by}: no more reminders; its end is still told"
            ))
        },
    )
}

pub(super) fn silence(arguments: &SilenceArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    if arguments.list {
        return asking::silences(arguments.asking, place, output);
    }
    if let Some(id) = &arguments.lift {
        let question = Question::post(&format!("/api/v1/silences/{}/lift", escaped(id)), by());
        return record(&question, arguments.asking, place, output, |answer| {
            let lifted: SilenceAnswer = answer.read()?;
            Ok(format!(
                "silence {} is lifted: if something that it covered still fires, that is told now",
                short(&lifted.silence.to_string())
            ))
        });
    }
    let from = arguments.from.as_ref().map(|from| moment("--from", from)).transpose()?;
    let body = body([
        ("rule", text(arguments.rule.as_ref())),
        ("service", text(arguments.service.as_ref())),
        ("all", arguments.all.then_some(json!(true))),
        ("for", text(arguments.lasting.as_ref())),
        ("from", from),
        ("by", text(arguments.by.clone().or_else(user).as_ref())),
        ("reason", text(arguments.reason.as_ref())),
    ]);
    record(
        &Question::post("/api/v1/silences", body),
        arguments.asking,
        place,
        output,
        |answer| {
            let set: SilenceAnswer = answer.read()?;
            let what = arguments
                .rule
                .as_deref()
                .or(arguments.service.as_deref())
                .unwrap_or("everything");
            let from = arguments
                .from
                .as_ref()
                .map_or_else(String::new, |from| format!(" from {from}"));
            let id = short(&set.silence.to_string());
            if let Some(warning) = &set.warning {
                output.note(warning);
            }
            Ok(format!(
                "{what} is silenced{from} for {}; watchkeep silence --lift {id}",
                arguments.lasting.as_deref().unwrap_or_default()
            ))
        },
    )
}

/// A moment as it is sent. A time without its zone is not guessed: what is printed here is UTC, what a watch says is not.
fn moment(option: &str, text: &str) -> Result<Value, Failure> {
    if text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(json!(text));
    }
    match text.parse::<jiff::civil::DateTime>() {
        Ok(civil) => Err(
            Failure::new(USAGE, format!("{option}: {text:?} says no time zone")).advice(format!(
                "write {civil}Z for UTC, as all times here are, or the offset of yours, such as {civil}+02:00"
            )),
        ),
        Err(_) => {
            Err(Failure::new(USAGE, format!("{option}: {text:?} is no moment"))
                .advice("write it as 2026-12-01T02:00:00Z"))
        }
    }
}

pub(super) fn deploy(arguments: &DeployArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let migrations = arguments.migrations.map(|migrations| match migrations {
        MigrationsArg::None => json!("none"),
        MigrationsArg::Additive => json!("additive"),
        MigrationsArg::Destructive => json!("destructive"),
    });
    let body = body([
        ("service", Some(json!(arguments.service))),
        ("version", Some(json!(arguments.version))),
        ("environment", text(arguments.environment.as_ref())),
        ("began", text(arguments.began.as_ref())),
        ("migrations", migrations),
        ("verified", arguments.verified.then_some(json!(true))),
        ("by", text(arguments.by.clone().or_else(user).as_ref())),
        ("note", text(arguments.note.as_ref())),
    ]);
    let question = Question {
        key: arguments.key.clone(),
        ..Question::post("/api/v1/deployments", body)
    };
    record(&question, arguments.asking, place, output, |answer| {
        let said: Value = answer.read()?;
        let service = said
            .get("service")
            .and_then(Value::as_str)
            .unwrap_or(&arguments.service);
        let fact = said
            .get("fact")
            .and_then(Value::as_u64)
            .map_or_else(String::new, |seq| format!(" (fact {seq})"));
        Ok(format!("recorded: {service} {} is live{fact}", arguments.version))
    })
}

pub(super) fn switch(arguments: &SwitchArgs, stop: bool, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let word = if stop { "stop" } else { "allow" };
    let question = Question::post(
        &format!("/api/v1/actions/{word}"),
        body([
            ("action", text(arguments.action.as_ref())),
            ("by", text(user().as_ref())),
        ]),
    );
    let done = record(&question, arguments.asking, place, output, |_| {
        Ok(match (&arguments.action, stop) {
            (None, true) => "all acting is stopped: no action begins until `watchkeep actions allow`".to_owned(),
            (None, false) => "acting is allowed again; what was refused stays refused".to_owned(),
            (Some(action), true) => format!("action {action} is held until `watchkeep actions allow {action}`"),
            (Some(action), false) => {
                format!("action {action} may act again, at its next incident")
            }
        })
    });
    match (done, place.folder()) {
        (Err(failure), Ok(folder)) if failure.code == UNREACHABLE && stop => {
            Err(failure.advice(by_file(&folder.join(KILL_SWITCH))))
        }
        (done, _) => done,
    }
}

/// Whoever wants to stop acting is not told to start what acts: the file stops it with and without a daemon.
fn by_file(file: &Path) -> String {
    format!(
        "`touch {}` stops all acting, of a daemon that does not answer and of one that starts later; removing the file allows it",
        file.display()
    )
}

/// Who types: the user behind sudo, else the user of this process.
#[expect(
    clippy::disallowed_methods,
    reason = "sudo says in the environment who is behind root"
)]
fn user() -> Option<String> {
    let behind = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    behind.or_else(|| web::user_name(rustix::process::getuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_without_its_zone_is_not_guessed() {
        assert_eq!(
            moment("--from", "2026-12-01T02:00:00Z").unwrap(),
            "2026-12-01T02:00:00Z"
        );
        assert!(moment("--from", "2026-12-01T02:00:00+01:00").is_ok());
        let said = moment("--from", "2026-12-01 02:00").unwrap_err();
        assert_eq!(said.what, "--from: \"2026-12-01 02:00\" says no time zone");
        assert!(said.advice.contains("write 2026-12-01T02:00:00Z for UTC"), "{said:?}");
        assert!(moment("--from", "tomorrow").unwrap_err().what.contains("is no moment"));
    }

    #[test]
    fn only_what_was_said_is_sent() {
        assert_eq!(body([("a", Some(json!(1))), ("b", None)]), json!({ "a": 1 }));
    }
}
