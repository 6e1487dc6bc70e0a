//! What changed just before a breach: the question that nobody else answers.

use events::{Change, Elapsed, Network, Release, ServiceId, Stamp, Views};
use jiff::SignedDuration;

use crate::rules::Rule;

/// So far back a change is told.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(1);
/// Most changes in one fact.
const CHANGES_MAX: usize = 10;

/// What changed within an hour before the breach, and since, newest last.
pub(super) fn before(views: &Views, rule: &Rule, began: Stamp, now: Elapsed) -> Vec<Change> {
    let from = began.at.plus(-LOOK_BACK);
    let recent = |stamp: &Stamp| stamp.at >= from && stamp.at <= now && stamp.seq.0 > 0;
    let mut changes: Vec<(Option<&str>, Stamp, String)> = Vec::new();
    for (service, release) in views.releases.iter().filter(|(_, release)| recent(&release.recorded)) {
        changes.push((Some(service), release.recorded, deployed(service, release)));
    }
    let now_row = &views.now;
    if let Some(configured) = now_row
        .configured
        .as_ref()
        .filter(|row| row.replaced && recent(&row.changed))
    {
        changes.push((
            None,
            configured.changed,
            "the configuration of Watchkeep was changed".to_owned(),
        ));
    }
    if let Some(jumped) = now_row.jumped.filter(recent) {
        changes.push((None, jumped, "the clock of this machine jumped".to_owned()));
    }
    if now_row.network == Network::Online && recent(&now_row.network_since) {
        let text = "the network of this machine came back".to_owned();
        changes.push((None, now_row.network_since, text));
    }
    // Its own deployments are never cut away.
    let own = rule.service.as_ref().map(ServiceId::as_str);
    changes.sort_by_key(|(service, stamp, _)| (own.is_none() || *service != own, std::cmp::Reverse(stamp.seq)));
    changes.truncate(CHANGES_MAX);
    changes.sort_by_key(|(_, stamp, _)| stamp.seq);
    let told = |(service, stamp, text): (Option<&str>, Stamp, String)| Change {
        wall: stamp.wall,
        text,
        service: service.and_then(|service| ServiceId::new(service).ok()),
    };
    changes.into_iter().map(told).collect()
}

/// `shop 1.4.2 deployed by ada (was 1.4.1)`.
fn deployed(service: &str, release: &Release) -> String {
    let current = &release.current;
    let by = current.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let was = release
        .before
        .as_ref()
        .map(|before| format!(" (was {})", before.version));
    format!("{service} {} deployed{by}{}", current.version, was.unwrap_or_default())
}
