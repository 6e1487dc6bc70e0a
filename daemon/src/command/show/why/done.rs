//! What was done: proposals with their gates, the command, its end and output, the verification, who took it.

use events::{ActFinished, ActionConcluded, ActionMode, ActionProposed, Fact};
use web::answer::WhyAnswer;

use super::{Once, at};
use crate::command::{
    page::Page,
    show::sentence::{self, acting, reading},
    text::last_lines,
};

/// Lines of a program's output that are shown.
const OUTPUT_LINES: usize = 4;

/// One step after the other.
struct Steps<'a> {
    page: &'a mut Page,
    label: Once<'static>,
    /// What the run that was proposed last runs.
    command: Option<String>,
    /// What is still open of it.
    open: Option<String>,
}

/// What actions and people did about it, or `nothing`.
pub(super) fn page(page: &mut Page, answer: &WhyAnswer, nothing: &str) {
    let mut steps = Steps {
        page,
        label: Once("done"),
        command: None,
        open: None,
    };
    for fact in &answer.facts {
        steps.take(&fact.fact.fact, &at(answer, fact));
    }
    // When facts are left out, nobody can say here how it goes on.
    if let Some(open) = steps.open.take().filter(|_| !answer.more) {
        steps.line(&open);
    }
    if steps.label.0 == "done" {
        steps.line(nothing);
    }
}

impl Steps<'_> {
    fn line(&mut self, text: &str) {
        self.label.line(self.page, text);
    }

    fn take(&mut self, fact: &Fact, when: &str) {
        match fact {
            Fact::ActionProposed(proposed) => self.proposed(proposed, when),
            Fact::ActStarting(gated) => {
                if let Some(command) = self.command.clone() {
                    self.line(&format!("{when} ran: {command}"));
                }
                self.open = Some(format!("{} acts, it has not ended yet", gated.action));
            }
            Fact::ActRefused(gated) => self.line(&format!("{when} {}: {}", gated.action, acting::gates(&gated.gates))),
            Fact::ActFinished(finished) => self.finished(finished, when),
            Fact::ActionVerifying(verifying) if verifying.since.is_none() => {
                let readings = sentence::readings(&verifying.readings);
                self.line(&format!("{when} not yet as it should be: {readings}"));
            }
            Fact::ActionConcluded(concluded) => self.concluded(concluded, when),
            Fact::IncidentAcked(acked) => {
                let note = acked.note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
                self.line(&format!("{when} taken by {}{note}", acked.by));
            }
            _ => {}
        }
    }

    fn proposed(&mut self, proposed: &ActionProposed, when: &str) {
        let mode = if proposed.mode == ActionMode::Automatic {
            "automatic"
        } else {
            "dry-run"
        };
        let gates = acting::gates(&proposed.gates);
        self.line(&format!("{when} {} ({mode}): {gates}", proposed.action));
        self.command = Some(proposed.command.clone());
    }

    fn finished(&mut self, finished: &ActFinished, when: &str) {
        self.line(&format!("{when} {}", acting::end(&finished.end)));
        for line in last_lines(&finished.output, OUTPUT_LINES) {
            self.page.quoted(&line);
        }
        self.open = Some("it has acted, what it should bring about is awaited".to_owned());
    }

    fn concluded(&mut self, concluded: &ActionConcluded, when: &str) {
        self.line(&format!("{when} {}", acting::outcome(concluded)));
        for leaf in &concluded.verified {
            self.line(&format!("  {}", reading(leaf)));
        }
        self.open = None;
    }
}
