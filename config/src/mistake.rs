//! Mistakes in a configuration file: what is wrong, where, and what to do.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use crate::load::Source;
use crate::redact;
use crate::render;

/// How many mistakes are told at once.
pub(crate) const MISTAKES_MAX: usize = 100;
const HELP: &str = "\nhelp: ";
const QUOTED_MAX: usize = 60;

/// One mistake: its place in the text, what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The byte range in the source text; none when it concerns the file as a whole.
    pub span: Option<Range<usize>>,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Found by the reader: what later checks say about the same place is only its echo.
    pub(crate) by_reader: bool,
    /// Bytes that must not be shown.
    pub(crate) hidden: Option<Range<usize>>,
}

impl Mistake {
    /// A mistake at a place.
    pub fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span: Some(span),
            ..Self::new(message)
        }
    }

    /// A mistake of the file as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            span: None,
            message: message.into(),
            help: None,
            by_reader: false,
            hidden: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All mistakes of one file, in the order of their places. At least one.
#[derive(Clone)]
pub struct Mistakes(Box<Told>);

#[derive(Clone)]
struct Told {
    path: String,
    mistakes: Vec<Mistake>,
    /// The text as it may be shown.
    shown: redact::Shown,
    code: NamedSource<String>,
}

impl Mistakes {
    /// Joins mistakes with the text they are in: sorts them, and leaves out the echoes of what the reader found.
    pub fn new(source: &Source, mistakes: Vec<Mistake>) -> Self {
        let read: Vec<_> = mistakes
            .iter()
            .filter(|mistake| mistake.by_reader)
            .map(|mistake| mistake.span.clone())
            .collect();
        let mut mistakes: Vec<_> = mistakes
            .into_iter()
            .filter(|mistake| mistake.by_reader || mistake.span.is_none() || !read.contains(&mistake.span))
            .collect();
        mistakes.sort_by_key(|mistake| mistake.span.as_ref().map_or(usize::MAX, |span| span.start));
        let hidden = mistakes.iter().filter_map(|mistake| mistake.hidden.clone());
        let shown = redact::Shown::new(&source.text, hidden);
        let path = render::printable(&source.path.display().to_string());
        let code = NamedSource::new(path.clone(), shown.text().to_owned());
        Self(Box::new(Told {
            path,
            mistakes,
            shown,
            code,
        }))
    }

    /// The mistakes, in the order of their places.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0.mistakes
    }

    /// For each mistake `file:line:column` with what is wrong, the line, a caret under the place, and what to do.
    /// Secrets in the lines are hidden.
    pub fn render(&self, color: bool) -> String {
        render::render(&self.0.path, &self.0.shown, &self.0.mistakes, color)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", render::headline(&self.0.path, self.0.mistakes.len()))?;
        for mistake in &self.0.mistakes {
            write!(
                formatter,
                "\n{}: {}",
                render::place(&self.0.path, &self.0.shown, mistake),
                render::printable(&mistake.message)
            )?;
            if let Some(help) = &mistake.help {
                write!(formatter, " ({})", render::printable(help))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Mistakes {
    /// As displayed: the text itself may hold what should have been a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Mistakes {}

impl Diagnostic for Mistakes {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.0.code)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.0.mistakes.iter().filter_map(|mistake| {
            let span = self.0.shown.span(mistake.span.as_ref()?);
            Some(LabeledSpan::new(Some(mistake.message.clone()), span.start, span.len()))
        })))
    }
}

/// An error text for a `Deserialize` of one's own that carries a help of its own: the reader shows it apart.
pub fn explained(message: impl fmt::Display, help: impl fmt::Display) -> String {
    format!("{message}{HELP}{help}")
}

/// The two parts of an [`explained`] text.
pub(crate) fn unexplained(text: &str) -> (&str, Option<&str>) {
    match text.split_once(HELP) {
        Some((message, help)) => (message, Some(help)),
        None => (text, None),
    }
}

/// A text from the file as a message may quote it: in quotes, escaped, and not too long.
pub(crate) fn quoted(text: &str) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(QUOTED_MAX).collect();
    if letters.next().is_some() {
        format!("{start:?}…")
    } else {
        format!("{start:?}")
    }
}

/// The known word that was probably meant, if one is near enough: for "did you mean".
///
/// Near means: at most a third of the letters have to change (a swap of neighbours is one change), or only case, `-`
/// and `_` differ.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(word);
    // Longer than any key: no typing error, and the distance costs time by the square.
    if wanted.len() > 200 {
        return None;
    }
    known
        .into_iter()
        .filter_map(|candidate| {
            let plain_candidate = plain(candidate);
            let distance = strsim::damerau_levenshtein(&wanted, &plain_candidate);
            let letters = wanted.chars().count().max(plain_candidate.chars().count());
            (distance <= letters / 3).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> String {
    word.chars()
        .filter(|letter| !matches!(letter, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near() {
        let known = ["every", "check", "clear_for", "notify", "service"];
        for (word, meant) in [
            ("evry", Some("every")),
            ("Every", Some("every")),
            ("chekc", Some("check")),
            ("clear-for", Some("clear_for")),
            ("clearfor", Some("clear_for")),
            ("notfy", Some("notify")),
            ("x", None),
            ("", None),
            ("completely", None),
        ] {
            assert_eq!(suggest(word, known), meant, "{word}");
        }
        assert_eq!(suggest("shp", ["shop", "ship"]), Some("shop"), "the first of two alike");
        assert_eq!(suggest(&"a".repeat(100_000), known), None);
    }

    #[test]
    fn quotes_without_letting_a_terminal_be_driven() {
        assert_eq!(quoted("a\u{1b}[31m\"b"), r#""a\u{1b}[31m\"b""#);
        assert!(quoted(&"ü".repeat(1000)).len() < 150);
    }
}
