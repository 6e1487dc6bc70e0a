//! Alive is not ready: a full disk or a failed reactor must not get the daemon restarted, but must be seen.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::SignedDuration;

use crate::{App, Desk, Problem, Readiness, api::json, routes::Ask};

/// The last tick may be so old: three of them.
const TICK_AGE_MAX: SignedDuration = SignedDuration::from_secs(15);
/// Least free space that the store asks for, however large the disk.
const FREE_MIN_MAX: u64 = 1 << 30;

/// Looks at what must be so.
pub async fn readiness(app: &App) -> Readiness {
    of(&Desk::from(app.clone())).await
}

pub(crate) async fn of(desk: &Desk) -> Readiness {
    let Some(journal) = desk.journal() else {
        return Readiness {
            ready: false,
            problems: vec!["no daemon is running: nothing is watched".to_owned()],
        };
    };
    let mut problems = Vec::new();
    let clock = desk.clocks().now();
    let views = desk.views().await;
    let age = clock.boot.since(views.now.moment.boot);
    if !views.now.watching {
        problems.push("no tick was recorded since the start".to_owned());
    } else if age > TICK_AGE_MAX {
        problems.push(format!(
            "the last tick is {} s old: nothing is evaluated",
            age.as_secs()
        ));
    }
    match views.now.reactors_failed {
        0 => {}
        failed => problems.push(format!(
            "{failed} reactor failures since the start: `watchkeep timeline` names them"
        )),
    }
    drop(views);
    if !journal.is_settled() {
        problems.push("a commit failed and the journal is being opened again".to_owned());
    }
    // The journal knows more: it also refuses while the reserve, which it gave away, is free space.
    match desk.folder().space() {
        Ok(space) if journal.is_disk_full() || space.free_bytes < (space.total_bytes / 20).min(FREE_MIN_MAX) => {
            let free = space.free_bytes / (1 << 20);
            problems.push(format!(
                "the disk is nearly full ({free} MiB free): facts and telemetry are refused, pages still go out"
            ));
        }
        Ok(_) => {}
        Err(error) => problems.push(format!("the free space is not known: {}", store::chain_of(&error))),
    }
    Readiness {
        ready: problems.is_empty(),
        problems,
    }
}

pub(crate) async fn livez(_: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    Ok("ok\n".into_response())
}

pub(crate) async fn readyz(desk: Desk, ask: Ask) -> Result<Response, Problem> {
    ask.only(&[])?;
    let readiness = of(&desk).await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = json(readiness)?;
    *response.status_mut() = status;
    Ok(response)
}
