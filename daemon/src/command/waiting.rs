//! Commands that ask for work and wait for its end: each step is shown as it is recorded.

use std::time::Duration;

use events::{Ending, Fact, JobId, Seq};
use web::answer::{BackupsAnswer, RequestedAnswer, ShownFact, TimelineAnswer};

use super::{
    Failure, Verdict,
    failure::{BROKEN, NO},
    output::Output,
    page::Page,
    recording,
    show::{sentence, timeline},
    source::{Place, ask, block_on},
    text::{plain, short, width},
};
use crate::{
    cli::{BackupArgs, BackupVerifyArgs, NotifyTestArgs, Waiting},
    client::{Question, escaped},
};

/// How often it is asked what came of it.
const LOOK: Duration = Duration::from_millis(250);
/// How long a test message is waited for: longer than it is tried for, its last attempt included, so that its end is seen.
const MESSAGE_TIME: Duration = Duration::from_secs(200);
/// How long nothing may be recorded of a backup before waiting ends; it goes on without us.
const BACKUP_TIME: Duration = Duration::from_secs(24 * 3600);
/// After so long without news it is said that nothing is lost by going away.
const QUIET_TIME: Duration = Duration::from_secs(10);
/// Facts in one look.
const PAGE: &str = "200";

/// What to follow.
struct Follow {
    name: String,
    job: JobId,
    after: Seq,
    most: Duration,
    /// Whether further attempts are waited for.
    patient: bool,
}

pub(super) fn backup(arguments: &BackupArgs, task: &str, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    block_on(one_backup(
        &arguments.name,
        task,
        arguments.waiting,
        arguments.asking.json,
        (place, output),
    ))
}

pub(super) fn verify(arguments: &BackupVerifyArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    block_on(async {
        let names = match &arguments.name {
            Some(name) => vec![name.clone()],
            None => {
                let all: BackupsAnswer = ask(place, &Question::get("/api/v1/backups", &[]), output)
                    .await?
                    .read()?;
                all.configured.iter().map(ToString::to_string).collect()
            }
        };
        if names.is_empty() {
            return Err(Failure::new(NO, "no backup is configured").advice("see docs/guide/backups.md"));
        }
        let mut verdict = Verdict::Well;
        for name in names {
            let one = one_backup(
                &name,
                "prove",
                arguments.waiting,
                arguments.asking.json,
                (place, output),
            )
            .await?;
            verdict = if one == Verdict::Well { verdict } else { one };
        }
        Ok(verdict)
    })
}

async fn one_backup(
    name: &str,
    task: &str,
    waiting: Waiting,
    json: bool,
    (place, output): (&Place, &Output),
) -> Result<Verdict, Failure> {
    let path = format!("/api/v1/backups/{}/{task}", escaped(name));
    let answer = ask(place, &Question::post(&path, recording::by()), output).await?;
    let requested: RequestedAnswer = answer.read()?;
    if json && waiting.no_wait {
        output.json(&answer.body)?;
        return Ok(Verdict::Well);
    }
    let Some((job, after)) = requested.job.zip(requested.after) else {
        output.note(&format!(
            "{name}: asked for; it begins when the one under way has ended"
        ));
        return Ok(Verdict::Well);
    };
    if waiting.no_wait {
        output.page(&format!(
            "{name}: asked for; `watchkeep backup list` shows what came of it\n"
        ))?;
        return Ok(Verdict::Well);
    }
    follow(
        &Follow {
            name: name.to_owned(),
            job,
            after,
            most: BACKUP_TIME,
            // The next attempts come minutes apart, for hours: nobody wants to look on.
            patient: false,
        },
        json,
        place,
        output,
    )
    .await
}

pub(super) fn notify_test(arguments: &NotifyTestArgs, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    block_on(async {
        let path = format!("/api/v1/notify/{}/test", escaped(&arguments.name));
        let answer = ask(place, &Question::post(&path, recording::by()), output).await?;
        let requested: RequestedAnswer = answer.read()?;
        let json = arguments.asking.json;
        if json && arguments.waiting.no_wait {
            output.json(&answer.body)?;
            return Ok(Verdict::Well);
        }
        let Some((job, after)) = requested.job.zip(requested.after) else {
            return Err(
                Failure::new(BROKEN, "the test message was not queued").advice("`watchkeep timeline` may say why")
            );
        };
        if arguments.waiting.no_wait {
            output.page(&format!(
                "queued; `watchkeep why {}` shows what came of it\n",
                short(&job.to_string())
            ))?;
            return Ok(Verdict::Well);
        }
        follow(
            &Follow {
                name: arguments.name.clone(),
                job,
                after,
                most: MESSAGE_TIME,
                patient: true,
            },
            json,
            place,
            output,
        )
        .await
    })
}

/// Shows what is recorded of a job until its end. With `json`, each fact is a line of its own.
async fn follow(what: &Follow, json: bool, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    let until = tokio::time::Instant::now() + what.most;
    let mut quiet_until = Some(tokio::time::Instant::now() + QUIET_TIME);
    let mut after = what.after;
    let mut verdict = Verdict::Well;
    loop {
        let (question, seq) = (look(after), after);
        let answer: TimelineAnswer = ask(place, &question, output).await?.read()?;
        for fact in &answer.facts {
            after = after.max(fact.seq);
            let Some(news) = news(fact, what.job) else { continue };
            show(fact, &what.name, json, output)?;
            match news {
                News::Attempt if !what.patient => {
                    output.note(&format!(
                        "{}: this attempt failed, and this command waits no longer; it goes on in the daemon: `watchkeep jobs` shows when it is tried next",
                        what.name
                    ));
                    return Ok(Verdict::NotWell);
                }
                News::Step | News::Attempt => {}
                News::Wrong => verdict = Verdict::NotWell,
                News::End(ended) => return Ok(if ended == Verdict::Well { verdict } else { ended }),
            }
        }
        if after != seq {
            quiet_until = None;
        }
        if quiet_until.is_some_and(|until| tokio::time::Instant::now() > until) {
            quiet_until = None;
            output.note(&format!(
                "{}: no news yet; it goes on in the daemon, so Ctrl-C is safe; `watchkeep jobs` shows how it stands",
                what.name
            ));
        }
        if tokio::time::Instant::now() > until {
            let advice = format!(
                "it goes on without this command; `watchkeep why {}` shows what came of it",
                what.job
            );
            return Err(Failure::new(
                NO,
                format!("it has not come to its end within {} s", what.most.as_secs()),
            )
            .advice(advice));
        }
        if after == seq {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn look(after: Seq) -> Question {
    let kinds = "job_started,job_failed,job_done,job_ended,backup_captured,backup_verified,backup_proved,backup_failed,snapshots_pruned";
    Question::get(
        "/api/v1/timeline",
        &[
            ("after", Some(&after.to_string())),
            ("kind", Some(kinds)),
            ("limit", Some(PAGE)),
        ],
    )
}

fn show(fact: &ShownFact, name: &str, json: bool, output: &Output) -> Result<(), Failure> {
    if json {
        let line = serde_json::to_vec(fact).map_err(|error| Failure::new(BROKEN, error.to_string()))?;
        return output.json(&line);
    }
    if matches!(fact.fact.fact, Fact::JobStarted(_)) {
        return Ok(());
    }
    let mut page = Page::new(output.look());
    let sentence = sentence::Sentence {
        about: plain(name),
        ..sentence::of(&fact.fact)
    };
    timeline::line(&mut page, fact, &sentence, width(&sentence.about));
    output.page(&page.finish())
}

/// What a fact means for whom waits.
enum News {
    /// It goes on.
    Step,
    /// An attempt failed, another one follows.
    Attempt,
    /// A step failed.
    Wrong,
    /// It came to its end.
    End(Verdict),
}

fn news(fact: &ShownFact, job: JobId) -> Option<News> {
    let (of, news) = match &fact.fact.fact {
        Fact::JobStarted(started) => (started.job, News::Step),
        Fact::JobFailed(failed) => (failed.job, News::Attempt),
        Fact::JobDone(done) => (done.job, News::End(Verdict::Well)),
        Fact::JobEnded(ended) if ended.ending == Ending::Superseded => (ended.job, News::End(Verdict::Well)),
        Fact::JobEnded(ended) => (ended.job, News::End(Verdict::NotWell)),
        Fact::BackupCaptured(captured) => (captured.job, News::Step),
        Fact::BackupVerified(verified) => (verified.job, News::Step),
        Fact::BackupProved(proved) => (proved.job, News::Step),
        Fact::BackupFailed(failed) => (failed.job, News::Wrong),
        _ => return None,
    };
    (of == job).then_some(news)
}
