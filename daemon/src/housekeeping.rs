//! What costs nothing when it is missed: pruning telemetry, verifying the chain. tokio-cron-scheduler only wakes it;
//! whatever must not be missed is a fact with a due time.

use std::sync::Arc;

use events::{Envelope, Fact, LimitReached, Stop, Timestamp, name_of};
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use store::telemetry::Retention;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler};

use crate::{
    run::Record,
    settings::Settings,
    supervisor::{Stage, Supervisor, Token},
};

/// Telemetry is kept so long when nothing is said.
const KEEP: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Most disk of telemetry when nothing is said.
const DISK_MAX: u64 = 20 << 30;
/// On a day on which the clock jumped nothing is pruned by its age.
const AFTER_JUMP: SignedDuration = SignedDuration::from_hours(24);
/// Second 17 of every tenth minute; second 47 of every minute; night at 04:23.
const PRUNE_AT: &str = "17 */10 * * * *";
const DAMAGE_AT: &str = "47 * * * * *";
const SCRUB_AT: &str = "0 23 4 * * *";

/// Starts the scheduler and what it wakes.
pub(crate) fn start(settings: &Settings, held: &Record, supervisor: &mut Supervisor) {
    let keep = settings.store.telemetry.map_or(KEEP, config::Span::get);
    let bytes_max = settings.store.disk.map_or(DISK_MAX, config::Bytes::get);
    let token = supervisor.token(Stage::Collect);
    let mut wakers = Vec::new();
    let mut chore = |at, name: &str, work: Chore| {
        let wake = Arc::new(Notify::new());
        wakers.push((at, Arc::clone(&wake)));
        let (held, stop) = (held.clone(), token.clone());
        supervisor.restarting(Stage::Collect, name.to_owned(), move || {
            let (held, stop, wake, work) = (held.clone(), stop.clone(), Arc::clone(&wake), Arc::clone(&work));
            async move {
                while woken(&wake, &stop).await {
                    work(held.clone()).await;
                }
            }
        });
    };
    let prune: Chore = Arc::new(move |held| Box::pin(async move { prune_once(&held, keep, bytes_max).await }));
    chore(PRUNE_AT, "pruning", prune);
    let damage: Chore = Arc::new(|held| Box::pin(async move { tell_damage(&held).await }));
    chore(DAMAGE_AT, "damage", damage);
    let scrub: Chore = Arc::new(|held| Box::pin(async move { scrub_once(&held).await }));
    chore(SCRUB_AT, "scrub", scrub);
    let stop = token.clone();
    supervisor.restarting(Stage::Collect, "housekeeping".to_owned(), move || {
        schedule(wakers.clone(), stop.clone())
    });
}

/// Something that is done whenever it is woken.
type Chore = Arc<dyn Fn(Record) -> BoxFuture<'static, ()> + Send + Sync>;

async fn woken(wake: &Notify, stop: &Token) -> bool {
    tokio::select! { () = wake.notified() => true, () = stop.stopped() => false }
}

async fn schedule(wakers: Vec<(&'static str, Arc<Notify>)>, stop: Token) {
    let scheduler = match JobScheduler::new().await {
        Ok(scheduler) => scheduler,
        Err(error) => {
            tracing::error!(%error, "prepare housekeeping");
            return;
        }
    };
    for (at, wake) in wakers {
        let job = Job::new(at, move |_, _| wake.notify_one());
        let added = match job {
            Ok(job) => scheduler.add(job).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = added {
            tracing::error!(at, %error, "schedule housekeeping");
        }
    }
    let mut scheduler = scheduler;
    if let Err(error) = scheduler.start().await {
        tracing::error!(%error, "start housekeeping");
        return;
    }
    stop.stopped().await;
    if let Err(error) = scheduler.shutdown().await {
        tracing::debug!(%error, "stop housekeeping");
    }
}

async fn prune_once(held: &Record, keep: SignedDuration, bytes_max: u64) {
    let now: Timestamp = held.clocks.now().wall;
    let jumped = held.journal.views().await.now.jumped;
    // A clock that moved says nothing about age; the budget holds all the same.
    let jumped = jumped.is_some_and(|at| now.since(at.wall).abs() < AFTER_JUMP);
    let keep = if jumped { SignedDuration::MAX } else { keep };
    match held
        .telemetry
        .retain(Retention {
            now,
            keep,
            bytes_max: Some(bytes_max),
        })
        .await
    {
        Err(error) => tracing::warn!(%error, "prune telemetry"),
        Ok(removed) => {
            let count = removed.logs + removed.spans + removed.probes;
            if count > 0 {
                tracing::info!(count, "telemetry pruned");
            }
            let kept_shorter = removed.until.is_some_and(|until| now.since(until) < keep);
            if removed.over_budget || kept_shorter {
                let detail = format!(
                    "telemetry was pruned before its time, {count} records: it may take {bytes_max} bytes ([store] disk)"
                );
                record(
                    held,
                    LimitReached {
                        limit: name_of("disk_budget"),
                        count,
                        detail,
                    },
                )
                .await;
            }
        }
    }
    let overflowed = held.telemetry.overflowed();
    if overflowed > 0 {
        let detail = "records of too many services or releases were counted as `other`".to_owned();
        record(
            held,
            LimitReached {
                limit: name_of("series"),
                count: overflowed,
                detail,
            },
        )
        .await;
    }
}

/// Blocks of telemetry that cannot be read any more, as a fact: the disk is not to be trusted.
pub(crate) async fn tell_damage(held: &Record) {
    let gaps = held.telemetry.take_damage();
    let Some(first) = gaps.first() else { return };
    let more = match gaps.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more blocks"),
    };
    let failed = events::TaskFailed {
        task: name_of("telemetry"),
        error: format!("{first}{more}: what they held is lost, look at the disk"),
        failures: 1,
    };
    submit(held, Fact::TaskFailed(failed)).await;
}

/// Verifies the chain; damage is a fact that pages.
async fn scrub_once(held: &Record) {
    match held.journal.verify_chain().await {
        Ok(report) => match &report.damage {
            None => tracing::info!(commits = report.commits, "the journal's chain holds"),
            Some(damage) => {
                tracing::error!(?damage, "the journal is damaged");
                let failed = events::TaskFailed {
                    task: name_of("scrub"),
                    error: format!("the journal is damaged at commit {}: {}", damage.commit, damage.what),
                    failures: 1,
                };
                submit(held, Fact::TaskFailed(failed)).await;
            }
        },
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "verify the journal's chain");
            let failed = events::TaskFailed {
                task: name_of("scrub"),
                error: format!("the journal could not be read whole: {error}"),
                failures: 1,
            };
            submit(held, Fact::TaskFailed(failed)).await;
        }
    }
}

async fn record(held: &Record, limit: LimitReached) {
    submit(held, Fact::LimitReached(limit)).await;
}

async fn submit(held: &Record, fact: Fact) {
    let envelope = Envelope::new(name_of("daemon"), name_of("housekeeping"), fact);
    if let Err(error) = held.journal.submit_reserved(envelope.into()).await {
        tracing::warn!(%error, "record what housekeeping found");
    }
}
