//! Finds a W3C `traceparent` in a line of text (Trace Context §3.2): `00-<trace id>-<span id>-<flags>`.

use events::{SpanId, TraceId};

/// Length of version, trace id, span id and flags with their dashes.
const LENGTH: usize = 55;

/// The first valid `traceparent` in a text.
///
/// ```
/// let line = "GET /cart 500 traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let (trace, span) = collectors::ingest::traceparent::find(line).unwrap();
/// assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(span.to_string(), "00f067aa0ba902b7");
/// ```
pub fn find(text: &str) -> Option<(TraceId, SpanId)> {
    text.match_indices("00-").find_map(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let candidate = text.get(at..at.checked_add(LENGTH)?)?;
        let after = text.get(at + LENGTH..).and_then(|after| after.chars().next());
        let is_alone = [before, after]
            .iter()
            .flatten()
            .all(|c| !c.is_ascii_alphanumeric() && *c != '-');
        if is_alone { parse(candidate) } else { None }
    })
}

/// A text that is a `traceparent` and nothing else.
pub fn parse(text: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_lower_hex = |part: &str| part.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if version != "00"
        || flags.len() != 2
        || parts.next().is_some()
        || ![trace, span, flags].into_iter().all(is_lower_hex)
    {
        return None;
    }
    Some((trace.parse().ok()?, span.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn found_wherever_it_stands() {
        for text in [
            GOOD.to_owned(),
            format!("{{\"traceparent\":\"{GOOD}\"}}"),
            format!("00-00-100-200 {GOOD}, done"),
            format!("ümlaut {GOOD}"),
        ] {
            assert!(find(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_is_left_alone() {
        for text in [
            "",
            "00-",
            GOOD.trim_end_matches('1'),
            &format!("a{GOOD}"),
            &format!("{GOOD}-x"),
            &GOOD.to_uppercase(),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(find(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}(00-){0,3}\\PC{0,80}") {
            let _ = find(&text);
        }
    }
}
