//! `why`: one screen. What is the case, since when, why, what changed just before, what was done, who was told, and
//! what to do now.

mod done;
mod incident;
mod others;
mod told;

use web::answer::{ShownFact, WhyAnswer};

use super::timeline;
use crate::command::{
    page::{Look, Page},
    text::{clock, clock_utc, counted, plain},
};

/// The page.
pub(crate) fn page(answer: &WhyAnswer, look: Look) -> String {
    let mut page = Page::new(look);
    match answer.view.as_str() {
        "incidents" => incident::page(&mut page, answer),
        "runs" => others::run(&mut page, answer),
        "snapshots" => others::snapshot(&mut page, answer),
        "deliveries" => others::message(&mut page, answer),
        _ => {
            page.line(&format!("{} {}", plain(&answer.view), plain(&answer.id)));
            timeline::lines(&mut page, &answer.facts.iter().collect::<Vec<_>>());
        }
    }
    if answer.more {
        more(&mut page, answer);
    }
    page.finish()
}

/// What does not fit is said, and where it is: the facts that are shown are the oldest.
fn more(page: &mut Page, answer: &WhyAnswer) {
    page.gap();
    let last = answer.facts.last().map_or(answer.asked_at, |fact| fact.wall);
    let since = incident::span(answer.asked_at.since(last));
    page.wrapped(
        0,
        &format!(
            "… this rests on the first {} only, up to {}; what came then: watchkeep timeline --since {since} --limit 1000",
            counted(answer.facts.len() as u64, "fact", "facts"),
            clock_utc(last, answer.asked_at)
        ),
    );
}

/// A label that is written once for all the lines under it.
struct Once<'a>(&'a str);

impl Once<'_> {
    fn line(&mut self, page: &mut Page, text: &str) {
        page.field(self.0, text);
        self.0 = "";
    }
}

/// A moment before a line.
fn at(answer: &WhyAnswer, fact: &ShownFact) -> String {
    clock(fact.wall, answer.asked_at)
}
