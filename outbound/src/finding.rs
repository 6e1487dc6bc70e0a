//! What `watchkeep check` found out by trying.

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingState {
    /// It works.
    Ok,
    /// It does not work.
    Problem,
    /// It was not tried.
    Skipped,
}

/// One line of the table that `watchkeep check` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried: `probe shop: https://shop.example/health`.
    pub what: String,
    /// How it ended.
    pub state: FindingState,
    /// What came back, or why not; without secrets.
    pub detail: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// Something that works.
    pub fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state: FindingState::Ok,
            detail: detail.into(),
            remedy: String::new(),
        }
    }

    /// Something that does not work, and what to do.
    pub fn problem(what: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state: FindingState::Problem,
            detail: detail.into(),
            remedy: remedy.into(),
        }
    }

    /// Something that was not tried, and why.
    pub fn skipped(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state: FindingState::Skipped,
            detail: why.into(),
            remedy: String::new(),
        }
    }

    /// True for a problem.
    pub fn is_problem(&self) -> bool {
        self.state == FindingState::Problem
    }
}

/// An error with its causes in one line: `read the file x: permission denied`. A cause whose words the line holds
/// already is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    crate::in_words(&text)
}
