//! Attributes and values as text, within limits.

use base64::{Engine, engine::general_purpose::STANDARD};
use events::Attributes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

use super::{ATTRIBUTES_MAX, TEXT_MAX};

/// Longest name of an attribute.
const NAME_MAX: usize = 256;
/// Says, beside the others, what was left out or cut.
const CUT: &str = "watchkeep.cut";

/// Takes attributes; of two with one name the last. What is over the limits is left out or cut, and that is said.
pub(super) fn take(into: &mut Attributes, given: Vec<KeyValue>) {
    let mut dropped = 0_usize;
    let mut cut: Vec<String> = Vec::new();
    for KeyValue { key, value, .. } in given {
        let mut key = key;
        shorten(&mut key, NAME_MAX);
        if key.is_empty() {
            continue;
        }
        if into.len() >= ATTRIBUTES_MAX && !into.contains_key(&key) {
            dropped += 1;
            continue;
        }
        let mut value = text(value.and_then(|value| value.value));
        if shorten(&mut value, TEXT_MAX) {
            cut.push(key.clone());
        }
        into.insert(key, value);
    }
    if dropped > 0 {
        cut.push(format!("{dropped} more attributes"));
    }
    if !cut.is_empty() {
        into.insert(CUT.to_owned(), cut.join(", "));
    }
}

/// Cuts a text at a character's border; true when it was longer.
pub(super) fn shorten(text: &mut String, max: usize) -> bool {
    if text.len() <= max {
        return false;
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    true
}

/// The shortest text of a value: text as it is, numbers in decimal, lists and maps as JSON, bytes in base64.
pub(super) fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::DoubleValue(number)) => double(number),
        Some(Value::BytesValue(bytes)) => STANDARD.encode(bytes),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        None | Some(Value::StringValueStrindex(_)) => String::new(),
        Some(nested @ (Value::ArrayValue(_) | Value::KvlistValue(_))) => json(Some(nested)).to_string(),
    }
}

fn double(number: f64) -> String {
    let plain = number.to_string();
    // 1e300 in plain decimals is three hundred digits.
    if plain.len() > 24 { format!("{number:e}") } else { plain }
}

/// Depth is bounded where the record was decoded: 100 by prost, 64 by the survey of JSON.
fn json(value: Option<Value>) -> serde_json::Value {
    let inner = |value: AnyValue| json(value.value);
    match value {
        Some(Value::ArrayValue(list)) => list.values.into_iter().map(inner).collect(),
        Some(Value::KvlistValue(map)) => map
            .values
            .into_iter()
            .map(|entry| (entry.key, entry.value.map_or(serde_json::Value::Null, inner)))
            .collect(),
        Some(Value::BoolValue(truth)) => truth.into(),
        Some(Value::IntValue(number)) => number.into(),
        Some(Value::DoubleValue(number)) if number.is_finite() => number.into(),
        None => serde_json::Value::Null,
        other => text(other).into(),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(any(value)),
            key_strindex: 0,
        }
    }

    #[test]
    fn values_become_their_shortest_text() {
        let list = ArrayValue {
            values: vec![any(Value::IntValue(1)), any(Value::StringValue("a\"b".to_owned()))],
        };
        let map = KeyValueList {
            values: vec![pair("x", Value::DoubleValue(f64::NAN))],
        };
        for (value, expected) in [
            (Value::StringValue("a b".to_owned()), "a b"),
            (Value::BoolValue(true), "true"),
            (Value::IntValue(-7), "-7"),
            (Value::DoubleValue(0.5), "0.5"),
            (Value::DoubleValue(3.0), "3"),
            (Value::DoubleValue(1e300), "1e300"),
            (Value::BytesValue(vec![1, 2, 3]), "AQID"),
            (Value::ArrayValue(list), r#"[1,"a\"b"]"#),
            (Value::KvlistValue(map), r#"{"x":"NaN"}"#),
        ] {
            assert_eq!(text(Some(value)), expected);
        }
    }

    #[test]
    fn what_is_over_the_limits_is_said() {
        let mut kept = Attributes::new();
        let mut given: Vec<_> = (0..200)
            .map(|index| pair(&format!("k{index:03}"), Value::BoolValue(true)))
            .collect();
        given.push(pair("k000", Value::StringValue("ü".repeat(TEXT_MAX))));
        take(&mut kept, given);
        assert_eq!(kept.len(), ATTRIBUTES_MAX + 1);
        assert_eq!(kept[CUT], "k000, 72 more attributes");
        assert_eq!(kept["k000"].len(), TEXT_MAX);
    }
}
