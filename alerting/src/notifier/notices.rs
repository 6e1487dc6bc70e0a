//! Notices: what is wrong with Watchkeep itself, a backup, an action, a way of telling.

use std::collections::BTreeSet;

use events::{
    About, ActionConcluded, ActionResult, BackupCaptured, BackupFailed, BackupMissed, BackupStage, Ending, IncidentId,
    JobEnded, LimitReached, Name, Network, NetworkChanged, Phase, Probe, Reason, Severity, Stamp, Status, TaskFailed,
    Views, name_of,
};
use jiff::SignedDuration;

use super::{Notifier, Post};
use crate::words::{clip, duration, moment, stretch};

/// A rule that cannot see for so much longer than it takes to fire is told to be blind.
const BLIND_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Most lines of what a failed task said.
const FAILURE_LINES_MAX: usize = 12;
/// A task that failed so often since the start is told; it is started again all the same.
const TASK_FAILURES_TOLD: u32 = 5;
/// Most evidence lines in a notice.
const LINES_MAX: usize = 10;

/// Most rules that are named in a line.
const RULES_MAX: usize = 20;

/// Topic of notices about our own network.
pub(crate) const NETWORK: &str = "network";
/// Topic of notices about a destination that cannot be reached: `delivery/me`.
pub(crate) const DELIVERY: &str = "delivery";

/// A notice on its way.
struct Notice {
    severity: Severity,
    title: String,
    lines: Vec<String>,
    incident: Option<IncidentId>,
    topic: Option<Name>,
}

impl Notice {
    fn new(severity: Severity, title: impl Into<String>) -> Self {
        Self {
            severity,
            title: title.into(),
            lines: Vec::new(),
            incident: None,
            topic: None,
        }
    }

    fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    fn topic(self, topic: &str) -> Self {
        Self {
            topic: Some(name_of(topic)),
            ..self
        }
    }

    fn send(self, to: &[Name], post: &mut Post<'_>) {
        let step = self.topic.as_ref().map_or("", Name::as_str).to_owned();
        let about = About::Notice {
            severity: self.severity,
            title: self.title,
            lines: self.lines,
            incident: self.incident,
            topic: self.topic,
        };
        for destination in to {
            post.send(destination, about.clone(), &step);
        }
    }
}

impl Notifier {
    /// Our own network went away or came back: one notice to everybody, and nobody is blamed.
    pub(super) fn network(&self, network: &NetworkChanged, post: &mut Post<'_>) {
        let wall = post.fact.recorded_at.wall;
        let evidence = network.evidence.iter().take(LINES_MAX).map(|line| clip(line, 200));
        let notice = match network.to {
            Network::Offline => Notice::new(
                Severity::Page,
                "Watchkeep is cut off: its own network is down, nobody is blamed",
            )
            .line(format!("Since {} none of the anchors answers:", moment(wall)))
            .lines(evidence.map(|line| format!("  {line}")))
            .line("Probes of other machines say unknown until it is back; their alerts neither open nor end.")
            .line("To do: look at the network of the machine that Watchkeep runs on."),
            Network::Online => {
                let lost = post.views.now.network_lost.map(|stamp| stamp.wall);
                let title = match lost {
                    Some(lost) => format!(
                        "Watchkeep is reachable again, was cut off {} ({})",
                        stretch(lost, wall),
                        duration(wall.since(lost))
                    ),
                    None => "Watchkeep is reachable again".to_owned(),
                };
                Notice::new(Severity::Info, title).line("Probes of other machines count again.")
            }
            Network::Other => return,
        };
        notice.topic(NETWORK).send(&self.destinations.all, post);
    }

    /// A stored copy turned out to be no good.
    pub(super) fn backup_failed(&self, failed: &BackupFailed, post: &mut Post<'_>) {
        let step = match failed.stage {
            BackupStage::Verify => "could not be read back",
            BackupStage::Prove => "could not be restored",
            _ => return,
        };
        if !failed.is_about_the_copy() {
            return;
        }
        let copy = failed
            .snapshot
            .as_deref()
            .map_or_else(|| "a copy".to_owned(), |id| format!("copy {}", clip(id, 16)));
        let notice = Notice::new(
            Severity::Page,
            format!("Backup {}: {copy} {step}: {}", failed.backup, failed.reason),
        )
        .line(clip(&failed.detail, 500))
        .line("This copy does not count as a backup. Older proved copies are kept.")
        .line(format!(
            "To do: watchkeep backup list; watchkeep backup run {}",
            failed.backup
        ));
        self.send_for_backup(&failed.backup, notice, post);
    }

    /// The store lost parts of the repository: what is newly copied is whole, what was copied before perhaps not.
    pub(super) fn packs_lost(&self, captured: &BackupCaptured, post: &mut Post<'_>) {
        if captured.lost_packs.is_empty() {
            return;
        }
        let lost = captured.lost_packs.iter().take(LINES_MAX);
        let notice = Notice::new(
            Severity::Page,
            format!(
                "Backup {}: the store lost parts of the repository {}",
                captured.backup, captured.repository
            ),
        )
        .line("The new copy is whole as far as the source still has the data. Older copies may be damaged. Packs that are gone:")
        .lines(lost.map(|pack| format!("  {}", clip(pack, 64))))
        .line(format!(
            "To do: find out who removes files there; watchkeep backup list; watchkeep backup prove {}",
            captured.backup
        ));
        self.send_for_backup(&captured.backup, notice, post);
    }

    /// Due times of a backup went by while nobody was there.
    pub(super) fn backup_missed(&self, missed: &BackupMissed, post: &mut Post<'_>) {
        let title = match missed.times {
            1 => format!("Backup {}: a due time was missed", missed.backup),
            times => format!("Backup {}: {times} due times were missed", missed.backup),
        };
        let when = match missed.times {
            1 => format!("Due {}", moment(missed.first)),
            _ => format!(
                "The first was due {}, the last {}",
                moment(missed.first),
                moment(missed.last)
            ),
        };
        let notice = Notice::new(Severity::Ticket, title)
            .line(format!("{when}: Watchkeep did not run then, or the clock jumped."))
            .line("The due time after that is made up for now.")
            .line("To do: watchkeep backup list");
        self.send_for_backup(&missed.backup, notice, post);
    }

    fn send_for_backup(&self, backup: &Name, notice: Notice, post: &mut Post<'_>) {
        notice.send(&self.destinations.or_all(self.destinations.backups.get(backup)), post);
    }

    /// A limit was reached: told the first time, and then once a day.
    pub(super) fn limit_reached(&self, reached: &LimitReached, post: &mut Post<'_>) {
        let row = post.views.limits.get(reached.limit.as_str());
        if row.is_none_or(|row| row.told != post.fact.stamp()) {
            return;
        }
        let notice = Notice::new(
            Severity::Ticket,
            format!("Watchkeep is at a limit: {}", clip(reached.limit.as_str(), 80)),
        )
        .line(format!("{} ({} times)", clip(&reached.detail, 500), reached.count))
        .line("This is told once a day at most; each time is recorded: watchkeep timeline --kind limit_reached");
        notice.send(&self.destinations.all, post);
    }

    /// A job ended without success: of a message, the other destinations are told.
    pub(super) fn job_ended(&self, ended: &JobEnded, post: &mut Post<'_>) {
        if ended.ending == Ending::Superseded {
            return;
        }
        let queue = ended.queue.as_str();
        if let Some(destination) = queue.strip_prefix("notify/") {
            return self.undelivered(ended, destination, post);
        }
        if post.views.runs.get(&ended.job.to_string()).is_some() {
            // The action is about to be concluded by it, and that is told.
            return;
        }
        let needs_person = matches!(ended.ending, Ending::Parked | Ending::Held);
        let mut backups = post.views.backups.iter();
        let backup = backups.find(|(_, row)| row.last_job == Some(ended.job));
        let told_already = backup
            .and_then(|(_, row)| row.failure.as_ref())
            .is_some_and(events::BackupFailure::is_about_the_copy);
        if !needs_person && (backup.is_none() || told_already) {
            return;
        }
        let how = match ended.ending {
            Ending::Expired => "was given up: its time ran out",
            Ending::Parked => "is parked: three attempts ended with the process",
            Ending::Held => "is held: nobody can say whether it was done",
            Ending::Failed | Ending::Superseded | Ending::Other => "failed",
        };
        let (what, to_do) = match backup {
            Some((name, _)) => (
                format!("Backup {name}"),
                format!("watchkeep backup list; watchkeep backup run {name}"),
            ),
            None => (format!("Job of {queue}"), format!("watchkeep why {}", ended.job)),
        };
        let notice = Notice::new(Severity::Page, format!("{what} {how}"))
            .line(clip(&ended.why, 500))
            .line(format!("To do: {to_do}"));
        let own = backup.and_then(|(name, _)| self.destinations.backups.get(&name_of(name)));
        notice.send(&self.destinations.or_all(own), post);
    }

    /// A message was given up. A notice of that kind that is given up itself is told nobody: two dead ends would tell
    /// each other for ever.
    fn undelivered(&self, ended: &JobEnded, destination: &str, post: &mut Post<'_>) {
        let topic = format!("{DELIVERY}/{destination}");
        let row = post.views.deliveries.get(&ended.job.to_string());
        let about = row.map(|row| &row.about);
        let is_notice_of_that_kind =
            matches!(about, Some(About::Notice { topic: Some(topic), .. }) if topic.as_str().starts_with(DELIVERY));
        if is_notice_of_that_kind {
            return;
        }
        let incident = about.and_then(About::incident);
        let row = incident.and_then(|id| post.views.incidents.get(&id.to_string()));
        let rule = row.map_or("a rule", |row| row.rule.as_str());
        let what = match about {
            Some(About::Firing { .. }) => format!("that {rule} fires"),
            Some(About::Reminder { .. }) => format!("that {rule} still fires"),
            Some(About::Resolved { .. }) => format!("that {rule} is over"),
            Some(About::Notice { title, .. }) => format!("\"{}\"", clip(title, 80)),
            Some(About::Test { .. }) => "a test message".to_owned(),
            Some(About::Other) | None => "a message".to_owned(),
        };
        let title = format!("Messages do not reach {destination}: it was not told {what}");
        let mut notice = Notice::new(Severity::Page, title)
            .line(format!("Why: {}", clip(&ended.why, 400)))
            .lines(still_waiting(destination, post.views))
            .lines(incident.map(|id| format!("More: watchkeep why {id}")))
            .line(format!("To do: watchkeep check; watchkeep notify test {destination}"))
            .topic(&topic);
        notice.incident = incident;
        notice.send(&self.destinations.all_but(destination), post);
    }

    /// An action came to its end.
    pub(super) fn action_concluded(&self, concluded: &ActionConcluded, post: &mut Post<'_>) {
        let incident = post.views.incidents.get(&concluded.incident.to_string());
        let repeated = incident.is_some_and(|row| {
            let same = row.actions.iter().filter(|sentence| **sentence == concluded.summary);
            same.count() > 1
        });
        let (severity, word) = match concluded.result {
            ActionResult::Verified => (Severity::Ticket, "worked"),
            ActionResult::DryRun if repeated => return,
            ActionResult::DryRun => (Severity::Info, "would have run (dry-run)"),
            ActionResult::Refused if repeated => return,
            ActionResult::Refused => (Severity::Page, "was refused"),
            ActionResult::Held => (Severity::Page, "failed and is held"),
            ActionResult::Other => return,
        };
        let closed = concluded.gates.iter().filter(|gate| !gate.open);
        let closed = closed.map(|gate| format!("Gate {} is closed: {}", gate.gate, clip(&gate.why, 200)));
        let mut notice = Notice::new(severity, format!("Action {} {word}", concluded.action))
            .line(clip(concluded.summary_alone(), 400))
            .lines(closed.take(LINES_MAX));
        if !concluded.command.is_empty() {
            notice = notice.line(format!("Command: {}", clip(&concluded.command, 400)));
        }
        if !concluded.output.is_empty() {
            notice = notice.line(format!("Output: {}", clip(&concluded.output, 600)));
        }
        notice = notice.line(format!("More: watchkeep why {}", concluded.run));
        notice.incident = Some(concluded.incident);
        let of_incident = incident
            .map(|row| row.terms.notify.clone())
            .filter(|names| !names.is_empty());
        let named = of_incident.or_else(|| self.destinations.actions.get(&concluded.action).cloned());
        notice.send(&self.destinations.or_all(named.as_ref()), post);
    }

    /// A task of the daemon fails again and again, the journal is damaged, or a new configuration is no good.
    pub(super) fn task_failed(&self, failed: &TaskFailed, post: &mut Post<'_>) {
        let title = match failed.task.as_str() {
            "scrub" => "Watchkeep's journal is damaged".to_owned(),
            "reload" => "The new configuration is refused, the old one stays in force".to_owned(),
            task if failed.failures == TASK_FAILURES_TOLD => {
                format!(
                    "Watchkeep's task {task} failed {} times since the start",
                    failed.failures
                )
            }
            _ => return,
        };
        let to_do = match failed.task.as_str() {
            "reload" => "To do: watchkeep check, mend the file, reload again",
            _ => "To do: watchkeep status, and the daemon's log",
        };
        let said = failed.error.lines().take(FAILURE_LINES_MAX).map(|line| clip(line, 200));
        let notice = Notice::new(Severity::Page, title).lines(said).line(to_do);
        notice.send(&self.destinations.all, post);
    }

    /// Tells once of everything that cannot see for too long: at the tick at which its time runs out.
    pub(super) fn blind(&self, post: &mut Post<'_>) {
        let views = post.views;
        for (name, row) in views.probes.iter().filter(|(_, row)| row.status == Status::Unknown) {
            self.blind_probe(name, row, post);
        }
        for (name, row) in views.phases.iter() {
            let Some(stopped) = row.stopped.filter(|_| row.phase != Phase::Inactive) else {
                continue;
            };
            let Some(rule) = self.rules.get(name) else { continue };
            let by_probe = !self.rules.probes_needed(&rule.needs).is_empty();
            if by_probe || !self.runs_out(stopped, rule.hold.fire + BLIND_AFTER, post) {
                continue;
            }
            let notice = Notice::new(
                Severity::Ticket,
                format!("Rule {name} is blind: what it asks for is unknown"),
            )
            .line(format!(
                "Since {} there is no answer to: {}",
                moment(stopped.wall),
                clip(&rule.terms.when, 300)
            ))
            .line("Its state is kept: it neither opens nor ends anything until it can see again.")
            .line(format!("To do: watchkeep alerts; watchkeep why {name}"));
            let to = rule.terms.notify.clone();
            notice.send(&self.known(&to).cloned().collect::<Vec<_>>(), post);
        }
    }

    fn blind_probe(&self, name: &str, row: &Probe, post: &mut Post<'_>) {
        if matches!(row.look.reason, Reason::WatcherOffline | Reason::NotYet) {
            return;
        }
        let rules: Vec<_> = self.rules.on_probe(name).collect();
        let Some(hold) = rules.iter().map(|rule| rule.hold.fire).max() else {
            return;
        };
        if !self.runs_out(row.since, hold + BLIND_AFTER, post) {
            return;
        }
        let mut to: Vec<Name> = Vec::new();
        for destination in rules.iter().flat_map(|rule| self.known(&rule.terms.notify)) {
            if !to.contains(destination) {
                to.push(destination.clone());
            }
        }
        let resting: Vec<&str> = rules.iter().take(LINES_MAX).map(|rule| rule.name.as_str()).collect();
        let notice = Notice::new(
            Severity::Ticket,
            format!("Probe {name} is blind: {}", row.look.reason.text()),
        )
        .line(format!(
            "Since {} it cannot tell: {}",
            moment(row.since.wall),
            clip(&row.look.detail, 300)
        ))
        .line(format!(
            "Rules that rest on it keep their state: {}",
            resting.join(", ")
        ))
        .line("To do: watchkeep check");
        notice.send(&to, post);
    }

    /// True at exactly one tick: the one at which so much watched time has gone by.
    fn runs_out(&self, since: Stamp, after: SignedDuration, post: &Post<'_>) -> bool {
        let now = post.views.now.moment.watched;
        let end = since.watched.plus(after);
        let before = self.ticks.0.unwrap_or(since.watched);
        before < end && end <= now
    }
}

/// Rules whose messages wait for a destination all the same: `Waiting for it too: up/a, up/b`.
fn still_waiting(destination: &str, views: &Views) -> Option<String> {
    let rows = views.deliveries.iter().map(|(_, row)| row);
    let waiting = rows.filter(|row| row.destination.as_str() == destination && !row.is_over());
    let incidents = waiting
        .filter_map(|row| row.about.incident())
        .filter_map(|id| views.incidents.get(&id.to_string()));
    let rules: BTreeSet<&str> = incidents.map(|incident| incident.rule.as_str()).collect();
    let shown: Vec<&str> = rules.iter().take(RULES_MAX).copied().collect();
    let more = match rules.len().saturating_sub(RULES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!shown.is_empty()).then(|| format!("Waiting for it too: {}{more}", shown.join(", ")))
}
