//! `timeline`: what happened, the newest last, as a log is read.

use std::collections::BTreeMap;

use events::{Seq, Timestamp};
use jiff::SignedDuration;
use web::answer::{ShownFact, TimelineAnswer};

use super::sentence::{self, names::Names};
use crate::command::{
    page::{Look, Page, Tone},
    text::{day, padded, plain, time},
};

/// Widest name of what a fact is about.
const ABOUT_MAX: usize = 18;

/// The page; `broken_off` has, of starts after an end without a stop, when the last fact before was recorded.
pub(crate) fn page(answer: &TimelineAnswer, broken_off: BTreeMap<Seq, Timestamp>, look: Look) -> String {
    let mut page = Page::new(look);
    let Some(oldest) = answer.facts.last() else {
        page.line("nothing was recorded that matches");
        return page.finish();
    };
    if answer.more {
        page.line(&format!("… older ones: add --until {}", up_to(oldest.wall)));
    }
    let facts: Vec<&ShownFact> = answer.facts.iter().rev().collect();
    let names = Names::new(&answer.facts).broken_off(broken_off);
    named(&mut page, &facts, &names);
    page.finish()
}

/// What to give to `--until` so that nothing before this moment is missed: the next whole second.
pub(crate) fn up_to(at: Timestamp) -> Timestamp {
    at.plus(SignedDuration::from_nanos(999_999_999)).whole_seconds()
}

/// Facts as lines, oldest first, each day under its own head.
pub(crate) fn lines(page: &mut Page, facts: &[&ShownFact]) {
    named(page, facts, &Names::new(facts.iter().copied()));
}

fn named(page: &mut Page, facts: &[&ShownFact], names: &Names) {
    let told: Vec<(&ShownFact, sentence::Sentence)> = facts.iter().map(|fact| (*fact, names.sentence(fact))).collect();
    let wide = told
        .iter()
        .map(|(_, sentence)| crate::command::text::width(&sentence.about))
        .max()
        .unwrap_or(0)
        .min(ABOUT_MAX);
    let mut today = String::new();
    for (fact, sentence) in &told {
        let of_day = day(fact.wall);
        if of_day != today {
            page.marked(Tone::Quiet, &format!("{of_day} UTC"), "");
            today = of_day;
        }
        line(page, fact, sentence, wide);
    }
}

/// One fact: time, what it is about, what happened.
pub(crate) fn line(page: &mut Page, fact: &ShownFact, sentence: &sentence::Sentence, wide: usize) {
    let lead = format!("{}  {}  ", time(fact.wall), padded(&plain(&sentence.about), wide));
    page.hanging(sentence.tone, &lead, &sentence.text);
}
