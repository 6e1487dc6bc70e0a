//! What a body has to hold.

use config::Mistake;
use events::Reason;
use serde_json::Value;

use super::{BODY_MAX, HttpCheck, UNASKED, exchange::Answer};

/// How much of a text is quoted in a message.
const SHOWN_MAX: usize = 60;

/// The conditions of a probe.
#[derive(Debug)]
pub(super) struct Conditions {
    contains: Option<String>,
    not_contains: Option<String>,
    json: Vec<(String, Value)>,
}

/// What is wrong with the conditions.
pub(super) fn mistakes(check: &HttpCheck) -> Vec<Mistake> {
    let is_pointer = |pointer: &str| pointer.is_empty() || pointer.starts_with('/');
    let wrong = check.json.keys().filter(|pointer| !is_pointer(pointer));
    wrong
        .map(|pointer| {
            let meant = pointer.replace('.', "/");
            let help = format!("a JSON pointer begins with a slash: did you mean \"/{meant}\"?");
            Mistake::at(pointer.span(), format!("{:?} is no JSON pointer", pointer.as_str())).help(help)
        })
        .collect()
}

impl Conditions {
    pub(super) fn new(check: &HttpCheck) -> Self {
        let json = check.json.iter();
        Self {
            contains: check.contains.clone(),
            not_contains: check.not_contains.clone(),
            json: json
                .map(|(pointer, value)| (pointer.as_str().to_owned(), value.clone()))
                .collect(),
        }
    }

    /// How much of the body is to be read.
    pub(super) fn body_wanted(&self) -> usize {
        if self.contains.is_none() && self.not_contains.is_none() && self.json.is_empty() {
            UNASKED
        } else {
            BODY_MAX
        }
    }

    /// The first condition that does not hold.
    pub(super) fn objection(&self, answer: &Answer) -> Option<(Reason, String)> {
        let mismatch = |detail: String| Some((Reason::BodyMismatch, format!("{}, but {detail}", answer.line)));
        let cut = if answer.is_cut { " in its first 256 KiB" } else { "" };
        if let Some(text) = self.contains.as_deref().filter(|text| !holds(&answer.body, text)) {
            return mismatch(format!("the body lacks {}{cut}", shown(text)));
        }
        if let Some(text) = self.not_contains.as_deref().filter(|text| holds(&answer.body, text)) {
            return mismatch(format!("the body holds {}", shown(text)));
        }
        if self.json.is_empty() {
            return None;
        }
        if answer.is_cut {
            return mismatch("its JSON is larger than 256 KiB".to_owned());
        }
        let found: Value = match serde_json::from_slice(&answer.body) {
            Ok(value) => value,
            Err(error) => return mismatch(format!("the body is no JSON: {error}")),
        };
        let (pointer, wanted) = self
            .json
            .iter()
            .find(|(pointer, wanted)| !is(found.pointer(pointer), wanted))?;
        let wanted = shown(&wanted.to_string());
        match found.pointer(pointer) {
            None => mismatch(format!("{pointer} is missing, expected {wanted}")),
            Some(value) => mismatch(format!("{pointer} is {}, expected {wanted}", shown(&value.to_string()))),
        }
    }
}

fn holds(body: &[u8], text: &str) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Numbers are compared by value: TOML's 1 is JSON's 1.0.
fn is(found: Option<&Value>, wanted: &Value) -> bool {
    match (found, wanted) {
        (Some(Value::Number(found)), Value::Number(wanted)) => found == wanted || found.as_f64() == wanted.as_f64(),
        (Some(found), wanted) => found == wanted,
        (None, _) => false,
    }
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_MAX).collect();
    if cut.len() < text.len() {
        format!("{cut:?}…")
    } else {
        format!("{cut:?}")
    }
}
