//! What a `Deserialize` complained about, as data: the wording comes later, when the place is known.

use std::fmt;

use serde::de;

use crate::tree::Step;

/// A complaint and the path to the place where it arose. Boxed, as it travels in every `Result`.
#[derive(Debug)]
pub(crate) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    what: What,
    /// Innermost step first, as the steps are added on the way out.
    path: Vec<Step>,
    is_at_key: bool,
}

#[derive(Debug)]
pub(crate) enum What {
    /// The text of a `Deserialize` of somebody's own.
    Said(String),
    /// Wrong type or range; what was expected, and the keys of the table if one was.
    Expected(String, &'static [&'static str]),
    UnknownKey(&'static [&'static str]),
    /// A kind (as key) or a choice (as text) that is not there.
    UnknownChoice(String, &'static [&'static str]),
    /// No kind in a table that should have one.
    NoKind(&'static [&'static str]),
    /// A second kind beside this one.
    SecondKind(String),
    /// The name of a kind as text, without its settings.
    BareKind(String),
    /// Settings for a choice that has none.
    NoSettings(String),
    Missing(&'static str),
    Twice(&'static str),
}

impl Fault {
    pub(crate) fn new(what: What) -> Self {
        Self(Box::new(Inner {
            what,
            path: Vec::new(),
            is_at_key: false,
        }))
    }

    /// Adds the step that led to the place.
    pub(crate) fn inside(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    /// The complaint is about the key itself.
    pub(crate) fn at_key(mut self, step: Step) -> Self {
        self.0.is_at_key = true;
        self.inside(step)
    }

    /// If a table was expected here, these are its keys.
    pub(crate) fn with_keys(mut self, keys: &'static [&'static str]) -> Self {
        if let (What::Expected(_, known), []) = (&mut self.0.what, self.0.path.as_slice())
            && known.is_empty()
        {
            *known = keys;
        }
        self
    }

    pub(crate) fn is_at_key(&self) -> bool {
        self.0.is_at_key
    }

    /// The complaint, and the path from the root.
    pub(crate) fn into_parts(self) -> (What, Vec<Step>) {
        let Inner { what, mut path, .. } = *self.0;
        path.reverse();
        (what, path)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0.what)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::Said(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(What::Expected(expected.to_string(), &[]))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(What::Expected(expected.to_string(), &[]))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::new(What::Expected(expected.to_string(), &[]))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::UnknownChoice(variant.to_owned(), expected))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(What::Twice(field))
    }
}
