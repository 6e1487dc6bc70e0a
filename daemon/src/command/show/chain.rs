//! `chain`: whether the journal is what was written.

use web::answer::ChainAnswer;

use crate::command::{
    page::{Look, Page, Tone},
    text::counted,
};

/// The page, and whether the chain holds.
pub(crate) fn page(answer: &ChainAnswer, look: Look) -> (String, bool) {
    let mut page = Page::new(look);
    let verified = format!(
        "{} in {}",
        counted(answer.facts, "fact", "facts"),
        counted(answer.commits, "commit", "commits")
    );
    match &answer.damage {
        None => page.hanging(Tone::Good, "holds   ", &format!("every digest is right: {verified}")),
        Some(damage) => {
            page.hanging(Tone::Bad, "BROKEN  ", damage);
            page.wrapped(8, &format!("right before it: {verified}"));
            page.wrapped(8, "what to do: docs/runbooks/journal-damaged.md");
        }
    }
    page.hanging(Tone::Quiet, "link    ", &answer.link);
    (page.finish(), answer.damage.is_none())
}
