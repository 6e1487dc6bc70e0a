//! What is wrong with a text, where, and what to write instead.

use std::{fmt, ops::Range};

use super::ERRORS_MAX;

/// One mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageError {
    /// Where: bytes of the text, on character boundaries. Empty at the end of the text.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead, when that is known.
    pub help: Option<String>,
}

impl fmt::Display for LanguageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(formatter, "; {help}"))
    }
}

impl std::error::Error for LanguageError {}

/// Collects the errors of one text.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: Vec<LanguageError>,
}

impl Report {
    /// Records an error without advice.
    pub(super) fn add(&mut self, at: Range<usize>, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    /// Records an error with what to write instead.
    pub(super) fn advise(&mut self, at: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.push(at, message.into(), Some(help.into()));
    }

    fn push(&mut self, at: Range<usize>, message: String, help: Option<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(LanguageError { at, message, help });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors by their place in the text.
    pub(super) fn into_errors(mut self) -> Vec<LanguageError> {
        self.errors.sort_by_key(|error| (error.at.start, error.at.end));
        self.errors
    }
}

/// The candidate that was probably meant.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = word.to_lowercase();
    let tolerance = (wanted.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= tolerance && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}
