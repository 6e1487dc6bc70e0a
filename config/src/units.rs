//! Values with a unit, written as text: durations and sizes.

mod bytes;
mod span;

pub use bytes::Bytes;
pub use span::Span;

/// Why a text is no duration or size: what is wrong with it, and what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnitError {
    message: String,
    help: String,
}

impl UnitError {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    /// What to write instead.
    pub fn help(&self) -> &str {
        &self.help
    }
}

/// Splits `"15 seconds"` into `15` and `seconds`, leniently: only to find out what somebody meant.
fn number_and_word(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let (digits, rest) = text.split_at_checked(text.find(|letter: char| !letter.is_ascii_digit())?)?;
    Some((digits.parse().ok()?, rest.trim().to_ascii_lowercase()))
}
