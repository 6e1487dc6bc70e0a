//! Commands that record what a person asks for.

use serde_json::{Map, Value, json};
use web::answer::SilenceAnswer;

use super::{
    Failure, Verdict, asking,
    output::Output,
    source::{Answer, Place, ask, block_on},
    text::{plain, short},
};
use crate::{
    cli::{AckArgs, Asking, DeployArgs, MigrationsArg, SilenceArgs, SwitchArgs},
    client::{Question, escaped},
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
                "silence {} is lifted: what still fires is told now",
                short(&lifted.silence.to_string())
            ))
        });
    }
    let body = body([
        ("rule", text(arguments.rule.as_ref())),
        ("service", text(arguments.service.as_ref())),
        ("all", arguments.all.then_some(json!(true))),
        ("for", text(arguments.lasting.as_ref())),
        ("from", text(arguments.from.as_ref())),
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
    record(&question, arguments.asking, place, output, |_| {
        Ok(match (&arguments.action, stop) {
            (None, true) => "all acting is stopped: no action begins until `watchkeep actions allow`".to_owned(),
            (None, false) => "acting is allowed again; what was refused stays refused".to_owned(),
            (Some(action), true) => format!("action {action} is held until `watchkeep actions allow {action}`"),
            (Some(action), false) => {
                format!("action {action} may act again, at its next incident")
            }
        })
    })
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
    fn only_what_was_said_is_sent() {
        assert_eq!(body([("a", Some(json!(1))), ("b", None)]), json!({ "a": 1 }));
    }
}
